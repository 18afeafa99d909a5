//! The one task that writes a lease while it is ours.
//!
//! It saves the checkpoint soon after it moved, renews when nothing moved, and releases at the end. The etag of its last write is
//! the condition of the next. A write whose answer was lost, or that met another etag, is settled by reading the lease:
//! if we are still its owner the keeper goes on from what it read, otherwise the lease is lost and the guard closes. What it met
//! may be another replica's wish for the lease: then the follower is asked to end, and the lease is released with its last
//! position.
//!
//! Renewal is tied to progress: a follower that shows no sign of life for as long as a lease lives is not kept alive by its keeper.
//! The lease runs out, the guard closes, and another replica goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::acquire::Owned;
use super::owner::Owner;
use super::{LeaseStore, Standing};
use crate::config;
use crate::crash::crash_point;
use crate::failure::{Action, Failure, Kind};
use crate::mirror::checkpoint::{RangeProgress, pulse_to_lease};
use crate::mirror::guard::Guard;
use crate::retry::{Backoff, jittered};
use crate::traces;

/// How long a moved checkpoint may wait to be saved; what a crash can repeat.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a release may take before the lease is left to expire.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts of one write that meets others' writes.
const ATTEMPTS_MAX: u32 = 4;
/// Pause between two looks at a follower that hangs.
const LIFE_POLL: Duration = Duration::from_secs(1);

/// Keeps one lease.
pub struct Keeper {
    store: Arc<LeaseStore>,
    owner: Owner,
    standing: Standing,
    renewed: Instant,
    renew_interval: Duration,
    expiration: Duration,
    guard: Arc<Guard>,
    hand_over: CancellationToken,
}

/// How keeping ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// The lease was released; another replica may take it at once.
    Released,
    /// The lease is another's, or gone.
    Lost,
}

impl Keeper {
    /// Keeps a lease that was taken, with the guard that its follower obeys.
    /// `hand_over` is cancelled when another replica is to have the lease: the follower should end.
    pub fn new(
        store: Arc<LeaseStore>,
        owner: Owner,
        owned: Owned,
        settings: &config::Leases,
        hand_over: CancellationToken,
    ) -> Self {
        let (renew_interval, expiration) = (settings.renew_interval, settings.expiration);
        let guard = Arc::new(Guard::new(Guard::deadline(owned.since, expiration)));
        let (standing, renewed) = (owned.standing, owned.since);
        Self { store, owner, standing, renewed, renew_interval, expiration, guard, hand_over }
    }

    /// The fence that this lease opens.
    pub fn guard(&self) -> Arc<Guard> {
        Arc::clone(&self.guard)
    }

    /// The lease as it stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Keeps the lease until `done`, which is cancelled when its follower has ended; then saves and releases it.
    pub async fn keep(mut self, mut progress: watch::Receiver<RangeProgress>, done: CancellationToken) -> Kept {
        let mut backoff = Backoff::default();
        let mut next_write = self.next_renewal();
        while !done.is_cancelled() {
            tokio::select! {
                biased;
                () = done.cancelled() => break,
                () = tokio::time::sleep_until(next_write) => {}
                changed = progress.changed() => {
                    if changed.is_ok() {
                        if !self.has_moved(&progress.borrow_and_update()) {
                            continue;
                        }
                        next_write = next_write.min(self.renewed + CHECKPOINT_INTERVAL.min(self.renew_interval));
                        if Instant::now() < next_write {
                            continue;
                        }
                    }
                }
            }
            if self.guard.pulse().alive + self.expiration <= Instant::now() {
                self.wait_for_life(&done).await;
                next_write = Instant::now();
                continue;
            }
            let state = progress.borrow_and_update().clone();
            crash_point!("lease-to-renew");
            let span = if self.has_moved(&state) { traces::checkpoint(&self.standing.lease.id) } else { Span::none() };
            let written = self.write(&state, true).instrument(span.clone()).await;
            match traces::failed(&span, written) {
                Ok(true) => {
                    crash_point!("lease-renewed");
                    backoff = Backoff::default();
                    next_write = self.next_renewal();
                }
                Ok(false) => return self.lost(),
                Err(failure) if failure.kind.action() == Action::Retry => {
                    tracing::warn!(lease = self.standing.lease.id, error = %failure, "the lease was not renewed; trying again");
                    next_write = Instant::now() + backoff.next(failure.retry_after);
                }
                Err(failure) => {
                    tracing::error!(lease = self.standing.lease.id, error = %failure, "the lease cannot be renewed");
                    return self.lost();
                }
            }
        }
        let last = progress.borrow().clone();
        self.release(&last).await
    }

    /// Renewals of many leases should not come at the same moment.
    fn next_renewal(&self) -> Instant {
        self.renewed + jittered(self.renew_interval)
    }

    /// Leaves the lease to itself until its follower shows a sign of life or has ended. If that takes long, the lease has run out by
    /// then, and the next write tells whether it is still ours.
    async fn wait_for_life(&self, done: &CancellationToken) {
        tracing::error!(
            lease = self.standing.lease.id,
            "the range's follower makes no step any more; its lease is left to run out, so that another replica takes it"
        );
        let hung = self.guard.pulse().alive;
        while self.guard.pulse().alive == hung {
            tokio::select! {
                biased;
                () = done.cancelled() => return,
                () = tokio::time::sleep(LIFE_POLL) => {}
            }
        }
    }

    /// Whether more than the watermark is new. A watermark alone, which moves with every poll, waits for the next renewal.
    fn has_moved(&self, progress: &RangeProgress) -> bool {
        let saved = RangeProgress::from_lease(&self.standing.lease, &progress.lineage, progress.since);
        RangeProgress { watermark: None, ..saved } != RangeProgress { watermark: None, ..progress.clone() }
    }

    fn lost(&self) -> Kept {
        self.guard.close();
        Kept::Lost
    }

    async fn release(mut self, progress: &RangeProgress) -> Kept {
        let mut backoff = Backoff::default();
        let release = async {
            loop {
                crash_point!("lease-to-release");
                match self.write(progress, false).await {
                    Ok(true) => {
                        crash_point!("lease-released");
                        return Kept::Released;
                    }
                    Ok(false) => return Kept::Lost,
                    Err(failure) => {
                        tracing::warn!(lease = self.standing.lease.id, error = %failure, "the lease was not released; trying again");
                        tokio::time::sleep(backoff.next(failure.retry_after)).await;
                    }
                }
            }
        };
        let released = tokio::time::timeout(RELEASE_TIMEOUT, release).await;
        self.guard.close();
        released.unwrap_or(Kept::Lost)
    }

    /// Writes the state, keeping the lease or giving it back; false if it is not ours any more.
    async fn write(&mut self, progress: &RangeProgress, keep: bool) -> Result<bool, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let begun = Instant::now();
            let mut lease = self.standing.lease.clone();
            progress.to_lease(&mut lease);
            pulse_to_lease(&self.guard.pulse(), &mut lease);
            self.owner.renew(&mut lease);
            if !keep {
                Owner::unmark(&mut lease);
            }
            self.store.stamp(&mut lease);
            match self.store.replace(&lease, &self.standing.etag).await {
                Ok(etag) => {
                    self.standing.etag = etag;
                    self.standing.lease = lease;
                    self.renewed = begun;
                    self.guard.extend(Guard::deadline(begun, self.expiration));
                    return Ok(true);
                }
                Err(failure) if failure.kind.action() == Action::Look => {}
                Err(failure) if failure.kind == Kind::NotFound => return Ok(false),
                Err(failure) => return Err(failure),
            }
            match self.store.read(&self.standing.lease.id).await? {
                // Our own write whose answer was lost, or a tool that changed something else.
                Some(standing) if self.owner.holds(&standing.lease) => {
                    if self.owner.is_asked_for(&standing.lease) {
                        self.hand_over.cancel();
                    }
                    self.standing = standing;
                }
                Some(standing) if !keep && standing.lease.owner.is_none() => return Ok(true),
                _ => return Ok(false),
            }
        }
        let message = format!("the lease {:?} keeps being changed by others", self.standing.lease.id);
        Err(Failure::new(Kind::Transient, message))
    }
}

#[cfg(test)]
mod tests;
