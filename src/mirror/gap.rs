//! Recorded gaps: intervals for which a range's history is known to be incomplete.
//!
//! A gap is recorded before what caused it is repaired, and ended after the repair is stored; a crash in between leaves it open,
//! which refuses more instants than needed and never fewer. The repair has two steps: what exists is read again (`leases/restart.rs`),
//! and by comparing with the source it is found what was deleted meanwhile (`run/reconciling.rs`).

use std::collections::BTreeSet;

use cosmirror_formats::records::{FORMAT, Gap};
use cosmirror_formats::{EpkRange, MirrorPaths};

use super::checkpoint::RangeProgress;
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::records;
use crate::store::{Condition, VersionStore};

/// Why the gap of a hole is recorded.
pub const LEASE_MISSING: &str = "the range had no lease, so nobody followed it";
/// Why the gap is recorded that another processor left.
pub const MOVED: &str = "another processor, or somebody by hand, has moved the lease's position";
/// Why the gap is recorded of a container with another resource id than before.
pub const RECREATED: &str = "the container was removed and created again";
/// Why the gap is recorded of a feed that went on without the mirror.
pub const TOKEN_EXPIRED: &str = "the feed no longer goes back to where the mirror was";
/// Why the gap is recorded when a container is followed by its other feed.
pub const MODE_SWITCHED: &str = "the container is followed by another feed mode than before";
/// Why the gap is recorded of a change whose document is not known.
pub const UNREADABLE: &str = "a change of an unknown document could not be understood and is a dead letter";

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
    let name = paths.gap(from, range);
    if let Err(failure) = store.put(records::put(name.clone(), &gap, Condition::Absent)).await {
        if failure.kind != Kind::Conflict {
            return Err(failure);
        }
        if let Some((stored, etag)) = records::get::<Gap>(store, &name).await?
            && stored.until.is_some()
        {
            // Nothing was complete between its end and now.
            store.put(records::put(name, &gap, Condition::Matches(etag))).await?;
        }
    }
    crash_point!("gap-recorded");
    tracing::error!(%range, from, reason, "history is incomplete from here on; a gap is recorded");
    Ok(())
}

/// The gap that `range` has from `from` on by what is known of it: recorded, or found where a crash left it. Gives where it begins,
/// which may be several instants after several crashes.
pub async fn begin(
    store: &dyn VersionStore,
    paths: &MirrorPaths,
    range: &EpkRange,
    known: &RangeProgress,
    from: i64,
    reason: &str,
) -> Result<BTreeSet<i64>, Failure> {
    let is_known = |from: i64| known.gaps.contains(&from) || known.repaired.iter().any(|r| r.gaps.contains(&from));
    let left = open(store, paths).await?.into_iter().filter(|gap| gap.reason == reason && gap.range.overlaps(range));
    let left: BTreeSet<i64> = left.map(|gap| gap.from).filter(|from| !is_known(*from)).collect();
    if !left.is_empty() {
        return Ok(left);
    }
    record(store, paths, range, from, reason).await?;
    Ok(BTreeSet::from([from]))
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
