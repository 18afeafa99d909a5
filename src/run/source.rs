//! A look at the source container now and then: its settings are mirrored, its recreation is noticed, and what the feed keeps is held
//! against how far the mirror is behind.

use std::time::Duration;

use tokio::time::Instant;

use super::container::Container;
use crate::config::{FeedMode, format_duration};
use crate::failure::{Failure, Kind};
use crate::feed::SourceContainer;

/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_mins(5);
/// The part of the feed's retention after which a position that stands still is warned of.
const WARNING_PART: f64 = 0.5;

/// What was seen of the source.
pub(super) struct SourceWatch {
    described: SourceContainer,
    next: Instant,
}

impl SourceWatch {
    /// As it was when the container was prepared.
    pub(super) fn new(container: &Container) -> Self {
        Self { described: container.feed().container().clone(), next: Instant::now() + LOOK_INTERVAL }
    }

    /// Looks as soon as possible: a range has found something missing.
    pub(super) fn suspect(&mut self) {
        self.next = Instant::now();
    }

    /// Looks if it is time. The error ends the process: what it follows is no more, and the next start goes on with what is there now.
    pub(super) async fn look(&mut self, container: &Container) -> Result<(), Failure> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + LOOK_INTERVAL;
        warn_of_retention(container);
        let present = match container.feed().describe().await {
            Ok(present) => present,
            Err(failure) => {
                tracing::warn!(container = container.name(), error = %failure, "the container's settings were not read");
                return Ok(());
            }
        };
        if present.rid != self.described.rid {
            let message = format!("the container {} was removed and created again", container.name());
            let remedy = "start again: the new container is followed under the same names, and a gap is recorded";
            return Err(Failure::new(Kind::Internal, message).remedy(remedy));
        }
        if present.settings != self.described.settings {
            container.describe(&present).await?;
            tracing::info!(container = container.name(), "the container's settings have changed and are mirrored");
            self.described = present;
        }
        Ok(())
    }
}

/// The one outage that cannot be made up for is one that outlasts the feed.
fn warn_of_retention(container: &Container) {
    let retention = container.shared().source.feed_retention;
    if container.settings().feed != FeedMode::AllVersionsAndDeletes {
        return;
    }
    let age = container.progress().token_age_seconds().map(Duration::from_secs_f64).unwrap_or_default();
    if age > retention.mul_f64(WARNING_PART) {
        tracing::error!(
            container = container.name(),
            behind = format_duration(Duration::from_secs(age.as_secs())),
            retention = format_duration(retention),
            "the mirror falls so far behind that the feed will not go back to its position; what leaves the retention is lost"
        );
    }
}
