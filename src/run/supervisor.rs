//! The supervision of one container's ranges: rounds over its leases, a follower for each that is ours, and what happens when one
//! ends.
//!
//! A round takes what is free, asks for what is missing to an equal share, hands over what others ask for, and looks whether the leases
//! still tile the key space. The next one comes after `leases.acquire_interval`, earlier where the first lease of another replica runs
//! out, where one is about to change hands, and after a range has ended; there is a pause on every path. The failure table decides what
//! an ended range means: a lost lease is taken again when it is free, a range that was given up rests and its reason stands in
//! `/readyz`, and a bug ends the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::EpkRange;
use cosmirror_formats::records::RangeState;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::range::{self, Ended, Outcome};
use super::source::SourceWatch;
use super::tiling::Tiling;
use crate::failure::{Action, Failure, Kind};
use crate::feed::PhysicalRange;
use crate::leases::acquire::{Acquirer, Owned, Round, give_back};
use crate::leases::keeper::Kept;
use crate::leases::live::range_state;
use crate::leases::{Standing, range_of, required_range_of, succession};
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::describe;
use crate::mirror::write::Halt;
use crate::retry::{Backoff, jittered};

/// How long a range that was given up rests before it is tried again.
const GIVEN_UP_REST: Duration = Duration::from_secs(30);
/// Shortest pause between two rounds.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// How long what hangs may keep the process from ending. What was to be repaired is repaired after the next start, and leases that a round took
/// run out.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// Pause between rounds while a lease is about to change hands.
const WAITING_PAUSE: Duration = Duration::from_secs(1);

/// The states of all ranges as their leases tell them.
fn states(container: &Container, leases: &[Standing], physical: &[PhysicalRange]) -> Vec<RangeState> {
    let (rid, mode) = (&container.feed().container().rid.clone(), container.settings().feed);
    let state = |standing: &Standing| {
        let range = range_of(&standing.lease, physical)?;
        let progress = RangeProgress::from_lease(&standing.lease, "", standing.written);
        Some(range_state(rid, mode, &range, progress))
    };
    leases.iter().filter_map(state).collect()
}

/// The result of `work`, unless the process has been leaving for as long as it may.
async fn unless_leaving<T>(drain: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let leaving = async {
        drain.cancelled().await;
        tokio::time::sleep(LEAVE_MAX).await;
    };
    tokio::select! {
        biased;
        result = work => Some(result),
        () = leaving => None,
    }
}

/// Supervises one container.
pub(super) struct Supervisor {
    container: Arc<Container>,
    acquirer: Acquirer,
    tiling: Tiling,
    running: FuturesUnordered<JoinHandle<Ended>>,
    /// The leases whose ranges are followed here, each with the token that makes its follower end and hand it over.
    followed: BTreeMap<String, CancellationToken>,
    resting: BTreeMap<String, Instant>,
    /// The ranges that were given up here and that nobody has followed since, by their leases.
    given_up: BTreeMap<String, EpkRange>,
    source: SourceWatch,
    /// The gap that a recreated container left has been looked for since the window opened.
    gaps_closed: bool,
}

impl Supervisor {
    /// A supervisor that follows nothing yet.
    pub(super) fn new(container: Container) -> Self {
        let container = Arc::new(container);
        let shared = container.shared();
        let acquirer = Acquirer::new(shared.owner.clone(), &shared.leases, container.name(), shared.once);
        let (running, tiling) = (FuturesUnordered::new(), Tiling::default());
        let source = SourceWatch::new(&container);
        let (followed, resting, given_up) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { acquirer, tiling, running, followed, resting, given_up, source, gaps_closed: false, container }
    }

    /// Follows the container until the process is to end. An error ends the process.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let drain = self.container.shared().drain.clone();
        let mut result = self.rounds(&drain).await;
        drain.cancel();
        while let Some(ended) = self.running.next().await {
            let ended = self.ended(ended);
            result = result.and(ended);
        }
        if result.is_ok() && tokio::time::timeout(LEAVE_MAX, self.finish()).await.is_err() {
            tracing::warn!("the recorded gaps were not read in time; the next start ends those that are repaired");
        }
        result
    }

    async fn finish(&mut self) {
        self.tiling.finish(&self.container).await;
        let window = *self.container.board().window().borrow();
        // A run that ends as soon as the window is open has not come to this yet.
        if let (Some(until), false) = (window.from, self.gaps_closed) {
            self.close_gaps(until).await;
        }
    }

    async fn rounds(&mut self, drain: &CancellationToken) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut backoff = Backoff::default();
        let mut next_round = begun;
        let mut window = self.container.board().window();
        loop {
            tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(()),
                Some(ended) = self.running.next() => {
                    self.ended(ended)?;
                    next_round = next_round.min(Instant::now() + jittered(PAUSE_MIN * 2));
                }
                until = async { window.wait_for(|w| w.from.is_some()).await.ok().and_then(|w| w.from) }, if !self.gaps_closed => {
                    let closing = self.close_gaps(until.unwrap_or_default());
                    self.gaps_closed = unless_leaving(drain, closing).await.unwrap_or(false);
                    if !self.gaps_closed {
                        tokio::time::sleep(PAUSE_MIN).await;
                    }
                }
                () = tokio::time::sleep_until(next_round) => {
                    let Some(round) = unless_leaving(drain, self.round(begun)).await else { continue };
                    let pause = match round {
                        Ok(pause) => {
                            backoff = Backoff::default();
                            self.container.shared().admin.progress.ready(&self.component("leases"));
                            pause
                        }
                        Err(failure) => self.round_failed(failure, &mut backoff)?,
                    };
                    next_round = Instant::now() + pause.max(PAUSE_MIN);
                }
            }
        }
    }

    async fn close_gaps(&self, until: i64) -> bool {
        match describe::close_gaps(self.container.shared().store.as_ref(), self.container.paths(), until).await {
            Ok(open) => {
                self.container.metrics().gaps.set(open);
                true
            }
            Err(failure) => {
                tracing::warn!(error = %failure, "the recorded gaps were not read; trying again");
                false
            }
        }
    }

    /// One round over the leases; gives the pause until the next one.
    async fn round(&mut self, begun: Instant) -> Result<Duration, Failure> {
        self.resting.retain(|_, until| *until > Instant::now());
        let container = Arc::clone(&self.container);
        let shared = container.shared();
        let (owned, resting): (Vec<&String>, Vec<&String>) =
            (self.followed.keys().collect(), self.resting.keys().collect());
        self.source.look(&container).await?;
        let service_time = container.feed().service_time().await?;
        // Who follows nothing here still tells how far behind the leases are.
        container.progress().service_time(service_time);
        let leases = container.leases();
        let round = self.acquirer.round(&leases, &shared.fleet, &owned, &resting, service_time).await?;
        // Bounds stand in the leases, except in those that old processors wrote.
        let physical = if round.leases.iter().all(|standing| standing.lease.range.is_some()) {
            Vec::new()
        } else {
            container.feed().ranges().await?
        };
        for id in &round.asked_for {
            if let Some(hand_over) = self.followed.get(id).filter(|hand_over| !hand_over.is_cancelled()) {
                tracing::info!(lease = id, "another replica asked for the lease; handing it over");
                hand_over.cancel();
            }
        }
        for id in self.tiling.overlapped(&owned, &round.leases, &physical) {
            if let Some(hand_over) = self.followed.get(&id).filter(|hand_over| !hand_over.is_cancelled()) {
                tracing::warn!(lease = id, "others stand for parts of the lease's range; it gives way to them");
                hand_over.cancel();
            }
        }
        let pause = self.pause(&round);
        container.board().told(states(&container, &round.leases, &physical));
        self.forgive(&round.leases, service_time);
        let Round { taken, leases, held_elsewhere, free, failure, .. } = round;
        for owned in taken {
            match required_range_of(&owned.standing.lease, &physical) {
                Ok(range) => {
                    let id = &owned.standing.lease.id;
                    let under_way = succession::is_under_way(id, &range, &leases, &physical);
                    self.follow(owned, range, under_way);
                }
                Err(failure) => {
                    // Its part of the key space counts as a hole, which is repaired; the lease itself is nobody's to remove.
                    tracing::error!(lease = owned.standing.lease.id, error = %failure, "the lease is left alone");
                    give_back(&container.leases(), &owned.standing).await;
                    self.resting.insert(owned.standing.lease.id, Instant::now() + GIVEN_UP_REST);
                }
            }
        }
        let all_ours = held_elsewhere == 0 && free == 0;
        let all_elsewhere = self.followed.is_empty() && held_elsewhere > 0;
        container.board().expect(all_ours.then_some(self.followed.len()), all_elsewhere);
        let patience = shared.leases.expiration + shared.leases.acquire_interval;
        if shared.once && held_elsewhere > 0 && begun.elapsed() > patience {
            let message = format!("{held_elsewhere} leases are held by another process");
            return Err(Failure::new(Kind::Held, message).remedy("end that process, or leave the work to it"));
        }
        self.tiling.check(&container, &leases, &physical).await?;
        failure.map_or(Ok(pause), Err)
    }

    /// The pause before the next round after one that failed; or the error that ends the process. What is followed goes on.
    fn round_failed(&self, failure: Failure, backoff: &mut Backoff) -> Result<Duration, Failure> {
        let shared = self.container.shared();
        match failure.kind.action() {
            Action::Retry => {
                tracing::warn!(error = %failure, "the leases were not read; trying again");
                Ok(backoff.next(failure.retry_after))
            }
            Action::Look => {
                tracing::info!(error = %failure, "the leases changed under the round; looking again");
                Ok(backoff.next(failure.retry_after))
            }
            Action::GiveUpRange | Action::DeadLetter if !shared.once => {
                tracing::error!(error = %failure, "the leases cannot be worked with for now");
                shared.admin.progress.not_ready(&self.component("leases"), failure.to_string());
                Ok(GIVEN_UP_REST)
            }
            Action::GiveUpRange | Action::DeadLetter | Action::Stop => Err(failure),
        }
    }

    fn pause(&self, round: &Round) -> Duration {
        let mut pause = jittered(self.container.shared().leases.acquire_interval);
        if round.waits {
            pause = pause.min(jittered(WAITING_PAUSE));
        }
        round.next_expiry.map_or(pause, |expiry| pause.min(expiry))
    }

    /// A range that was given up here is another replica's trouble once that one follows it, and nobody's once its lease is gone.
    fn forgive(&mut self, leases: &[Standing], service_time: i64) {
        let shared = self.container.shared();
        let elsewhere = |standing: &Standing| {
            !standing.is_free(service_time, shared.leases.expiration) && !shared.owner.holds(&standing.lease)
        };
        let is_over = |id: &String| leases.iter().find(|standing| standing.lease.id == *id).is_none_or(elsewhere);
        let over: Vec<String> = self.given_up.keys().filter(|id| is_over(id)).cloned().collect();
        for range in over.iter().filter_map(|id| self.given_up.remove(id)).collect::<Vec<_>>() {
            shared.admin.progress.ready(&self.component(&range));
            self.container.board().stopped(&range, false);
        }
    }

    /// Starts to follow the range of a lease that became ours.
    fn follow(&mut self, owned: Owned, range: EpkRange, under_way: bool) {
        let shared = self.container.shared();
        let id = owned.standing.lease.id.clone();
        tracing::info!(lease = id, %range, "following");
        shared.admin.progress.ready(&self.component(&range));
        self.given_up.remove(&id);
        self.container.board().started(&range);
        self.container.metrics().leases_owned.inc();
        let hand_over = CancellationToken::new();
        self.followed.insert(id, hand_over.clone());
        let following = range::follow(Arc::clone(&self.container), owned, range, under_way, hand_over);
        self.running.push(shared.tasks.spawn(Box::pin(following)));
    }

    /// The name in health of a range, or of another part of the container.
    fn component(&self, part: impl std::fmt::Display) -> String {
        format!("{} {part}", self.container.name())
    }

    /// What happens when a range is not followed any more; an error ends the process.
    fn ended(&mut self, ended: Result<Ended, JoinError>) -> Result<(), Failure> {
        let ended =
            ended.map_err(|e| Failure::new(Kind::Internal, format!("following a range ended by a bug: {e}")))?;
        let handed_over = self.followed.remove(&ended.lease).is_some_and(|hand_over| hand_over.is_cancelled());
        self.container.metrics().leases_owned.dec();
        let halt = match ended.outcome {
            Outcome::Halted(halt) => halt,
            Outcome::Split => {
                self.container.board().stopped(&ended.range, false);
                return Ok(());
            }
        };
        self.container.board().stopped(&ended.range, matches!(halt, Halt::Failed(_)));
        if ended.kept == Kept::Lost && !handed_over && !matches!(halt, Halt::Drained) {
            self.container.metrics().leases_lost.inc();
            tracing::warn!(lease = ended.lease, "the lease was lost; another process may have taken it");
        }
        let Halt::Failed(failure) = halt else {
            return Ok(());
        };
        // A split that is under way passes; everything else would not for a run that ends.
        let passes = matches!(failure.kind.action(), Action::Retry | Action::Look) || failure.kind == Kind::RangeGone;
        if failure.kind.action() == Action::Stop || (self.container.shared().once && !passes) {
            return Err(failure);
        }
        tracing::error!(range = %ended.range, error = %failure, "the range was given up for now");
        self.source.suspect();
        self.container.shared().admin.progress.not_ready(&self.component(&ended.range), failure.to_string());
        self.resting.insert(ended.lease.clone(), Instant::now() + GIVEN_UP_REST);
        self.given_up.insert(ended.lease, ended.range);
        Ok(())
    }
}
