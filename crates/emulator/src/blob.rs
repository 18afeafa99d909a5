//! Azure Blob Storage on loopback: one account, block blobs, with versioning and soft delete.
//!
//! Responsibility: to answer like the service does, over the wire, as far as the operations in [`route`] go;
//! what is not there is refused with 501 and its name. Invariants: every write gets a stamp that is unique and
//! increasing in its container, from which ETag and version id come; requests on one container are serial, so
//! conditional writes are exact. State is in memory; what survives the process is in the journal, if there is one.
//!
//! Way of a request: [`request`] reads it, [`route`] finds the operation, [`auth`] judges the caller, one of
//! [`put`], [`blocks`], [`get`], [`delete`], [`list`], [`containers`] and [`account`] does it on the [`store`], and
//! [`reply`] writes the answer.

mod account;
mod auth;
mod blocks;
mod checksum;
mod conditions;
mod containers;
mod content;
mod delete;
mod entry;
mod errors;
mod get;
mod journal;
mod list;
mod page;
mod put;
mod reply;
mod request;
mod route;
mod store;
mod time;
mod xml;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use auth::AccountKey;
use entry::Policy;
use reply::Reply;
use request::Call;
use route::Operation;
use store::Store;

use crate::clock::Clock;

/// What an operator sets for the blob account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct StorageSettings {
    /// Whether writes keep the previous state as a version.
    pub(crate) versioning: bool,
    /// How long soft-deleted states are kept; 0: deletes are final.
    pub(crate) soft_delete_days: u32,
    /// Whether the account has a hierarchical namespace. Such accounts have no versions, whatever is asked.
    pub(crate) hierarchical_namespace: bool,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { versioning: true, soft_delete_days: 7, hierarchical_namespace: false }
    }
}

impl StorageSettings {
    fn policy(self) -> Policy {
        Policy { versioning: self.versioning && !self.hierarchical_namespace, soft_delete_days: self.soft_delete_days }
    }
}

/// The blob endpoint of the emulator.
pub(crate) struct BlobService {
    clock: Arc<Clock>,
    key: AccountKey,
    store: Store,
    settings: RwLock<StorageSettings>,
    requests: AtomicU64,
    kept: OnceLock<journal::Kept>,
}

impl BlobService {
    /// An account without containers.
    ///
    /// # Panics
    /// If the well-known key is not base64, which is a bug.
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self {
            clock,
            key: AccountKey::from_base64(crate::BLOB_KEY).expect("the well-known key is base64"),
            store: Store::default(),
            settings: RwLock::default(),
            requests: AtomicU64::new(0),
            kept: OnceLock::new(),
        }
    }

    /// The class of a request for fault rules and counters: `put`, `head`, `get`, `list`, `delete`, `container`
    /// or `account`.
    pub(crate) fn operation(req: &Parts) -> &'static str {
        let (_, container, blob) = request::split(req.uri.path());
        if container.is_empty() {
            return "account";
        }
        if blob.is_empty() {
            let query = req.uri.query().unwrap_or_default();
            let has = |wanted: &str| query.split('&').any(|pair| pair.eq_ignore_ascii_case(wanted));
            return match () {
                () if has("comp=list") => "list",
                () if has("restype=account") => "account",
                () => "container",
            };
        }
        match req.method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::DELETE => "delete",
            _ => "put",
        }
    }

    /// Answers one request.
    pub(crate) async fn handle(&self, parts: Parts, body: Bytes) -> Response<Bytes> {
        let serial = self.requests.fetch_add(1, Ordering::Relaxed);
        let request_id = format!("c05a1220-001e-0000-0000-{serial:012x}");
        let (now, answer) = self.answer_and_keep(&parts, body);
        let mut reply =
            answer.unwrap_or_else(|error| Reply::refusal(&error, parts.method == Method::HEAD, &request_id, now));
        if parts.method == Method::HEAD {
            reply.set_body(Bytes::new());
        }
        reply.finish(&parts.headers, &request_id, now)
    }

    fn put_storage(&self, settings: StorageSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// The account's settings.
    pub(crate) fn storage(&self) -> StorageSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, parts: &Parts, body: Bytes, now: Timestamp) -> errors::Result<Reply> {
        let call = Call::parse(parts)?;
        let operation = Operation::of(&call);
        let access = auth::authorize(&call, &operation, &self.key, now)?;
        let settings = self.storage();
        let (store, policy) = (&self.store, settings.policy());
        match operation? {
            Operation::ListContainers => containers::list(store, &call),
            Operation::ServiceProperties => Ok(account::service_properties(settings)),
            Operation::AccountInformation => Ok(account::information(settings)),
            Operation::CreateContainer => containers::create(store, &call, now),
            Operation::ContainerProperties => containers::properties(store, &call),
            Operation::SetContainerMetadata => containers::set_metadata(store, &call, now),
            Operation::ContainerAcl => containers::acl(store, &call),
            Operation::DeleteContainer => containers::delete(store, &call),
            Operation::ListBlobs => list::blobs(store, &call, now),
            Operation::PutBlob => put::blob(store, &call, body, access, policy, now),
            Operation::GetBlob | Operation::BlobProperties => get::blob(store, &call, now),
            Operation::SetBlobMetadata => put::blob_metadata(store, &call, policy, now),
            Operation::SetBlobProperties => put::properties(store, &call, now),
            Operation::SnapshotBlob => put::snapshot(store, &call, policy, now),
            Operation::DeleteBlob | Operation::DeleteBlobVersion => delete::blob(store, &call, policy, now),
            Operation::PutBlock => blocks::put_block(store, &call, body, now),
            Operation::PutBlockList => blocks::put_list(store, &call, &body, access, policy, now),
            Operation::GetBlockList => blocks::get_list(store, &call, now),
            Operation::UndeleteBlob => delete::undelete(store, &call, now),
        }
    }
}

#[cfg(test)]
mod tests;
