//! The contract's form of a status.

use cosmirror_formats::EpkRange;
use cosmirror_formats::records::Window;
use serde::Serialize;

use crate::config::Container;
use crate::history::instant;
use crate::observer::{Observation, RangeObservation};

/// All containers that were asked about.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) containers: Vec<ContainerView>,
}

/// One container. What is not known is none.
#[derive(Debug, Serialize)]
pub(super) struct ContainerView {
    pub(super) database: String,
    pub(super) container: String,
    pub(super) feed: &'static str,
    pub(super) restorable_from: Option<String>,
    pub(super) restorable_until: Option<String>,
    pub(super) deletes_known_until: Option<String>,
    pub(super) lag_seconds: Option<i64>,
    pub(super) pending_changes: Option<u64>,
    pub(super) gaps: usize,
    pub(super) dead_letters: usize,
    pub(super) ranges: Vec<RangeView>,
    /// Parts of the key space that no lease covers.
    pub(super) holes: Vec<EpkRange>,
    /// Why there is little to tell; none where all is there.
    pub(super) note: Option<String>,
}

/// One lease's range.
#[derive(Debug, Serialize)]
pub(super) struct RangeView {
    pub(super) min: String,
    pub(super) max: String,
    pub(super) lease: String,
    pub(super) owner: Option<String>,
    pub(super) watermark: Option<String>,
    pub(super) lag_seconds: Option<i64>,
    pub(super) pending_changes: Option<u64>,
    pub(super) failures: Option<u64>,
    pub(super) last_progress: Option<String>,
    pub(super) state: &'static str,
    /// The kind of the failure by which the range's feed could not be read just now.
    pub(super) feed_failure: Option<&'static str>,
}

/// What the mirror says of itself.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) window: Window,
    pub(super) gaps: usize,
    pub(super) dead_letters: usize,
}

impl ContainerView {
    /// From what the leases, the feed and the mirror told; no observation where there is no lease container.
    pub(super) fn new(
        container: &Container,
        observed: Option<&Observation>,
        recorded: &Recorded,
        note: Option<String>,
    ) -> Self {
        let holes = observed.map_or_else(|| vec![EpkRange::full()], |seen| seen.holes.clone());
        let whole = holes.is_empty();
        Self {
            database: container.database.clone(),
            container: container.container.clone(),
            feed: container.feed.as_str(),
            restorable_from: recorded.window.from.filter(|_| whole).map(instant),
            restorable_until: recorded.window.until.map(instant),
            deletes_known_until: recorded.window.deletes_until.map(instant),
            lag_seconds: observed.filter(|_| whole).and_then(|seen| Some(seen.slowest()?.lag_seconds)),
            pending_changes: observed.and_then(Observation::pending),
            gaps: recorded.gaps,
            dead_letters: recorded.dead_letters,
            ranges: observed.iter().flat_map(|seen| &seen.ranges).map(RangeView::new).collect(),
            holes,
            note,
        }
    }

    /// The bounds and the lag of the range that makes the container's lag.
    pub(super) fn slowest(&self) -> Option<(EpkRange, i64)> {
        let slowest = self.ranges.iter().find(|range| range.lag_seconds == self.lag_seconds)?;
        Some((EpkRange::new(slowest.min.clone(), slowest.max.clone()), slowest.lag_seconds?))
    }
}

impl RangeView {
    fn new(seen: &RangeObservation) -> Self {
        Self {
            min: seen.range.min.clone(),
            max: seen.range.max.clone(),
            lease: seen.lease.clone(),
            owner: seen.owner.clone(),
            watermark: seen.progress.watermark.map(instant),
            lag_seconds: Some(seen.lag_seconds),
            pending_changes: seen.pending,
            failures: seen.failures_with(seen.feed_failure.is_some().into()),
            last_progress: seen.progressed.map(instant),
            state: match (&seen.owner, seen.expired) {
                (None, _) => "free",
                (Some(_), true) => "expired",
                (Some(_), false) => "owned",
            },
            feed_failure: seen.feed_failure.map(crate::failure::Kind::name),
        }
    }
}
