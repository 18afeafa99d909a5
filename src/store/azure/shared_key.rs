//! Signing requests with the account's key, which the SDK does not do.
//!
//! After "Authorize with Shared Key", Blob service, version 2015-02-21 and later:
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>. The signature covers the URL's path as
//! it is sent, percent-encoding included.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, Url};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::failure::{Failure, Kind};
use crate::time;

/// Headers of the string to sign, in its order. `Date` stays empty: `x-ms-date` stands for it.
const SIGNED_HEADERS: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// An account and its key.
pub(super) struct SharedKey {
    account: String,
    key: Key,
}

/// What a signature covers.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// All headers, their names in lower case.
    pub(super) headers: Vec<(Cow<'a, str>, &'a str)>,
    /// As it is sent.
    pub(super) path: &'a str,
    /// Decoded.
    pub(super) parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey").field("account", &self.account).finish_non_exhaustive()
    }
}

impl SharedKey {
    pub(super) fn new(account: String, key: &SecretString) -> Result<Self, Failure> {
        let refused = || {
            Failure::new(Kind::Misconfigured, "the target's key is not base64")
                .remedy("copy the key from the storage account's access keys, not the connection string")
        };
        let key = STANDARD.decode(key.expose_secret().trim()).map_err(|_| refused())?;
        Ok(Self { account, key: Key::new(HMAC_SHA256, &key) })
    }

    /// What the header `authorization` says.
    pub(super) fn authorization(&self, signed: Signed<'_>) -> String {
        let signature = sign(&self.key, string_to_sign(&self.account, signed).as_bytes());
        let mut authorization = format!("SharedKey {}:", self.account);
        STANDARD.encode_string(signature.as_ref(), &mut authorization);
        authorization
    }
}

/// Signs each of the SDK's requests that passes.
#[derive(Debug)]
pub(super) struct SharedKeyPolicy(pub(super) Arc<SharedKey>);

impl SharedKeyPolicy {
    fn sign(&self, request: &mut Request, at: Timestamp) {
        request.insert_header("x-ms-date", http_date(at));
        let authorization = self.0.authorization(signed(request));
        request.insert_header("authorization", authorization);
    }
}

#[async_trait]
impl Policy for SharedKeyPolicy {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        self.sign(request, time::now());
        next[0].send(ctx, request, &next[1..]).await
    }
}

fn signed(request: &Request) -> Signed<'_> {
    let url: &Url = request.url();
    let headers = request.headers().iter();
    Signed {
        method: request.method().as_str(),
        headers: headers.map(|(name, value)| (name.as_str().to_ascii_lowercase().into(), value.as_str())).collect(),
        path: url.path(),
        parameters: url.query_pairs().collect(),
    }
}

/// The form of dates in headers.
pub(super) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn string_to_sign(account: &str, signed: Signed<'_>) -> String {
    let Signed { method, mut headers, path, parameters } = signed;
    headers.sort_unstable();
    let mut text = String::with_capacity(1_024);
    text.push_str(method);
    for name in SIGNED_HEADERS {
        text.push('\n');
        let found = headers.binary_search_by(|(header, _)| header.as_ref().cmp(name));
        let value = found.map_or("", |at| headers[at].1);
        if !(name == "date" || (name == "content-length" && value == "0")) {
            text.push_str(value);
        }
    }
    text.push('\n');
    for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-ms-")) {
        for part in [name.as_ref(), ":", value.trim(), "\n"] {
            text.push_str(part);
        }
    }
    push_resource(&mut text, account, path, parameters);
    text
}

/// The account comes before the path even where the path begins with it, as it does on emulators.
fn push_resource(text: &mut String, account: &str, path: &str, parameters: Vec<(Cow<'_, str>, Cow<'_, str>)>) {
    for part in ["/", account, path] {
        text.push_str(part);
    }
    let mut by_name: BTreeMap<String, Vec<Cow<'_, str>>> = BTreeMap::new();
    for (name, value) in parameters {
        by_name.entry(name.to_ascii_lowercase()).or_default().push(value);
    }
    for (name, mut values) in by_name {
        values.sort_unstable();
        text.push_str(&format!("\n{name}:{}", values.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::Method;

    use super::*;

    fn request(method: Method, url: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Url::parse(url).unwrap(), method);
        for (name, value) in headers {
            request.insert_header(*name, *value);
        }
        request
    }

    #[test]
    fn the_string_to_sign_of_a_listing() {
        let url = "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=list&Include=versions&include=metadata";
        let request = request(
            Method::Get,
            url,
            &[("x-ms-version", "2015-02-21"), ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"), ("accept", "*/*")],
        );
        let expected = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
                        /myaccount/mycontainer\ncomp:list\ninclude:metadata,versions\nrestype:container";
        assert_eq!(string_to_sign("myaccount", signed(&request)), expected);
    }

    #[test]
    fn the_string_to_sign_of_a_put_on_an_emulator() {
        let headers = [
            ("content-length", "11"),
            ("content-type", "application/octet-stream"),
            ("if-none-match", "*"),
            ("x-ms-meta-op", " create "),
            ("x-ms-blob-type", "BlockBlob"),
        ];
        let request = request(Method::Put, "http://127.0.0.1:10000/devstoreaccount1/m/a%2Fb~2F.json", &headers);
        let expected = "PUT\n\n\n11\n\napplication/octet-stream\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n\
                        x-ms-meta-op:create\n/devstoreaccount1/devstoreaccount1/m/a%2Fb~2F.json";
        assert_eq!(string_to_sign("devstoreaccount1", signed(&request)), expected);
    }

    #[test]
    fn an_empty_body_has_no_length_to_sign() {
        let request = request(Method::Put, "https://a.blob.core.windows.net/m/x", &[("content-length", "0")]);
        assert!(string_to_sign("a", signed(&request)).starts_with("PUT\n\n\n\n\n"));
    }

    #[test]
    fn the_date_is_the_one_http_knows() {
        assert_eq!(http_date("2015-06-26T23:39:12.75Z".parse().unwrap()), "Fri, 26 Jun 2015 23:39:12 GMT");
    }

    #[test]
    fn a_key_that_is_not_base64_is_refused_without_showing_it() {
        let failure = SharedKey::new("a".to_owned(), &"AccountKey=secret;".into()).unwrap_err();
        assert!(failure.kind == Kind::Misconfigured && !failure.to_string().contains("secret"), "{failure}");
        let policy = SharedKey::new("a".to_owned(), &"c2VjcmV0".into()).unwrap();
        assert!(!format!("{policy:?}").contains("c2VjcmV0"));
    }
}
