//! Which operation a request asks for, and what a shared access signature must grant for it.

use http::Method;

use super::errors::{Error, Result};
use super::request::{Call, Target};

/// The operations of the service that the emulator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ListContainers,
    ServiceProperties,
    AccountInformation,
    CreateContainer,
    ContainerProperties,
    SetContainerMetadata,
    ContainerAcl,
    DeleteContainer,
    ListBlobs,
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
            Self::AccountInformation => ('*', ""),
            Self::CreateContainer => ('c', "cw"),
            Self::ContainerProperties => ('c', "r"),
            Self::SetContainerMetadata => ('c', "w"),
            Self::ContainerAcl => return None,
            Self::DeleteContainer => ('c', "d"),
            Self::ListBlobs => ('c', "l"),
            Self::PutBlob | Self::PutBlock | Self::PutBlockList | Self::SnapshotBlob => ('o', "wc"),
            Self::GetBlob | Self::BlobProperties | Self::GetBlockList => ('o', "r"),
            Self::SetBlobMetadata | Self::SetBlobProperties | Self::UndeleteBlob => ('o', "w"),
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
        ("PUT", Some("service"), Some("properties")) => Err(Error::lacks("Set Blob Service Properties")),
        (_, Some("service"), Some("stats")) => Err(Error::lacks("Get Blob Service Stats")),
        (_, Some("service"), Some("userdelegationkey")) => Err(Error::lacks("Get User Delegation Key")),
        (_, _, Some("blobs")) => Err(Error::lacks("Find Blobs by Tags")),
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
        ("PUT", Some("acl")) => Err(Error::lacks("Set Container ACL")),
        (_, Some("lease")) => Err(Error::lacks("Lease Container")),
        (_, Some("undelete")) => Err(Error::lacks("Restore Container")),
        (_, Some("blobs")) => Err(Error::lacks("Find Blobs by Tags")),
        (_, Some("batch")) => Err(Error::lacks("Blob Batch")),
        (_, Some(other)) if !matches!(other, "metadata" | "acl" | "list") => Err(bad_comp(other)),
        _ => Err(Error::UnsupportedVerb),
    }
}

fn blob(call: &Call<'_>, comp: Option<&str>) -> Result<Operation> {
    let copies = call.headers.contains_key("x-ms-copy-source");
    match (call.method.as_str(), comp) {
        ("PUT", None) if copies => Err(Error::lacks("Copy Blob and Put Blob From URL")),
        ("PUT", None) => Ok(Operation::PutBlob),
        ("GET", None) => Ok(Operation::GetBlob),
        ("HEAD", None) | ("GET" | "HEAD", Some("metadata")) => Ok(Operation::BlobProperties),
        ("DELETE", None) if call.query.get("versionid").is_some() => Ok(Operation::DeleteBlobVersion),
        ("DELETE", None) => Ok(Operation::DeleteBlob),
        ("PUT", Some("metadata")) => Ok(Operation::SetBlobMetadata),
        ("PUT", Some("properties")) => Ok(Operation::SetBlobProperties),
        ("PUT", Some("snapshot")) => Ok(Operation::SnapshotBlob),
        ("PUT", Some("undelete")) => Ok(Operation::UndeleteBlob),
        ("PUT", Some("block")) if copies => Err(Error::lacks("Put Block From URL")),
        ("PUT", Some("block")) => Ok(Operation::PutBlock),
        ("PUT", Some("blocklist")) => Ok(Operation::PutBlockList),
        ("GET", Some("blocklist")) => Ok(Operation::GetBlockList),
        (_, Some("tags")) => Err(Error::lacks("blob index tags")),
        (_, Some("lease")) => Err(Error::lacks("Lease Blob")),
        (_, Some("copy")) => Err(Error::lacks("Abort Copy Blob")),
        (_, Some("tier")) => Err(Error::lacks("Set Blob Tier")),
        (_, Some("immutabilityPolicies")) => Err(Error::lacks("immutability policies")),
        (_, Some("legalhold")) => Err(Error::lacks("legal holds")),
        (_, Some("page" | "pagelist" | "incrementalcopy")) => Err(Error::lacks("page blobs")),
        (_, Some("appendblock" | "seal")) => Err(Error::lacks("append blobs")),
        (_, Some("query")) => Err(Error::lacks("Query Blob Contents")),
        (_, Some("expiry")) => Err(Error::lacks("Set Blob Expiry")),
        (_, Some(other))
            if !matches!(other, "metadata" | "properties" | "snapshot" | "undelete" | "block" | "blocklist") =>
        {
            Err(bad_comp(other))
        }
        _ => Err(Error::UnsupportedVerb),
    }
}

fn bad_comp(value: &str) -> Error {
    Error::InvalidQuery { name: "comp", value: value.to_owned(), reason: "Not a component of this resource." }
}
