//! Leases tile the key space: checked at every start and in every round, and repaired.
//!
//! A **hole** is a range without a lease, because somebody removed it. The mirror knows until when the range was complete; from there
//! on a gap is recorded, then the lease is created again: in all-versions mode from the present moment with a backfill of what
//! exists, in latest-version mode from the beginning. When that has been read, the gap ends. **Twins** are two leases of the same
//! range; following both would be two owners of one range, so the one that is further ahead is removed, and what lies between is
//! read again and recognised. Both are done under the lock, on a list that was read under it.
//!
//! A crash leaves a gap without its lease, and the next check goes on with the same gap; or a lease whose state in the mirror is yet
//! to be handed on, which the next hand-over does.

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::records::{ContainerRecord, RangeState};
use cosmirror_formats::{EpkRange, MirrorPaths};

use super::bootstrap::first_progress;
use super::lock::Lock;
use super::parts::{self, Part, cut};
use super::{LeaseStore, Standing, mode_field, new_lease, range_of};
use crate::config::{self, FeedMode};
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, PhysicalRange};
use crate::mirror::checkpoint::{RangeProgress, lsn_of};
use crate::mirror::gap;
use crate::records;
use crate::store::{Condition, VersionStore};

/// Range states read at once; physical partitions number in the hundreds at most.
const STATES_MAX: usize = 100_000;

/// What the leases of one container are held to.
pub struct Coverage<'a> {
    /// The leases.
    pub leases: &'a LeaseStore,
    /// The container's feed.
    pub feed: &'a dyn ChangeFeed,
    /// The mirror.
    pub store: &'a dyn VersionStore,
    /// The container's names in it.
    pub paths: &'a MirrorPaths,
    /// The container's settings.
    pub settings: &'a config::Container,
}

/// The ranges without a lease.
pub fn holes(leases: &[Standing], physical: &[PhysicalRange]) -> Vec<EpkRange> {
    let ranges: Vec<EpkRange> = leases.iter().filter_map(|standing| range_of(&standing.lease, physical)).collect();
    uncovered(&ranges)
}

/// Of leases for the same range, those that are one too many. The one that is furthest behind stays.
pub fn twins<'a>(leases: &'a [Standing], physical: &[PhysicalRange]) -> Vec<&'a Standing> {
    let mut by_range: std::collections::BTreeMap<EpkRange, Vec<&Standing>> = std::collections::BTreeMap::new();
    for standing in leases {
        if let Some(range) = range_of(&standing.lease, physical) {
            by_range.entry(range).or_default().push(standing);
        }
    }
    let mut surplus = Vec::new();
    for mut same in by_range.into_values() {
        same.sort_by_key(|standing| behind(standing));
        surplus.extend(same.into_iter().skip(1));
    }
    surplus
}

/// Sorts first what has more left to read.
fn behind(standing: &Standing) -> (bool, Option<u64>, String) {
    let progress = RangeProgress::from_lease(&standing.lease, "", 0);
    let position = progress.position.as_deref().and_then(lsn_of);
    (progress.backfilled.is_some() && progress.backfill.is_none(), position, standing.lease.id.clone())
}

impl Coverage<'_> {
    /// Creates what is missing and removes what is there twice. Gives how many holes there were.
    pub async fn repair(&self) -> Result<usize, Failure> {
        let lock = Lock::wait(self.leases, self.feed).await?;
        let repaired = self.repair_under_lock().await;
        lock.release_after(repaired).await
    }

    /// The same, unless another replica does it at this moment.
    pub async fn try_repair(&self) -> Result<(), Failure> {
        let Some(lock) = Lock::attempt(self.leases, self.feed).await? else { return Ok(()) };
        let repaired = self.repair_under_lock().await;
        lock.release_after(repaired.map(drop)).await
    }

    async fn repair_under_lock(&self) -> Result<usize, Failure> {
        let physical = self.feed.ranges().await?;
        let leases = self.leases.list().await?;
        for twin in twins(&leases, &physical) {
            tracing::error!(lease = twin.lease.id, "another lease stands for the same range; this one is removed");
            match self.leases.delete(&twin.lease.id, &twin.etag).await {
                Err(failure) if !matches!(failure.kind, Kind::Conflict | Kind::NotFound) => return Err(failure),
                _ => {}
            }
        }
        let holes = holes(&leases, &physical);
        if holes.is_empty() {
            return Ok(0);
        }
        let states: Vec<RangeState> = self.states().await?;
        for part in cut(&holes, &physical) {
            match self.fill(&part, &states).await {
                // It was split since; the next look cuts it otherwise.
                Err(failure) if failure.kind == Kind::RangeGone => {}
                filled => filled?,
            }
        }
        Ok(holes.len())
    }

    /// The states of this generation's ranges that nobody took over from.
    async fn states(&self) -> Result<Vec<RangeState>, Failure> {
        let rid = &self.feed.container().rid;
        let prefix = self.paths.range_states();
        let states = records::all(self.store, &prefix, STATES_MAX, |_, state: RangeState| state).await?;
        Ok(states.into_iter().filter(|state| state.rid == *rid && state.superseded_by.is_empty()).collect())
    }

    async fn fill(&self, part: &Part<'_>, states: &[RangeState]) -> Result<(), Failure> {
        let former: Vec<&RangeState> = states.iter().filter(|state| state.range.overlaps(&part.range)).collect();
        // The watermark's own second is complete.
        let first_missing = |state: &&RangeState| state.watermark.map_or(state.since, |complete| complete + 1);
        let from = match former.iter().map(first_missing).min() {
            Some(from) => from,
            None => self.since().await?,
        };
        gap::record(self.store, self.paths, &part.range, from, gap::LEASE_MISSING).await?;
        let mut progress =
            first_progress(self.feed, self.settings.feed, &config::Start::Beginning, &part.range).await?;
        progress.gap = Some(from);
        // What was known of the range goes on; what is missing in between is the gap's to say.
        if let Some(state) = former.first() {
            progress.lineage.clone_from(&state.lineage);
            progress.since = state.since;
            progress.backfilled = former.iter().map(|state| state.backfilled).min().flatten();
        }
        let like = new_lease(self.leases.prefix(), part.within, mode_field(self.settings.feed), &progress);
        parts::create(self.leases, &part.lease(self.leases.prefix(), &like)).await?;
        for state in former.iter().filter(|state| state.range != part.range) {
            self.supersede(state, &part.range).await?;
        }
        Ok(())
    }

    /// When the container was first seen, for a range of which nothing was ever said.
    async fn since(&self) -> Result<i64, Failure> {
        let record = records::get::<ContainerRecord>(self.store, &self.paths.container_record()).await?;
        let rid = &self.feed.container().rid;
        let generation = record.and_then(|(record, _)| record.generations.into_iter().find(|known| known.rid == *rid));
        match generation {
            Some(generation) => Ok(generation.since),
            None => self.feed.service_time().await,
        }
    }

    async fn supersede(&self, state: &RangeState, by: &EpkRange) -> Result<(), Failure> {
        let name = self.paths.range_state(&state.lineage, &state.range);
        let Some((mut stored, etag)) = records::get::<RangeState>(self.store, &name).await? else { return Ok(()) };
        stored.superseded_by.push(by.clone());
        self.store.put(records::put(name, &stored, Condition::Matches(etag))).await.map(drop)
    }

    /// Ends the gaps whose ranges have been read again by all their leases, and gives how many gaps are open.
    pub async fn end_gaps(&self, leases: &[Standing], physical: &[PhysicalRange]) -> Result<usize, Failure> {
        let gaps = gap::open(self.store, self.paths).await?;
        let mut open = gaps.len();
        for gap in gaps.iter().filter(|gap| [gap::LEASE_MISSING, gap::MOVED].contains(&gap.reason.as_str())) {
            let overlaps = |range: EpkRange| range.overlaps(&gap.range);
            let within = leases.iter().filter(|standing| range_of(&standing.lease, physical).is_some_and(overlaps));
            let within: Vec<_> = within.map(|standing| RangeProgress::from_lease(&standing.lease, "", 0)).collect();
            let pending = within.iter().any(|progress| progress.gap == Some(gap.from));
            let repairs = within.iter().filter_map(|progress| progress.repaired);
            let repaired = repairs.filter(|repair| repair.from == gap.from).map(|repair| repair.at).max();
            if let (false, Some(until)) = (pending, repaired) {
                gap::end(self.store, self.paths, gap, until).await?;
                open -= 1;
            }
        }
        Ok(open)
    }
}

/// Whether the mode keeps its position from the first day, because its feed has no beginning to go back to.
pub(super) fn needs_position(mode: FeedMode) -> bool {
    mode == FeedMode::AllVersionsAndDeletes
}
