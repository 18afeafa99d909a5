//! Pauses between attempts: exponential with jitter, never shorter than the service asked for, without a limit in number.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

mod patience;

pub use patience::persist;

/// Shortest pause.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause of our own choosing; the service may ask for more.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Longest pause a service is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// The pauses of one piece of work.
pub struct Backoff {
    pauses: ExponentialBackoff,
}

impl Default for Backoff {
    fn default() -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .with_jitter()
            .without_max_times();
        Self { pauses: builder.build() }
    }
}

impl Backoff {
    /// The next pause.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let own = self.pauses.next().unwrap_or(PAUSE_MAX);
        own.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }
}

/// A pause of up to this length, at least three quarters of it, so that what many do at intervals is spread out.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + 0.25 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_never_end() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..200).map(|_| backoff.next(None)).collect();
        assert!(pauses.iter().all(|p| *p >= PAUSE_MIN && *p <= PAUSE_MAX * 2));
        assert!(pauses[199] >= PAUSE_MAX);
    }

    #[test]
    fn the_services_wish_is_respected_within_reason() {
        assert!(Backoff::default().next(Some(Duration::from_secs(60))) >= Duration::from_secs(60));
        assert!(Backoff::default().next(Some(Duration::from_secs(86_400))) <= RETRY_AFTER_MAX);
    }
}
