//! One range while its lease is ours: the follower and the lease's keeper, side by side.

use std::sync::Arc;

use cosmirror_formats::EpkRange;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::container::Container;
use crate::feed::ChangeFeed as _;
use crate::leases::acquire::Owned;
use crate::leases::keeper::{Keeper, Kept};
use crate::leases::mint_lineage;
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::page::Reader;
use crate::mirror::plan::Context;
use crate::mirror::watermark::RangeStateFile;
use crate::mirror::write::Halt;
use crate::mirror::{Follower, Pace};

/// How following a range ended.
pub(super) struct Ended {
    /// The lease's id.
    pub(super) lease: String,
    /// The range.
    pub(super) range: EpkRange,
    /// Why the follower stopped.
    pub(super) halt: Halt,
    /// What became of the lease.
    pub(super) kept: Kept,
}

/// Follows a range until the process is to end, the lease is lost or the range is given up.
pub(super) async fn follow(container: Arc<Container>, owned: Owned, range: EpkRange, service_time: i64) -> Ended {
    let shared = container.shared();
    let lease = owned.standing.lease.id.clone();
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
    Ended { lease, range, halt, kept }
}
