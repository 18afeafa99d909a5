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

use std::collections::BTreeMap;

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::records::{ContainerRecord, FORMAT, Gap, RangeState};
use cosmirror_formats::{EpkRange, MirrorPaths};

use super::bootstrap::first_progress;
use super::lock::Lock;
use super::parts::{self, Part, cut};
use super::{LeaseStore, Standing, mode_field, new_lease, range_of};
use crate::config;
use crate::crash::crash_point;
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

/// A lease for the same range as another one.
#[derive(Debug)]
pub struct Twin<'a> {
    /// The one that is one too many.
    pub surplus: &'a Standing,
    /// The one that stays.
    pub survivor: &'a Standing,
}

/// Of leases for the same range, those that are one too many. One of ours stays before one of another processor, which says nothing of
/// what the mirror holds; of ours the one that is furthest behind.
pub fn twins<'a>(leases: &'a [Standing], physical: &[PhysicalRange]) -> Vec<Twin<'a>> {
    let mut by_range: BTreeMap<EpkRange, Vec<&Standing>> = BTreeMap::new();
    for standing in leases {
        if let Some(range) = range_of(&standing.lease, physical) {
            by_range.entry(range).or_default().push(standing);
        }
    }
    let mut surplus = Vec::new();
    for mut same in by_range.into_values() {
        same.sort_by_key(|standing| behind(standing));
        let survivor = same[0];
        surplus.extend(same.into_iter().skip(1).map(|surplus| Twin { surplus, survivor }));
    }
    surplus
}

/// Sorts first what is ours and has more left to read.
fn behind(standing: &Standing) -> (bool, bool, Option<u64>, String) {
    let foreign = !RangeProgress::is_in(&standing.lease);
    let progress = RangeProgress::from_lease(&standing.lease, "", 0);
    let position = progress.position.as_deref().and_then(lsn_of);
    let complete = progress.backfilled.is_some() && progress.backfill.is_none();
    (foreign, complete, position, standing.lease.id.clone())
}

/// When a recorded gap had been repaired; none while it is not: part of its range has no lease, or one whose backfill for it goes on.
pub fn repaired_at(gap: &Gap, leases: &[Standing], physical: &[PhysicalRange]) -> Option<i64> {
    if holes(leases, physical).iter().any(|hole| hole.overlaps(&gap.range)) {
        return None;
    }
    let within = |standing: &&Standing| range_of(&standing.lease, physical).is_some_and(|r| r.overlaps(&gap.range));
    let within = leases.iter().filter(within).map(|standing| RangeProgress::from_lease(&standing.lease, "", 0));
    let mut repaired = None;
    for progress in within {
        if progress.gaps.contains(&gap.from) {
            return None;
        }
        let repairs = progress.repaired.filter(|repair| repair.gaps.contains(&gap.from));
        repaired = repaired.max(repairs.map(|repair| repair.at));
    }
    repaired
}

impl Coverage<'_> {
    /// Creates what is missing and removes what is there twice.
    pub async fn repair(&self) -> Result<(), Failure> {
        let lock = Lock::wait(self.leases, self.feed).await?;
        let repaired = self.repair_under_lock().await;
        lock.release_after(repaired).await
    }

    /// The same, unless another replica does it at this moment.
    pub async fn try_repair(&self) -> Result<(), Failure> {
        let Some(lock) = Lock::attempt(self.leases, self.feed).await? else { return Ok(()) };
        let repaired = self.repair_under_lock().await;
        lock.release_after(repaired).await
    }

    async fn repair_under_lock(&self) -> Result<(), Failure> {
        let physical = self.feed.ranges().await?;
        let before = holes(&self.leases.list().await?, &physical);
        // A list is not one instant's: a lease that gives way while it is read may be missing in it, and so may its parts.
        let leases = self.leases.list().await?;
        for Twin { surplus, survivor } in twins(&leases, &physical) {
            // Another replica may have done this before the lock was taken over.
            if self.leases.read(&survivor.lease.id).await?.is_none() {
                continue;
            }
            tracing::error!(lease = surplus.lease.id, "another lease stands for the same range; this one is removed");
            match self.leases.delete(&surplus.lease.id, &surplus.etag).await {
                Err(failure) if !matches!(failure.kind, Kind::Conflict | Kind::NotFound) => return Err(failure),
                _ => {}
            }
            crash_point!("twin-removed");
        }
        let mut holes = holes(&leases, &physical);
        holes.retain(|hole| before.iter().any(|other| other.overlaps(hole)));
        if holes.is_empty() {
            return Ok(());
        }
        let states: Vec<RangeState> = self.states().await?;
        for part in cut(&holes, &physical) {
            match self.fill(&part, &states).await {
                // It was split since; the next look cuts it otherwise.
                Err(failure) if failure.kind == Kind::RangeGone => {}
                filled => filled?,
            }
        }
        Ok(())
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
        let known: Vec<EpkRange> = former.iter().map(|state| state.range.clone()).collect();
        let whole = !uncovered(&known).iter().any(|hole| hole.overlaps(&part.range));
        let open: Vec<Gap> = gap::open(self.store, self.paths)
            .await?
            .into_iter()
            .filter(|gap| gap.range.overlaps(&part.range))
            .collect();
        // The watermark's own second is complete.
        let first_missing = |state: &&RangeState| state.watermark.map_or(state.since, |complete| complete + 1);
        let same = open.iter().find(|gap| gap.range == part.range && gap.reason == gap::LEASE_MISSING);
        let from = match (same, former.iter().map(first_missing).min().filter(|_| whole)) {
            // From before a crash.
            (Some(gap), _) => gap.from,
            (None, Some(from)) => from,
            (None, None) => self.since().await?,
        };
        gap::record(self.store, self.paths, &part.range, from, gap::LEASE_MISSING).await?;
        let mut progress =
            first_progress(self.feed, self.settings.feed, &config::Start::Beginning, &part.range).await?;
        progress.gaps = open.iter().map(|gap| gap.from).chain([from]).collect();
        // What was known of the range goes on; what is missing in between is the gap's to say.
        if let Some(state) = former.first().filter(|_| whole) {
            progress.lineage.clone_from(&state.lineage);
            progress.since = state.since;
            progress.backfilled = former.iter().map(|state| state.backfilled).min().flatten();
        }
        let like = new_lease(self.leases.prefix(), part.within, mode_field(self.settings.feed), &progress);
        let stands = parts::create(self.leases, &part.lease(self.leases.prefix(), &like)).await?;
        crash_point!("hole-lease-created");
        if !RangeProgress::from_lease(&stands, "", 0).gaps.contains(&from) {
            // It was there all the time, and nothing was missed.
            let gap = Gap { format: FORMAT, range: part.range.clone(), from, until: None, reason: String::new() };
            return gap::end(self.store, self.paths, &gap, from).await;
        }
        for state in former.iter().filter(|state| state.range != part.range) {
            self.supersede(state, &part.range).await?;
            crash_point!("hole-state-superseded");
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
        // A recreated container's ends with the first reading of the new one.
        for gap in gaps.iter().filter(|gap| gap.reason != gap::RECREATED) {
            if let Some(until) = repaired_at(gap, leases, physical) {
                gap::end(self.store, self.paths, gap, until).await?;
                open -= 1;
            }
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::Lease;

    use super::*;

    /// A lease of a range with these properties; one without any is another processor's.
    fn lease(id: &str, range: (&str, &str), position: Option<&str>, properties: &[(&str, &str)]) -> Standing {
        let mut lease = Lease::from_json(br#"{"id":"a..0","LeaseToken":"0"}"#).unwrap();
        lease.id = id.to_owned();
        lease.range = Some(EpkRange::new(range.0, range.1));
        lease.continuation = position.map(str::to_owned);
        lease.properties = properties.iter().map(|(n, v)| (format!("cosmirror.{n}"), (*v).to_owned())).collect();
        Standing { lease, etag: String::new(), written: 0 }
    }

    fn gap(range: (&str, &str), from: i64) -> Gap {
        let range = EpkRange::new(range.0, range.1);
        Gap { format: FORMAT, range, from, until: None, reason: gap::LEASE_MISSING.to_owned() }
    }

    #[test]
    fn a_gap_ends_only_when_every_part_of_its_range_has_been_read_again() {
        let (gap, ended) = (gap(("", "FF"), 100), ("repaired", "100/150"));
        let at = |leases: &[Standing]| repaired_at(&gap, leases, &[]);
        let done = || lease("1", ("", "20"), None, &[ended]);
        assert_eq!(at(&[done(), lease("2", ("20", "FF"), None, &[("repaired", "100+120/170")])]), Some(170));
        assert_eq!(at(&[done(), lease("2", ("20", "FF"), None, &[("gap", "100")])]), None, "it is being read");
        assert_eq!(at(&[done()]), None, "nobody follows the rest");
        // The second part was moved, or removed and made again, before it had repaired the first gap.
        assert_eq!(at(&[done(), lease("2", ("20", "FF"), None, &[("gap", "100+200")])]), None);
        assert_eq!(at(&[lease("1", ("", "FF"), None, &[("repaired", "90/150")])]), None, "that was another gap");
    }

    #[test]
    fn of_twins_ours_stays_and_of_ours_the_one_behind() {
        let ours = [("since", "1"), ("backfilled", "5")];
        let survivor = |leases: &[Standing]| {
            let twins = twins(leases, &[]);
            assert_eq!(twins.len(), 1);
            twins[0].survivor.lease.id.clone()
        };
        let ahead = || lease("ahead", ("", "FF"), Some("\"9\""), &ours);
        assert_eq!(survivor(&[ahead(), lease("behind", ("", "FF"), Some("\"4\""), &ours)]), "behind");
        assert_eq!(survivor(&[lease("foreign", ("", "FF"), None, &[]), ahead()]), "ahead");
        let backfilling = lease("backfilling", ("", "FF"), Some("\"20\""), &[("since", "1"), ("backfill.now", "20")]);
        assert_eq!(survivor(&[ahead(), backfilling]), "backfilling");
        assert!(twins(&[ahead(), lease("other", ("FF", "FF"), None, &ours)], &[]).is_empty());
    }
}
