//! How long looking may take: each look, and all together.

use std::time::Duration;

use tokio::time::Instant;

use crate::failure::{Failure, Kind};

/// For one look. Services answer in milliseconds.
const LOOK: Duration = Duration::from_secs(10);
/// For everything, so that a scheduler that waits a minute gets the report.
const TOGETHER: Duration = Duration::from_secs(45);

/// The end of all looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    end: Instant,
    /// Between the two readings of how much changes.
    pub(super) sample: Duration,
}

impl Bounds {
    /// From now on; `sample` is waiting that was asked for and comes on top.
    pub(super) fn begin(sample: Duration) -> Self {
        Self { end: Instant::now() + TOGETHER + sample, sample }
    }

    /// Runs one look within its time.
    pub(super) async fn look<T>(
        &self,
        what: &str,
        look: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let end = self.end.min(begun + LOOK);
        tokio::time::timeout_at(end, look).await.unwrap_or_else(|_| {
            let seconds = end.saturating_duration_since(begun).as_secs();
            let why =
                if seconds == 0 { "no time was left".to_owned() } else { format!("no answer within {seconds} s") };
            Err(Failure::new(Kind::Transient, format!("could not {what}: {why}"))
                .remedy("check the endpoint, DNS, firewalls and private endpoints between this host and the service"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whatever_hangs_ends_within_a_minute_with_its_name() {
        let begun = Instant::now();
        let bounds = Bounds::begin(Duration::ZERO);
        for look in 0..20 {
            let hanging = std::future::pending::<Result<(), Failure>>();
            let failure = bounds.look("read the sky", hanging).await.unwrap_err();
            let why = if look < 4 { "10 s" } else { "" };
            assert!(failure.message.starts_with("could not read the sky: no ") && failure.message.contains(why));
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}
