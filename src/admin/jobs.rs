//! Jobs over HTTP: begun, told and ended by whoever has the token.
//!
//! | request | answer |
//! |---|---|
//! | `POST /jobs` | 202 with the job and its `Location`; 409 while another one of the container has not ended |
//! | `GET /jobs` | the newest jobs, newest first |
//! | `GET /jobs/ID` | the job |
//! | `DELETE /jobs/ID` | 202: it ends, or was ended so before; 409 where it has ended in another way |
//!
//! The token is asked for before anything else is looked at. Whatever is refused says why and what to do, as JSON.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::{Admin, Refusal};
use crate::failure::{Action, Failure};
use crate::jobs::{Ending, JobRequest, Jobs, Refused, view};

/// Longest body, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long source and target may take for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Where the jobs will be once the process has started up.
pub type JobsSlot = Arc<OnceLock<Jobs>>;

/// The paths.
pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/jobs", post(start).get(list)).route("/jobs/{id}", get(one).delete(cancel))
}

/// Why a request is refused, which is also an answer.
enum Denied {
    Access(Refusal),
    Told(StatusCode, Value),
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Self::Access(refusal) => refusal.into_response(),
            Self::Told(status, body) => (status, axum::Json(body)).into_response(),
        }
    }
}

fn told(status: StatusCode, code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Denied {
    let (message, remedy): (String, String) = (message.into(), remedy.into());
    Denied::Told(status, json!({ "error": { "code": code, "message": message, "remedy": remedy } }))
}

fn of_failure(failure: &Failure) -> Denied {
    let status = match failure.kind.action() {
        Action::Retry | Action::Look => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let remedy =
        if failure.remedy.is_empty() { "see that source and target answer, and ask again" } else { &failure.remedy };
    told(status, failure.kind.name(), failure.message.clone(), remedy)
}

/// The jobs, for whoever may have them.
fn admitted(admin: &Admin, headers: &HeaderMap) -> Result<Jobs, Denied> {
    admin.access.may_run_jobs(headers).map_err(Denied::Access)?;
    admin.jobs.get().cloned().ok_or_else(|| {
        let remedy = "ask again when /startupz says 200; a process that ends when it has caught up has no jobs";
        told(StatusCode::SERVICE_UNAVAILABLE, "starting", "the process has no jobs yet", remedy)
    })
}

/// Waits for an answer, but not for ever.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Denied> {
    tokio::time::timeout(ANSWER_TIME, answer).await.map_err(|_| {
        let message = format!("source and target did not answer within {} s", ANSWER_TIME.as_secs());
        let remedy = "see that they do; look at /jobs before you ask again, because it may have been done";
        told(StatusCode::GATEWAY_TIMEOUT, "timeout", message, remedy)
    })
}

fn unknown(id: &str) -> Denied {
    let id: String = id.chars().take(64).collect();
    let message = format!("there is no job {id:?}");
    told(StatusCode::NOT_FOUND, "not_found", message, "GET /jobs tells the newest ones")
}

async fn start(State(admin): State<Admin>, headers: HeaderMap, body: Body) -> Result<Response, Denied> {
    let jobs = admitted(&admin, &headers)?;
    let request = requested(&headers, body).await?;
    match in_time(jobs.start(&request)).await? {
        Ok(record) => {
            let location = HeaderValue::from_str(&format!("/jobs/{}", record.id));
            let mut answer = (StatusCode::ACCEPTED, axum::Json(view(&record))).into_response();
            // Ids are of digits and letters.
            answer.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
            Ok(answer)
        }
        Err(Refused::Unknown) => {
            let message = "the container is not one that is mirrored here";
            let remedy = "name a database and container of [[containers]]; /status tells them";
            Err(told(StatusCode::NOT_FOUND, "container_not_found", message, remedy))
        }
        Err(Refused::Busy(busy)) => {
            let message = format!("the job {} of the container has not ended", busy.id);
            let remedy = format!("wait for it, or end it with DELETE /jobs/{}", busy.id);
            let error = json!({ "code": "busy", "message": message, "remedy": remedy, "job": busy.id });
            Err(Denied::Told(StatusCode::CONFLICT, json!({ "error": error })))
        }
        Err(Refused::Encrypted) => {
            let message = "the job reads content, which is encrypted, and the daemon holds no key";
            let remedy = "verify by mode hash, which needs none, or run the command with --identity FILE";
            Err(told(StatusCode::CONFLICT, "encrypted", message, remedy))
        }
        Err(Refused::Off(setting)) => {
            let message = format!("the configuration does not say where to: {setting} is not set");
            Err(told(StatusCode::CONFLICT, "off", message, format!("set {setting}, and start the daemon again")))
        }
        Err(Refused::Failed(failure)) => Err(of_failure(&failure)),
    }
}

async fn requested(headers: &HeaderMap, body: Body) -> Result<JobRequest, Denied> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let remedy = "send the header Content-Type: application/json";
        let message = "the request is not said to be JSON";
        return Err(told(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message, remedy));
    }
    let Ok(body) = tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_BYTES_MAX)).await else {
        return Err(told(StatusCode::REQUEST_TIMEOUT, "body", "the body did not arrive in time", "send it at once"));
    };
    let body = body.map_err(|_| {
        let message = format!("the body was cut off or is longer than {BODY_BYTES_MAX} bytes");
        told(StatusCode::PAYLOAD_TOO_LARGE, "body", message, "send the few fields of a job")
    })?;
    JobRequest::parse(&body).map_err(|fault| told(StatusCode::BAD_REQUEST, "request", fault.message, fault.remedy))
}

async fn list(State(admin): State<Admin>, headers: HeaderMap) -> Result<Response, Denied> {
    let jobs = admitted(&admin, &headers)?;
    let records = in_time(jobs.list()).await?.map_err(|failure| of_failure(&failure))?;
    let views: Vec<Value> = records.iter().map(view).collect();
    Ok(axum::Json(json!({ "jobs": views })).into_response())
}

async fn one(State(admin): State<Admin>, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Denied> {
    let jobs = admitted(&admin, &headers)?;
    let record = in_time(jobs.get(&id)).await?.map_err(|failure| of_failure(&failure))?;
    record.map(|record| axum::Json(view(&record)).into_response()).ok_or_else(|| unknown(&id))
}

async fn cancel(State(admin): State<Admin>, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Denied> {
    let jobs = admitted(&admin, &headers)?;
    match in_time(jobs.cancel(&id)).await?.map_err(|failure| of_failure(&failure))? {
        Ending::Cancelled(record) => Ok((StatusCode::ACCEPTED, axum::Json(view(&record))).into_response()),
        Ending::Over(record) => {
            let message = format!("the job {} has ended before: it {}", record.id, record.state.as_str());
            let remedy = "there is nothing to end; what it has put right stays";
            Err(told(StatusCode::CONFLICT, "ended", message, remedy))
        }
        Ending::Unknown => Err(unknown(&id)),
    }
}
