//! One range while its lease is ours: the follower and the lease's keeper, side by side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cosmirror_formats::EpkRange;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::container::{Container, Shared};
use super::filling;
use super::reconciling::{Reconciler, WhenReconciled};
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::feed::ChangeFeed;
use crate::leases::LeaseStore;
use crate::leases::acquire::{Owned, give_back};
use crate::leases::adopt::adopt;
use crate::leases::keeper::{Keeper, Kept};
use crate::leases::restart::restart;
use crate::leases::succession::Succession;
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::gap;
use crate::mirror::guard::Guard;
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

/// Follows a range until the process is to end, the lease is lost or asked for, or the range is given up. `under_way` says that the
/// lease was about to give way to its parts when its owner ended.
pub(super) async fn follow(
    container: Arc<Container>,
    mut owned: Owned,
    range: EpkRange,
    under_way: bool,
    hand_over: CancellationToken,
) -> Ended {
    let lease = owned.standing.lease.id.clone();
    if under_way {
        let outcome = give_way(&container, &lease, "its parts were there already").await;
        return Ended { lease, range, outcome, kept: Kept::Released };
    }
    let adopted = adopt(&mut owned.standing, &range, &container.coverage()).await;
    let progress = match adopted {
        Ok(progress) => progress,
        Err(failure) => {
            give_back(&container.leases(), &owned.standing).await;
            let outcome = if failure.kind == Kind::RangeGone {
                give_way(&container, &lease, &failure.to_string()).await
            } else {
                Outcome::Halted(failure.into())
            };
            return Ended { lease, range, outcome, kept: Kept::Released };
        }
    };
    let shared = container.shared();
    let keeper = Keeper::new(container.leases(), shared.owner.clone(), owned, &shared.leases, hand_over.clone());
    let guard = keeper.guard();
    container.progress().saves(&range, guard.saved());
    let (sender, receiver) = watch::channel(progress.clone());
    let stop = shared.drain.child_token();
    let reconciler = Reconciler {
        container: Arc::clone(&container),
        range: range.clone(),
        progress: sender.clone(),
        guard: Arc::clone(&guard),
        done: Arc::new(AtomicBool::new(false)),
    };
    let following = Following {
        container: &container,
        range: &range,
        progress: sender,
        guard,
        reconciled: Arc::clone(&reconciler.done),
        stop: stop.clone(),
        since: Instant::now(),
    };
    let done = CancellationToken::new();
    let following = async {
        let _ends_keeping = done.clone().drop_guard();
        let handed_over = async {
            hand_over.cancelled().await;
            stop.cancel();
            std::future::pending().await
        };
        tokio::select! {
            biased;
            halt = following.run() => halt,
            never = handed_over => never,
        }
    };
    let watch = &shared.admin.watchdog;
    let named = |part: &str| format!("{} range {range} {part}", container.name());
    let (halt, kept, ()) = tokio::join!(
        watch.watch(named("follower"), shared.quiet_max, following),
        watch.watch(named("lease"), shared.quiet_max, keeper.keep(receiver, done.clone())),
        // It may wait for a gap for as long as the container lives.
        watch.watch(named("reconciler"), None, reconciler.run(done.clone())),
    );
    let outcome = match halt {
        // Only a lease that was given back with its last position may give way.
        Halt::Failed(failure) if failure.kind == Kind::RangeGone && kept == Kept::Released => {
            give_way(&container, &lease, &failure.to_string()).await
        }
        halt => Outcome::Halted(halt),
    };
    Ended { lease, range, outcome, kept }
}

/// Following one range, and following it anew where the feed no longer goes back to its position.
struct Following<'a> {
    container: &'a Container,
    range: &'a EpkRange,
    progress: watch::Sender<RangeProgress>,
    guard: Arc<Guard>,
    reconciled: Arc<AtomicBool>,
    stop: CancellationToken,
    /// When the lease was taken, or the range was followed anew: what is there by then may be in the first target alone.
    since: Instant,
}

impl Following<'_> {
    async fn run(mut self) -> Halt {
        loop {
            if let Err(halt) = self.fill_targets().await {
                return halt;
            }
            match self.follower().follow().await {
                Halt::Failed(failure) if failure.kind == Kind::TokenExpired && self.guard.is_open() => {
                    if let Err(failure) = self.start_again(&failure).await {
                        return failure.into();
                    }
                    self.since = Instant::now();
                }
                halt => return halt,
            }
        }
    }

    /// Sees to it that every required target holds what the first one does.
    async fn fill_targets(&self) -> Result<(), Halt> {
        let mut targets = BTreeSet::new();
        if let Some(filling) = self.container.filling() {
            targets = filling.targets();
            let progress = self.progress.borrow().clone();
            let filled = filling.complete(&progress, self.since);
            tokio::pin!(filled);
            loop {
                tokio::select! {
                    biased;
                    () = self.guard.closed() => return Err(Halt::Fenced),
                    () = self.stop.cancelled() => return Err(Halt::Drained),
                    filled = &mut filled => break filled?,
                    () = tokio::time::sleep(filling::SIGN) => self.guard.alive(),
                }
            }
        }
        self.progress.send_modify(|progress| progress.targets = targets);
        Ok(())
    }

    /// Goes on from the present moment, behind a recorded gap.
    async fn start_again(&self, expired: &Failure) -> Result<(), Failure> {
        let (range, known) = (self.range, self.progress.borrow().clone());
        tracing::error!(%range, error = %expired, "the feed no longer goes back to the range's position; following it anew");
        let from = known.first_missing();
        let progress = restart(&self.container.coverage(), range, known, from, gap::TOKEN_EXPIRED).await?;
        self.progress.send_replace(progress);
        crash_point!("followed-anew");
        Ok(())
    }

    fn follower(&self) -> Follower {
        let (container, progress) = (self.container, self.progress.borrow().clone());
        let (shared, feed, mode) = (container.shared(), container.feed(), container.settings().feed);
        let source = feed.container();
        let store = Arc::clone(&shared.store);
        let state_file = RangeStateFile::new(store, container.paths(), self.range, &source.rid, mode, &progress);
        let reconciles = container.reconciling().is_some_and(|reconciling| reconciling.at_once);
        let board = container.board();
        Follower {
            container: container.name(),
            range: self.range.clone(),
            mode,
            reader: Reader::new(
                container.feed(),
                Arc::clone(&shared.bytes),
                Arc::clone(&shared.request_units),
                container.metrics().clone(),
                shared.admin.metrics.flow().throttles_source,
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
            pace: pace(shared),
            progress: self.progress.clone(),
            state_file,
            guard: Arc::clone(&self.guard),
            drain: self.stop.clone(),
            observer: match reconciles {
                true => Arc::new(WhenReconciled { board, done: Arc::clone(&self.reconciled) }),
                false => board,
            },
        }
    }
}

fn pace(shared: &Shared) -> Pace {
    let poll_interval = shared.source.poll_interval;
    Pace {
        poll_interval,
        // A run that ends when it has caught up has no reason to poll ever more slowly.
        poll_interval_idle_max: if shared.once { poll_interval } else { shared.source.poll_interval_idle_max },
        staleness_margin: i64::try_from(shared.source.staleness_margin.as_secs()).unwrap_or(i64::MAX),
    }
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
    Succession { leases, feed, store: shared.store.as_ref(), paths: container.paths(), owner: &shared.owner }
}
