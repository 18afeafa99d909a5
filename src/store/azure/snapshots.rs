//! History in snapshots, for services that keep no versions: accounts with a hierarchical namespace, and Azurite.
//!
//! A put takes two requests: Put Blob, and Snapshot Blob of exactly what it made. Only then the version is stored; where the second one
//! fails, the put has failed, and it may have been done. What is current without a snapshot, whoever left it so, gets one before anything
//! is put over it, and when a caller takes it for stored ([`keep`](VersionStore::keep)). So of a crash between the two requests nothing is
//! lost, and every put that goes on from there is one more request.
//!
//! **A version's name is its entity tag.** A blob and the snapshots that were taken of it have the same one
//! (<https://learn.microsoft.com/rest/api/storageservices/snapshot-blob>), and it stays when the blob is overwritten. So the blob and
//! its snapshots are one version, however many of them there are, in listings too. A version is read by its snapshot, which
//! takes a listing of its blob.
//!
//! An encryption scope rides with the put alone: that of a request for a snapshot would be for metadata that came with it, and there is none.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;

use self::merge::Merge;
use super::errors::Operation;
use super::listing::Shown;
use super::{AzureAuth, AzureStore, PUT_TIMEOUT, State, heads};
use crate::admin::{Protection, RequestMetrics};
use crate::config::Target;
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::store::{Arriving, Condition, Head, Listing, Page, Put, Stored, VersionStore};

mod merge;

/// Versions of which it is remembered that they have a snapshot, at most twice as many: 32 bytes for each.
const KEPT_MAX: usize = 60_000;
/// How often a version is looked for that loses its place while it is.
const LOOKS_MAX: u32 = 5;

/// The store.
#[derive(Debug)]
pub struct SnapshotStore {
    blobs: AzureStore,
    kept: Mutex<Kept>,
}

impl SnapshotStore {
    /// A store in the container that `settings` name, which counts every request.
    ///
    /// # Errors
    ///
    /// As of [`AzureStore::new`].
    pub fn counting(settings: &Target, credentials: AzureAuth, requests: RequestMetrics) -> Result<Self, Failure> {
        Ok(Self::on(AzureStore::counting(settings, credentials, requests)?))
    }

    /// The same over a store that has its settings.
    #[must_use]
    pub fn on(blobs: AzureStore) -> Self {
        Self { blobs, kept: Mutex::default() }
    }

    /// Takes a snapshot of what has this etag; `Kind::Conflict` where something else is current by now, or nothing.
    async fn snapshot(&self, name: &str, etag: &str) -> Result<(), Failure> {
        self.blobs.take_snapshot(name, etag).await?;
        self.kept().add(name, etag);
        Ok(())
    }

    /// Sees to it that what has this etag has a snapshot. Where it is not current any more, whoever replaced it did that.
    async fn keep_current(&self, name: &str, etag: &str) -> Result<(), Failure> {
        if self.kept().has(name, etag) {
            return Ok(());
        }
        match self.snapshot(name, etag).await {
            Err(failure) if failure.kind == Kind::Conflict => Ok(()),
            done => done,
        }
    }

    async fn put_and_keep(&self, put: Put) -> Result<Stored, Failure> {
        let attempt = self.blobs.attempt(Operation::Put, &put.name);
        heads::check_name(&attempt)?;
        let metadata = heads::checked_metadata(&attempt, put.metadata)?;
        if let Condition::Matches(etag) = &put.condition {
            self.keep_current(&put.name, etag).await?;
        }
        let (etag, _) = self.blobs.store(&attempt, put.body, metadata, &put.condition).await?;
        crash_point!("snapshot-to-take");
        match self.snapshot(&put.name, &etag).await {
            Ok(()) => {}
            // Somebody has put another version over it, and has seen to it first that it stays. Whether that is so, the caller finds out.
            Err(failure) if failure.kind == Kind::Conflict => {
                let message = format!("storing blob {:?}: it was replaced before it had its snapshot", put.name);
                return Err(Failure::new(Kind::Transient, message));
            }
            Err(failure) => return Err(failure),
        }
        Ok(Stored { version: version_of(&etag), etag })
    }

    /// Where a version is: its snapshot, or none where it is the blob itself and has no snapshot; and whether it is current.
    async fn find(&self, name: &str, version: &str) -> Result<Option<(Option<String>, bool)>, Failure> {
        let attempt = self.blobs.attempt(Operation::List, name);
        let (mut next, mut found) = (None, None);
        loop {
            let page = self.blobs.page(&attempt, Shown::Snapshots, next).await?;
            let heads = page.heads.await?;
            // The name is the least of those that begin with it, so what follows another name is not its own.
            let is_through = heads.last().is_some_and(|last| last.name != name);
            for head in heads {
                if head.name == name && version_of(&head.etag) == version {
                    let (snapshot, current) = found.take().unwrap_or((None, false));
                    let own = Some(head.version).filter(|_| !head.current);
                    found = Some((own.or(snapshot), current || head.current));
                }
            }
            next = page.next;
            if next.is_none() || is_through {
                return Ok(found);
            }
        }
    }

    async fn get_version(&self, name: &str, version: &str) -> Result<Option<(Head, Bytes)>, Failure> {
        let attempt = self.blobs.attempt(Operation::Read, name);
        for _ in 0..LOOKS_MAX {
            let Some((snapshot, current)) = self.find(name, version).await? else { return Ok(None) };
            let state = snapshot.as_deref().map(State::Snapshot);
            if let Some((head, body)) = self.blobs.fetch(&attempt, state).await?
                && version_of(&head.etag) == version
            {
                return Ok(Some((Head { current, ..named(head) }, body)));
            }
        }
        Err(Failure::new(Kind::Transient, format!("reading blob {name:?}: it is replaced faster than it can be read")))
    }

    /// A panic while the lock was held leaves whole sets.
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn probe(&self) -> Result<(), Failure> {
        let (etag, version) = self.blobs.put_probe().await?;
        if version.is_some() {
            tracing::warn!(
                "the account keeps versions: with target.history = \"versions\" a change would take one request instead of two, and be stored once"
            );
        }
        match self.snapshot(&self.blobs.probe_name(), &etag).await {
            // Another replica starts.
            Err(failure) if failure.kind == Kind::Conflict => Ok(()),
            done => done,
        }
    }
}

/// The name of the version that has this etag.
fn version_of(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn named(head: Head) -> Head {
    Head { version: version_of(&head.etag), ..head }
}

#[async_trait]
impl VersionStore for SnapshotStore {
    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        match self.probe().await {
            Err(failure) if failure.kind == Kind::NotFound && create => {
                self.blobs.create_container().await?;
                self.probe().await
            }
            proved => proved,
        }
    }

    async fn protection(&self) -> Result<Option<Protection>, Failure> {
        self.blobs.protection().await
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        let name = put.name.clone();
        let done = tokio::time::timeout(PUT_TIMEOUT, self.put_and_keep(put)).await;
        done.unwrap_or_else(|_| Err(self.blobs.attempt(Operation::Put, &name).timed_out(PUT_TIMEOUT)))
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        let attempt = self.blobs.attempt(Operation::Read, name);
        heads::check_name(&attempt)?;
        Ok(self.blobs.look(&attempt).await?.map(named))
    }

    async fn keep(&self, head: &Head) -> Result<(), Failure> {
        self.keep_current(&head.name, &head.etag).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        let attempt = self.blobs.attempt(Operation::Read, name);
        heads::check_name(&attempt)?;
        match version.filter(|version| !version.is_empty()) {
            Some(version) => self.get_version(name, version).await,
            None => Ok(self.blobs.fetch(&attempt, None).await?.map(|(head, body)| (named(head), body))),
        }
    }

    async fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        self.blobs.list_folders(prefix, count_max).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        self.list_ahead(prefix, listing, next).await?.page().await
    }

    async fn list_ahead<'a>(
        &'a self,
        prefix: &str,
        listing: Listing,
        next: Option<String>,
    ) -> Result<Arriving<'a>, Failure> {
        let attempt = self.blobs.attempt(Operation::List, prefix);
        if listing == Listing::Current {
            let page = self.blobs.page(&attempt, Shown::Current, next).await?;
            let heads = page.heads.map(|heads| Ok(heads?.into_iter().map(named).collect()));
            return Ok(Arriving { next: page.next, heads: heads.boxed() });
        }
        let (marker, mut merge) = match next {
            Some(next) => {
                let resumed = Merge::resumed(&next);
                let (marker, merge) = resumed.ok_or_else(|| attempt.malformed("its marker is not one of ours"))?;
                (Some(marker), merge)
            }
            None => (None, Merge::default()),
        };
        let page = self.blobs.page(&attempt, Shown::Snapshots, marker).await?;
        let mut heads = Vec::new();
        for head in page.heads.await? {
            heads.extend(merge.add(head));
        }
        let next = match page.next {
            Some(marker) => Some(merge.paused(marker)),
            None => {
                heads.extend(merge.end());
                None
            }
        };
        let heads = heads.into_iter().map(named).collect();
        Ok(Arriving::there(Page { heads, next }))
    }
}

/// The versions that are known to have a snapshot: the last ones, by hashes of 128 bits. What is forgotten gets one more snapshot.
#[derive(Debug, Default)]
struct Kept {
    hashers: [RandomState; 2],
    young: HashSet<[u64; 2]>,
    old: HashSet<[u64; 2]>,
}

impl Kept {
    fn add(&mut self, name: &str, etag: &str) {
        if self.young.len() >= KEPT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        let hash = self.hash(name, etag);
        self.young.insert(hash);
    }

    fn has(&self, name: &str, etag: &str) -> bool {
        let hash = self.hash(name, etag);
        self.young.contains(&hash) || self.old.contains(&hash)
    }

    fn hash(&self, name: &str, etag: &str) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one((name, etag)))
    }
}
