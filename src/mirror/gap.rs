//! Recorded gaps: intervals for which a range's history is known to be incomplete.
//!
//! A gap is recorded before what caused it is repaired, and ended after the repair is stored; a crash in between leaves it open,
//! which refuses more instants than needed and never fewer.

use cosmirror_formats::records::{FORMAT, Gap};
use cosmirror_formats::{EpkRange, MirrorPaths};

use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::records;
use crate::store::{Condition, VersionStore};

/// Why the gap of a hole is recorded.
pub const LEASE_MISSING: &str = "the range had no lease, so nobody followed it";
/// Why the gap is recorded that another processor left.
pub const MOVED: &str = "another processor, or somebody by hand, has moved the lease's position";

/// Gaps read at once; they number in the hundreds at most.
const GAPS_MAX: usize = 100_000;

/// Records that `range` may lack changes from `from` on. The same gap again is one gap.
pub async fn record(
    store: &dyn VersionStore,
    paths: &MirrorPaths,
    range: &EpkRange,
    from: i64,
    reason: &str,
) -> Result<(), Failure> {
    let gap = Gap { format: FORMAT, range: range.clone(), from, until: None, reason: reason.to_owned() };
    match store.put(records::put(paths.gap(from, range), &gap, Condition::Absent)).await {
        Err(failure) if failure.kind != Kind::Conflict => Err(failure),
        _ => {
            tracing::error!(%range, from, reason, "history is incomplete from here on; a gap is recorded");
            Ok(())
        }
    }
}

/// Every recorded gap, ended or not.
pub async fn all(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<Vec<Gap>, Failure> {
    records::all(store, &paths.gaps(), GAPS_MAX, |_, gap| gap).await
}

/// Every gap that has not ended.
pub async fn open(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<Vec<Gap>, Failure> {
    Ok(all(store, paths).await?.into_iter().filter(|gap| gap.until.is_none()).collect())
}

/// Ends a gap: history is complete again from `until` on.
pub async fn end(store: &dyn VersionStore, paths: &MirrorPaths, gap: &Gap, until: i64) -> Result<(), Failure> {
    let name = paths.gap(gap.from, &gap.range);
    let Some((mut stored, etag)) = records::get::<Gap>(store, &name).await? else { return Ok(()) };
    if stored.until.is_some() {
        return Ok(());
    }
    stored.until = Some(until.max(stored.from));
    crash_point!("gap-to-end");
    match store.put(records::put(name, &stored, Condition::Matches(etag))).await {
        // Another replica ended it at the same time.
        Err(failure) if failure.kind != Kind::Conflict => Err(failure),
        _ => {
            crash_point!("gap-ended");
            tracing::info!(range = %gap.range, from = gap.from, until, "a recorded gap is repaired");
            Ok(())
        }
    }
}
