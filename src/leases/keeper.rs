//! The one task that writes a lease while it is ours.
//!
//! It saves the checkpoint soon after it moved, renews when nothing moved, and releases at the end. The etag of its last write is
//! the condition of the next. A write whose answer was lost, or that met another etag, is settled by reading the lease:
//! if we are still its owner the keeper goes on from what it read, otherwise the lease is lost and the guard closes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::acquire::Owned;
use super::{LeaseStore, Standing};
use crate::failure::{Action, Failure};
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::guard::Guard;
use crate::retry::Backoff;

/// How long a moved checkpoint may wait to be saved; what a crash can repeat.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a release may take before the lease is left to expire.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps one lease.
pub struct Keeper {
    store: Arc<LeaseStore>,
    instance: String,
    standing: Standing,
    renewed: Instant,
    renew_interval: Duration,
    expiration: Duration,
    guard: Arc<Guard>,
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
    pub fn new(store: Arc<LeaseStore>, owned: Owned, renew_interval: Duration, expiration: Duration) -> Self {
        let guard = Arc::new(Guard::new(Guard::deadline(owned.since, expiration)));
        let instance = owned.standing.lease.owner.clone().unwrap_or_default();
        Self { store, instance, standing: owned.standing, renewed: owned.since, renew_interval, expiration, guard }
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
        let mut next_write = self.renewed + self.renew_interval;
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
            let state = progress.borrow_and_update().clone();
            match self.write(&state, true).await {
                Ok(true) => {
                    backoff = Backoff::default();
                    next_write = self.renewed + self.renew_interval;
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
                match self.write(progress, false).await {
                    Ok(true) => return Kept::Released,
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
        for _ in 0..2 {
            let begun = Instant::now();
            let mut lease = self.standing.lease.clone();
            progress.to_lease(&mut lease);
            lease.owner = keep.then(|| self.instance.clone());
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
                Err(failure) if failure.kind == crate::failure::Kind::NotFound => return Ok(false),
                Err(failure) => return Err(failure),
            }
            match self.store.read(&self.standing.lease.id).await? {
                // Our own write whose answer was lost, or a tool that changed something else.
                Some(standing) if standing.lease.owner.as_deref() == Some(&self.instance) => self.standing = standing,
                Some(standing) if !keep && standing.lease.owner.is_none() => return Ok(true),
                _ => return Ok(false),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
