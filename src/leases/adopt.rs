//! Making a lease of another processor ours: its position is continued, and what that processor had handled before, which was never
//! mirrored, is read by a backfill.
//!
//! The lease stays readable to its former processor: nothing of it is removed, what is ours goes into `properties`. A crash before the
//! first renewal leaves it as it was, and it is adopted again.

use cosmirror_formats::EpkRange;

use super::Standing;
use super::bootstrap::{first_progress, require_lsn};
use crate::config::{self, Start};
use crate::failure::{Failure, Kind};
use crate::feed::ChangeFeed;
use crate::mirror::checkpoint::{Backfill, RangeProgress};

/// How far the range of a taken lease is. A foreign lease is given its bounds and a beginning of ours.
pub async fn adopt(
    standing: &mut Standing,
    range: &EpkRange,
    feed: &dyn ChangeFeed,
    settings: &config::Container,
) -> Result<RangeProgress, Failure> {
    let lease = &mut standing.lease;
    let lineage = super::mint_lineage(&feed.container().rid, range);
    if RangeProgress::is_in(lease) {
        return Ok(RangeProgress::from_lease(lease, &lineage, standing.written));
    }
    lease.range = Some(range.clone());
    let mut progress = first_progress(feed, settings.feed, &settings.start, range).await?;
    if let Some(position) = lease.continuation.clone() {
        let now_lsn = require_lsn(&position).map_err(|failure| {
            let message = format!("the lease {:?} cannot be continued: {}", lease.id, failure.message);
            Failure::new(Kind::Misconfigured, message)
                .remedy("remove that lease, or set leases.processor to a name of this program's own")
        })?;
        progress.backfill = (settings.start == Start::Beginning).then_some(Backfill { token: None, now_lsn });
        progress.start = Start::Now;
        progress.position = Some(position);
    }
    tracing::info!(lease = lease.id, position = progress.position, "a lease of another processor is continued");
    Ok(progress)
}
