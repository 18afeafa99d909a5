//! Signed requests, written down from the REST references and not taken from the product, so that the floor owes it nothing.
//!
//! The keys are set up once; every request is signed for itself, with the time at which that happens, as any client must.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cosmirror_emulator::{BLOB_ACCOUNT, BLOB_KEY, COSMOS_KEY};
use hmac::{Hmac, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use jiff::fmt::rfc2822::DateTimePrinter;
use sha2::Sha256;

use crate::{Outcome, time};

/// Version of Blob Storage's protocol of requests that copy no other's.
const BLOB_VERSION: HeaderValue = HeaderValue::from_static("2024-11-04");

/// Headers of the string to sign, in its order. A length of 0 stays empty, and so does the date, for which `x-ms-date` stands.
const SIGNED: [&str; 11] = [
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

/// The emulator's keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    cosmos: Hmac<Sha256>,
    blob: Hmac<Sha256>,
}

impl Keys {
    /// Sets both up.
    pub(crate) fn new() -> Outcome<Self> {
        let keyed = |key: &str| Ok::<_, crate::Fault>(Hmac::new_from_slice(&STANDARD.decode(key)?)?);
        Ok(Self { cosmos: keyed(COSMOS_KEY)?, blob: keyed(BLOB_KEY)? })
    }

    /// A request of the blob service. The path is as it is sent; the query is not yet encoded.
    pub(crate) fn blob(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Outcome<Request<Full<Bytes>>> {
        headers.insert("x-ms-date", date()?);
        headers.entry("x-ms-version").or_insert(BLOB_VERSION);
        headers.insert(CONTENT_LENGTH, body.len().into());
        let text = self.text(&method, path, query, &headers)?;
        let signature = STANDARD.encode(self.blob.clone().chain_update(text).finalize().into_bytes());
        headers.insert(AUTHORIZATION, format!("SharedKey {BLOB_ACCOUNT}:{signature}").try_into()?);
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.try_into()?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn text(&self, method: &Method, path: &str, query: &[(&str, &str)], headers: &HeaderMap) -> Outcome<String> {
        let mut text = String::with_capacity(1 << 10);
        text.push_str(method.as_str());
        for name in SIGNED {
            text.push('\n');
            let value = headers.get(name).map(HeaderValue::to_str).transpose()?.unwrap_or_default();
            if name != "content-length" || value != "0" {
                text.push_str(value);
            }
        }
        let of_service = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-ms-"));
        let mut of_service: Vec<_> = of_service.map(|(name, value)| (name.as_str(), value)).collect();
        of_service.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in of_service {
            text.push('\n');
            text.push_str(name);
            text.push(':');
            text.push_str(value.to_str()?);
        }
        text.push_str("\n/");
        text.push_str(BLOB_ACCOUNT);
        text.push_str(path);
        let mut query = query.to_vec();
        query.sort_unstable();
        for (name, value) in query {
            text.push('\n');
            text.push_str(name);
            text.push(':');
            text.push_str(value);
        }
        Ok(text)
    }

    /// An upsert of a document whose partition key is one text.
    pub(crate) fn upsert(&self, container: &str, key: &str, body: Bytes) -> Outcome<Request<Full<Bytes>>> {
        let date = date()?;
        let text = format!("post\ndocs\n{container}\n{}\n\n", date.to_str()?.to_ascii_lowercase());
        let signature = STANDARD.encode(self.cosmos.clone().chain_update(text).finalize().into_bytes());
        let token = percent(&format!("type=master&ver=1.0&sig={signature}"));
        let request = Request::post(format!("/{container}/docs"))
            .header("x-ms-date", date)
            .header(AUTHORIZATION, token)
            .header("x-ms-documentdb-partitionkey", format!("[\"{key}\"]"))
            .header("x-ms-documentdb-is-upsert", "true")
            .header("prefer", "return=minimal")
            .header("content-type", "application/json");
        Ok(request.body(Full::new(body))?)
    }
}

fn date() -> Outcome<HeaderValue> {
    Ok(DateTimePrinter::new().timestamp_to_rfc9110_string(&time::now())?.try_into()?)
}

/// The text with every byte but unreserved ones as `%XX`.
fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len() + 16), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to memory does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
