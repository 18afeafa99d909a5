//! The fence around an owner whose lease may have run out.
//!
//! A lease that was last renewed by a request begun at `t` is ours until `t + expiration`. No write may start after that less
//! a margin, on the monotonic clock, so that a write already under way ends before another owner may begin. Losing the
//! lease, or giving up, closes the fence for good.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The part of a lease's time in which writes may start. The rest, 15 s of the usual minute, is longer than a put may take.
const OPEN_PART: f64 = 0.75;

/// Says whether writes may start.
#[derive(Debug)]
pub struct Guard {
    until: Mutex<Instant>,
    closed: CancellationToken,
}

impl Guard {
    /// A guard that is open until `until`.
    pub fn new(until: Instant) -> Self {
        Self { until: Mutex::new(until), closed: CancellationToken::new() }
    }

    /// The last instant at which a write may start, for a renewal that began at `renewed`.
    pub fn deadline(renewed: Instant, expiration: Duration) -> Instant {
        renewed + expiration.mul_f64(OPEN_PART)
    }

    /// Moves the end forward after a renewal.
    pub fn extend(&self, until: Instant) {
        let mut current = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *current = (*current).max(until);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guard_closes_by_time_and_opens_again_by_renewal() {
        let expiration = Duration::from_secs(60);
        let guard = Guard::new(Guard::deadline(Instant::now(), expiration));
        tokio::time::advance(Duration::from_secs(44)).await;
        assert!(guard.is_open());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!guard.is_open());
        guard.extend(Guard::deadline(Instant::now(), expiration));
        assert!(guard.is_open());
        guard.close();
        assert!(!guard.is_open());
    }
}
