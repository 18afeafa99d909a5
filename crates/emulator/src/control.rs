//! The control requests under `/_emulator/` on the Cosmos port: plain HTTP, no authentication.
//!
//! Bodies are JSON; an unknown property is an error, so that a misspelt one never silently does nothing.

mod container;

use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::blob::StorageSettings;
use crate::cosmos::{HistoryCursor, Seed};
use crate::faults::{RuleSet, Service};
use crate::journal::JournalError;
use crate::server::{ResponseBody, Shared, whole};

/// What every control path starts with.
pub(crate) const PREFIX: &str = "/_emulator/";

/// Documents seeded before other requests get a turn.
const SEED_STEP: usize = 256;

/// The control requests there are.
const NAMES: [&str; 12] = [
    "account",
    "clock",
    "counters",
    "faults",
    "feed",
    "health",
    "history",
    "merge",
    "retention",
    "seed",
    "split",
    "storage",
];

/// Why a control request is refused.
struct Refusal(StatusCode, String);

type Answer = Result<Response<ResponseBody>, Refusal>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    service: Option<Service>,
    offset_seconds: Option<f64>,
    advance_seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountChange {
    all_versions: Option<bool>,
    multiple_write_locations: Option<bool>,
}

/// Answers a control request.
pub(crate) async fn handle(shared: &Shared, parts: &Parts, body: Bytes) -> Response<ResponseBody> {
    let name = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().trim_end_matches('/');
    let answer = match (&parts.method, name) {
        (&Method::GET, "health") => Ok(json("{\"ready\":true}")),
        (&Method::GET, "counters") => Ok(json(shared.counters.to_json())),
        (&Method::GET, "history") => history(shared, parts),
        (&Method::GET, "storage") => storage(shared),
        (&Method::POST, "storage") => set_storage(shared, &body),
        (&Method::POST, "seed") => seed(shared, &body).await,
        (&Method::GET, "faults") => Ok(json(serde_json::json!({ "applied": shared.faults.applied() }).to_string())),
        (&Method::POST, "faults") => set_faults(shared, &body),
        (&Method::DELETE, "faults") => {
            shared.faults.clear();
            Ok(done())
        }
        (&Method::POST, "clock") => set_clock(shared, &body),
        (&Method::POST, "account") => set_account(shared, &body),
        (&Method::POST, "split") => container::split(shared, &body),
        (&Method::POST, "merge") => container::merge(shared, &body),
        (&Method::POST, "retention") => container::retention(shared, &body),
        (&Method::POST, "feed") => container::feed(shared, &body),
        (_, name) if NAMES.contains(&name) => {
            Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, format!("{name} does not take {}", parts.method)))
        }
        _ => Err(Refusal(StatusCode::NOT_FOUND, format!("there is no control request {name:?}"))),
    };
    answer.unwrap_or_else(|Refusal(status, message)| {
        let mut response = json(serde_json::json!({ "error": message }).to_string());
        *response.status_mut() = status;
        response
    })
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| bad_request(error.to_string()))
}

fn bad_request(message: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message.into())
}

fn json(body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    whole(response)
}

fn done() -> Response<ResponseBody> {
    json("{}")
}

async fn seed(shared: &Shared, body: &Bytes) -> Answer {
    let refuse = |error: crate::cosmos::SeedError| Refusal(error.status, error.message);
    let mut job = shared.cosmos.start_seed(read::<Seed>(body)?).map_err(refuse)?;
    while shared.cosmos.seed_some(&mut job, SEED_STEP).map_err(refuse)? {
        tokio::task::yield_now().await;
    }
    Ok(done())
}

/// Streams the history as it is, one chunk of lines at a time.
fn history(shared: &Shared, parts: &Parts) -> Answer {
    let query = parts.uri.query().unwrap_or_default();
    let cursor = shared
        .cosmos
        .history(&parameter(query, "database")?, &parameter(query, "container")?)
        .map_err(|message| Refusal(StatusCode::NOT_FOUND, message))?;
    let chunks = stream::unfold(cursor, |mut cursor: HistoryCursor| async move {
        cursor.next_lines().map(|lines| (Ok(Frame::data(Bytes::from(lines))), cursor))
    });
    let mut response = Response::new(StreamBody::new(chunks).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

fn parameter(query: &str, name: &str) -> Result<String, Refusal> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.replace('+', " "))
        .and_then(|value| percent_decode_str(&value).decode_utf8().ok().map(|value| value.into_owned()))
        .ok_or_else(|| bad_request(format!("the query parameter {name} is missing")))
}

fn storage(shared: &Shared) -> Answer {
    serde_json::to_string(&shared.blob.storage()).map(json).map_err(internal)
}

/// Changes the settings that the body names and keeps the others.
fn set_storage(shared: &Shared, body: &Bytes) -> Answer {
    let changes: serde_json::Map<String, serde_json::Value> = read(body)?;
    let mut settings = serde_json::to_value(shared.blob.storage()).map_err(internal)?;
    if let Some(settings) = settings.as_object_mut() {
        settings.extend(changes);
    }
    let settings: StorageSettings = serde_json::from_value(settings).map_err(|error| bad_request(error.to_string()))?;
    shared.blob.set_storage(settings).map_err(not_kept)?;
    storage(shared)
}

fn internal(error: serde_json::Error) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn set_faults(shared: &Shared, body: &Bytes) -> Answer {
    shared.faults.replace(read::<RuleSet>(body)?).map_err(bad_request)?;
    Ok(done())
}

/// Moves one service's clock, or both if none is named.
fn set_clock(shared: &Shared, body: &Bytes) -> Answer {
    let change = read::<ClockChange>(body)?;
    let offset = |now_ms: i64| match (change.offset_seconds, change.advance_seconds) {
        (Some(offset), None) => Ok(milliseconds(offset)),
        (None, Some(by)) => Ok(now_ms.saturating_add(milliseconds(by))),
        _ => Err(bad_request("give either offsetSeconds or advanceSeconds")),
    };
    if change.service != Some(Service::Blob) {
        shared.cosmos.set_clock(offset(shared.cosmos_clock.offset_ms())?).map_err(not_kept)?;
    }
    if change.service != Some(Service::Cosmos) {
        shared.blob.set_clock(offset(shared.blob_clock.offset_ms())?).map_err(not_kept)?;
    }
    Ok(done())
}

fn not_kept(error: JournalError) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn milliseconds(seconds: f64) -> i64 {
    // A float to integer cast saturates.
    (seconds * 1_000.0).round() as i64
}

fn set_account(shared: &Shared, body: &Bytes) -> Answer {
    let AccountChange { all_versions, multiple_write_locations } = read(body)?;
    shared.cosmos.set_account(all_versions, multiple_write_locations).map_err(not_kept)?;
    Ok(done())
}
