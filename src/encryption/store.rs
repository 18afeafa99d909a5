//! A version store that encrypts the content of versions, and is in all else the store that it stands in front of.
//!
//! A version of a document is told by its metadata, which have `op`; the mirror's own records have none and are put as they are. A
//! tombstone has no content. What says that it is encrypted already, as a dead letter's bytes do, is put as it is.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::MirrorPaths;

use super::Recipients;
use crate::admin::Protection;
use crate::failure::Failure;
use crate::store::{Arriving, Claim, Claimant, Head, Listing, Page, Put, Stored, VersionStore};

/// See the module.
pub struct EncryptingStore {
    inner: Arc<dyn VersionStore>,
    recipients: Recipients,
}

impl EncryptingStore {
    /// In front of `inner`.
    pub fn new(inner: Arc<dyn VersionStore>, recipients: Recipients) -> Self {
        Self { inner, recipients }
    }

    fn encrypted(&self, mut put: Put) -> Result<Put, Failure> {
        let is_version = put.metadata.contains_key("op");
        if is_version && !put.body.is_empty() && !put.metadata.contains_key("encryption") {
            put.body = self.recipients.encrypt_version(&put.body, &mut put.metadata)?;
        }
        Ok(put)
    }
}

#[async_trait]
impl VersionStore for EncryptingStore {
    fn recipients(&self) -> Option<&Recipients> {
        Some(&self.recipients)
    }

    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.inner.prepare(create).await
    }

    async fn claim(&self, base: &str, claimant: &Claimant) -> Result<Claim, Failure> {
        self.inner.claim(base, claimant).await
    }

    async fn protection(&self) -> Result<Option<Protection>, Failure> {
        self.inner.protection().await
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        self.inner.put(self.encrypted(put)?).await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        self.inner.head(name).await
    }

    async fn keep(&self, head: &Head) -> Result<(), Failure> {
        self.inner.keep(head).await
    }

    async fn settle(&self, paths: &MirrorPaths) -> Result<(), Failure> {
        self.inner.settle(paths).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        self.inner.get(name, version).await
    }

    async fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        self.inner.folders(prefix, count_max).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        self.inner.list(prefix, listing, next).await
    }

    async fn list_ahead<'a>(
        &'a self,
        prefix: &str,
        listing: Listing,
        next: Option<String>,
    ) -> Result<Arriving<'a>, Failure> {
        self.inner.list_ahead(prefix, listing, next).await
    }
}
