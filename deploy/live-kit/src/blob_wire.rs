//! Plain requests to Blob Storage, proved by account signatures that are made here with the account's key.
//!
//! A signature says what may be done, so one without the permission to delete stands for a role without it ("Create an account SAS"). No error
//! holds a signature or a URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cosmirror::time;
use hmac::{Hmac, Mac as _};
use jiff::ToSpan as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::belief::Unsettled;
use crate::cosmos_wire::{Answer, ESCAPED, client, unanswered};

const VERSION: &str = "2024-11-04";
/// Everything that this needs.
pub(crate) const ALL: &str = "rwdxlaci";
/// All but deleting, of blobs and of versions.
pub(crate) const WITHOUT_DELETE: &str = "rwlaci";

/// One account.
pub(crate) struct BlobWire {
    http: reqwest::Client,
    endpoint: Url,
    account: String,
    keyed: Hmac<Sha256>,
}

impl BlobWire {
    /// The account behind an endpoint.
    pub(crate) fn new(endpoint: &str, key: &SecretString, variable: &str) -> Result<Self, String> {
        let endpoint = Url::parse(endpoint).map_err(|error| format!("the blob endpoint is no URL: {error}"))?;
        let in_path =
            endpoint.path_segments().and_then(|mut segments| segments.next()).filter(|first| !first.is_empty());
        let in_host = endpoint.domain().and_then(|host| host.split_once('.')).map(|(label, _)| label);
        let account = in_path.or(in_host).ok_or("the blob endpoint does not tell the account's name")?.to_owned();
        let key = STANDARD.decode(key.expose_secret()).map_err(|_| format!("{variable} is not base64"))?;
        let keyed = Hmac::new_from_slice(&key).map_err(|_| format!("{variable} is no key"))?;
        Ok(Self { http: client()?, endpoint, account, keyed })
    }

    /// A signature for a day with these permissions, as a query.
    pub(crate) fn signature(&self, permissions: &str) -> String {
        let expiry = (time::now() + 24.hours()).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let protocols = if self.endpoint.scheme() == "https" { "https" } else { "https,http" };
        let text = format!("{}\n{permissions}\nb\nsco\n\n{expiry}\n\n{protocols}\n{VERSION}\n\n", self.account);
        let signature = STANDARD.encode(self.keyed.clone().chain_update(text).finalize().into_bytes());
        let [signature, expiry] =
            [signature, expiry].map(|text| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string());
        format!("sv={VERSION}&ss=b&srt=sco&sp={permissions}&se={expiry}&spr={protocols}&sig={signature}")
    }

    /// Sends a request with every permission. `path` is a container, or a container and a blob's name.
    pub(crate) async fn send(
        &self,
        verb: &str,
        path: &[&str],
        query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Unsettled> {
        self.send_with(ALL, verb, path, query, headers, body.into()).await
    }

    /// The same with these permissions.
    pub(crate) async fn send_with(
        &self,
        permissions: &str,
        verb: &str,
        path: &[&str],
        query: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Unsettled> {
        let segments: String = path.iter().map(|part| format!("/{}", utf8_percent_encode(part, ESCAPED))).collect();
        // A request to the service itself has the path `/`, or the account's.
        let segments = if path.is_empty() { "/".to_owned() } else { segments };
        let and = if query.is_empty() { "" } else { "&" };
        let url = format!(
            "{}{segments}?{query}{and}{}",
            self.endpoint.as_str().trim_end_matches('/'),
            self.signature(permissions)
        );
        let method = verb.parse().map_err(|_| Unsettled::Failed(format!("{verb} is no method")))?;
        let request = self.http.request(method, url).header("x-ms-version", VERSION);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let sent = request.body(body).send().await;
        let response = sent.map_err(|error| unanswered(&self.endpoint, error))?;
        Answer::of(response).await
    }
}

/// The refusal's code.
pub(crate) fn code(answer: &Answer) -> &str {
    answer.header("x-ms-error-code").unwrap_or("no code")
}

/// The contents of every element of a name in a listing; none of those asked for contains one of its own name.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(open.as_str()).skip(1).filter_map(|rest| rest.split(close.as_str()).next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_names_its_permissions_and_not_the_key() {
        let wire = BlobWire::new("https://shop.blob.core.windows.net/", &"c2VjcmV0".into(), "K").unwrap();
        let signature = wire.signature(WITHOUT_DELETE);
        assert!(signature.contains("&sp=rwlaci&") && signature.contains("&spr=https&"), "{signature}");
        assert!(!signature.contains("c2VjcmV0") && wire.account == "shop");
    }

    #[test]
    fn elements_are_found() {
        let xml = "<Blobs><Blob><Name>a</Name></Blob><Blob><Name>b</Name></Blob></Blobs>";
        assert_eq!(elements(xml, "Name"), ["a", "b"]);
        assert_eq!(elements(xml, "Blob").len(), 2);
    }
}
