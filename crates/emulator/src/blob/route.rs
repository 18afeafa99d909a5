//! Which operation a request asks for, and what a shared access signature must grant for it.

use http::Method;

use super::errors::{Error, Result};
use super::request::{Call, Target};

/// The operations of the service that the emulator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ListContainers,
    ServiceProperties,
    SetServiceProperties,
    FindBlobs,
    AccountInformation,
    CreateContainer,
    ContainerProperties,
    SetContainerMetadata,
    ContainerAcl,
    SetContainerAcl,
    LeaseContainer,
    DeleteContainer,
    ListBlobs,
    FindBlobsInContainer,
    PutBlob,
    GetBlob,
    BlobProperties,
    SetBlobMetadata,
    SetBlobProperties,
    SnapshotBlob,
    DeleteBlob,
    DeleteBlobVersion,
    UndeleteBlob,
    PutBlock,
    PutBlockList,
    GetBlockList,
    CopyBlob,
    AbortCopy,
    PutBlobFromUrl,
    PutBlockFromUrl,
    BlobTags,
    SetBlobTags,
    SetBlobTier,
    SetImmutabilityPolicy,
    DeleteImmutabilityPolicy,
    SetLegalHold,
    LeaseBlob,
}

/// What a shared access signature must grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// `s`ervice, `c`ontainer or `o`bject, as in an account signature's `srt`.
    pub(super) resource: char,
    /// One of these letters of `sp` is enough; with none, any signature is.
    pub(super) any_of: &'static str,
}

impl Operation {
    /// Finds the operation of a request.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        let comp = call.query.get("comp");
        let restype = call.query.get("restype");
        if restype == Some("account") && comp == Some("properties") {
            return match *call.method {
                Method::GET | Method::HEAD => Ok(Self::AccountInformation),
                _ => Err(Error::UnsupportedVerb),
            };
        }
        match call.target {
            Target::Account => account(call.method, restype, comp),
            Target::Container(_) => container(call.method, restype, comp),
            Target::Blob { .. } => blob(call, comp),
        }
    }

    /// What a shared access signature must grant for the operation; `None`: no signature can.
    pub(super) fn need(self) -> Option<Need> {
        let (resource, any_of) = match self {
            Self::ListContainers => ('s', "l"),
            Self::ServiceProperties => ('s', "r"),
            Self::SetServiceProperties => ('s', "w"),
            Self::FindBlobs => ('s', "f"),
            Self::AccountInformation => ('*', ""),
            Self::CreateContainer => ('c', "cw"),
            Self::ContainerProperties => ('c', "r"),
            Self::SetContainerMetadata | Self::LeaseContainer => ('c', "w"),
            Self::ContainerAcl | Self::SetContainerAcl => return None,
            Self::DeleteContainer => ('c', "d"),
            Self::ListBlobs => ('c', "l"),
            Self::FindBlobsInContainer => ('c', "f"),
            Self::PutBlob | Self::PutBlobFromUrl | Self::CopyBlob => ('o', "wc"),
            Self::PutBlock | Self::PutBlockFromUrl | Self::PutBlockList | Self::SnapshotBlob => ('o', "wc"),
            Self::GetBlob | Self::BlobProperties | Self::GetBlockList => ('o', "r"),
            Self::SetBlobMetadata | Self::SetBlobProperties | Self::UndeleteBlob => ('o', "w"),
            Self::SetBlobTier | Self::AbortCopy | Self::LeaseBlob => ('o', "w"),
            Self::BlobTags | Self::SetBlobTags => ('o', "t"),
            Self::SetImmutabilityPolicy | Self::DeleteImmutabilityPolicy | Self::SetLegalHold => ('o', "i"),
            Self::DeleteBlob => ('o', "d"),
            Self::DeleteBlobVersion => ('o', "x"),
        };
        Some(Need { resource, any_of })
    }
}

fn account(method: &Method, restype: Option<&str>, comp: Option<&str>) -> Result<Operation> {
    match (method.as_str(), restype, comp) {
        ("GET", None, Some("list")) => Ok(Operation::ListContainers),
        ("GET", Some("service"), Some("properties")) => Ok(Operation::ServiceProperties),
        ("PUT", Some("service"), Some("properties")) => Ok(Operation::SetServiceProperties),
        (_, Some("service"), Some("stats")) => Err(Error::lacks("Get Blob Service Stats")),
        (_, Some("service"), Some("userdelegationkey")) => Err(Error::lacks("Get User Delegation Key")),
        ("GET", None, Some("blobs")) => Ok(Operation::FindBlobs),
        (_, _, Some("batch")) => Err(Error::lacks("Blob Batch")),
        (_, _, Some(other)) => Err(bad_comp(other)),
        _ => Err(Error::UnsupportedVerb),
    }
}

fn container(method: &Method, restype: Option<&str>, comp: Option<&str>) -> Result<Operation> {
    if restype != Some("container") {
        // Without `restype` this would be a blob of the root container.
        return Err(Error::lacks("blobs in the $root container named without it"));
    }
    match (method.as_str(), comp) {
        ("PUT", None) => Ok(Operation::CreateContainer),
        ("GET" | "HEAD", None | Some("metadata")) => Ok(Operation::ContainerProperties),
        ("DELETE", None) => Ok(Operation::DeleteContainer),
        ("PUT", Some("metadata")) => Ok(Operation::SetContainerMetadata),
        ("GET" | "HEAD", Some("acl")) => Ok(Operation::ContainerAcl),
        ("GET", Some("list")) => Ok(Operation::ListBlobs),
        ("PUT", Some("acl")) => Ok(Operation::SetContainerAcl),
        ("PUT", Some("lease")) => Ok(Operation::LeaseContainer),
        (_, Some("undelete")) => Err(Error::lacks("Restore Container")),
        ("GET", Some("blobs")) => Ok(Operation::FindBlobsInContainer),
        (_, Some("batch")) => Err(Error::lacks("Blob Batch")),
        (_, Some(other)) if !matches!(other, "metadata" | "acl" | "list" | "lease" | "blobs") => Err(bad_comp(other)),
        _ => Err(Error::UnsupportedVerb),
    }
}

/// The components of a blob that the emulator has.
const BLOB_COMPONENTS: [&str; 12] = [
    "metadata",
    "properties",
    "snapshot",
    "undelete",
    "block",
    "blocklist",
    "tags",
    "lease",
    "copy",
    "tier",
    "immutabilitypolicies",
    "legalhold",
];

fn blob(call: &Call<'_>, comp: Option<&str>) -> Result<Operation> {
    // Clients write `immutabilityPolicies`; the service does not mind case.
    let lower = comp.map(str::to_ascii_lowercase);
    let comp = lower.as_deref();
    let copies = call.headers.contains_key("x-ms-copy-source");
    match (call.method.as_str(), comp) {
        ("PUT", None) if copies && call.headers.contains_key("x-ms-blob-type") => Ok(Operation::PutBlobFromUrl),
        ("PUT", None) if copies => Ok(Operation::CopyBlob),
        ("PUT", None) => Ok(Operation::PutBlob),
        ("GET", None) => Ok(Operation::GetBlob),
        ("HEAD", None) | ("GET" | "HEAD", Some("metadata")) => Ok(Operation::BlobProperties),
        ("DELETE", None) if call.query.get("versionid").is_some() => Ok(Operation::DeleteBlobVersion),
        ("DELETE", None) => Ok(Operation::DeleteBlob),
        ("PUT", Some("metadata")) => Ok(Operation::SetBlobMetadata),
        ("PUT", Some("properties")) => Ok(Operation::SetBlobProperties),
        ("PUT", Some("snapshot")) => Ok(Operation::SnapshotBlob),
        ("PUT", Some("undelete")) => Ok(Operation::UndeleteBlob),
        ("PUT", Some("block")) if copies => Ok(Operation::PutBlockFromUrl),
        ("PUT", Some("block")) => Ok(Operation::PutBlock),
        ("PUT", Some("blocklist")) => Ok(Operation::PutBlockList),
        ("GET", Some("blocklist")) => Ok(Operation::GetBlockList),
        ("GET", Some("tags")) => Ok(Operation::BlobTags),
        ("PUT", Some("tags")) => Ok(Operation::SetBlobTags),
        ("PUT", Some("lease")) => Ok(Operation::LeaseBlob),
        ("PUT", Some("copy")) => Ok(Operation::AbortCopy),
        ("PUT", Some("tier")) => Ok(Operation::SetBlobTier),
        ("PUT", Some("immutabilitypolicies")) => Ok(Operation::SetImmutabilityPolicy),
        ("DELETE", Some("immutabilitypolicies")) => Ok(Operation::DeleteImmutabilityPolicy),
        ("PUT", Some("legalhold")) => Ok(Operation::SetLegalHold),
        (_, Some("page" | "pagelist" | "incrementalcopy")) => Err(Error::lacks("page blobs")),
        (_, Some("appendblock" | "seal")) => Err(Error::lacks("append blobs")),
        (_, Some("query")) => Err(Error::lacks("Query Blob Contents")),
        (_, Some("expiry")) => Err(Error::lacks("Set Blob Expiry")),
        (_, Some(other)) if !BLOB_COMPONENTS.contains(&other) => Err(bad_comp(other)),
        _ => Err(Error::UnsupportedVerb),
    }
}

fn bad_comp(value: &str) -> Error {
    Error::InvalidQuery { name: "comp", value: value.to_owned(), reason: "Not a component of this resource." }
}
