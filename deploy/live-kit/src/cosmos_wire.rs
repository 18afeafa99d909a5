//! Plain requests to Cosmos DB, for what the daemon's client does not show: headers, statuses, batches, control.
//!
//! Signed with the account's key after "Access control in the Azure Cosmos DB SQL API". Throttled requests are made again, for as long as the
//! service asks and within [`THROTTLED_MAX`]. No error holds the key.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cosmirror::time;
use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;

use crate::belief::Unsettled;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The protocol's version; that of Microsoft's Rust driver.
const VERSION: &str = "2020-07-15";
/// How often a throttled request is made again.
const THROTTLED_MAX: usize = 30;
/// Pause where a throttled answer does not say how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);
/// Longest part of a refusal that is told.
const TOLD_CHARS_MAX: usize = 160;

/// Everything that an escaped path segment does not keep as it is.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One account.
pub(crate) struct CosmosWire {
    http: reqwest::Client,
    endpoint: Url,
    keyed: Hmac<Sha256>,
}

/// One answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads all of one.
    pub(crate) async fn of(response: reqwest::Response) -> Result<Self, Unsettled> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await;
        let body = body.map_err(|error| Unsettled::Failed(format!("no whole answer: {}", error.without_url())))?;
        Ok(Self { status, headers, body })
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, if it is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The `Date` in seconds since 1970.
    pub(crate) fn date(&self) -> Result<i64, Unsettled> {
        let parsed = self.header("date").and_then(|date| {
            jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok().map(|at| at.as_second())
        });
        parsed.ok_or_else(|| Unsettled::Failed("an answer has no usable Date".to_owned()))
    }

    /// The same, if it has one of these statuses.
    pub(crate) fn expect(self, statuses: &[u16], what: &str) -> Result<Self, Unsettled> {
        if statuses.contains(&self.status) { Ok(self) } else { Err(Unsettled::Failed(self.refusal(what))) }
    }

    /// A refusal in short.
    pub(crate) fn refusal(&self, what: &str) -> String {
        let told: String = String::from_utf8_lossy(&self.body).chars().take(TOLD_CHARS_MAX).collect();
        let sub_status = self.header("x-ms-substatus").map(|sub| format!("/{sub}")).unwrap_or_default();
        let remedy = match self.status {
            401 | 403 => ": check the account's key, its firewall, and that keys are not disabled for it",
            _ => "",
        };
        format!("{what}: {}{sub_status}{remedy}; {}", self.status, told.replace(['\r', '\n'], " "))
    }
}

impl CosmosWire {
    /// The account behind an endpoint.
    pub(crate) fn new(endpoint: &str, key: &SecretString, variable: &str) -> Result<Self, String> {
        let endpoint = Url::parse(endpoint).map_err(|error| format!("the endpoint is no URL: {error}"))?;
        let key = STANDARD.decode(key.expose_secret()).map_err(|_| format!("{variable} is not base64"))?;
        let keyed = Hmac::new_from_slice(&key).map_err(|_| format!("{variable} is no key"))?;
        Ok(Self { http: client()?, endpoint, keyed })
    }

    /// Sends a request; the segments are those of the path, as they are.
    pub(crate) async fn send(
        &self,
        verb: &str,
        path: &[&str],
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, Unsettled> {
        for _ in 0..THROTTLED_MAX {
            let answer = self.send_once(verb, path, headers, body.clone()).await?;
            if answer.status != 429 {
                return Ok(answer);
            }
            let wait = answer.header("x-ms-retry-after-ms").and_then(|wait| wait.parse().ok());
            tokio::time::sleep(wait.map_or(THROTTLED_PAUSE, Duration::from_millis)).await;
        }
        Err(Unsettled::Failed(format!("{verb} {} was throttled {THROTTLED_MAX} times", path.join("/"))))
    }

    /// The same once, throttled or not.
    pub(crate) async fn send_once(
        &self,
        verb: &str,
        path: &[&str],
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, Unsettled> {
        let date = time::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let segments: Vec<String> = path.iter().map(|part| utf8_percent_encode(part, ESCAPED).to_string()).collect();
        let url = format!("{}/{}", self.endpoint.as_str().trim_end_matches('/'), segments.join("/"));
        let method = verb.parse().map_err(|_| Unsettled::Failed(format!("{verb} is no method")))?;
        let request = self.http.request(method, url).header("x-ms-version", VERSION).header("x-ms-date", &date);
        let request = request.header("authorization", self.signature(verb, path, &date));
        let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let request = if typed { request } else { request.header("content-type", "application/json") };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let sent = request.body(body).send().await;
        let response = sent.map_err(|error| unanswered(&self.endpoint, error))?;
        Answer::of(response).await
    }

    /// An unsigned request to the account itself.
    pub(crate) async fn unsigned(&self) -> Result<Answer, Unsettled> {
        let sent = self.http.get(self.endpoint.clone()).send().await;
        Answer::of(sent.map_err(|error| unanswered(&self.endpoint, error))?).await
    }

    /// A control request of the emulator.
    pub(crate) async fn control(&self, request: &str, body: Value) -> Result<Value, Unsettled> {
        let url = format!("{}/_emulator/{request}", self.endpoint.as_str().trim_end_matches('/'));
        let sent = self.http.post(url).body(body.to_string()).send().await;
        let answer = Answer::of(sent.map_err(|error| unanswered(&self.endpoint, error))?).await?;
        Ok(answer.expect(&[200], request)?.json())
    }

    fn signature(&self, verb: &str, path: &[&str], date: &str) -> String {
        let (kind, link) = match path {
            [] => ("", String::new()),
            // Throughput alone is addressed by a resource id, in lower case and without the kind.
            ["offers", id] => ("offers", id.to_lowercase()),
            [link @ .., kind] if link.len() % 2 == 0 => (*kind, link.join("/")),
            whole => (whole[whole.len() - 2], whole.join("/")),
        };
        let text = format!("{}\n{kind}\n{link}\n{}\n\n", verb.to_lowercase(), date.to_lowercase());
        let signature = STANDARD.encode(self.keyed.clone().chain_update(text).finalize().into_bytes());
        utf8_percent_encode(&format!("type=master&ver=1.0&sig={signature}"), NON_ALPHANUMERIC).to_string()
    }
}

/// What is told where a service gives no answer: its host, and the innermost cause, which holds no URL.
pub(crate) fn unanswered(endpoint: &Url, error: reqwest::Error) -> Unsettled {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Unsettled::Failed(format!("no answer from {}: {cause}", endpoint.host_str().unwrap_or_default()))
}

/// The client of both services.
pub(crate) fn client() -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(|error| format!("no HTTP client: {error}"))
}
