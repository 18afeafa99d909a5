//! A local directory as version store: every object is a directory, every version one immutable file in it.
//!
//! `<root>/<the object's name>/<sequence number, 20 digits>`; the file's form is in `directory/file.rs`. A version's name
//! is its sequence number, and so is its etag, because a version never changes. Sequence numbers are claimed by
//! `hard_link`, which fails where the name exists: of two writers one wins, also across processes.
//!
//! **Durability**: the bytes are synced before the link, the directories after it, and an answer comes only then. Whoever
//! reports a version it found ([`head`](VersionStore::head), a conflict) syncs its directories first: the writer may have
//! died between link and sync, and the caller will build on what it was told.
//!
//! **After a crash** a file may be left in `<root>/.staging`. It is never listed, and [`prepare`](VersionStore::prepare)
//! removes those older than a day; a process otherwise removes only its own. Versions are removed by a purge alone (`directory/erase.rs`).
//!
//! **Two daemons** that do not share their work never write one mirror: a lock file tells whose it is (`directory/lock.rs`).
//!
//! The file system must tell upper from lower case, have hard links and advisory locks. Anyone who can write to the directory can change
//! history: files are for their owner only (0600, directories 0700).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::lock::Asked;
use super::{Claim, Claimant, Head, Listing, Page, Put, Stored, VersionStore};
use crate::failure::{Failure, Kind};

mod durable;
mod erase;
mod errors;
mod file;
mod lock;
mod names;
mod prepare;
mod put;
mod read;
mod walk;

#[cfg(test)]
mod tests;

/// Most versions on one page of a listing.
const PAGE_ITEMS_MAX: usize = 5_000;
/// How often a lock is asked for that another holds, and how long it is waited in between: its holder may be about to end, or only asking too.
const ASKS_FOR_LOCK_MAX: u32 = 20;
const ASKS_FOR_LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The store; cheap to clone.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    shared: Arc<Shared>,
}

/// What the blocking calls work on.
#[derive(Debug)]
struct Shared {
    root: PathBuf,
    page_items_max: usize,
    synced: durable::Synced,
    staging: put::Staging,
}

impl DirectoryStore {
    /// A store in `root`, which [`prepare`](VersionStore::prepare) makes or checks.
    pub fn new(root: PathBuf) -> Self {
        Self::with_page_items_max(root, PAGE_ITEMS_MAX)
    }

    /// The same with shorter pages of listings.
    pub fn with_page_items_max(root: PathBuf, items: usize) -> Self {
        let staging = put::Staging::new(&root);
        let synced = durable::Synced::new(&root);
        Self { shared: Arc::new(Shared { root, page_items_max: items.clamp(1, PAGE_ITEMS_MAX), synced, staging }) }
    }

    /// File systems know no asynchronous calls: each operation runs on the runtime's threads for blocking work. Dropping
    /// the future lets it finish there, unseen.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || work(&shared)).await.map_err(|error| {
            Failure::new(Kind::Internal, format!("work on the target directory ended early: {error}"))
        })?
    }
}

#[async_trait]
impl VersionStore for DirectoryStore {
    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.blocking(move |shared| shared.prepare(create)).await
    }

    async fn claim(&self, base: &str, claimant: &Claimant) -> Result<Claim, Failure> {
        let mut asks = 1;
        loop {
            let (base, claimant) = (base.to_owned(), claimant.clone());
            match self.blocking(move |shared| shared.ask_for_lock(&base, &claimant)).await? {
                Asked::Granted(file) => return Ok(Claim::of_lock(file)),
                Asked::Taken(path, holder) if asks >= ASKS_FOR_LOCK_MAX => {
                    return Err(lock::held(&path, holder.as_ref()));
                }
                Asked::Taken(..) => {}
            }
            asks += 1;
            tokio::time::sleep(ASKS_FOR_LOCK_PAUSE).await;
        }
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        self.blocking(move |shared| shared.put(put)).await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        let name = name.to_owned();
        self.blocking(move |shared| shared.head(&name)).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.blocking(move |shared| shared.get(&name, version.as_deref())).await
    }

    async fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        let prefix = prefix.to_owned();
        self.blocking(move |shared| shared.folders(&prefix, count_max)).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        let prefix = prefix.to_owned();
        self.blocking(move |shared| shared.list(&prefix, listing, next.as_deref())).await
    }
}

/// A version's head from what its place and its file's first line say.
fn head_of(name: &str, sequence: u64, current: bool, length: u64, metadata: BTreeMap<String, String>) -> Head {
    Head { name: name.to_owned(), version: sequence.to_string(), etag: sequence.to_string(), current, length, metadata }
}
