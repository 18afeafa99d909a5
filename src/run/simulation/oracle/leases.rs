//! What a lease may say, and when it may be written, taken or deleted.

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::{EpkRange, Lease};

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
    if let Some(what) = ahead {
        return world.violated(what);
    }
    if world.shows_newest_only() {
        return;
    }
    let until = match number::<u64>(lease, BACKFILL_NOW) {
        Some(now) => now.min(number(lease, BACKFILL_TOKEN).unwrap_or_default()),
        None if number::<i64>(lease, BACKFILLED).is_some() => u64::MAX,
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
    if created && first {
        let later = world.began.iter().find(|b| b.moved && b.range.overlaps(range) && b.lsn < position);
        if let Some(later) = later.map(|began| began.lsn) {
            let what = format!("{} begins at {position} a range that was followed since {later}", lease.id);
            world.violated(what);
        }
        let began = Began { lease: lease.id.clone(), range: range.clone(), lsn: position, moved: false };
        return world.began.push(began);
    }
    for began in world.began.iter_mut().filter(|began| began.lease == lease.id) {
        began.moved |= began.lsn != position;
    }
}

/// A lease was deleted.
pub(in crate::run::simulation) fn lease_deleted(world: &mut World, id: &str, lease: Option<Lease>) {
    let Some(range) = lease.and_then(|lease| lease.range) else { return };
    let others: Vec<EpkRange> =
        world.leases.values().filter_map(|document| document.lease.as_ref()?.range.clone()).collect();
    if let Some(hole) = uncovered(&others).into_iter().find(|hole| hole.overlaps(&range)) {
        world.violated(format!("the lease {id} is deleted and nothing covers {hole}"));
    }
}
