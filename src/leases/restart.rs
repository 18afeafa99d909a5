//! Following a range anew behind a gap.
//!
//! Where its position is lost or worth nothing any more, the range goes on from the present moment, and what exists is read again beside
//! that. What happened in between is known to nobody: a gap is recorded first. After a crash in between the
//! position is still the lost one, and the same gap is gone on with.

use cosmirror_formats::EpkRange;

use super::bootstrap::first_progress;
use super::coverage::Coverage;
use crate::config::Start;
use crate::failure::Failure;
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::gap;

/// Records the gap that begins at `from` behind what is known of a range, and says how the range goes on.
pub async fn restart(
    place: &Coverage<'_>,
    range: &EpkRange,
    known: RangeProgress,
    from: i64,
    reason: &str,
) -> Result<RangeProgress, Failure> {
    let gaps = gap::begin(place.store, place.paths, range, &known, from, reason).await?;
    let first = first_progress(place.feed, place.settings.feed, &Start::Beginning, range).await?;
    let start = if first.backfill.is_some() { Start::Now } else { Start::Beginning };
    Ok(known.behind_gaps(gaps, RangeProgress { start, ..first }))
}
