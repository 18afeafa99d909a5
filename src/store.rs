//! The contract of a version store: where the mirror's blobs live.
//!
//! A store keeps objects by name. Every put of a name makes a new version and leaves the earlier ones readable; nothing here
//! deletes. The contract, held by one suite over every implementation:
//!
//! - **Durable**: when `put` has answered `Ok`, the version survives the loss of this process and of the store's.
//! - **Conditional**: `Absent` stores only where no version is current, `Matches` only where the current version has that
//!   etag; otherwise `Kind::Conflict` and nothing changed. Of several puts with the same condition one succeeds.
//! - **Unknown, not undone**: a put that failed with `Kind::Transient` may have been done. The caller looks (`head`) before it
//!   judges.
//! - **Atomic**: a reader sees a version whole, bytes and metadata together, or not at all.
//! - **Exact**: bytes and metadata values come back as they were put. Metadata names are compared without case. A store that
//!   [encrypts](crate::encryption) gives back what it made of a version's bytes, with metadata that say so.
//! - **Ordered**: listings go by name (bytes ascending), then oldest version first.
//! - **Cancellation**: dropping a future leaves the request's effect unknown, never half done.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::MirrorPaths;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::admin::Protection;
use crate::encryption::Recipients;
use crate::failure::{Failure, Kind};

pub mod azure;
mod claim;
pub mod directory;
mod erase;
mod replicated;

pub use claim::{Claim, Claimant};
pub use erase::{Erased, Eraser, Hold, Left, Shape};
pub use replicated::Replicated;
#[cfg(test)]
pub(crate) use replicated::identity as replicated_identity;

/// What must hold for a put to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No current version.
    Absent,
    /// The current version has this etag.
    Matches(String),
}

/// A version to store.
#[derive(Debug, Clone)]
pub struct Put {
    /// The object's name.
    pub name: String,
    /// The content.
    pub body: Bytes,
    /// The metadata that rides with it.
    pub metadata: BTreeMap<String, String>,
    /// When to do it.
    pub condition: Condition,
}

/// What a successful put made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// For the next conditional put.
    pub etag: String,
    /// The store's name of the version.
    pub version: String,
}

/// One version without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The object's name.
    pub name: String,
    /// The store's name of the version.
    pub version: String,
    /// For a conditional put on it.
    pub etag: String,
    /// Whether it is the newest one.
    pub current: bool,
    /// Length of the content in bytes.
    pub length: u64,
    /// The metadata.
    pub metadata: BTreeMap<String, String>,
}

/// Which versions a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Only current ones.
    Current,
    /// Every one.
    Versions,
}

/// One page of a listing.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Versions in order.
    pub heads: Vec<Head>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

/// A page that says which one comes next while its versions are still being read.
pub struct Arriving<'a> {
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
    /// Versions in order.
    pub heads: BoxFuture<'a, Result<Vec<Head>, Failure>>,
}

impl Arriving<'_> {
    /// A page that is there already.
    pub fn there(page: Page) -> Self {
        Self { next: page.next, heads: std::future::ready(Ok(page.heads)).boxed() }
    }

    /// The page, once its versions have been read.
    pub async fn page(self) -> Result<Page, Failure> {
        Ok(Page { heads: self.heads.await?, next: self.next })
    }
}

/// What is said of a prefix under which there is too much for a mirror.
fn too_many_folders(prefix: &str, count_max: usize) -> Failure {
    Failure::new(Kind::Refused, format!("there are more than {count_max} folders under {prefix:?}"))
        .remedy("name the place of the mirror itself: what is above it is too wide to be searched")
}

/// A place that keeps every version of every object.
#[async_trait]
pub trait VersionStore: Send + Sync + 'static {
    /// Makes the store usable, creating its container if asked to, and proves that it keeps versions. Writes nothing but what
    /// that proof takes. A store that would lose history answers `Kind::Misconfigured` with the remedy.
    async fn prepare(&self, create: bool) -> Result<(), Failure>;

    /// Claims the mirror whose names begin with `base` for one daemon, until the claim is dropped. `Kind::Held` where another daemon has it,
    /// with the remedy. Nothing to do where daemons cannot tell each other apart. A store that wraps another one passes it on.
    async fn claim(&self, _base: &str, _claimant: &Claimant) -> Result<Claim, Failure> {
        Ok(Claim::default())
    }

    /// To whom the content of versions is encrypted before it is put; none where it is put as it came.
    fn recipients(&self) -> Option<&Recipients> {
        None
    }

    /// What protects the versions from being deleted; none where the store has nothing of the kind.
    async fn protection(&self) -> Result<Option<Protection>, Failure> {
        Ok(None)
    }

    /// Stores a version if the condition holds.
    async fn put(&self, put: Put) -> Result<Stored, Failure>;

    /// The current version, if there is one.
    async fn head(&self, name: &str) -> Result<Option<Head>, Failure>;

    /// Makes sure that a current version, which the caller found and takes for stored, stays when another is put over it. Nothing to do where
    /// every put does that.
    async fn keep(&self, _head: &Head) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes sure of the same for all versions and records of a container's mirror, which a reader takes for stored: those that a process left
    /// which died as it put them, and which nobody puts again.
    async fn settle(&self, _paths: &MirrorPaths) -> Result<(), Failure> {
        Ok(())
    }

    /// The content of the current version, or of the one named; none if there is no such name or version.
    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure>;

    /// The folders directly beneath `prefix`, which is empty or ends with a slash: what stands between it and the next slash of longer names, each once, in order.
    /// More than `count_max` is an error. A store that can tell them without listing what they hold does so.
    async fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        let (mut folders, mut next) = (Vec::<String>::new(), None);
        loop {
            let page = self.list(prefix, Listing::Current, next).await?;
            for head in page.heads {
                let folder = head.name.strip_prefix(prefix).and_then(|rest| rest.split_once('/'));
                let Some((folder, _)) = folder.filter(|(folder, _)| folders.last().is_none_or(|last| last != folder))
                else {
                    continue;
                };
                folders.push(folder.to_owned());
                if folders.len() > count_max {
                    return Err(too_many_folders(prefix, count_max));
                }
            }
            next = page.next;
            if next.is_none() {
                folders.sort_unstable();
                return Ok(folders);
            }
        }
    }

    /// One page of the names that begin with `prefix`, from `next` of the page before.
    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure>;

    /// The same as soon as it is known where the next page begins, so that it can be asked for.
    async fn list_ahead<'a>(
        &'a self,
        prefix: &str,
        listing: Listing,
        next: Option<String>,
    ) -> Result<Arriving<'a>, Failure> {
        Ok(Arriving::there(self.list(prefix, listing, next).await?))
    }
}
