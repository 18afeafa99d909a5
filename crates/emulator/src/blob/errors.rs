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
    #[error("This request is not authorized to perform blob overwrites.")]
    UnauthorizedOverwrite,
    #[error("CORS not enabled or no matching rule found for this request.")]
    CorsPreflight,
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

    #[error("The request is forbidden by the container encryption policy.")]
    EncryptionPolicy,

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

    #[error("The specified blob is archived: set another tier first.")]
    BlobArchived,
    #[error("This operation is not permitted as the blob is immutable due to a policy.")]
    ImmutableDueToPolicy,
    #[error("This operation is not permitted as the blob is immutable due to one or more legal holds.")]
    ImmutableDueToLegalHold,
    #[error("A locked immutability policy cannot be deleted.")]
    DeleteOfLockedPolicy,
    #[error(
        "Immutability policies and legal holds need versioning and support for version-level immutability, and \
         this account lacks one of them."
    )]
    VersionLevelImmutabilityOff,
    #[error("The blob is encrypted with customer specified encryption, but it was not provided in the request.")]
    KeyMissing,
    #[error("The given customer specified encryption does not match the encryption used to encrypt the blob.")]
    KeyMismatch,
    #[error("The blob is not encrypted with customer specified encryption, but it was given in the request.")]
    KeyNotUsed,
    #[error("The source condition specified using HTTP conditional header(s) is not met.")]
    SourceConditionNotMet,
    #[error("The target condition specified using HTTP conditional header(s) is not met.")]
    TargetConditionNotMet,
    #[error("The copy source cannot be read: {reason}")]
    CannotVerifyCopySource { status: StatusCode, reason: String },
    #[error("There is currently no pending copy operation.")]
    NoPendingCopyOperation,
    /// The outcome of a lease that stands in the way; the code says which.
    #[error("The lease on the resource does not permit this operation: {code}.")]
    Lease { status: StatusCode, code: &'static str },

    #[error("Invalid operation against a snapshot or version: x-ms-delete-snapshots is for the base blob.")]
    InvalidOperation,
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
    #[error("The Content-Length header was not specified.")]
    MissingContentLength,
    #[error("An HTTP header that's mandatory for this request is not specified.")]
    MissingHeader { name: &'static str },
    #[error("The metadata specified is invalid. It has characters that are not permitted.")]
    InvalidMetadata { name: String },
    #[error("The metadata specified exceeds the maximum permissible limit ({limit} bytes).")]
    MetadataTooLarge { limit: usize },
    #[error("The tags specified are invalid: {reason}")]
    Tags { code: &'static str, reason: &'static str },
    #[error("Conditions on tags are not supported for this resource.")]
    ConditionNotSupported,
    #[error("The MD5 value specified in the request did not match with the MD5 value calculated by the server.")]
    Md5Mismatch { given: String, calculated: String },
    #[error("The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.")]
    Crc64Mismatch { given: String, calculated: String },
    #[error("XML specified is not syntactically valid.")]
    InvalidXml,
    #[error("The value for one of the XML nodes is not in the correct format.")]
    InvalidXmlValue { name: &'static str, value: String },
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
    /// A refusal of a header's value.
    pub(super) fn header(name: &str, value: &str) -> Self {
        Self::InvalidHeader { name: name.to_owned(), value: value.to_owned() }
    }

    /// Compares the MD5 that a request gives with the one its bytes have.
    pub(super) fn check_md5(given: Option<&str>, calculated: &str) -> Result<()> {
        match given {
            Some(given) if given != calculated => {
                Err(Self::Md5Mismatch { given: given.to_owned(), calculated: calculated.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Compares the CRC-64 that a request gives with the one its bytes have.
    pub(super) fn check_crc64(given: Option<&str>, calculated: impl FnOnce() -> String) -> Result<()> {
        let Some(given) = given else {
            return Ok(());
        };
        let calculated = calculated();
        if given == calculated {
            return Ok(());
        }
        Err(Self::Crc64Mismatch { given: given.to_owned(), calculated })
    }

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
            Self::UnauthorizedOverwrite => (S::FORBIDDEN, "UnauthorizedBlobOverwrite"),
            Self::CorsPreflight => (S::FORBIDDEN, "CorsPreflightFailure"),
            Self::ResourceTypeMismatch => (S::FORBIDDEN, "AuthorizationResourceTypeMismatch"),
            Self::ServiceMismatch => (S::FORBIDDEN, "AuthorizationServiceMismatch"),
            Self::ProtocolMismatch => (S::FORBIDDEN, "AuthorizationProtocolMismatch"),
            Self::SourceIpMismatch => (S::FORBIDDEN, "AuthorizationSourceIPMismatch"),
            Self::PublicAccessNotPermitted => (S::CONFLICT, "PublicAccessNotPermitted"),
            Self::EncryptionPolicy => (S::FORBIDDEN, "RequestForbiddenByContainerEncryptionPolicy"),
            Self::AccountNotFound { .. } => (S::NOT_FOUND, "ResourceNotFound"),
            Self::ContainerNotFound => (S::NOT_FOUND, "ContainerNotFound"),
            Self::ContainerAlreadyExists => (S::CONFLICT, "ContainerAlreadyExists"),
            Self::BlobNotFound => (S::NOT_FOUND, "BlobNotFound"),
            Self::BlobAlreadyExists => (S::CONFLICT, "BlobAlreadyExists"),
            Self::ConditionNotMet => (S::PRECONDITION_FAILED, "ConditionNotMet"),
            Self::NotModified => (S::NOT_MODIFIED, "ConditionNotMet"),
            Self::SnapshotsPresent => (S::CONFLICT, "SnapshotsPresent"),
            Self::OperationNotAllowedOnRootBlob => (S::FORBIDDEN, "OperationNotAllowedOnRootBlob"),
            Self::BlobArchived => (S::CONFLICT, "BlobArchived"),
            Self::ImmutableDueToPolicy => (S::CONFLICT, "BlobImmutableDueToPolicy"),
            Self::ImmutableDueToLegalHold => (S::CONFLICT, "BlobImmutableDueToLegalHold"),
            Self::DeleteOfLockedPolicy => (S::CONFLICT, "ImmutabilityPolicyDeleteOnLockedPolicy"),
            Self::VersionLevelImmutabilityOff => (S::CONFLICT, "FeatureNotEnabled"),
            Self::KeyMissing => (S::CONFLICT, "BlobUsesCustomerSpecifiedEncryption"),
            Self::KeyMismatch => (S::CONFLICT, "BlobCustomerSpecifiedEncryptionMismatch"),
            Self::KeyNotUsed => (S::CONFLICT, "BlobDoesNotUseCustomerSpecifiedEncryption"),
            Self::SourceConditionNotMet => (S::PRECONDITION_FAILED, "SourceConditionNotMet"),
            Self::TargetConditionNotMet => (S::PRECONDITION_FAILED, "TargetConditionNotMet"),
            Self::CannotVerifyCopySource { status, .. } => (*status, "CannotVerifyCopySource"),
            Self::NoPendingCopyOperation => (S::CONFLICT, "NoPendingCopyOperation"),
            Self::Lease { status, code } => (*status, code),
            Self::InvalidOperation => (S::BAD_REQUEST, "InvalidOperation"),
            Self::InvalidRange { .. } => (S::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            Self::InvalidUri { .. } => (S::BAD_REQUEST, "InvalidUri"),
            Self::InvalidResourceName => (S::BAD_REQUEST, "InvalidResourceName"),
            Self::ResourceNameLength => (S::BAD_REQUEST, "OutOfRangeInput"),
            Self::InvalidQuery { .. } => (S::BAD_REQUEST, "InvalidQueryParameterValue"),
            Self::OutOfRangeQuery { .. } => (S::BAD_REQUEST, "OutOfRangeQueryParameterValue"),
            Self::InvalidHeader { .. } => (S::BAD_REQUEST, "InvalidHeaderValue"),
            Self::MissingContentLength => (S::LENGTH_REQUIRED, "MissingContentLengthHeader"),
            Self::MissingHeader { .. } => (S::BAD_REQUEST, "MissingRequiredHeader"),
            Self::InvalidMetadata { .. } => (S::BAD_REQUEST, "InvalidMetadata"),
            Self::MetadataTooLarge { .. } => (S::BAD_REQUEST, "MetadataTooLarge"),
            Self::Tags { code, .. } => (S::BAD_REQUEST, code),
            Self::ConditionNotSupported => (S::BAD_REQUEST, "ConditionHeadersNotSupported"),
            Self::Md5Mismatch { .. } => (S::BAD_REQUEST, "Md5Mismatch"),
            Self::Crc64Mismatch { .. } => (S::BAD_REQUEST, "Crc64Mismatch"),
            Self::InvalidXml => (S::BAD_REQUEST, "InvalidXmlDocument"),
            Self::InvalidXmlValue { .. } => (S::BAD_REQUEST, "InvalidXmlNodeValue"),
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
            Self::Md5Mismatch { given, calculated } => {
                vec![("UserSpecifiedMd5", given.clone()), ("ServerCalculatedMd5", calculated.clone())]
            }
            Self::Crc64Mismatch { given, calculated } => {
                vec![("UserSpecifiedCrc64", given.clone()), ("ServerCalculatedCrc64", calculated.clone())]
            }
            Self::InvalidXmlValue { name, value } => {
                vec![("XmlNodeName", (*name).to_owned()), ("XmlNodeValue", value.clone())]
            }
            Self::MissingHeader { name } => vec![("HeaderName", (*name).to_owned())],
            Self::InvalidMetadata { name } => vec![("HeaderName", name.clone())],
            _ => Vec::new(),
        }
    }
}
