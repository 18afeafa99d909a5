//! Making a lease of another processor ours: its position is continued, and what that processor had handled, which was never
//! mirrored, is read by a backfill.
//!
//! A lease without our properties was never ours. One with them whose position is not the one we wrote was ours and was moved by
//! another processor, or by hand: what lies between is a gap, recorded before anything is followed, and ended when the backfill has
//! read what exists. One of the other feed mode was ours before the configuration was changed, and goes on behind a gap. The lease stays readable to its former processor: nothing of it is removed, what is ours goes into
//! `properties`. A crash before the first renewal leaves it as it was, and it is adopted again.

use cosmirror_formats::EpkRange;
use cosmirror_formats::records::ContainerRecord;

use super::bootstrap::{first_progress, require_lsn};
use super::coverage::Coverage;
use super::restart::restart;
use super::{Standing, mode_field};
use crate::config::{FeedMode, Start};
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::mirror::checkpoint::{Backfill, RangeProgress};
use crate::mirror::gap;
use crate::records;

/// How far the range of a taken lease is. A foreign lease is given its bounds and a beginning of ours.
pub async fn adopt(standing: &mut Standing, range: &EpkRange, place: &Coverage<'_>) -> Result<RangeProgress, Failure> {
    let lineage = super::mint_lineage(&place.feed.container().rid, range);
    let lease = &mut standing.lease;
    lease.range = Some(range.clone());
    let known = RangeProgress::from_lease(lease, &lineage, standing.written);
    if !RangeProgress::is_in(lease) {
        tracing::info!(lease = lease.id, position = known.position, "a lease of another processor is continued");
        return adopted(standing, range, place).await;
    }
    if lease.is_all_versions() != (place.settings.feed == FeedMode::AllVersionsAndDeletes) {
        return switched(standing, range, known, place).await;
    }
    if !RangeProgress::was_moved(lease) {
        return Ok(known);
    }
    let gaps = gap::begin(place.store, place.paths, range, &known, known.first_missing(), gap::MOVED).await?;
    // What was known of the range goes on; a backfill that was going on begins again, up to where the position is now.
    let anew = adopted(standing, range, place).await?;
    let backfill = match &anew.position {
        Some(position) => Some(backfill_up_to(standing, position)?),
        None => None,
    };
    let start = if backfill.is_some() { Start::Now } else { Start::Beginning };
    Ok(known.behind_gaps(gaps, RangeProgress { start, backfill, ..anew }))
}

/// A lease of ours that follows the other feed mode. Positions of one mode are not the other's: the range goes on behind a gap.
async fn switched(
    standing: &mut Standing,
    range: &EpkRange,
    known: RangeProgress,
    place: &Coverage<'_>,
) -> Result<RangeProgress, Failure> {
    let mode = place.settings.feed;
    let present = records::get::<ContainerRecord>(place.store, &place.paths.container_record()).await?;
    let present = present.and_then(|(record, _)| record.generations.last()?.modes.last().cloned());
    if present.as_deref() != Some(mode.as_str()) {
        // Or two processes of different configurations would take turns, each with a gap.
        let present = present.unwrap_or_default();
        let message = format!("another process has switched the container to feed = {present:?} meanwhile");
        return Err(Failure::new(Kind::Misconfigured, message)
            .remedy("give all replicas the same configuration; the one that starts last decides"));
    }
    tracing::warn!(
        lease = standing.lease.id,
        mode = mode.as_str(),
        "the range is followed by its other feed from now on"
    );
    let from = match mode {
        FeedMode::LatestVersion => known.first_missing(),
        // The feed of the latest versions had shown no deletes since the last reconciliation.
        FeedMode::AllVersionsAndDeletes => known.reconciled.map_or(known.since, |until| until + 1),
    };
    let progress = restart(place, range, known, from, gap::MODE_SWITCHED).await?;
    standing.lease.mode = Some(mode_field(mode).to_owned());
    crash_point!("mode-switched");
    Ok(progress)
}

async fn adopted(standing: &Standing, range: &EpkRange, place: &Coverage<'_>) -> Result<RangeProgress, Failure> {
    let settings = place.settings;
    let Some(position) = standing.lease.continuation.clone() else {
        return first_progress(place.feed, settings.feed, &settings.start, range).await;
    };
    let lineage = super::mint_lineage(&place.feed.container().rid, range);
    let mut progress = RangeProgress::new(lineage, place.feed.service_time().await?, Start::Now);
    let backfill = backfill_up_to(standing, &position)?;
    progress.backfill = (settings.start == Start::Beginning).then_some(backfill);
    progress.position = Some(position);
    Ok(progress)
}

/// A backfill of everything up to a position.
fn backfill_up_to(standing: &Standing, position: &str) -> Result<Backfill, Failure> {
    let now_lsn = require_lsn(position).map_err(|failure| {
        let message = format!("the lease {:?} cannot be continued: {}", standing.lease.id, failure.message);
        Failure::new(Kind::Misconfigured, message)
            .remedy("remove that lease, or set leases.processor to a name of this program's own")
    })?;
    Ok(Backfill { token: None, now_lsn })
}
