//! Everything the blob service can refuse, with the status and code Azure gives it.
//!
//! Codes and texts follow "Status and error codes" and "Blob Storage error codes" of the Azure Storage REST
//! reference. What the emulator lacks is answered with 501 and its name, never ignored.

use http::StatusCode;

/// A refusal of the blob service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("Server failed to authenticate the request. Refer to the information in the www-authenticate header.")]
    NoAuthenticationInformation,
    #[error("Authentication information is not given in the correct format: {reason}")]
    InvalidAuthenticationInfo { reason: String },
    #[error(
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature."
    )]
    AuthenticationFailed { detail: String },
    #[error("This request is not authorized to perform this operation using this permission.")]
    PermissionMismatch,
    #[error("This request is not authorized to perform this operation using this resource type.")]
    ResourceTypeMismatch,
    #[error("This request is not authorized to perform this operation using this service.")]
    ServiceMismatch,
    #[error("This request is not authorized to perform this operation using this protocol.")]
    ProtocolMismatch,
    #[error("This request is not authorized to perform this operation using this source IP.")]
    SourceIpMismatch,
    #[error("Public access is not permitted on this storage account.")]
    PublicAccessNotPermitted,

    #[error("The specified account does not exist: {account}")]
    AccountNotFound { account: String },
    #[error("The specified container does not exist.")]
    ContainerNotFound,
    #[error("The specified container already exists.")]
    ContainerAlreadyExists,
    #[error("The specified blob does not exist.")]
    BlobNotFound,
    #[error("The specified blob already exists.")]
    BlobAlreadyExists,
    #[error("The condition specified using HTTP conditional header(s) is not met.")]
    ConditionNotMet,
    #[error("The condition specified using HTTP conditional header(s) is not met.")]
    NotModified,
    #[error("This operation is not permitted because the blob has snapshots.")]
    SnapshotsPresent,
    #[error("The operation is not allowed on a root blob: the current version is deleted without a version id.")]
    OperationNotAllowedOnRootBlob,

    #[error("The range specified is invalid for the current size of the resource.")]
    InvalidRange { length: usize },
    #[error("The requested URI does not represent any resource on the server: {reason}")]
    InvalidUri { reason: String },
    #[error("The specified resource name contains invalid characters.")]
    InvalidResourceName,
    #[error("The specified resource name length is not within the permissible limits.")]
    ResourceNameLength,
    #[error("Value for one of the query parameters specified in the request URI is invalid.")]
    InvalidQuery { name: &'static str, value: String, reason: &'static str },
    #[error("One of the query parameters specified in the request URI is outside the permissible range.")]
    OutOfRangeQuery { name: &'static str, value: String },
    #[error("The value for one of the HTTP headers is not in the correct format.")]
    InvalidHeader { name: String, value: String },
    #[error("An HTTP header that's mandatory for this request is not specified.")]
    MissingHeader { name: &'static str },
    #[error("The metadata specified is invalid. It has characters that are not permitted.")]
    InvalidMetadata { name: String },
    #[error("The metadata specified exceeds the maximum permissible limit ({limit} bytes).")]
    MetadataTooLarge { limit: usize },
    #[error("The MD5 value specified in the request did not match with the MD5 value calculated by the server.")]
    Md5Mismatch,
    #[error("The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.")]
    Crc64Mismatch,
    #[error("XML specified is not syntactically valid.")]
    InvalidXml,
    #[error("The specified block list is invalid.")]
    InvalidBlockList,
    #[error("The specified blob or block content is invalid: all block ids of a blob have the same length.")]
    InvalidBlobOrBlock,
    #[error("The block count exceeds the maximum permissible limit ({limit}).")]
    BlockCount { limit: usize },
    #[error("The request body is too large and exceeds the maximum permissible limit ({limit} bytes).")]
    BodyTooLarge { limit: usize },
    #[error("The resource doesn't support the specified HTTP verb.")]
    UnsupportedVerb,
    #[error("The request was done but could not be kept in the emulator's folder.")]
    NotKept,
    #[error("The emulator does not implement {what}.")]
    NotImplemented { what: String },
}

/// What the service's functions return.
pub(super) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A refusal of something the emulator lacks.
    pub(super) fn lacks(what: impl Into<String>) -> Self {
        Self::NotImplemented { what: what.into() }
    }

    /// The HTTP status and Azure's error code.
    pub(super) fn status_and_code(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NoAuthenticationInformation => (S::UNAUTHORIZED, "NoAuthenticationInformation"),
            Self::InvalidAuthenticationInfo { .. } => (S::UNAUTHORIZED, "InvalidAuthenticationInfo"),
            Self::AuthenticationFailed { .. } => (S::FORBIDDEN, "AuthenticationFailed"),
            Self::PermissionMismatch => (S::FORBIDDEN, "AuthorizationPermissionMismatch"),
            Self::ResourceTypeMismatch => (S::FORBIDDEN, "AuthorizationResourceTypeMismatch"),
            Self::ServiceMismatch => (S::FORBIDDEN, "AuthorizationServiceMismatch"),
            Self::ProtocolMismatch => (S::FORBIDDEN, "AuthorizationProtocolMismatch"),
            Self::SourceIpMismatch => (S::FORBIDDEN, "AuthorizationSourceIPMismatch"),
            Self::PublicAccessNotPermitted => (S::CONFLICT, "PublicAccessNotPermitted"),
            Self::AccountNotFound { .. } => (S::NOT_FOUND, "ResourceNotFound"),
            Self::ContainerNotFound => (S::NOT_FOUND, "ContainerNotFound"),
            Self::ContainerAlreadyExists => (S::CONFLICT, "ContainerAlreadyExists"),
            Self::BlobNotFound => (S::NOT_FOUND, "BlobNotFound"),
            Self::BlobAlreadyExists => (S::CONFLICT, "BlobAlreadyExists"),
            Self::ConditionNotMet => (S::PRECONDITION_FAILED, "ConditionNotMet"),
            Self::NotModified => (S::NOT_MODIFIED, "ConditionNotMet"),
            Self::SnapshotsPresent => (S::CONFLICT, "SnapshotsPresent"),
            Self::OperationNotAllowedOnRootBlob => (S::FORBIDDEN, "OperationNotAllowedOnRootBlob"),
            Self::InvalidRange { .. } => (S::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            Self::InvalidUri { .. } => (S::BAD_REQUEST, "InvalidUri"),
            Self::InvalidResourceName => (S::BAD_REQUEST, "InvalidResourceName"),
            Self::ResourceNameLength => (S::BAD_REQUEST, "OutOfRangeInput"),
            Self::InvalidQuery { .. } => (S::BAD_REQUEST, "InvalidQueryParameterValue"),
            Self::OutOfRangeQuery { .. } => (S::BAD_REQUEST, "OutOfRangeQueryParameterValue"),
            Self::InvalidHeader { .. } => (S::BAD_REQUEST, "InvalidHeaderValue"),
            Self::MissingHeader { .. } => (S::BAD_REQUEST, "MissingRequiredHeader"),
            Self::InvalidMetadata { .. } => (S::BAD_REQUEST, "InvalidMetadata"),
            Self::MetadataTooLarge { .. } => (S::BAD_REQUEST, "MetadataTooLarge"),
            Self::Md5Mismatch => (S::BAD_REQUEST, "Md5Mismatch"),
            Self::Crc64Mismatch => (S::BAD_REQUEST, "Crc64Mismatch"),
            Self::InvalidXml => (S::BAD_REQUEST, "InvalidXmlDocument"),
            Self::InvalidBlockList => (S::BAD_REQUEST, "InvalidBlockList"),
            Self::InvalidBlobOrBlock => (S::BAD_REQUEST, "InvalidBlobOrBlock"),
            Self::BlockCount { .. } => (S::CONFLICT, "BlockCountExceedsLimit"),
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge"),
            Self::UnsupportedVerb => (S::METHOD_NOT_ALLOWED, "UnsupportedHttpVerb"),
            Self::NotKept => (S::INTERNAL_SERVER_ERROR, "InternalError"),
            Self::NotImplemented { .. } => (S::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    /// The elements that stand beside code and message in the error document.
    pub(super) fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::AuthenticationFailed { detail } => {
                vec![("AuthenticationErrorDetail", detail.clone())]
            }
            Self::InvalidQuery { name, value, reason } => vec![
                ("QueryParameterName", (*name).to_owned()),
                ("QueryParameterValue", value.clone()),
                ("Reason", (*reason).to_owned()),
            ],
            Self::OutOfRangeQuery { name, value } => {
                vec![("QueryParameterName", (*name).to_owned()), ("QueryParameterValue", value.clone())]
            }
            Self::InvalidHeader { name, value } => vec![("HeaderName", name.clone()), ("HeaderValue", value.clone())],
            Self::MissingHeader { name } => vec![("HeaderName", (*name).to_owned())],
            Self::InvalidMetadata { name } => vec![("HeaderName", name.clone())],
            _ => Vec::new(),
        }
    }
}
