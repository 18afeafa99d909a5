//! Refusals of the document service: status, substatus, code and message.

use http::StatusCode;

use super::respond::Position;

/// A request that is refused, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {message}")]
pub(crate) struct CosmosError {
    pub(crate) status: StatusCode,
    pub(crate) substatus: Option<u32>,
    pub(crate) message: String,
    /// What else the body tells: with a query that needs a plan, the plan.
    pub(crate) additional: Option<String>,
    /// Where the partition stood that refused. Clients take their session's tokens from refusals too.
    pub(crate) position: Option<Box<Position>>,
}

/// Substatus: the document's partition key is not the one in the header.
const PARTITION_KEY_MISMATCH: u32 = 1001;
/// Substatus of 410: the range was split, merged or never existed.
const RANGE_IS_GONE: u32 = 1002;
/// Substatus of 404: the session has seen more than this replica.
const SESSION_NOT_AVAILABLE: u32 = 1002;
/// Substatus of 404: not the resource itself but what contains it is missing.
const OWNER_NOT_FOUND: u32 = 1003;
/// Substatus of 400: the gateway cannot serve this query over several ranges; ask for a plan.
const CROSS_PARTITION_NOT_SERVABLE: u32 = 1004;
/// Substatus of 400: the client's idea of the container's resource id is stale.
const COLLECTION_RID_MISMATCH: u32 = 1024;

impl CosmosError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, substatus: None, message: message.into(), additional: None, position: None }
    }

    fn with_substatus(mut self, substatus: u32) -> Self {
        self.substatus = Some(substatus);
        self
    }

    /// Adds where the partition stands that refuses.
    pub(crate) fn at(mut self, position: Position) -> Self {
        self.position = Some(Box::new(position));
        self
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 404: the resource itself is missing.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Entity with the specified id does not exist: {what}"))
    }

    /// 404/1003: the database or container that should hold the resource is missing.
    pub(crate) fn owner_not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Owner resource does not exist: {what}"))
            .with_substatus(OWNER_NOT_FOUND)
    }

    /// 404/1002: the client's session is ahead of the range.
    pub(crate) fn session_not_available(range: &str, lsn: u64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!(
                "The read session is not available for the input session token: range {range:?} has not reached {lsn}."
            ),
        )
        .with_substatus(SESSION_NOT_AVAILABLE)
    }

    /// 409.
    pub(crate) fn conflict(what: &str) -> Self {
        Self::new(StatusCode::CONFLICT, format!("Entity with the specified id already exists: {what}"))
    }

    /// 409: another item has the values that are to be unique.
    pub(crate) fn unique_values_taken(id: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            format!("Unique index constraint violation: another item has the values of {id}."),
        )
    }

    /// 410/1002.
    pub(crate) fn range_gone(range: &str) -> Self {
        Self::new(StatusCode::GONE, format!("The requested partition key range {range:?} is gone."))
            .with_substatus(RANGE_IS_GONE)
    }

    /// 412.
    pub(crate) fn precondition() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "One of the specified pre-condition is not met.")
    }

    /// 413.
    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("Request size is too large: at most {limit_bytes} bytes."))
    }

    /// 503: the emulator's folder does not take the write.
    pub(crate) fn not_kept(reason: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("The write could not be kept: {reason}"))
    }

    /// 501.
    pub(crate) fn not_implemented(what: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("{} is not implemented by this emulator.", what.as_ref()))
    }

    /// 400/1001.
    pub(crate) fn key_mismatch() -> Self {
        Self::bad_request("PartitionKey extracted from document doesn't match the one specified in the header.")
            .with_substatus(PARTITION_KEY_MISMATCH)
    }

    /// 400/1004, with the plan as JSON: the JavaScript SDK asks for one only if the refusal has it too.
    pub(crate) fn needs_query_plan(plan: String) -> Self {
        let mut error = Self::bad_request(
            "Cross partition query with ORDER BY, TOP, OFFSET or an aggregate cannot be served directly over several \
             partition key ranges: ask for a query plan and query each range.",
        );
        error.additional = Some(plan);
        error.with_substatus(CROSS_PARTITION_NOT_SERVABLE)
    }

    /// 400/1024.
    pub(crate) fn stale_container(intended: &str) -> Self {
        Self::bad_request(format!("Collection rid {intended:?} is not the one of the addressed container."))
            .with_substatus(COLLECTION_RID_MISMATCH)
    }

    /// A refusal with any status, for fault rules.
    pub(crate) fn injected(status: StatusCode, substatus: Option<u32>) -> Self {
        Self { substatus, ..Self::new(status, "Given by a fault rule of the emulator.") }
    }

    /// The `code` of the JSON body.
    pub(crate) fn code(&self) -> &'static str {
        match self.status.as_u16() {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            408 => "RequestTimeout",
            409 => "Conflict",
            410 => "Gone",
            412 => "PreconditionFailed",
            413 => "RequestEntityTooLarge",
            429 => "TooManyRequests",
            449 => "RetryWith",
            501 => "NotImplemented",
            503 => "ServiceUnavailable",
            _ => "InternalServerError",
        }
    }
}
