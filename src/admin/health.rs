//! The answers of the admin server's paths.

use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::metrics::CONTENT_TYPE;
use super::{Admin, Progress};
use crate::config::{format_duration, parse_duration};

/// Pause before a loop that seems stuck is looked at again. Probes wait a second by default, and then fail as they should.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// The server's paths.
pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/livez", get(alive))
        .route("/startupz", get(startup))
        .route("/readyz", get(ready))
        .route("/healthz", get(healthy))
        .route("/metrics", get(metrics))
        .layer(map_response(uncached))
}

/// Every answer is of this instant only.
async fn uncached(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

async fn alive(State(admin): State<Admin>) -> (StatusCode, String) {
    if !admin.watchdog.stuck().is_empty() {
        // After a pause of the whole process everything is late at once, and nothing is a moment later.
        tokio::time::sleep(SECOND_LOOK).await;
    }
    let stuck = admin.watchdog.stuck();
    if stuck.is_empty() {
        (StatusCode::OK, "alive\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, stuck.join("\n") + "\n")
    }
}

async fn startup(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.progress.is_started() {
        (StatusCode::OK, "started\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "start-up: not complete\n")
    }
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    verdict(&admin.progress.reasons())
}

/// Where a limit is misspelt, an answer without one would be mistaken for one with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    max_lag: Option<String>,
}

async fn healthy(State(admin): State<Admin>, Query(limits): Query<Limits>) -> (StatusCode, String) {
    let mut reasons = admin.progress.reasons();
    match limits.max_lag.as_deref().map(parse_duration).transpose() {
        Ok(None) => {}
        Ok(Some(limit)) => reasons.extend(lagging(&admin.progress, limit)),
        Err(message) => return (StatusCode::BAD_REQUEST, format!("max_lag: {message}\n")),
    }
    verdict(&reasons)
}

fn lagging(progress: &Progress, limit: Duration) -> Vec<String> {
    let over = |lag: f64| lag > limit.as_secs_f64();
    let all = progress.containers().into_iter().map(|(name, container)| (name, container.lag_seconds()));
    let limit = format_duration(limit);
    all.filter(|(_, lag)| over(*lag))
        .map(|((database, container), lag)| format!("{database}/{container}: {lag:.0} s behind, more than {limit}"))
        .collect()
}

fn verdict(reasons: &[String]) -> (StatusCode, String) {
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.metrics.watchdog_age_seconds(admin.watchdog.age_seconds());
    match admin.exposition() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
