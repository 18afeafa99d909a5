//! Answers and their headers.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::errors::CosmosError;
use super::store::Container;

/// What must be escaped in a header that carries a resource's path.
const PATH_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'"').add(b'#').add(b'?');

/// Where a partition stood when it answered.
#[derive(Debug, Clone)]
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

impl Reply {
    /// An answer without body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// An answer with a JSON body.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }
    }

    /// A refusal.
    pub(crate) fn refusal(error: &CosmosError) -> Self {
        let body = serde_json::json!({ "code": error.code(), "message": error.message });
        let reply = Self::json(error.status, body.to_string());
        match error.substatus {
            Some(substatus) => reply.with("x-ms-substatus", substatus.to_string()),
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
    pub(crate) fn with_charge(self, charge: f64) -> Self {
        self.with("x-ms-request-charge", format!("{charge:.2}"))
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
    }

    /// Adds the headers that tell the partition and its sequence number.
    pub(crate) fn at(self, position: &Position) -> Self {
        let Position { range, lsn, item_lsn } = position;
        let reply = self
            .with("x-ms-documentdb-partitionkeyrangeid", range)
            .with("x-ms-session-token", format!("{range}:0#{lsn}#0={lsn}"))
            .with("x-ms-global-committed-lsn", lsn.to_string())
            .with("x-ms-cosmos-llsn", lsn.to_string())
            .with("lsn", lsn.to_string());
        match item_lsn {
            Some(item_lsn) => {
                reply.with("x-ms-item-lsn", item_lsn.to_string()).with("x-ms-cosmos-item-llsn", item_lsn.to_string())
            }
            None => reply,
        }
    }

    /// Adds what every answer carries and ends the making.
    pub(crate) fn finish(mut self, now: Timestamp, activity: &str) -> Response<Bytes> {
        const CHARGE: &str = "x-ms-request-charge";
        if !self.headers.contains_key(CHARGE) {
            self.headers.insert(CHARGE, HeaderValue::from_static("1.00"));
        }
        let mut reply = self
            .with("x-ms-activity-id", activity)
            .with("x-ms-version", "2020-07-15")
            .with("x-ms-gatewayversion", "version=emulator")
            .with("x-ms-serviceversion", "version=emulator")
            .with("x-ms-last-state-change-utc", "Thu, 01 Jan 1970 00:00:00 GMT")
            .with("date", http_date(now));
        reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut response = Response::new(reply.body);
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
    }
}

/// A time as HTTP dates are written.
pub(crate) fn http_date(time: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}
