//! Answers and their headers.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::errors::CosmosError;
use super::store::Container;

/// What must be escaped in a header that carries a resource's path.
const PATH_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'"').add(b'#').add(b'?');

/// Where a partition stood when it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) range: String,
    pub(crate) lsn: u64,
    pub(crate) item_lsn: Option<u64>,
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Headers of the fullest answer; a map that grows is built again each time.
const HEADERS_MAX: usize = 24;

const ACTIVITY_ID: HeaderName = HeaderName::from_static("x-ms-activity-id");
const CHARGE: HeaderName = HeaderName::from_static("x-ms-request-charge");
const GATEWAY_VERSION: HeaderName = HeaderName::from_static("x-ms-gatewayversion");
const ITEM_LSN: HeaderName = HeaderName::from_static("x-ms-item-lsn");
const ITEM_LOCAL_LSN: HeaderName = HeaderName::from_static("x-ms-cosmos-item-llsn");
const LAST_STATE_CHANGE: HeaderName = HeaderName::from_static("x-ms-last-state-change-utc");
const LOCAL_LSN: HeaderName = HeaderName::from_static("x-ms-cosmos-llsn");
const COMMITTED_LSN: HeaderName = HeaderName::from_static("x-ms-global-committed-lsn");
const LSN: HeaderName = HeaderName::from_static("lsn");
const QUOTA: HeaderName = HeaderName::from_static("x-ms-resource-quota");
const SERVICE_VERSION: HeaderName = HeaderName::from_static("x-ms-serviceversion");
const USAGE: HeaderName = HeaderName::from_static("x-ms-resource-usage");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");

/// The usage told with answers that concern no container.
const NO_USAGE: &str = "documentSize=0;documentsSize=0;documentsCount=0;collectionSize=0;";

impl Reply {
    /// An answer without body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::with_capacity(HEADERS_MAX), body: Bytes::new() }
    }

    /// An answer with a JSON body.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }
    }

    /// A refusal.
    pub(crate) fn refusal(error: &CosmosError) -> Self {
        let mut body = serde_json::json!({ "code": error.code(), "message": error.message });
        if let Some(additional) = &error.additional {
            body["additionalErrorInfo"] = serde_json::Value::from(additional.as_str());
        }
        let mut reply = Self::json(error.status, body.to_string());
        if let Some(substatus) = error.substatus {
            reply = reply.with("x-ms-substatus", substatus.to_string());
        }
        match &error.position {
            Some(position) => reply.at(position),
            None => reply,
        }
    }

    /// Adds a header. Values come from validated or escaped text; one that HTTP cannot carry is left out.
    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Adds the entity tag, which carries its own quotes.
    pub(crate) fn with_etag(self, etag: &str) -> Self {
        self.with("etag", etag)
    }

    /// Adds the request charge in request units.
    pub(crate) fn with_charge(mut self, charge: f64) -> Self {
        // Far cheaper than to format a float with two digits.
        let hundredths = (charge * 100.0).round() as u64;
        let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        if let Ok(value) = HeaderValue::try_from(text) {
            self.headers.insert(CHARGE, value);
        }
        self
    }

    /// Adds the number of items in the body.
    pub(crate) fn with_count(self, count: usize) -> Self {
        self.with("x-ms-item-count", count.to_string())
    }

    /// Adds the paths of the container by resource id and by name; some SDKs keep session tokens only with both.
    pub(crate) fn with_paths(self, container: &Container) -> Self {
        let name = format!("dbs/{}/colls/{}", container.database, container.name);
        self.with("x-ms-content-path", container.numbers.rid())
            .with("x-ms-alt-content-path", utf8_percent_encode(&name, PATH_HEADER).to_string())
            .with("x-ms-resource-usage", container.usage.header())
    }

    /// Adds the headers that tell the partition and its sequence number.
    pub(crate) fn at(self, position: &Position) -> Self {
        let Position { range, lsn, item_lsn } = position;
        let mut reply = self
            .with("x-ms-documentdb-partitionkeyrangeid", range)
            .with("x-ms-session-token", format!("{range}:0#{lsn}#0={lsn}"));
        let lsns = [(COMMITTED_LSN, Some(*lsn)), (LOCAL_LSN, Some(*lsn)), (LSN, Some(*lsn))];
        for (name, lsn) in lsns.into_iter().chain([(ITEM_LSN, *item_lsn), (ITEM_LOCAL_LSN, *item_lsn)]) {
            if let Some(lsn) = lsn {
                reply.headers.insert(name, HeaderValue::from(lsn));
            }
        }
        reply
    }

    /// Adds the session tokens of several partitions, by their ids and sequence numbers.
    pub(crate) fn with_session<'a>(self, positions: impl Iterator<Item = (&'a str, u64)>) -> Self {
        let tokens: Vec<String> = positions.map(|(range, lsn)| session_token(range, lsn)).collect();
        self.with("x-ms-session-token", tokens.join(","))
    }

    /// Adds what every answer carries and ends the making.
    pub(crate) fn finish(mut self, now: Timestamp, activity: &str) -> Response<Bytes> {
        let headers = &mut self.headers;
        headers.entry(CHARGE).or_insert(HeaderValue::from_static("1.00"));
        headers.entry(USAGE).or_insert(HeaderValue::from_static(NO_USAGE));
        for (name, value) in [
            (QUOTA, "documentSize=10240;documentsSize=10485760;documentsCount=-1;collectionSize=10485760;"),
            (VERSION, "2020-07-15"),
            (GATEWAY_VERSION, "version=emulator"),
            (SERVICE_VERSION, "version=emulator"),
            (LAST_STATE_CHANGE, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (CONTENT_TYPE, "application/json"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in [(ACTIVITY_ID, HeaderValue::from_str(activity)), (DATE, http_date(now).try_into())] {
            if let Ok(value) = value {
                headers.insert(name, value);
            }
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// The token of a session that has seen a partition up to a sequence number.
fn session_token(range: &str, lsn: u64) -> String {
    format!("{range}:0#{lsn}#0={lsn}")
}

/// A time as HTTP dates are written.
pub(crate) fn http_date(time: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}
