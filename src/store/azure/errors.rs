//! What an error of Blob Storage means for the mirror, and what the operator is told.
//!
//! Error codes are those of
//! <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes>. The SDK's texts are not passed on: they may
//! hold the URL with its SAS, or the request.

use std::error::Error as StdError;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use hyper_util::client::legacy;

use super::answer::AnswerHeaders;
use super::riders;
use crate::failure::{Failure, Kind};

/// The code of a missing blob, or of a missing version of one.
pub(super) const MISSING_BLOB: &str = "BlobNotFound";
/// The code where what was given as a version's name is none.
pub(super) const MALFORMED_VERSION: &str = "InvalidQueryParameterValue";

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Put,
    Probe,
    Snapshot,
    Read,
    List,
    CreateContainer,
    /// Get Account Information.
    Account,
    /// Get Blob Service Properties.
    Service,
    /// Get Container Properties.
    Container,
    /// A delete that is not meant to be done.
    Delete,
    /// A delete that is.
    Erase,
}

/// One request, for its error's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) operation: Operation,
    /// The blob, or a listing's prefix.
    pub(super) name: &'a str,
    pub(super) container: &'a str,
}

impl Operation {
    /// What a role or a SAS must allow.
    fn permission(self) -> &'static str {
        match self {
            Self::Put | Self::Probe | Self::Snapshot => {
                "the data action Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write (role Storage Blob Data \
                 Contributor), or the SAS permissions c and w"
            }
            Self::Read => {
                "the data action Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read (role Storage Blob Data \
                 Reader), or the SAS permission r"
            }
            Self::List => {
                "the data action Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read (role Storage Blob Data \
                 Reader), or the SAS permission l"
            }
            Self::CreateContainer => {
                "the action Microsoft.Storage/storageAccounts/blobServices/containers/write (role Storage Blob Data \
                 Contributor), or an account SAS with permission c for containers; or create the container yourself"
            }
            Self::Account => {
                "the action Microsoft.Storage/storageAccounts/blobServices/getInfo/action (a role of your own; Reader does not hold it), or an account SAS"
            }
            Self::Service => {
                "the action Microsoft.Storage/storageAccounts/blobServices/read (role Reader), or an account SAS with permission r \
                 for the service"
            }
            Self::Container => {
                "the action Microsoft.Storage/storageAccounts/blobServices/containers/read (role Storage Blob Data Reader), or an \
                 account SAS with permission r for containers"
            }
            Self::Delete => "nothing: a mirror needs no delete",
            Self::Erase => {
                "whoever runs the purge, not the daemon, the data actions Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete and \
                 …/blobs/deleteBlobVersion/action (role Storage Blob Data Owner), or the SAS permissions d and x"
            }
        }
    }
}

impl Attempt<'_> {
    fn doing(&self) -> String {
        match self.operation {
            Operation::Put | Operation::Probe => format!("storing blob {:?}", self.name),
            Operation::Snapshot => format!("keeping a snapshot of blob {:?}", self.name),
            Operation::Read => format!("reading blob {:?}", self.name),
            Operation::List => format!("listing the blobs under {:?} of container {:?}", self.name, self.container),
            Operation::CreateContainer => format!("creating container {:?}", self.container),
            Operation::Account => "reading the kind of the account".to_owned(),
            Operation::Service => "reading the settings of the blob service".to_owned(),
            Operation::Container => format!("reading the properties of container {:?}", self.container),
            Operation::Erase => format!("erasing a version of blob {:?}", self.name),
            Operation::Delete => format!("trying a delete of blob {:?} that cannot be done", self.name),
        }
    }

    /// The request took too long.
    pub(super) fn timed_out(&self, limit: Duration) -> Failure {
        Failure::new(Kind::Transient, format!("{}: no answer within {} s", self.doing(), limit.as_secs()))
    }

    /// An answer that the protocol does not allow.
    pub(super) fn malformed(&self, how: &str) -> Failure {
        Failure::new(Kind::Internal, format!("{}: the service's answer cannot be used: {how}", self.doing()))
    }

    /// The failure for an error of the SDK.
    pub(super) fn failure(&self, error: &azure_core::Error) -> Failure {
        match error.kind() {
            ErrorKind::HttpResponse { status, raw_response, .. } => {
                let none = Headers::new();
                let headers = raw_response.as_ref().map_or(&none, |answer| answer.headers());
                self.answered(u16::from(*status), code(error).unwrap_or_default(), headers)
            }
            ErrorKind::Connection => self.unconnected(error),
            ErrorKind::Io => self.lost(error),
            ErrorKind::Credential => {
                let reason = on_one_line(error);
                Failure::new(Kind::Unauthorized, format!("{}: no token to prove who we are: {reason}", self.doing()))
                    .remedy("check target.auth and that the identity exists and is assigned to this host")
            }
            ErrorKind::DataConversion => self.malformed("it cannot be decoded"),
            _ => self.unusable(),
        }
    }

    /// The failure for an answer that says no.
    pub(super) fn answered(&self, status: u16, code: &str, headers: &impl AnswerHeaders) -> Failure {
        let failure = self.refused(status, code).retry_after(retry_after(headers));
        if matches!(status, 429 | 503) { failure.throttled() } else { failure }
    }

    /// The failure for a request without the SDK that had no answer.
    pub(super) fn unanswered(&self, error: &legacy::Error) -> Failure {
        if error.is_connect() { self.unconnected(error) } else { self.lost(error) }
    }

    /// What is to be sent makes no request.
    pub(super) fn unusable(&self) -> Failure {
        Failure::new(Kind::Internal, format!("{}: the request could not be made", self.doing()))
    }

    fn unconnected(&self, error: &(dyn StdError + 'static)) -> Failure {
        self.without_answer("no connection to the service", error)
            .remedy("check target.endpoint, DNS and the network if this lasts")
    }

    /// The failure for an answer that did not come, or not whole.
    pub(super) fn lost(&self, error: &(dyn StdError + 'static)) -> Failure {
        self.without_answer("no answer", error)
    }

    fn without_answer(&self, what: &str, error: &(dyn StdError + 'static)) -> Failure {
        let cause = cause(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        Failure::new(Kind::Transient, format!("{}: {what}{cause}", self.doing()))
    }

    fn refused(&self, status: u16, code: &str) -> Failure {
        let kind = classify(self.operation, status, code);
        let shown = if code.is_empty() { "no error code" } else { code };
        Failure::new(kind, format!("{}: {shown} ({status})", self.doing())).remedy(self.remedy(kind, code))
    }

    fn remedy(&self, kind: Kind, code: &str) -> String {
        match (kind, code) {
            (_, "ContainerNotFound") => {
                format!("create the container {:?}, or set target.create = true", self.container)
            }
            (_, "ContainerBeingDeleted") => "wait until the container's deletion has ended".to_owned(),
            (_, "LeaseIdMissing") => "somebody holds a lease on the blob: break it".to_owned(),
            (_, "BlobArchived" | "BlobBeingRehydrated") => "move the blob out of the archive tier".to_owned(),
            (_, code) if riders::is_refusal(code) => {
                "one of the settings for every put is not to be had there".to_owned()
            }
            (Kind::Unauthorized, _) => self.remedy_unauthorized(code),
            (Kind::NotFound, _) => "check target.endpoint and target.container".to_owned(),
            (Kind::Misconfigured, _) => "check target.endpoint, target.container and target.prefix".to_owned(),
            _ => String::new(),
        }
    }

    fn remedy_unauthorized(&self, code: &str) -> String {
        match code {
            "AuthorizationPermissionMismatch"
            | "AuthorizationResourceTypeMismatch"
            | "InsufficientAccountPermissions" => {
                format!("grant {}", self.operation.permission())
            }
            "AuthorizationFailure" | "AuthorizationSourceIPMismatch" => format!(
                "let this host through the account's firewall or the SAS's addresses, or grant {}",
                self.operation.permission()
            ),
            "KeyBasedAuthenticationNotPermitted" => {
                "the account forbids keys: set target.auth to managed-identity or workload-identity".to_owned()
            }
            "AccountIsDisabled" => "enable the storage account".to_owned(),
            _ => "check the key, the SAS token's dates or the identity, and this host's clock".to_owned(),
        }
    }
}

/// The one table from answers to kinds.
fn classify(operation: Operation, status: u16, code: &str) -> Kind {
    let is_put = operation == Operation::Put;
    match (status, code) {
        // Whatever the document is: none can be stored so.
        (400..=499, code) if riders::is_refusal(code) => Kind::Misconfigured,
        (_, "ContainerBeingDeleted" | "AccountBeingCreated" | "ServerBusy" | "OperationTimedOut") => Kind::Transient,
        (_, "InvalidAuthenticationInfo" | "NoAuthenticationInformation") | (401 | 403, _) => Kind::Unauthorized,
        (404, "BlobNotFound") | (409, "BlobAlreadyExists") if is_put => Kind::Conflict,
        // A lease of a stranger will not end by looking again.
        (412, "LeaseIdMissing") if is_put || operation == Operation::Snapshot => Kind::Refused,
        (412, _) if is_put => Kind::Conflict,
        (404, "BlobNotFound") | (412, "ConditionNotMet") if operation == Operation::Snapshot => Kind::Conflict,
        // The service writes it in both ways.
        (409, "SnaphotOperationRateExceeded" | "SnapshotOperationRateExceeded") => Kind::Transient,
        (404, _) => Kind::NotFound,
        (408 | 429 | 500..=599, _) => Kind::Transient,
        (400..=499, _) => match operation {
            Operation::Put | Operation::Snapshot | Operation::Read => Kind::Refused,
            Operation::Probe | Operation::List | Operation::CreateContainer => Kind::Misconfigured,
            Operation::Account | Operation::Service | Operation::Container => Kind::Misconfigured,
            Operation::Delete | Operation::Erase => Kind::Misconfigured,
        },
        _ => Kind::Internal,
    }
}

/// The service's error code; answers to HEAD carry it in a header only, and some proxies carry none.
pub(super) fn code(error: &azure_core::Error) -> Option<&str> {
    let ErrorKind::HttpResponse { error_code, raw_response, .. } = error.kind() else { return None };
    let header = raw_response.as_ref().and_then(|answer| answer.headers().text("x-ms-error-code"));
    // The SDK puts the status or its words where there is no code.
    header.or(error_code.as_deref()).filter(|code| is_code(code))
}

/// Codes are words without spaces; whatever else stands in their place is not passed on.
pub(super) fn is_code(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The blob, or the version of it, does not exist, but its container does. Any other 404 may come from a wrong endpoint and
/// must not pass for an empty mirror.
pub(super) fn is_missing_blob(error: &azure_core::Error) -> bool {
    status(error) == Some(404) && code(error) == Some(MISSING_BLOB)
}

/// What was given as a version's name is none.
pub(super) fn is_malformed_version(error: &azure_core::Error) -> bool {
    status(error) == Some(400) && code(error) == Some(MALFORMED_VERSION)
}

/// A credential's reasons may take several lines, one for each tool it tried.
pub(super) fn on_one_line(error: &azure_core::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn status(error: &azure_core::Error) -> Option<u16> {
    error.http_status().map(u16::from)
}

/// The wait the service asks for, in milliseconds or in seconds.
fn retry_after(headers: &impl AnswerHeaders) -> Option<Duration> {
    let number = |name| headers.text(name).and_then(|value| value.trim().parse::<u64>().ok());
    number("x-ms-retry-after-ms")
        .or_else(|| number("retry-after-ms"))
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

/// The innermost cause: the operating system's or TLS's words. The causes around it show the URL.
fn cause(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut innermost: &(dyn StdError + 'static) = error.source()?;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.is::<reqwest::Error>() || innermost.is::<azure_core::Error>() {
        None
    } else {
        Some(innermost.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(operation: Operation) -> Attempt<'static> {
        Attempt { operation, name: "shop/orders/documents/p/a.json", container: "mirror" }
    }

    #[test]
    fn the_table_from_answers_to_kinds() {
        use Operation::{CreateContainer, List, Probe, Put, Read, Snapshot};
        let rows = [
            (Put, 409, "BlobAlreadyExists", Kind::Conflict),
            (Put, 412, "ConditionNotMet", Kind::Conflict),
            (Put, 404, "BlobNotFound", Kind::Conflict),
            (Put, 412, "LeaseIdMissing", Kind::Refused),
            (Put, 409, "BlobImmutableDueToPolicy", Kind::Refused),
            (Put, 409, "FeatureNotEnabled", Kind::Misconfigured),
            (Put, 404, "EncryptionScopeNotFound", Kind::Misconfigured),
            (Put, 403, "RequestForbiddenByContainerEncryptionPolicy", Kind::Misconfigured),
            (Put, 409, "ContainerBeingDeleted", Kind::Transient),
            (Put, 400, "MetadataTooLarge", Kind::Refused),
            (Put, 413, "RequestBodyTooLarge", Kind::Refused),
            (Put, 404, "ContainerNotFound", Kind::NotFound),
            (Put, 403, "AuthorizationPermissionMismatch", Kind::Unauthorized),
            (Put, 401, "", Kind::Unauthorized),
            (Put, 400, "InvalidAuthenticationInfo", Kind::Unauthorized),
            (Put, 503, "ServerBusy", Kind::Transient),
            (Put, 500, "OperationTimedOut", Kind::Transient),
            (Put, 502, "", Kind::Transient),
            (Put, 408, "", Kind::Transient),
            (Put, 429, "", Kind::Transient),
            (Put, 302, "", Kind::Internal),
            (Snapshot, 412, "ConditionNotMet", Kind::Conflict),
            (Snapshot, 412, "LeaseIdMissing", Kind::Refused),
            (Snapshot, 404, "BlobNotFound", Kind::Conflict),
            (Snapshot, 404, "ContainerNotFound", Kind::NotFound),
            (Snapshot, 409, "SnapshotCountExceeded", Kind::Refused),
            (Snapshot, 409, "SnaphotOperationRateExceeded", Kind::Transient),
            (Probe, 400, "InvalidResourceName", Kind::Misconfigured),
            (List, 400, "InvalidQueryParameterValue", Kind::Misconfigured),
            (CreateContainer, 400, "InvalidResourceName", Kind::Misconfigured),
            (Read, 409, "BlobArchived", Kind::Refused),
            (Read, 404, "ContainerNotFound", Kind::NotFound),
        ];
        for (operation, status, code, kind) in rows {
            assert_eq!(classify(operation, status, code), kind, "{operation:?} {status} {code}");
        }
    }

    #[test]
    fn a_refusal_names_the_blob_the_code_and_the_missing_permission() {
        let failure = attempt(Operation::Put).refused(403, "AuthorizationPermissionMismatch");
        assert_eq!(
            failure.message,
            "storing blob \"shop/orders/documents/p/a.json\": AuthorizationPermissionMismatch (403)"
        );
        assert!(
            failure.remedy.contains("blobs/write") && failure.remedy.contains("SAS permissions c and w"),
            "{failure}"
        );
        let failure = attempt(Operation::Read).refused(404, "ContainerNotFound");
        assert!(failure.remedy.contains("\"mirror\"") && failure.remedy.contains("target.create"), "{failure}");
    }

    #[test]
    fn whatever_is_not_for_the_mirror_to_retry_has_a_remedy() {
        for kind_of in [(401, ""), (403, "AuthorizationFailure"), (404, ""), (404, "ContainerNotFound")] {
            let failure = attempt(Operation::Put).refused(kind_of.0, kind_of.1);
            assert!(!failure.remedy.is_empty(), "{failure:?}");
        }
    }

    #[test]
    fn the_wait_is_read_in_both_units() {
        let headers = |name: &'static str, value: &'static str| {
            let mut headers = Headers::new();
            headers.insert(name, value);
            headers
        };
        assert_eq!(retry_after(&headers("retry-after", "2")), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(&headers("x-ms-retry-after-ms", "250")), Some(Duration::from_millis(250)));
        assert_eq!(retry_after(&headers("retry-after", "soon")), None);
    }
}
