//! What ties an owner's follower to its lease: a fence around the follower, and a pulse that the lease's keeper feels.
//!
//! **Fence**: a lease that was last renewed by a request begun at `t` is ours until `t + expiration`. No write may start after
//! that less a margin, on the monotonic clock, so that a write already under way ends before another owner may begin. Losing the
//! lease, or giving up, closes the fence for good.
//!
//! **Pulse**: a follower that makes no step any more must not keep its lease, or nobody would follow the range. Every completed
//! step, failed attempts and waiting for a share of a budget included, is a sign of life; how many attempts failed in a row is
//! told to who watches the lease.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Saved;

/// The part of a lease's time in which writes may start. The rest, 15 s of the usual minute, is longer than a put may take.
const OPEN_PART: f64 = 0.75;
/// The part of a lease's time that a write may take.
const WRITE_PART: f64 = 0.2;
/// A write that may take less than this would fail for its own sake.
const WRITE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const WRITE_TIMEOUT_MAX: Duration = Duration::from_secs(12);

/// Says whether writes may start, and whether anything still happens.
#[derive(Debug)]
pub struct Guard {
    until: Mutex<Instant>,
    closed: CancellationToken,
    pulse: Mutex<Pulse>,
    saved: Saved,
}

/// How a follower does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// When it last showed a sign of life, or will have by its own word.
    pub alive: Instant,
    /// Attempts that failed since the last step.
    pub failures: u32,
    /// The service's time of the last step, in seconds since 1970.
    pub progressed: Option<i64>,
}

impl Guard {
    /// A guard that is open until `until`.
    pub fn new(until: Instant) -> Self {
        let pulse = Pulse { alive: Instant::now(), failures: 0, progressed: None };
        Self {
            until: Mutex::new(until),
            closed: CancellationToken::new(),
            pulse: Mutex::new(pulse),
            saved: Saved::default(),
        }
    }

    /// The last instant at which a write may start, for a renewal that began at `renewed`.
    pub fn deadline(renewed: Instant, expiration: Duration) -> Instant {
        renewed + expiration.mul_f64(OPEN_PART)
    }

    /// How long a write may take so that one begun at the last instant ends before the lease does.
    pub fn write_timeout(expiration: Duration) -> Duration {
        expiration.mul_f64(WRITE_PART).clamp(WRITE_TIMEOUT_MIN, WRITE_TIMEOUT_MAX)
    }

    /// Moves the end forward after a renewal.
    pub fn extend(&self, until: Instant) {
        let mut current = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *current = (*current).max(until);
        self.saved.now();
    }

    /// When the lease was last renewed, and the range's position saved with it.
    pub fn saved(&self) -> Saved {
        self.saved.clone()
    }

    /// Closes for good.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Whether a write may start now.
    pub fn is_open(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.closed.is_cancelled() && Instant::now() < until
    }

    /// Waits until the guard was closed for good.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A step was completed: a page read or confirmed empty, and stored.
    pub fn stepped(&self, service_time: Option<i64>) {
        self.feel(|pulse| {
            pulse.failures = 0;
            pulse.progressed = pulse.progressed.max(service_time);
        });
    }

    /// An attempt failed and another one will be made.
    pub fn failed(&self) {
        self.feel(|pulse| pulse.failures = pulse.failures.saturating_add(1));
    }

    /// Something was done on the way to the next step.
    pub fn alive(&self) {
        self.feel(|_| {});
    }

    /// Nothing will be done for this long, on purpose.
    pub fn rests(&self, pause: Duration) {
        self.feel(|pulse| pulse.alive += pause);
    }

    /// How the follower does.
    pub fn pulse(&self) -> Pulse {
        *self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feel(&self, change: impl FnOnce(&mut Pulse)) {
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        pulse.alive = Instant::now();
        change(&mut pulse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRATION: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_guard_closes_by_time_and_opens_again_by_renewal() {
        let guard = Guard::new(Guard::deadline(Instant::now(), EXPIRATION));
        tokio::time::advance(Duration::from_secs(44)).await;
        assert!(guard.is_open());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!guard.is_open());
        guard.extend(Guard::deadline(Instant::now(), EXPIRATION));
        assert!(guard.is_open());
        guard.close();
        assert!(!guard.is_open());
    }

    #[test]
    fn a_write_begun_at_the_last_instant_ends_before_the_lease() {
        for seconds in [5, 6, 30, 60, 600] {
            let expiration = Duration::from_secs(seconds);
            let margin = expiration - expiration.mul_f64(OPEN_PART);
            assert!(Guard::write_timeout(expiration) < margin, "{expiration:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pulse_counts_failures_in_a_row_and_knows_of_rests() {
        let guard = Guard::new(Instant::now());
        guard.failed();
        guard.failed();
        assert_eq!((guard.pulse().failures, guard.pulse().progressed), (2, None));
        guard.stepped(Some(7));
        assert_eq!((guard.pulse().failures, guard.pulse().progressed), (0, Some(7)));
        tokio::time::advance(EXPIRATION).await;
        assert!(guard.pulse().alive.elapsed() >= EXPIRATION);
        guard.rests(EXPIRATION);
        assert!(guard.pulse().alive > Instant::now());
    }
}
