//! Looking at documents through the page: which there are, their versions, and what changed.
//!
//! | path | answer |
//! |---|---|
//! | `/browse/search?container=DB/C&id=BEGINNING&pk=KEY&limit=N&next=TOKEN` | documents whose ids begin so, a page at a time |
//! | `/browse/history?container=DB/C&id=ID&pk=KEY` | a document's versions, as `cosmirror history` tells them |
//! | `/browse/version?…&version=V` | one version's text, and the command that restores it |
//! | `/browse/diff?…&from=V&to=V` | what changed between two versions |
//!
//! `KEY` is the partition key's JSON array. Only the mirror is read, never the source, and nothing is written. Every answer is bounded
//! in bytes and in time, four are worked on at a time, and one counts until it is sent: whoever does not read it in time is cut off.
//! Who may ask is [`Access`](super::Access)'s decision, which comes before anything else.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cosmirror_formats::{MirrorPaths, PartitionKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Admin;
use crate::config;
use crate::failure::{CommandError, Exit, Failure};
use crate::run::open_store;
use crate::store::VersionStore;

mod document;
mod search;
mod shell;

pub(crate) use shell::word;
#[cfg(test)]
mod tests;

/// Answers that are worked on or being sent at a time.
const AT_A_TIME: usize = 4;
/// How long one may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Longest value of any parameter but the continuation, in bytes; ids have at most 1,023, keys 2,048.
const PARAMETER_BYTES_MAX: usize = 16_384;
/// Bytes that are given to a connection at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What the answers share. Clones share one state.
#[derive(Clone)]
pub(super) struct Browse {
    places: Arc<Semaphore>,
    store: Arc<OnceLock<Arc<dyn VersionStore>>>,
}

impl Default for Browse {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_A_TIME)), store: Arc::default() }
    }
}

impl std::fmt::Debug for Browse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browse").field("free", &self.places.available_permits()).finish_non_exhaustive()
    }
}

/// One container's mirror.
struct Mirror<'a> {
    store: Arc<dyn VersionStore>,
    paths: MirrorPaths,
    container: &'a config::Container,
}

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/browse/search", get(search))
        .route("/browse/history", get(history))
        .route("/browse/version", get(version))
        .route("/browse/diff", get(diff))
}

type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

async fn search(State(admin): State<Admin>, headers: HeaderMap, asked: Asked<search::Asked>) -> Response {
    answered(&admin, &headers, asked, async |asked| search::found(&Mirror::of(&admin, &asked.container)?, &asked).await)
        .await
}

async fn history(State(admin): State<Admin>, headers: HeaderMap, asked: Asked<document::Asked>) -> Response {
    answered(&admin, &headers, asked, async |asked| {
        document::history(&Mirror::of(&admin, &asked.container)?, &asked).await
    })
    .await
}

async fn version(State(admin): State<Admin>, headers: HeaderMap, asked: Asked<document::Asked>) -> Response {
    answered(&admin, &headers, asked, async |asked| {
        document::version(&Mirror::of(&admin, &asked.container)?, &asked).await
    })
    .await
}

async fn diff(State(admin): State<Admin>, headers: HeaderMap, asked: Asked<document::Asked>) -> Response {
    answered(&admin, &headers, asked, async |asked| {
        document::difference(&Mirror::of(&admin, &asked.container)?, &asked).await
    })
    .await
}

/// The answer to one question, or why there is none.
async fn answered<T: DeserializeOwned>(
    admin: &Admin,
    headers: &HeaderMap,
    asked: Asked<T>,
    work: impl AsyncFnOnce(T) -> Result<Bytes, CommandError>,
) -> Response {
    if let Err(refusal) = admin.access.may_browse(headers) {
        return refusal.into_response();
    }
    let Ok(place) = Arc::clone(&admin.browse.places).try_acquire_owned() else {
        let message = format!("{AT_A_TIME} questions are being answered");
        let mut busy = refused(StatusCode::TOO_MANY_REQUESTS, "busy", &message, "ask again in a moment");
        busy.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        return busy;
    };
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => {
            return refused(
                StatusCode::BAD_REQUEST,
                "usage",
                &rejection.body_text(),
                "docs/page.md lists the parameters",
            );
        }
    };
    match tokio::time::timeout(TIME_MAX, work(asked)).await {
        Ok(Ok(bytes)) => sent(bytes, place),
        Ok(Err(error)) => refused(status(error.exit), error.exit.name(), &error.message, &error.remedy),
        Err(_) => {
            let message = format!("the answer was not complete within {} s", TIME_MAX.as_secs());
            refused(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                &message,
                "ask again; name the partition key where it is known",
            )
        }
    }
}

/// A body that keeps its place until it is taken, piece by piece.
fn sent(bytes: Bytes, place: OwnedSemaphorePermit) -> Response {
    let pieces = futures::stream::unfold((bytes, place), |(mut rest, place)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        Some((Ok::<_, std::convert::Infallible>(piece), (rest, place)))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(pieces)).into_response()
}

fn refused(status: StatusCode, code: &str, message: &str, remedy: &str) -> Response {
    (status, axum::Json(json!({ "error": { "code": code, "message": message, "remedy": remedy } }))).into_response()
}

fn status(exit: Exit) -> StatusCode {
    match exit {
        Exit::Usage => StatusCode::BAD_REQUEST,
        Exit::NotFound => StatusCode::NOT_FOUND,
        Exit::NotCovered | Exit::Conflict => StatusCode::CONFLICT,
        Exit::Limit => StatusCode::PAYLOAD_TOO_LARGE,
        Exit::Unauthorized => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_GATEWAY,
    }
}

fn json_bytes(value: &impl Serialize) -> Result<Bytes, CommandError> {
    let bytes = serde_json::to_vec(value);
    bytes.map(Bytes::from).map_err(|error| CommandError::new(Exit::Failure, format!("cannot write JSON: {error}"), ""))
}

impl<'a> Mirror<'a> {
    /// The mirror of `DATABASE/CONTAINER`.
    fn of(admin: &'a Admin, named: &str) -> Result<Self, CommandError> {
        let config = &admin.about.config;
        let found = config.containers.iter().find(|c| named.split_once('/') == Some((&c.database, &c.container)));
        let container = found.ok_or_else(|| {
            CommandError::new(Exit::NotFound, "no such container is configured", "/status lists the containers")
        })?;
        let paths = MirrorPaths::new(&config.target.prefix, &container.database, &container.container);
        Ok(Self { store: admin.browse.store(&config.target)?, paths, container })
    }
}

impl Browse {
    fn store(&self, target: &config::Target) -> Result<Arc<dyn VersionStore>, Failure> {
        if let Some(store) = self.store.get() {
            return Ok(Arc::clone(store));
        }
        let store = open_store(target)?;
        Ok(Arc::clone(self.store.get_or_init(|| store)))
    }
}

/// A parameter that is not longer than anything it could be.
fn bounded<'t>(name: &str, text: &'t str) -> Result<&'t str, CommandError> {
    if text.len() <= PARAMETER_BYTES_MAX {
        return Ok(text);
    }
    Err(CommandError::new(Exit::Usage, format!("{name} is longer than {PARAMETER_BYTES_MAX} bytes"), "shorten it"))
}

/// The partition key that a parameter says.
fn partition_key(text: &str) -> Result<PartitionKey, CommandError> {
    let wrong = |why: &str| {
        CommandError::new(Exit::Usage, format!("pk: {why}"), r#"write it as a JSON array, such as ["customer-1"]"#)
    };
    let value: serde_json::Value = serde_json::from_str(bounded("pk", text)?).map_err(|_| wrong("not JSON"))?;
    if !value.is_array() {
        return Err(wrong("not an array"));
    }
    PartitionKey::from_json(&value).ok_or_else(|| wrong("not a partition key"))
}
