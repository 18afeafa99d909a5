//! What must hold, concluded from the service's log alone.
//!
//! - A put of a document begins only while its replica's lease of the document's range cannot have run out before the put has
//!   ended ([`put_begins`]).
//! - A stored version is the one that follows the stored one in the log, whole ([`put_done`]).
//! - What a lease says is stored is stored: up to its position, its backfill's position and its watermark ([`lease_written`]).
//! - A lease is taken only from an owner that did not renew it in time, and deleted only where others cover its range.
//! - In the end everything is stored, and the leases tile the key space ([`unsettled`]).
//!
//! Where following began is what the first lease of a range says it is: everything behind it must come, each version once and in
//! order, and what existed before must come in its state.

use std::collections::BTreeSet;
use std::time::Duration;

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::{EpkRange, Lease, Op as StoredOp, Version};

use super::world::{Change, LeaseDocument, Op, Physical, World, contains};
use crate::store::Put;
use crate::store::azure::PUT_TIMEOUT;

const BACKFILL_TOKEN: &str = "cosmirror.backfill.token";
const BACKFILL_NOW: &str = "cosmirror.backfill.now";
const BACKFILLED: &str = "cosmirror.backfilled";
const WATERMARK: &str = "cosmirror.watermark";

/// Where a lease that was made of nothing says that following its range began.
#[derive(Debug)]
pub(super) struct Began {
    lease: String,
    range: EpkRange,
    lsn: u64,
    /// Whether it was followed.
    moved: bool,
}

impl World {
    /// The first and the last position at which following this key may be said to have begun. They differ only where two
    /// replicas made the leases at the same time and a split lay between.
    fn began(&self, epk: &str) -> Option<(u64, u64)> {
        let all = || self.began.iter().filter(|began| contains(&began.range, epk));
        let any_moved = all().any(|began| began.moved);
        let counted = || all().filter(|began| began.moved || !any_moved).map(|began| began.lsn);
        Some((counted().min()?, counted().max()?))
    }

    fn epk(&self, change: &Change) -> &str {
        &self.documents[change.document].epk
    }

    /// The changes of a range since following began that are not stored.
    fn missing(&self, range: &EpkRange) -> impl Iterator<Item = &Change> {
        let changes = self.unstored.iter().map(|&place| &self.log[place]);
        let within = changes.filter(|change| contains(range, self.epk(change)));
        within.filter(|change| self.began(self.epk(change)).is_none_or(|(_, last)| change.lsn > last))
    }

    /// Documents of a range that stand as they did before following began, not stored.
    fn missing_before(&self, range: &EpkRange, until: u64) -> Option<&str> {
        let within = self.documents.iter().filter(|document| contains(range, &document.epk));
        let mut missing = within.filter(|document| {
            let Some(&last) = document.changes.last() else { return false };
            let Some((_, began)) = self.began(&document.epk) else { return true };
            document.exists && self.log[last].lsn <= until.min(began) && document.stored.last() != Some(&last)
        });
        missing.next().map(|document| document.id.as_str())
    }
}

/// A replica begins to put a version.
pub(super) fn put_begins(world: &mut World, who: &str, put: &Put) {
    let Some(&document) = world.by_name.get(&put.name) else { return };
    let epk = &world.documents[document].epk;
    let now = world.elapsed();
    let leases = world.leases.values().filter_map(|document| Some((document.lease.as_ref()?, document.renewed)));
    let mut over = leases.filter(|(lease, _)| lease.range.as_ref().is_some_and(|range| contains(range, epk)));
    // A put may take a fifth of the lease's time, and no longer than the store's own limit.
    let put_max = (world.expiration / 5).clamp(Duration::from_secs(1), PUT_TIMEOUT);
    let in_time = |at: Duration| now + put_max <= at + world.expiration;
    let fenced = |(lease, renewed): (&Lease, Option<Duration>)| {
        lease.owner.as_deref() == Some(who) && renewed.is_some_and(in_time)
    };
    if !over.any(fenced) {
        world.violated(format!("the fence: {who} begins to put {} without a lease that lasts", put.name));
    }
}

/// A put is done, on top of what is stored.
pub(super) fn put_done(world: &mut World, who: &str, put: &Put) {
    let Some(&document) = world.by_name.get(&put.name) else {
        if put.name.contains("/_mirror/dead-letters/") || put.name.contains("/_mirror/gaps/") {
            world.violated(format!("{who} recorded {}", put.name));
        }
        return;
    };
    let version = Version::from_metadata(&put.metadata).unwrap();
    match follows(world, document, &version, put) {
        Ok(place) => {
            world.documents[document].stored.push(place);
            world.unstored.remove(&place);
        }
        Err(why) => world.violated(format!("{who} stored {}: {why}", put.name)),
    }
}

/// The place in the log of a version that may be stored on top of what is; else why it may not.
fn follows(world: &World, document: usize, version: &Version, put: &Put) -> Result<usize, String> {
    let doc = &world.documents[document];
    let identity = version.identity();
    let is_it = |&place: &usize| {
        let change = &world.log[place];
        match &version.etag {
            Some(etag) => change.etag == *etag,
            None => change.op == Op::Delete && Some(change.lsn) == version.lsn,
        }
    };
    let Some(nth) = doc.changes.iter().position(is_it) else {
        return Err(format!("{identity} is no version of it"));
    };
    let place = doc.changes[nth];
    let change = &world.log[place];
    let beneath = world.blobs.get(&put.name).and_then(|versions| versions.last());
    let beneath = beneath.map(|(head, _)| Version::from_metadata(&head.metadata).unwrap().identity());
    let from = match doc.stored.last() {
        None => 0,
        Some(last) => doc.changes.iter().position(|place| place == last).unwrap() + 1,
    };
    if nth < from {
        return Err(format!("{identity} is stale or doubled: {beneath:?} is stored"));
    }
    if version.prev != beneath {
        return Err(format!("{identity} is said to lie on {:?} and lies on {beneath:?}", version.prev));
    }
    let Some((first, last)) = world.began(&doc.epk) else {
        return Err(format!("{identity} is stored before there is a lease"));
    };
    if let Some(skipped) = doc.changes[from..nth].iter().map(|&place| &world.log[place]).find(|c| c.lsn > last) {
        return Err(format!("{identity} is stored without {} of lsn {} before it", skipped.etag, skipped.lsn));
    }
    let op_fits = match version.op {
        StoredOp::Backfill => change.op != Op::Delete && change.lsn <= last,
        StoredOp::Create => change.op == Op::Create && change.lsn > first,
        StoredOp::Replace => change.op == Op::Replace && change.lsn > first,
        StoredOp::Delete => change.op == Op::Delete && change.lsn > first,
        _ => false,
    };
    if !op_fits || version.ts != change.ts || version.lsn.is_some_and(|lsn| lsn != change.lsn) {
        return Err(format!("{identity} is {:?} of {} and is stored as {version:?}", change.op, change.lsn));
    }
    let with_lsn = || format!("{},\"_lsn\":{}}}", change.text.trim_end_matches('}'), change.lsn);
    if put.body != change.text.as_bytes() && put.body != with_lsn().as_bytes() {
        return Err(format!("{identity} is stored with other bytes than the feed gave"));
    }
    Ok(place)
}

fn number<T: std::str::FromStr>(lease: &Lease, property: &str) -> Option<T> {
    lease.properties.get(property)?.trim_matches('"').parse().ok()
}

/// The position of a lease.
fn position(lease: &Lease) -> Option<u64> {
    lease.continuation.as_ref()?.trim_matches('"').parse().ok()
}

/// A lease is written, on top of what stood there.
pub(super) fn lease_written(world: &mut World, who: &str, before: Option<&LeaseDocument>, lease: &Lease) {
    let (id, range) = (lease.id.as_str(), lease.range.clone().unwrap());
    let Some(position) = position(lease) else {
        return world.violated(format!("{who} wrote the lease {id} without a position"));
    };
    begin(world, lease, &range, position, before.is_none());
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
pub(super) fn lease_deleted(world: &mut World, id: &str, lease: Option<Lease>) {
    let Some(range) = lease.and_then(|lease| lease.range) else { return };
    let others: Vec<EpkRange> =
        world.leases.values().filter_map(|document| document.lease.as_ref()?.range.clone()).collect();
    if let Some(hole) = uncovered(&others).into_iter().find(|hole| hole.overlaps(&range)) {
        world.violated(format!("the lease {id} is deleted and nothing covers {hole}"));
    }
}

/// Why the world is not yet as it must be in the end, with these replicas as owners (or nobody where there are none, or anybody where
/// that is not asked); none where it is.
pub(super) fn unsettled(world: &World, live: Option<&[String]>) -> Option<String> {
    if let Some(why) = unowned(world, live) {
        return Some(why);
    }
    let leases = || world.leases.values().filter_map(|document| document.lease.as_ref());
    let gone = |lease: &&Lease| {
        let within = |range: &EpkRange, p: &Physical| p.range.range.min <= range.min && range.max <= p.range.range.max;
        lease.range.as_ref().is_none_or(|range| !world.physical.iter().any(|physical| within(range, physical)))
    };
    if let Some(lease) = leases().find(gone) {
        return Some(format!("the range of {} is gone", lease.id));
    }
    if let Some(lease) = leases().find(|lease| !lease.properties.contains_key(BACKFILLED)) {
        return Some(format!("the backfill of {} has not ended", lease.id));
    }
    let all = EpkRange::full();
    if let Some(change) = world.missing(&all).next() {
        return Some(format!("{} of {} is not stored", change.etag, world.documents[change.document].id));
    }
    world.missing_before(&all, u64::MAX).map(|document| format!("{document} is not stored"))
}

/// Why the leases do not tile the key space, each owned by one of these replicas.
pub(super) fn unowned(world: &World, live: Option<&[String]>) -> Option<String> {
    let mut covered_to = String::new();
    let mut leases: Vec<&Lease> = world.leases.values().filter_map(|document| document.lease.as_ref()).collect();
    leases.sort_by_key(|lease| lease.range.as_ref().map(|range| range.min.clone()));
    for lease in leases {
        let Some(range) = &lease.range else { return Some(format!("{} has no range", lease.id)) };
        if range.min != covered_to {
            return Some(format!("the lease {} begins at {:?} and not at {covered_to:?}", lease.id, range.min));
        }
        covered_to.clone_from(&range.max);
        let owner_fits = |live: &[String]| lease.owner.as_ref().map_or(live.is_empty(), |owner| live.contains(owner));
        if !live.is_none_or(owner_fits) {
            return Some(format!("the lease {} is owned by {:?}", lease.id, lease.owner));
        }
    }
    (covered_to != "FF").then(|| format!("the leases end at {covered_to:?}"))
}

/// The ids of the leases that these replicas own.
pub(super) fn owned(world: &World, live: &[String]) -> Vec<String> {
    let leases = world.leases.values().filter_map(|document| document.lease.as_ref());
    let owned = leases.filter(|lease| lease.owner.as_ref().is_some_and(|owner| live.contains(owner)));
    owned.map(|lease| lease.id.clone()).collect()
}

/// A lease that is not among these.
pub(super) fn orphan(world: &World, followed: &BTreeSet<String>) -> Option<String> {
    let mut leases = world.leases.values().filter_map(|document| document.lease.as_ref());
    leases.find(|lease| !followed.contains(&lease.id)).map(|lease| lease.id.clone())
}

/// Why the leases are not shared equally by these replicas.
pub(super) fn unbalanced(world: &World, live: &[String]) -> Option<String> {
    if let Some(why) = unowned(world, Some(live)) {
        return Some(why);
    }
    let owners = || world.leases.values().filter_map(|document| document.lease.as_ref()?.owner.as_ref());
    let shares: Vec<usize> = live.iter().map(|name| owners().filter(|owner| *owner == name).count()).collect();
    let (least, most) = (shares.iter().min()?, shares.iter().max()?);
    (most - least > 1).then(|| format!("{live:?} have {shares:?} leases"))
}

/// When the service last took a lease's renewal of this replica, which may have been under way when the replica crashed.
pub(super) fn last_renewal(world: &World, name: &str) -> Option<Duration> {
    let owned = |document: &&LeaseDocument| document.lease.as_ref().is_some_and(|l| l.owner.as_deref() == Some(name));
    world.leases.values().filter(owned).filter_map(|document| document.renewed).max()
}
