//! Azure Blob Storage on loopback: one account, block blobs, with versioning and soft delete.
//!
//! Responsibility: to answer like the service does, over the wire, as far as the operations in [`route`] go;
//! what is not there is refused with 501 and its name. Invariants: every write gets a stamp that is unique and
//! increasing in its container, from which ETag and version id come; requests on one container are serial, so
//! conditional writes are exact. State is in memory; what survives the process is in the journal, if there is one.
//!
//! Way of a request: [`request`] reads it, [`route`] finds the operation, [`auth`] judges the caller, one of
//! [`put`], [`copy`], [`blocks`], [`change`], [`tags`], [`tier`], [`immutability`], [`lease`], [`get`], [`delete`],
//! [`list`], [`containers`], [`acl`] and [`account`] does it on the [`store`], and [`reply`] writes the answer.

mod account;
mod acl;
mod auth;
mod blocks;
mod change;
mod checksum;
mod conditions;
mod containers;
mod content;
mod context;
mod copy;
mod delete;
mod draft;
mod encryption;
mod entry;
mod errors;
mod get;
mod immutability;
mod journal;
mod lease;
mod list;
mod page;
mod put;
mod reply;
mod request;
mod route;
mod settings;
mod store;
mod tags;
mod tier;
mod time;
mod which;
mod xml;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use jiff::Timestamp;

use account::{PropertyChange, ServiceProperties};
use auth::AccountKey;
use context::Context;
use reply::Reply;
use request::Call;
use route::Operation;
use store::Store;

use crate::clock::Clock;

use settings::ContainerImmutability;
pub(crate) use settings::StorageSettings;

/// The blob endpoint of the emulator.
pub(crate) struct BlobService {
    clock: Arc<Clock>,
    key: AccountKey,
    store: Store,
    settings: RwLock<StorageSettings>,
    properties: RwLock<ServiceProperties>,
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
            properties: RwLock::default(),
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
        if *call.method == Method::OPTIONS {
            // Rules for other origins are kept and not applied, so none ever matches.
            return Err(errors::Error::CorsPreflight);
        }
        let operation = Operation::of(&call);
        let access = auth::authorize(&call, &operation, &self.key, &self.store, now)?;
        let settings = self.storage();
        let context = Context { access, policy: settings.policy(), immutability: settings.immutability, now };
        match operation? {
            Operation::DeleteBlob | Operation::DeleteBlobVersion | Operation::DeleteContainer
                if !settings.delete_allowed =>
            {
                Err(errors::Error::PermissionMismatch)
            }
            Operation::ServiceProperties => Ok(self.service_properties().show(settings)),
            Operation::SetServiceProperties => self.set_service_properties(&body),
            Operation::AccountInformation => Ok(account::information(settings)),
            operation => self.work(operation, &call, body, &context),
        }
    }

    /// Does what is asked of containers and blobs.
    fn work(&self, operation: Operation, call: &Call<'_>, body: Bytes, context: &Context) -> errors::Result<Reply> {
        let (store, key, now) = (&self.store, &self.key, context.now);
        match operation {
            Operation::ListContainers => containers::list(store, call, context),
            Operation::FindBlobs | Operation::FindBlobsInContainer => tags::find::blobs(store, call),
            Operation::CreateContainer => containers::create(store, call, context),
            Operation::ContainerProperties => containers::properties(store, call, context),
            Operation::SetContainerMetadata => containers::set_metadata(store, call, context),
            Operation::ContainerAcl => acl::get(store, call, context),
            Operation::SetContainerAcl => acl::set(store, call, &body, context),
            Operation::LeaseContainer => lease::requests::container(store, call, context),
            Operation::DeleteContainer => containers::delete(store, call, context),
            Operation::ListBlobs => list::blobs(store, call, now),
            Operation::PutBlob => put::blob(store, call, body, context),
            Operation::CopyBlob => copy::blob(store, call, key, context),
            Operation::AbortCopy => copy::abort(store, call, context),
            Operation::PutBlobFromUrl => copy::put_blob(store, call, key, context),
            Operation::GetBlob | Operation::BlobProperties => get::blob(store, call, now),
            Operation::SetBlobMetadata => change::blob_metadata(store, call, context),
            Operation::SetBlobProperties => change::properties(store, call, context),
            Operation::SnapshotBlob => change::snapshot(store, call, context),
            Operation::DeleteBlob | Operation::DeleteBlobVersion => delete::blob(store, call, context),
            Operation::UndeleteBlob => delete::undelete(store, call, now),
            Operation::PutBlock => blocks::put_block(store, call, body, context),
            Operation::PutBlockFromUrl => copy::put_block(store, call, key, context),
            Operation::PutBlockList => blocks::put_list(store, call, &body, context),
            Operation::GetBlockList => blocks::get_list(store, call, now),
            Operation::BlobTags => tags::get(store, call, context),
            Operation::SetBlobTags => tags::set(store, call, &body, context),
            Operation::SetBlobTier => tier::set(store, call, context),
            Operation::SetImmutabilityPolicy => immutability::set_policy(store, call, context),
            Operation::DeleteImmutabilityPolicy => immutability::delete_policy(store, call, context),
            Operation::SetLegalHold => immutability::set_hold(store, call, context),
            Operation::LeaseBlob => lease::requests::blob(store, call, context),
            Operation::ServiceProperties | Operation::SetServiceProperties | Operation::AccountInformation => {
                // Answered before, because they need no container.
                Err(errors::Error::UnsupportedVerb)
            }
        }
    }

    fn service_properties(&self) -> RwLockReadGuard<'_, ServiceProperties> {
        self.properties.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Set Blob Service Properties. The settings are changed as they are then, not as they were at the request's start.
    fn set_service_properties(&self, body: &Bytes) -> errors::Result<Reply> {
        let change = PropertyChange::parse(body)?;
        if let Some(days) = change.soft_delete_days {
            self.settings.write().unwrap_or_else(PoisonError::into_inner).soft_delete_days = days;
        }
        self.properties.write().unwrap_or_else(PoisonError::into_inner).apply(change);
        Ok(Reply::new(StatusCode::ACCEPTED))
    }
}

#[cfg(test)]
mod tests;
