//! Creating the leases of a container, once, by one replica; and proving at each start that they can be worked with.
//!
//! The marker says that all leases are there. Until it is there, what is missing is created under the lock; a crash in the middle
//! leaves a lock and some leases, and the next replica creates the rest. Once it is there, a missing lease is a hole in
//! history, and [`coverage`](super::coverage) repairs it.

use cosmirror_formats::{EpkRange, Lease};
use serde_json::{Map, json};

use super::coverage::{Coverage, holes, twins};
use super::lock::Lock;
use super::parts::{self, cut};
use super::{LeaseStore, mint_lineage, mode_field, new_lease};
use crate::config::{FeedMode, Start};
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, Position};
use crate::mirror::checkpoint::{Backfill, RangeProgress, lsn_of};

const MARKER: &str = "info";
const PROBE: &str = "probe";
/// How often ranges may split while the first leases are created.
const SPLITS_MAX: usize = 20;
/// Seconds after which the service may remove a probe that a crash left.
const PROBE_TTL: i64 = 60;

/// Makes sure that there are leases for the whole key space, all of the configured mode, and that they can be removed.
pub async fn bootstrap(coverage: &Coverage<'_>) -> Result<(), Failure> {
    let leases = coverage.leases;
    prove_permissions(leases).await?;
    if leases.note(MARKER).await?.is_none() {
        let lock = Lock::wait(leases, coverage.feed).await?;
        crash_point!("lock-taken");
        let created = create_first(coverage).await;
        lock.release_after(created).await?;
    }
    let physical = coverage.feed.ranges().await?;
    let there = leases.list().await?;
    if !holes(&there, &physical).is_empty() || !twins(&there, &physical).is_empty() {
        coverage.repair().await?;
    }
    require_mode(coverage).await
}

/// Leases are removed when their ranges split, possibly at night; a permission that lacks is found now.
async fn prove_permissions(leases: &LeaseStore) -> Result<(), Failure> {
    let fields = Map::from_iter([("ttl".to_owned(), json!(PROBE_TTL))]);
    let etag = match leases.create_note(PROBE, &fields).await? {
        Some(etag) => Some(etag),
        // Another replica probes at this moment, or one died while it did.
        None => leases.note(PROBE).await?.map(|note| note.etag),
    };
    let Some(etag) = etag else { return Ok(()) };
    crash_point!("probe-created");
    match leases.delete_note(PROBE, &etag).await {
        Err(failure) if failure.kind == Kind::Unauthorized => {
            let message = format!("documents of the lease container cannot be deleted: {}", failure.message);
            Err(Failure::new(Kind::Unauthorized, message).remedy(
                "let the identity of source.auth create, replace and delete items of the lease container \
                 (data actions Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/*)",
            ))
        }
        done => done.map(drop),
    }
}

async fn create_first(coverage: &Coverage<'_>) -> Result<(), Failure> {
    for _ in 0..SPLITS_MAX {
        match create_missing(coverage).await {
            // A range was split while its lease was made; what is there stays, and the rest is cut otherwise.
            Err(failure) if failure.kind == Kind::RangeGone => tracing::info!(reason = %failure, "looking again"),
            Err(failure) => return Err(failure),
            Ok(()) => {
                crash_point!("marker-to-create");
                coverage.leases.create_note(MARKER, &Map::new()).await?;
                crash_point!("marker-created");
                return Ok(());
            }
        }
    }
    Err(Failure::new(Kind::Transient, "the container's ranges keep being split while their leases are created"))
}

async fn create_missing(coverage: &Coverage<'_>) -> Result<(), Failure> {
    let physical = coverage.feed.ranges().await?;
    let holes = holes(&coverage.leases.list().await?, &physical);
    let mode = coverage.settings.feed;
    for part in cut(&holes, &physical) {
        let progress = first_progress(coverage.feed, mode, &coverage.settings.start, &part.range).await?;
        let like = new_lease(coverage.leases.prefix(), part.within, mode_field(mode), &progress);
        parts::create(coverage.leases, &part.lease(coverage.leases.prefix(), &like)).await?;
        crash_point!("first-lease-created");
    }
    Ok(())
}

/// Where a new lease begins. In all-versions mode it holds its token from its first day, because the service keeps no beginning to
/// go back to; what existed before is read by a backfill up to that point.
pub(super) async fn first_progress(
    feed: &dyn ChangeFeed,
    mode: FeedMode,
    start: &Start,
    range: &EpkRange,
) -> Result<RangeProgress, Failure> {
    let mut progress =
        RangeProgress::new(mint_lineage(&feed.container().rid, range), feed.service_time().await?, start.clone());
    if mode == FeedMode::AllVersionsAndDeletes {
        let now = feed.read(range, mode, &Position::Now, 1).await?;
        if *start == Start::Beginning {
            progress.backfill = Some(Backfill { token: None, now_lsn: require_lsn(&now.token)? });
        }
        progress.position = Some(now.token);
    }
    Ok(progress)
}

/// The LSN of a position, which every one has.
pub(super) fn require_lsn(token: &str) -> Result<u64, Failure> {
    lsn_of(token).ok_or_else(|| Failure::new(Kind::Internal, format!("the position {token} of the feed holds no LSN")))
}

async fn require_mode(coverage: &Coverage<'_>) -> Result<(), Failure> {
    let mode = coverage.settings.feed;
    let leases = coverage.leases.list().await?;
    // Ours are switched when they are taken.
    let foreign = |lease: &Lease| !RangeProgress::is_in(lease);
    let other = |lease: &Lease| lease.is_all_versions() != (mode == FeedMode::AllVersionsAndDeletes);
    match leases.iter().find(|standing| foreign(&standing.lease) && other(&standing.lease)) {
        None => Ok(()),
        Some(other) => Err(Failure::new(
            Kind::Misconfigured,
            format!("the lease {:?} of another processor follows another feed mode than {:?}", other.lease.id, mode.as_str()),
        )
        .remedy("a lease's position belongs to its mode: set the container's feed to it, or give leases.processor a new name")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::documents::Documents;
    use crate::history::memory::{Fault, MemoryDocuments};
    use crate::time::HostClock;

    fn leases() -> (Arc<MemoryDocuments>, LeaseStore) {
        let documents = Arc::new(MemoryDocuments::default());
        let shared = Arc::clone(&documents) as Arc<dyn Documents>;
        let store = LeaseStore::new(shared, "prefix".to_owned(), &["/id".to_owned()], HostClock::default());
        (documents, store.unwrap())
    }

    #[tokio::test]
    async fn an_identity_that_cannot_delete_leases_is_found_at_the_start_with_the_way_out() {
        let (documents, leases) = leases();
        documents.order(Fault::None);
        documents.order(Fault::Fails(Kind::Unauthorized));
        let failure = prove_permissions(&leases).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Unauthorized);
        assert!(failure.message.contains("cannot be deleted") && failure.remedy.contains("items/*"), "{failure}");
    }

    #[tokio::test]
    async fn a_probe_proves_the_permissions_and_leaves_nothing_behind() {
        let (documents, leases) = leases();
        prove_permissions(&leases).await.unwrap();
        assert_eq!((documents.writes(), leases.note(PROBE).await.unwrap().is_none()), (2, true));
        // One that a crash left is removed.
        leases.create_note(PROBE, &Map::new()).await.unwrap();
        prove_permissions(&leases).await.unwrap();
        assert!(leases.note(PROBE).await.unwrap().is_none());
    }
}
