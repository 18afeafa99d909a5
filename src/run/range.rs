//! One range while its lease is ours: the follower and the lease's keeper, side by side.

use std::sync::Arc;

use cosmirror_formats::EpkRange;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::container::Container;
use crate::failure::Kind;
use crate::feed::ChangeFeed;
use crate::leases::acquire::Owned;
use crate::leases::keeper::{Keeper, Kept};
use crate::leases::succession::Succession;
use crate::leases::{LeaseStore, mint_lineage};
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::page::Reader;
use crate::mirror::plan::Context;
use crate::mirror::watermark::RangeStateFile;
use crate::mirror::write::Halt;
use crate::mirror::{Follower, Pace};

/// How following a range ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The follower stopped, and why.
    Halted(Halt),
    /// The range was split: its parts have leases of their own, and this one's is gone.
    Split,
}

/// A range that is not followed here any more.
pub(super) struct Ended {
    /// The lease's id.
    pub(super) lease: String,
    /// The range.
    pub(super) range: EpkRange,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// What became of the lease.
    pub(super) kept: Kept,
}

/// Follows a range until the process is to end, the lease is lost or the range is given up.
pub(super) async fn follow(container: Arc<Container>, owned: Owned, range: EpkRange, service_time: i64) -> Ended {
    let shared = container.shared();
    let lease = owned.standing.lease.id.clone();
    if is_giving_way(&container, &lease, &range).await {
        let outcome = give_way(&container, &lease, "its parts were there already").await;
        return Ended { lease, range, outcome, kept: Kept::Released };
    }
    let feed = container.feed();
    let source = feed.container();
    let lineage = mint_lineage(&source.rid, &range);
    let progress = RangeProgress::from_lease(&owned.standing.lease, &lineage, service_time);
    let keeper = Keeper::new(container.leases(), owned, shared.leases.renew_interval, shared.leases.expiration);
    let guard = keeper.guard();
    let (sender, receiver) = watch::channel(progress.clone());
    let mode = container.settings().feed;
    let state_file =
        RangeStateFile::new(Arc::clone(&shared.store), container.paths(), &range, &source.rid, mode, &progress);
    let poll_interval = shared.source.poll_interval;
    let follower = Follower {
        range: range.clone(),
        mode,
        reader: Reader::new(
            container.feed(),
            Arc::clone(&shared.pages),
            Arc::clone(&shared.request_units),
            container.metrics().clone(),
        ),
        writer: container.writer(),
        context: Context {
            paths: container.paths().clone(),
            key: source.key.clone(),
            rid: source.rid.clone(),
            lineage: progress.lineage.clone(),
            after: None,
            backfill_until: None,
        },
        pace: Pace {
            poll_interval,
            // A run that ends when it has caught up has no reason to poll ever more slowly.
            poll_interval_idle_max: if shared.once { poll_interval } else { shared.source.poll_interval_idle_max },
            staleness_margin: i64::try_from(shared.source.staleness_margin.as_secs()).unwrap_or(i64::MAX),
        },
        progress: sender,
        state_file,
        guard,
        drain: shared.drain.clone(),
        observer: container.board(),
    };
    let done = CancellationToken::new();
    let following = async {
        let _ends_keeping = done.clone().drop_guard();
        follower.follow().await
    };
    let (halt, kept) = tokio::join!(following, keeper.keep(receiver, done.clone()));
    let outcome = match halt {
        // Only a lease that was given back with its last position may give way.
        Halt::Failed(failure) if failure.kind == Kind::RangeGone && kept == Kept::Released => {
            give_way(&container, &lease, &failure.to_string()).await
        }
        halt => Outcome::Halted(halt),
    };
    Ended { lease, range, outcome, kept }
}

/// Whether the lease was about to give way when its owner ended.
async fn is_giving_way(container: &Container, lease: &str, range: &EpkRange) -> bool {
    let (leases, feed) = (container.leases(), container.feed());
    succession(container, &leases, feed.as_ref()).is_under_way(lease, range).await.unwrap_or_else(|failure| {
        // Two that follow the same part only do its work twice; the next owner looks again.
        tracing::warn!(lease, error = %failure, "the other leases were not read");
        false
    })
}

/// Puts the leases of its parts in the place of a lease whose range is gone; where that fails, the range rests and it is tried again.
async fn give_way(container: &Container, lease: &str, reason: &str) -> Outcome {
    let (leases, feed) = (container.leases(), container.feed());
    match succession(container, &leases, feed.as_ref()).run(lease).await {
        Ok(parts) => {
            tracing::info!(lease, reason, parts = parts.len(), "the lease gave way to those of its parts");
            Outcome::Split
        }
        Err(failure) => Outcome::Halted(Halt::Failed(failure)),
    }
}

fn succession<'a>(container: &'a Container, leases: &'a LeaseStore, feed: &'a dyn ChangeFeed) -> Succession<'a> {
    let shared = container.shared();
    Succession { leases, feed, store: shared.store.as_ref(), paths: container.paths(), instance: &shared.instance }
}
