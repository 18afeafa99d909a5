//! The contract's form of a status, for the command and the daemon's `/status`.

use cosmirror_formats::EpkRange;
use cosmirror_formats::records::{ContainerRecord, RangeState, Window};
use cosmirror_formats::rehearsal::Rehearsal;
use serde::Serialize;

use crate::config::Container;
use crate::history::instant;
use crate::observer::{Observation, RangeObservation};

/// All containers that were asked about.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) containers: Vec<ContainerView>,
}

/// One container. What is not known is none.
#[derive(Debug, Serialize)]
pub(crate) struct ContainerView {
    pub(crate) database: String,
    pub(crate) container: String,
    pub(crate) feed: &'static str,
    pub(crate) restorable_from: Option<String>,
    pub(crate) restorable_until: Option<String>,
    pub(crate) deletes_known_until: Option<String>,
    pub(crate) lag_seconds: Option<i64>,
    pub(crate) pending_changes: Option<u64>,
    pub(crate) gaps: Option<usize>,
    pub(crate) dead_letters: Option<usize>,
    /// When the mirror first saw each life of the container but the first, oldest first; none where that was not read.
    pub(crate) recreated: Option<Vec<String>>,
    /// The last rehearsal; none where there was none, or it was not read.
    pub(crate) rehearsal: Option<RehearsalView>,
    pub(crate) ranges: Vec<RangeView>,
    /// Parts of the key space that no lease covers.
    pub(crate) holes: Vec<EpkRange>,
    /// Why there is little to tell; none where all is there.
    pub(crate) note: Option<String>,
}

/// The last rehearsal.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RehearsalView {
    pub(crate) state: &'static str,
    pub(crate) by: String,
    pub(crate) began: String,
    pub(crate) ended: Option<String>,
    /// When the last one ended well.
    pub(crate) succeeded: Option<String>,
    pub(crate) instant: Option<String>,
    pub(crate) sample_per_million: u32,
    pub(crate) documents: u64,
    /// Documents that were not restored as they should be.
    pub(crate) wrong: u64,
    /// Measured.
    pub(crate) rto_seconds: f64,
    /// Extrapolated for all documents.
    pub(crate) rto_seconds_all: Option<f64>,
}

impl From<Rehearsal> for RehearsalView {
    fn from(rehearsal: Rehearsal) -> Self {
        Self {
            state: rehearsal.state.as_str(),
            by: rehearsal.by,
            began: instant(rehearsal.began),
            ended: rehearsal.ended.map(instant),
            succeeded: rehearsal.succeeded.map(instant),
            instant: rehearsal.instant.map(instant),
            sample_per_million: rehearsal.sample_per_million,
            documents: rehearsal.counts.documents,
            wrong: rehearsal.counts.wrong() + rehearsal.counts.failed,
            rto_seconds: rehearsal.took.rto_seconds,
            rto_seconds_all: rehearsal.took.rto_seconds_all,
        }
    }
}

/// One lease's range.
#[derive(Debug, Serialize)]
pub(crate) struct RangeView {
    pub(crate) min: String,
    pub(crate) max: String,
    /// The lease's id; none where a process tells of its own range alone.
    pub(crate) lease: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) watermark: Option<String>,
    pub(crate) lag_seconds: Option<i64>,
    pub(crate) pending_changes: Option<u64>,
    pub(crate) failures: Option<u64>,
    pub(crate) last_progress: Option<String>,
    pub(crate) state: &'static str,
    /// The kind of the failure by which the range's feed could not be read just now.
    pub(crate) feed_failure: Option<&'static str>,
}

/// What the mirror says of itself. What could not be read of it is none.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) window: Window,
    pub(crate) gaps: Option<usize>,
    pub(crate) dead_letters: Option<usize>,
    /// See [`ContainerView::recreated`].
    pub(crate) recreated: Option<Vec<String>>,
    pub(crate) rehearsal: Option<RehearsalView>,
}

impl ContainerView {
    /// From what the leases, the feed and the mirror told; no observation where there is no lease container.
    pub(crate) fn new(
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
            recreated: recorded.recreated.clone(),
            rehearsal: recorded.rehearsal.clone(),
            ranges: observed.iter().flat_map(|seen| &seen.ranges).map(RangeView::new).collect(),
            holes,
            note,
        }
    }

    /// From the mirror's own records alone: who follows it, and how far behind it is, only the source could tell.
    pub(crate) fn of_mirror(container: &Container, states: &[RangeState], recorded: &Recorded) -> Self {
        let standing: Vec<&RangeState> = states.iter().filter(|state| state.superseded_by.is_empty()).collect();
        let ranges: Vec<EpkRange> = standing.iter().map(|state| state.range.clone()).collect();
        let note = Some("source and leases: not asked; all of this is what the mirror says of itself".to_owned());
        Self {
            restorable_from: recorded.window.from.map(instant),
            ranges: standing.into_iter().map(RangeView::recorded).collect(),
            holes: cosmirror_formats::lease::uncovered(&ranges),
            ..Self::new(container, None, recorded, note)
        }
    }

    /// The bounds and the lag of the range that makes the container's lag.
    pub(crate) fn slowest(&self) -> Option<(EpkRange, i64)> {
        let slowest = self.ranges.iter().find(|range| range.lag_seconds == self.lag_seconds)?;
        Some((EpkRange::new(slowest.min.clone(), slowest.max.clone()), slowest.lag_seconds?))
    }
}

/// When a container was created anew, as its mirror says.
pub(crate) fn recreated(record: &ContainerRecord) -> Vec<String> {
    record.generations.iter().skip(1).map(|generation| instant(generation.since)).collect()
}

impl RangeView {
    /// From the mirror's own record.
    fn recorded(state: &RangeState) -> Self {
        Self {
            min: state.range.min.clone(),
            max: state.range.max.clone(),
            lease: None,
            owner: None,
            watermark: state.watermark.map(instant),
            lag_seconds: None,
            pending_changes: None,
            failures: None,
            last_progress: None,
            state: "unknown",
            feed_failure: None,
        }
    }

    pub(crate) fn new(seen: &RangeObservation) -> Self {
        Self {
            min: seen.range.min.clone(),
            max: seen.range.max.clone(),
            lease: Some(seen.lease.clone()),
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
