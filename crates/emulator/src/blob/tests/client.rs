//! A client of the service without a network, that holds a signature over everything.

use hmac::{Hmac, Mac};
use http::{HeaderMap, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::*;

/// The service under test with its clock.
pub(super) struct Client {
    pub(super) clock: Arc<Clock>,
    pub(super) service: BlobService,
    everything: String,
}

/// An answer with its body as text.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and error code, which must be the same in header and body.
    pub(super) fn refusal(&self) -> (u16, &str) {
        let code = self.header("x-ms-error-code");
        if !self.body.is_empty() {
            assert!(self.body.contains(&format!("<Error><Code>{code}</Code><Message>")), "{}", self.body);
        }
        (self.status.as_u16(), code)
    }

    /// The texts of all elements with this name.
    pub(super) fn elements(&self, name: &str) -> Vec<&str> {
        let close = format!("</{name}>");
        let open = format!("<{name}>");
        let parts = self.body.split(&open).skip(1);
        parts.map(|part| part.split(&close).next().unwrap()).collect()
    }
}

/// An account signature with these permissions, for nine centuries.
pub(super) fn signature(permissions: &str) -> String {
    let text = format!("devstoreaccount1\n{permissions}\nb\nsco\n\n2999-01-01\n\n\n2024-11-04\n\n");
    let sig = sign(&text);
    format!("sp={permissions}&ss=b&srt=sco&se=2999-01-01&sv=2024-11-04&sig={sig}")
}

/// A service signature for the container `con`: what its fields say, in the order of the string to sign.
pub(super) fn container_signature(permissions: &str, expiry: &str, policy: &str) -> String {
    let text = [
        permissions,
        "",
        expiry,
        "/blob/devstoreaccount1/con",
        policy,
        "",
        "",
        "2024-11-04",
        "c",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
    ];
    let sig = sign(&text.join("\n"));
    let mut query = format!("sv=2024-11-04&sr=c&sig={sig}");
    for (name, value) in [("sp", permissions), ("se", expiry), ("si", policy)] {
        if !value.is_empty() {
            query.push_str(&format!("&{name}={value}"));
        }
    }
    query
}

fn sign(text: &str) -> String {
    utf8_percent_encode(&base64(text), NON_ALPHANUMERIC).to_string()
}

/// The signature of a text.
fn base64(text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64.decode(crate::BLOB_KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

impl Client {
    /// A service with the container `con`.
    pub(super) async fn new() -> Self {
        Self::bare().prepared().await
    }

    /// The same, that writes a journal.
    pub(super) async fn keeping(path: &std::path::Path) -> Self {
        Self::reopened(path).prepared().await
    }

    /// A service with what a journal holds.
    pub(super) fn reopened(path: &std::path::Path) -> Self {
        let client = Self::bare();
        client.service.keep_in(path).unwrap();
        client
    }

    fn bare() -> Self {
        let clock = Arc::new(Clock::default());
        let service = BlobService::new(Arc::clone(&clock));
        Self { service, clock, everything: signature("rwdxyltfi") }
    }

    async fn prepared(self) -> Self {
        let client = self;
        let created = client.send("PUT", "/con?restype=container", &[], "").await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
        client
    }

    pub(super) fn set(&self, versioning: bool, soft_delete_days: u32) {
        let settings = StorageSettings { versioning, soft_delete_days, ..StorageSettings::default() };
        self.service.set_storage(settings).unwrap();
    }

    /// The full address of a blob, signed, as a copy's source has it.
    pub(super) fn source(&self, path: &str) -> String {
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("http://127.0.0.1:10000/devstoreaccount1{path}{joint}{}", self.everything)
    }

    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_with(&self.everything, method, path, headers, body).await
    }

    /// Sends with another signature.
    pub(super) async fn send_with(
        &self,
        signature: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let joint = if path.contains('?') { '&' } else { '?' };
        self.send_raw(method, &format!("/devstoreaccount1{path}{joint}{signature}"), headers, body).await
    }

    /// Sends with the account's key, as "Authorize with Shared Key" has it. `query` is in order.
    pub(super) async fn send_with_key(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let length = if body.is_empty() { String::new() } else { body.len().to_string() };
        let mut text = format!("{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}:{value}\n"));
        }
        text.push_str(&format!("/devstoreaccount1/devstoreaccount1{path}"));
        for (name, value) in query {
            text.push_str(&format!("\n{name}:{value}"));
        }
        let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let signature = base64(&text);
        let authorization = format!("SharedKey devstoreaccount1:{signature}");
        let mut all = vec![("authorization", authorization.as_str()), ("content-length", length.as_str())];
        all.extend_from_slice(headers);
        self.send_raw(method, &format!("/devstoreaccount1{path}?{}", pairs.join("&")), &all, body).await
    }

    pub(super) async fn send_raw(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = http::Request::builder().method(method).uri(uri).header("host", "127.0.0.1:10000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let response = self.service.handle(parts, Bytes::from(body.to_owned())).await;
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(super) async fn put_with(&self, name: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("x-ms-blob-type", "BlockBlob")];
        all.extend_from_slice(headers);
        self.send("PUT", &format!("/con/{name}"), &all, body).await
    }

    pub(super) async fn put(&self, name: &str, body: &str) -> Answer {
        let answer = self.put_with(name, body, &[]).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", &format!("/con{path}"), &[], "").await
    }

    pub(super) async fn list(&self, parameters: &str) -> Answer {
        let answer = self.get(&format!("?restype=container&comp=list&{parameters}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }
}
