//! How far each range is mirrored, which decides what may be called drift.
//!
//! The mirror's own records tell of watermarks once in a while, the leases every few seconds. Where the feed answers that nothing lies
//! behind a lease's position, everything up to that moment is mirrored, as the follower itself would conclude: so a
//! comparison is as sharp with no daemon running. A range that still reads what existed before has no horizon: whatever it lacks may
//! be on its way.

use cosmirror_formats::records::RangeState;
use cosmirror_formats::{EpkRange, MirrorPaths};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Source;
use crate::failure::Failure;
use crate::feed::{PhysicalRange, Position};
use crate::leases::{Standing, mint_lineage, range_of};
use crate::mirror::checkpoint::RangeProgress;
use crate::records;
use crate::retry::persist;
use crate::store::VersionStore;

/// Range states read; physical partitions number in the hundreds at most.
const RECORDS_MAX: usize = 100_000;
/// Ranges asked at the same time.
const READS_AT_ONCE: usize = 16;
/// Pages without entries that are read over; such a page is not the end.
const EMPTY_PAGES_MAX: usize = 16;

/// How far one range is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) range: EpkRange,
    /// The sequence its LSNs belong to.
    pub(super) lineage: String,
    /// Up to here it is completely mirrored.
    pub(super) watermark: Option<i64>,
    /// Up to here it is known what had been deleted: start of the last complete reconciliation, or of a gap.
    pub(super) reconciled: Option<i64>,
}

/// How far all ranges are.
#[derive(Debug, Clone, Default)]
pub(super) struct Horizon {
    pub(super) parts: Vec<Part>,
    /// Whether somebody follows the container at present.
    pub(super) followed: bool,
}

impl Horizon {
    /// The part an effective partition key belongs to; of several that claim it the one that is least far.
    pub(super) fn of(&self, effective_key: &str) -> Option<&Part> {
        let holds = |part: &&Part| part.range.min.as_str() <= effective_key && effective_key < part.range.max.as_str();
        self.parts.iter().filter(holds).min_by_key(|part| part.watermark)
    }

    /// Whether every range is mirrored up to this instant.
    pub(super) fn reaches(&self, instant: i64) -> bool {
        self.parts.iter().all(|part| part.watermark.is_some_and(|watermark| watermark >= instant))
    }

    /// Of one range that is followed here.
    pub(super) fn of_range(range: &EpkRange, progress: RangeProgress, deletes_known_until: Option<i64>) -> Self {
        let reads_on = progress.backfill.is_some() || progress.reads_from_beginning();
        let part = Part {
            range: range.clone(),
            lineage: progress.lineage,
            watermark: progress.watermark.filter(|_| !reads_on),
            reconciled: deletes_known_until,
        };
        Self { parts: vec![part], followed: true }
    }

    /// The instant up to which every range is mirrored.
    pub(super) fn watermark(&self) -> Option<i64> {
        self.parts.iter().map(|part| part.watermark).min().flatten()
    }

    /// Reads it, of what overlaps a part of the key space.
    pub(super) async fn read(
        source: &Source<'_>,
        store: &dyn VersionStore,
        paths: &MirrorPaths,
        within: &EpkRange,
    ) -> Result<Self, Failure> {
        let rid = &source.feed.container().rid;
        let states: Vec<RangeState> =
            records::all(store, &paths.range_states(), RECORDS_MAX, |_, state: RangeState| state).await?;
        let counts =
            |state: &RangeState| state.rid == *rid && state.superseded_by.is_empty() && state.range.overlaps(within);
        let recorded: Vec<Part> = states.into_iter().filter(counts).map(part).collect();
        let Some(leases) = source.leases else { return Ok(Self { parts: recorded, followed: false }) };
        let standing = persist(|| leases.list()).await?;
        if standing.is_empty() {
            return Ok(Self { parts: recorded, followed: false });
        }
        let followed = standing.iter().any(|standing| standing.lease.owner.is_some());
        let physical = persist(|| source.feed.ranges()).await?;
        let asked: Vec<(Part, RangeProgress)> =
            standing.iter().filter_map(|standing| leased(source, standing, &physical, &recorded)).collect();
        let asked = asked.into_iter().filter(|(part, _)| part.range.overlaps(within));
        let parts = stream::iter(asked)
            .map(|(part, progress)| async move { peek(source, part, &progress).await })
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self { parts, followed })
    }
}

fn part(state: RangeState) -> Part {
    // Without a first reading to its end, what is not there may be on its way.
    let watermark = state.backfilled.and(state.watermark);
    Part { range: state.range, lineage: state.lineage, watermark, reconciled: state.reconciled }
}

/// What a lease and the records say together.
fn leased(
    source: &Source<'_>,
    standing: &Standing,
    physical: &[PhysicalRange],
    recorded: &[Part],
) -> Option<(Part, RangeProgress)> {
    let lease = &standing.lease;
    let range = range_of(lease, physical)?;
    let lineage = mint_lineage(&source.feed.container().rid, &range);
    let progress = RangeProgress::from_lease(lease, &lineage, standing.written);
    let reads_on = progress.backfill.is_some() || progress.reads_from_beginning() || !RangeProgress::is_in(lease);
    let record = recorded.iter().find(|part| part.range == range && part.lineage == progress.lineage);
    let part = Part {
        range,
        lineage: progress.lineage.clone(),
        watermark: if reads_on { None } else { progress.watermark.max(record.and_then(|part| part.watermark)) },
        reconciled: progress.reconciled.max(record.and_then(|part| part.reconciled)),
    };
    Some((part, progress))
}

/// Raises a part's watermark where nothing lies behind its lease's position.
async fn peek(source: &Source<'_>, mut part: Part, progress: &RangeProgress) -> Result<Part, Failure> {
    let (Some(token), Some(_)) = (&progress.position, part.watermark) else { return Ok(part) };
    let mut position = Position::Token(token.clone());
    for _ in 0..EMPTY_PAGES_MAX {
        let asked = persist(|| source.feed.service_time()).await?;
        source.units.wait().await;
        // What this one range answers is no reason to fail: then its lease decides alone.
        let Ok(page) = persist(|| source.feed.read(&part.range, source.mode, &position, 1)).await else { break };
        source.units.spend(page.request_units);
        if page.not_modified {
            part.watermark = part.watermark.max(Some(asked - 1 - source.margin));
            break;
        }
        if !page.entries.is_empty() {
            break;
        }
        position = Position::Token(page.token);
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(min: &str, max: &str, watermark: Option<i64>) -> Part {
        Part { range: EpkRange::new(min, max), lineage: min.to_owned(), watermark, reconciled: None }
    }

    #[test]
    fn a_key_belongs_to_one_part_and_of_twins_to_the_one_that_is_less_far() {
        let parts = vec![part("", "20", Some(5)), part("20", "FF", Some(9)), part("20", "FF", Some(7))];
        let horizon = Horizon { parts, followed: false };
        let watermark = |key: &str| horizon.of(key).and_then(|part| part.watermark);
        assert_eq!(
            [watermark(""), watermark("1FFF"), watermark("20"), watermark("3A")],
            [Some(5), Some(5), Some(7), Some(7)]
        );
        assert!(horizon.of("FF").is_none());
        assert!(horizon.reaches(5) && !horizon.reaches(6));
    }

    #[test]
    fn an_unknown_watermark_reaches_nowhere() {
        let horizon = Horizon { parts: vec![part("", "20", None), part("20", "FF", Some(9))], followed: false };
        assert!(!horizon.reaches(i64::MIN));
        assert_eq!(horizon.of("1").unwrap().watermark, None);
    }
}
