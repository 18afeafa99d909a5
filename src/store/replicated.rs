//! One store that is several: every version goes to the first one and, before it counts as stored, to each replica.
//!
//! A put is done in the first store by its condition, then in the replicas. Where one of them does not take it, the put has failed, and
//! it may have been done; the caller looks, and what it finds in the first store and takes for stored is brought to the replicas before
//! ([`keep`](VersionStore::keep)). So a replica lacks at most what nobody counts as stored yet: a crash between the stores loses
//! nothing, and no checkpoint moves past it. Reading is the first store's.
//!
//! What a replica holds is told by identity ([`replica`]), never by counting, so it may keep its versions for another time than the
//! first store does. One that is new, or was left out for a while, is [filled](Replicated::fill) from the first store; until it is, records
//! that claim what it does not hold are [held back](Replicated::hold_back) from it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::MirrorPaths;
use futures::future::try_join_all;

use self::replica::Replica;
use super::{Arriving, Claim, Claimant, Head, Listing, Page, Put, Stored, VersionStore};
use crate::admin::Protection;
use crate::crash::crash_point;
use crate::encryption::Recipients;
use crate::failure::{Failure, Kind};

mod fill;
mod known;
mod letters;
mod replica;

#[cfg(test)]
pub(crate) use self::replica::identity;

#[cfg(test)]
mod tests;

/// The store.
pub struct Replicated {
    first: Arc<dyn VersionStore>,
    /// What names of the first store begin with.
    prefix: String,
    replicas: Vec<Replica>,
    /// Names that begin so go to the first store alone for now.
    held_back: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Replicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("replicas", &self.names()).finish_non_exhaustive()
    }
}

impl Replicated {
    /// One store alone, whose names begin with this prefix.
    pub fn new(first: Arc<dyn VersionStore>, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/').to_owned();
        Self { first, prefix, replicas: Vec::new(), held_back: Mutex::default() }
    }

    /// The same with one more replica, whose names begin with `prefix` instead.
    #[must_use]
    pub fn with(mut self, name: &str, store: Arc<dyn VersionStore>, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/').to_owned();
        self.replicas.push(Replica::new(name, store, (self.prefix.clone(), prefix)));
        self
    }

    /// What the replicas are called.
    pub fn names(&self) -> BTreeSet<String> {
        self.replicas.iter().map(|replica| replica.name().to_owned()).collect()
    }

    /// Leaves names that begin with `prefix` to the first store alone, until they are [let through](Replicated::let_through).
    pub fn hold_back(&self, prefix: &str) {
        self.held_back().insert(prefix.to_owned());
    }

    /// Ends [`Replicated::hold_back`]. What was put meanwhile comes to the replicas with the next put of its name, or by filling them.
    pub fn let_through(&self, prefix: &str) {
        self.held_back().remove(prefix);
    }

    fn is_held_back(&self, name: &str) -> bool {
        self.held_back().iter().any(|prefix| name.starts_with(prefix))
    }

    /// A panic while the lock was held leaves a whole set.
    fn held_back(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl VersionStore for Replicated {
    /// Those of the first store; each replica has the same.
    fn recipients(&self) -> Option<&Recipients> {
        self.first.recipients()
    }

    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.first.prepare(create).await?;
        for replica in &self.replicas {
            replica.prepare(create).await?;
        }
        Ok(())
    }

    async fn claim(&self, base: &str, claimant: &Claimant) -> Result<Claim, Failure> {
        let mut claims = self.first.claim(base, claimant).await?;
        for replica in &self.replicas {
            claims = claims.and(replica.claim(base, claimant).await?);
        }
        Ok(claims)
    }

    async fn protection(&self) -> Result<Option<Protection>, Failure> {
        self.first.protection().await
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        let stored = match self.first.put(put.clone()).await {
            Err(failure) if failure.kind == Kind::Conflict => {
                // The caller may take what is there for what it was about to put.
                if let Some(head) = self.first.head(&put.name).await? {
                    self.keep(&head).await?;
                }
                return Err(failure);
            }
            stored => stored?,
        };
        if self.is_held_back(&put.name) {
            return Ok(stored);
        }
        crash_point!("replica-to-put");
        let first = self.first.as_ref();
        try_join_all(self.replicas.iter().map(|replica| replica.put(first, &put, &stored.etag))).await?;
        Ok(stored)
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        self.first.head(name).await
    }

    async fn keep(&self, head: &Head) -> Result<(), Failure> {
        self.first.keep(head).await?;
        if self.is_held_back(&head.name) {
            return Ok(());
        }
        let first = self.first.as_ref();
        try_join_all(self.replicas.iter().map(|replica| replica.keep(first, head))).await.map(drop)
    }

    async fn settle(&self, paths: &MirrorPaths) -> Result<(), Failure> {
        self.fill(paths).await.map(drop)
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        self.first.get(name, version).await
    }

    async fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        self.first.folders(prefix, count_max).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        self.first.list(prefix, listing, next).await
    }

    async fn list_ahead<'a>(
        &'a self,
        prefix: &str,
        listing: Listing,
        next: Option<String>,
    ) -> Result<Arriving<'a>, Failure> {
        self.first.list_ahead(prefix, listing, next).await
    }
}
