//! One request and its answer: body limit, fault, work, count.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};

use super::Shared;
use crate::blob::BlobService;
use crate::control;
use crate::cosmos::{self, CosmosService};
use crate::faults::{Effect, Fault, InjectedStatus, Service, Subject};

/// The largest request body of the document service; the largest item is half of it, a batch just fits.
const COSMOS_BODY_BYTES_MAX: usize = 4 << 20;

/// The largest request body of the blob service.
const BLOB_BODY_BYTES_MAX: usize = 256 << 20;

/// How much of a body over the limit is read and thrown away.
const DISCARDED_BYTES_MAX: usize = 64 << 20;

/// A body that may be streamed and may break off.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, Aborted>;

/// The connection or stream is cut on purpose, without an answer or in the middle of one.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault rule")]
pub(crate) struct Aborted;

/// Answers one request; `Err` makes hyper drop the HTTP/1.1 connection or reset the HTTP/2 stream.
pub(super) async fn answer(
    service: Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Aborted> {
    let (parts, body) = request.into_parts();
    if service == Service::Cosmos && parts.uri.path().starts_with(control::PREFIX) {
        let Ok(body) = collect(body, COSMOS_BODY_BYTES_MAX).await? else {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the control request is too large\n"));
        };
        return Ok(control::handle(&shared, &parts, body).await);
    }
    let operation = operation_of(service, &parts);
    let limit = match service {
        Service::Cosmos => COSMOS_BODY_BYTES_MAX,
        Service::Blob => BLOB_BODY_BYTES_MAX,
    };
    let Ok(body) = collect(body, limit).await? else {
        let refused = too_large(service, &shared, limit);
        shared.counters.count(service, operation, refused.status().as_str());
        return Ok(whole(refused));
    };
    let fault = decide(service, operation, &shared, &parts);
    let worked = work(service, &shared, fault, parts, body).await;
    match &worked {
        Ok(response) => shared.counters.count(service, operation, response.status().as_str()),
        Err(Lost(name)) => shared.counters.count(service, operation, name),
    }
    let response = worked.map_err(|_| Aborted)?;
    Ok(match fault.map(|fault| fault.effect) {
        Some(Effect::Truncate) => truncated(response),
        _ => whole(response),
    })
}

/// The name under which an unanswered request is counted.
struct Lost(&'static str);

/// Applies the fault and does the work it leaves to do.
async fn work(
    service: Service,
    shared: &Shared,
    fault: Option<Fault>,
    parts: http::request::Parts,
    body: Bytes,
) -> Result<Response<Bytes>, Lost> {
    if let Some(delay) = fault.and_then(|fault| fault.delay) {
        tokio::time::sleep(delay).await;
    }
    let effect = fault.map_or(Effect::None, |fault| fault.effect);
    match effect {
        Effect::Status(injected) => return Ok(injected_response(service, shared, injected)),
        Effect::Reset => return Err(Lost("reset")),
        Effect::Hang => {
            shared.stop.cancelled().await;
            return Err(Lost("hang"));
        }
        Effect::None | Effect::RespondThenReset | Effect::Truncate => {}
    }
    let response = match service {
        Service::Cosmos => shared.cosmos.handle(&parts, &body),
        Service::Blob => shared.blob.handle(parts, body).await,
    };
    match effect {
        Effect::RespondThenReset => Err(Lost("respond-then-reset")),
        _ => Ok(response),
    }
}

fn operation_of(service: Service, parts: &http::request::Parts) -> &'static str {
    match service {
        Service::Cosmos => CosmosService::operation(parts),
        Service::Blob => BlobService::operation(parts),
    }
}

fn decide(service: Service, operation: &'static str, shared: &Shared, parts: &http::request::Parts) -> Option<Fault> {
    if shared.faults.is_empty() {
        return None;
    }
    let container = match service {
        Service::Cosmos => cosmos::container_of(parts),
        // Path style: /account/container/blob.
        Service::Blob => parts.uri.path().split('/').nth(2).map(str::to_owned),
    };
    let range = || shared.cosmos.range_of(parts);
    let path = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let container = container.as_deref();
    shared.faults.decide(&Subject { service, operation, container, path: &path, range: &range })
}

/// Reads a body; `Ok(Err(()))` is one over the limit. The rest of that is read as well, within reason: a client that
/// still sends when the connection closes would see a broken connection and not the refusal.
async fn collect(mut body: Incoming, limit: usize) -> Result<Result<Bytes, ()>, Aborted> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut collected = BytesMut::with_capacity(announced.min(limit));
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a request body broke off");
            Aborted
        })?;
        let Ok(data) = frame.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size <= limit {
            collected.extend_from_slice(&data);
        } else if size - limit > DISCARDED_BYTES_MAX {
            break;
        }
    }
    Ok(if size <= limit { Ok(collected.freeze()) } else { Err(()) })
}

fn too_large(service: Service, shared: &Shared, limit: usize) -> Response<Bytes> {
    match service {
        Service::Cosmos => shared.cosmos.too_large(limit),
        Service::Blob => blob_error(shared, StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge"),
    }
}

fn injected_response(service: Service, shared: &Shared, injected: InjectedStatus) -> Response<Bytes> {
    let mut response = match service {
        Service::Cosmos => shared.cosmos.injected(injected),
        Service::Blob => blob_error(shared, injected.status, blob_code(injected.status)),
    };
    if let Some(retry_after_ms) = injected.retry_after_ms {
        response.headers_mut().insert("x-ms-retry-after-ms", HeaderValue::from(retry_after_ms));
        if service == Service::Blob {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1_000)));
        }
    }
    response
}

/// The storage error code that usually comes with a status.
fn blob_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "InvalidInput",
        401 => "NoAuthenticationInformation",
        403 => "AuthorizationFailure",
        404 => "BlobNotFound",
        409 => "BlobAlreadyExists",
        412 => "ConditionNotMet",
        429 => "TooManyRequests",
        503 => "ServerBusy",
        504 => "OperationTimedOut",
        _ => "InternalError",
    }
}

/// A storage error that the emulator's front gives itself.
fn blob_error(shared: &Shared, status: StatusCode, code: &'static str) -> Response<Bytes> {
    let xml = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code>\
         <Message>Given by the emulator's front.</Message></Error>"
    );
    let mut response = Response::new(Bytes::from(xml));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert("x-ms-error-code", HeaderValue::from_static(code));
    if let Ok(date) = HeaderValue::from_str(&cosmos::http_date(shared.blob_clock.now())) {
        headers.insert(DATE, date);
    }
    response
}

/// A plain text answer of the front itself.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    whole(response)
}

/// A response with its whole body at hand.
pub(crate) fn whole(response: Response<Bytes>) -> Response<ResponseBody> {
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}

/// Announces the whole body, sends half of it and breaks off.
fn truncated(response: Response<Bytes>) -> Response<ResponseBody> {
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = body.slice(..body.len() / 2);
    let frames = stream::unfold(Some(half), |half| async {
        match half {
            Some(half) => Some((Ok(Frame::data(half)), None)),
            None => {
                // The head and the first half go out only while the body has nothing more to give.
                tokio::task::yield_now().await;
                Some((Err(Aborted), None))
            }
        }
    });
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}
