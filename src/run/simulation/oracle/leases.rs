//! What a lease may say, and when it may be written, taken or deleted.

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::records::Gap;
use cosmirror_formats::{EpkRange, Lease};

use super::replica;
use super::window::records;
use super::{BACKFILL_NOW, BACKFILL_TOKEN, BACKFILLED, Began, WATERMARK};
use crate::run::simulation::world::{Change, LeaseDocument, World};

/// A number that a property of a lease holds.
pub(super) fn number<T: std::str::FromStr>(lease: &Lease, property: &str) -> Option<T> {
    lease.properties.get(property)?.trim_matches('"').parse().ok()
}

/// The position of a lease.
fn position(lease: &Lease) -> Option<u64> {
    lease.continuation.as_ref()?.trim_matches('"').parse().ok()
}

/// A lease is written, on top of what stood there.
pub(in crate::run::simulation) fn lease_written(
    world: &mut World,
    who: &str,
    before: Option<&LeaseDocument>,
    lease: &Lease,
) {
    let (id, range) = (lease.id.as_str(), lease.range.clone().unwrap());
    let position = match position(lease) {
        Some(position) => position,
        None if world.shows_newest_only() => 0,
        None => return world.violated(format!("{who} wrote the lease {id} without a position")),
    };
    if !world.shows_newest_only() {
        begin(world, lease, &range, position, before.is_none());
    }
    if let Some(LeaseDocument { lease: Some(old), renewed, .. }) = before
        && let Some(owner) = old.owner.as_deref().filter(|owner| *owner != who)
        && old.owner != lease.owner
        && renewed.unwrap_or_default() + world.expiration > world.elapsed()
    {
        world.violated(format!("{who} took the lease {id} from {owner}, who renewed it in time"));
    }
    let watermark = number::<i64>(lease, WATERMARK).unwrap_or_default();
    let ahead = |change: &Change| {
        let Change { lsn, ts, etag, .. } = change;
        let what = format!("{etag} of lsn {lsn} and time {ts} is not stored");
        if *lsn <= position {
            Some(format!("{who} wrote the position {position} into {id}, but {what}"))
        } else {
            (*ts <= watermark).then(|| format!("{who} wrote the watermark {watermark} into {id}, but {what}"))
        }
    };
    let ahead = world.missing(&range).find_map(ahead);
    if let Some(what) = ahead.or_else(|| replica::lacks(world, lease, &range, position)) {
        return world.violated(what);
    }
    if world.shows_newest_only() {
        return;
    }
    let until = match number::<u64>(lease, BACKFILL_NOW) {
        Some(now) => now.min(number(lease, BACKFILL_TOKEN).unwrap_or_default()),
        None if number::<i64>(lease, BACKFILLED).is_some() => position,
        None => return world.violated(format!("{who} wrote the lease {id} with neither a backfill nor its end")),
    };
    if let Some(document) = world.missing_before(&range, until) {
        let what = format!("{who} wrote the backfill's position {until} into {id}, but {document} is not stored");
        world.violated(what);
    }
}

/// Remembers where following a range begins, and whether it has gone on.
fn begin(world: &mut World, lease: &Lease, range: &EpkRange, position: u64, created: bool) {
    let first = number::<u64>(lease, BACKFILL_NOW) == Some(position) && !lease.properties.contains_key(BACKFILL_TOKEN);
    if created && first && !is_lost(world, range) {
        let later = world.began.iter().find(|b| b.moved && b.range.overlaps(range) && b.lsn < position);
        if let Some(later) = later.map(|began| began.lsn) {
            let what = format!("{} begins at {position} a range that was followed since {later}", lease.id);
            world.violated(what);
        }
        let (lease, range) = (Some(lease.id.clone()), range.clone());
        return world.began.push(Began { lease, range, lsn: position, moved: false });
    }
    for began in world.began.iter_mut().filter(|began| began.lease.as_ref() == Some(&lease.id)) {
        began.moved |= began.lsn != position;
    }
}

/// Somebody asks where the feed of a range is now. Where something was taken from the range, it is followed anew from there, and a gap
/// must have been recorded.
pub(in crate::run::simulation) fn asked_for_now(world: &mut World, who: &str, range: &EpkRange, lsn: u64) {
    if !is_lost(world, range) {
        return;
    }
    if world.began.iter().any(|began| began.moved && began.range.overlaps(range)) && !gap_is_open(world, range) {
        world.violated(format!("{who} follows {range} anew from {lsn}, and no gap is recorded"));
    }
    world.began.push(Began { lease: None, range: range.clone(), lsn, moved: false });
}

fn is_lost(world: &World, range: &EpkRange) -> bool {
    world.lost.iter().any(|lost| lost.range.overlaps(range))
}

/// Whether a gap over a range is recorded that has not ended.
fn gap_is_open(world: &World, range: &EpkRange) -> bool {
    let covers = |gap: &Gap| gap.until.is_none() && gap.range.min <= range.min && range.max <= gap.range.max;
    records::<Gap>(world, "/_mirror/gaps/").iter().any(covers)
}

/// A lease was deleted.
pub(in crate::run::simulation) fn lease_deleted(world: &mut World, id: &str, lease: Option<Lease>) {
    let Some(range) = lease.and_then(|lease| lease.range) else { return };
    let others: Vec<EpkRange> =
        world.leases.values().filter_map(|document| document.lease.as_ref()?.range.clone()).collect();
    // What the script took away since the replica looked is a hole that is repaired behind a gap.
    let is_its_own = |hole: &EpkRange| hole.overlaps(&range) && !is_lost(world, hole);
    if let Some(hole) = uncovered(&others).into_iter().find(is_its_own) {
        world.violated(format!("the lease {id} is deleted and nothing covers {hole}"));
    }
}
