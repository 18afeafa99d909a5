//! How far behind each range is, seen from outside: leases, feed and service time are read anew, and nothing is asked of the
//! loops that do the work.
//!
//! - [`estimate`]: the arithmetic of an estimate from one entry of the feed;
//! - [`pass`]: one observation of a container, one entry read per range, each read bounded in time;
//! - [`election`]: which of several replicas observes;
//! - [`watch`](mod@watch): the loop that observes again and again for the metrics.
//!
//! What is not known is none, never 0: a range whose feed cannot be read has no pending changes *known*, and the kind of the
//! failure is part of the observation. Lag is service time minus watermark as the leases tell it, so it grows while a range stands
//! still, whatever its loop says. Nothing here writes to leases or mirror; the only write is the elected replica's own document.

use cosmirror_formats::EpkRange;

use crate::failure::Kind;
use crate::mirror::checkpoint::RangeProgress;

pub mod election;
pub mod estimate;
pub mod pass;
pub mod watch;

pub use pass::Subject;

/// What one pass over a container found.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// A lower bound of the service's time when it began, in seconds since 1970.
    pub service_time: i64,
    /// Every lease's range, in the order of their bounds.
    pub ranges: Vec<RangeObservation>,
    /// The parts of the key space that no lease covers.
    pub holes: Vec<EpkRange>,
    /// Request units the pass took.
    pub request_units: f64,
}

/// One lease's range.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeObservation {
    /// The interval of keys.
    pub range: EpkRange,
    /// The lease's id.
    pub lease: String,
    /// Who owns it, or did when its time ran out.
    pub owner: Option<String>,
    /// It has an owner that has not renewed it in time.
    pub expired: bool,
    /// Leases of its parts exist, so it is about to give way; what it says of itself counts for nothing any more.
    pub giving_way: bool,
    /// How far it is, as its lease says.
    pub progress: RangeProgress,
    /// Service time minus the watermark; minus the instant at which following began where there is no watermark yet.
    pub lag_seconds: i64,
    /// Changes that the source holds and the mirror does not; none where that could not be found out.
    pub pending: Option<u64>,
    /// Failures in a row of the owner's reads and writes; none where its owner does not say.
    pub failures: Option<u64>,
    /// The service's time at the owner's last completed step, in seconds since 1970.
    pub progressed: Option<i64>,
    /// Why the observer could not read the range's feed.
    pub feed_failure: Option<Kind>,
}

impl Observation {
    /// The ranges that count: those that do not give way to parts of theirs.
    pub fn counting(&self) -> impl Iterator<Item = &RangeObservation> {
        self.ranges.iter().filter(|range| !range.giving_way)
    }

    /// All pending changes; none while they are not known of a range, or a range lacks a lease.
    pub fn pending(&self) -> Option<u64> {
        let all: Option<u64> = self.counting().map(|range| range.pending).sum();
        all.filter(|_| self.holes.is_empty())
    }

    /// The pending changes of those ranges of which they are known.
    pub fn pending_known(&self) -> u64 {
        self.counting().filter_map(|range| range.pending).sum()
    }

    /// How many leases nobody renews: they are free, or their owners have gone.
    pub fn unowned(&self) -> usize {
        self.counting().filter(|range| range.owner.is_none() || range.expired).count()
    }

    /// The range that is furthest behind.
    pub fn slowest(&self) -> Option<&RangeObservation> {
        self.counting().max_by_key(|range| range.lag_seconds)
    }
}

impl RangeObservation {
    /// Failures in a row, of the owner as it says itself or of the observer's own reads, whichever are more.
    pub fn failures_with(&self, own: u64) -> Option<u64> {
        self.failures.map_or((own > 0).then_some(own), |owners| Some(owners.max(own)))
    }
}
