//! Which puts of a document may begin, and what may be stored on top of what is.

use std::time::Duration;

use cosmirror_formats::records::Gap;
use cosmirror_formats::{Lease, Op as StoredOp, Version};

use crate::run::simulation::world::{Change, Doc, Kept, Op, World, contains};
use crate::store::Put;
use crate::store::azure::PUT_TIMEOUT;

/// What the time of a reconciliation's tombstone may be ahead of the service's: it is an upper bound in whole seconds.
const AHEAD_SECONDS_MAX: i64 = 2;

/// A replica begins to put a version.
pub(in crate::run::simulation) fn put_begins(world: &mut World, who: &str, put: &Put) {
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
    // Who was robbed of its lease does not know it yet.
    let mut robbed = world.lost.iter().filter(|lost| contains(&lost.range, epk)).filter_map(|lost| lost.owner.as_ref());
    if !over.any(fenced) && !robbed.any(|(owner, renewed)| owner == who && in_time(*renewed)) {
        world.violated(format!("the fence: {who} begins to put {} without a lease that lasts", put.name));
    }
}

/// A put is done, on top of what is stored.
pub(in crate::run::simulation) fn put_done(world: &mut World, who: &str, put: &Put) {
    let Some(&document) = world.by_name.get(&put.name) else {
        let is_gap = put.name.contains("/_mirror/gaps/");
        if put.name.contains("/_mirror/dead-letters/") || is_gap && !is_caused(world, &put.body) {
            world.violated(format!("{who} recorded {}", put.name));
        }
        return;
    };
    let version = Version::from_metadata(&put.metadata).unwrap();
    let vanished = version.is_tombstone() && version.lsn.is_none();
    let result = if vanished { vanishes(world, document, &version) } else { follows(world, document, &version, put) };
    match result {
        Ok(place) => {
            if let Some(place) = place {
                world.unstored.remove(&place);
            }
            world.documents[document].stored.push(Kept { version, place });
        }
        Err(why) => world.violated(format!("{who} stored {}: {why}", put.name)),
    }
}

/// Whether a gap is recorded of a range from which something was taken.
fn is_caused(world: &World, gap: &[u8]) -> bool {
    let gap: Gap = serde_json::from_slice(gap).unwrap();
    world.lost.iter().any(|lost| lost.range.overlaps(&gap.range))
}

/// Whether a version lies on what it says it lies on.
fn lies_on(doc: &Doc, version: &Version) -> Result<(), String> {
    let beneath = doc.stored.last().map(|kept| kept.version.identity());
    let identity = version.identity();
    if version.prev == beneath {
        return Ok(());
    }
    Err(format!("{identity} is said to lie on {:?} and lies on {beneath:?}", version.prev))
}

/// Whether a document has vanished as a reconciliation's tombstone says: it was there to the end of the second `after`, and was deleted by
/// the end of its time. That it was as the version beneath says to the end is not known: what was overwritten and then deleted before
/// the feed was read is shown by nothing.
fn vanishes(world: &World, document: usize, version: &Version) -> Result<Option<usize>, String> {
    let doc = &world.documents[document];
    let identity = version.identity();
    lies_on(doc, version)?;
    let top = doc.stored.last().and_then(|kept| kept.place);
    let (Some(top), Some(after)) = (top, version.after) else {
        return Err(format!("{identity} says that a document vanished which was not there"));
    };
    let later = doc.changes.iter().filter(|&&place| place > top).map(|&place| &world.log[place]);
    let later: Vec<&Change> = later.collect();
    // A delete behind which it was created again is one that nobody could miss.
    let last_write = later.iter().rposition(|change| !change.op.is_delete()).map_or(0, |last| last + 1);
    let gone = later[last_write..].first();
    if let Some(earlier) = gone.filter(|change| change.ts <= after) {
        let what = format!("at {} by lsn {}", earlier.ts, earlier.lsn);
        return Err(format!("{identity} says that the document was there up to {after}, but it was deleted {what}"));
    }
    if !later.iter().any(|change| change.op.is_delete() && change.ts <= version.ts) {
        return Err(format!("{identity} says that the document was gone by {}, which it was not", version.ts));
    }
    if version.op != StoredOp::Delete || version.ts > world.now() + AHEAD_SECONDS_MAX {
        return Err(format!("{identity} is stored as {version:?}"));
    }
    Ok(None)
}

/// The place in the log of a version that may be stored on top of what is; else why it may not.
fn follows(world: &World, document: usize, version: &Version, put: &Put) -> Result<Option<usize>, String> {
    let doc = &world.documents[document];
    let identity = version.identity();
    let is_it = |&place: &usize| {
        let change = &world.log[place];
        match &version.etag {
            Some(etag) => change.etag == *etag,
            None => change.op.is_delete() && Some(change.lsn) == version.lsn && change.nth == version.nth,
        }
    };
    let Some(nth) = doc.changes.iter().position(is_it) else {
        return Err(format!("{identity} is no version of it"));
    };
    let place = doc.changes[nth];
    let change = &world.log[place];
    let from = match doc.newest_stored() {
        None => 0,
        Some(last) => doc.changes.iter().position(|&place| place == last).unwrap() + 1,
    };
    if nth < from {
        let beneath = doc.stored.last().map(|kept| kept.version.identity());
        return Err(format!("{identity} is stale or doubled: {beneath:?} is stored"));
    }
    lies_on(doc, version)?;
    let op_fits = if world.shows_newest_only() {
        newest_op_fits(doc, version)
    } else {
        every_op_fits(world, doc, version, change, &doc.changes[from..nth])?
    };
    if !op_fits || version.ts != change.ts || version.lsn.is_some_and(|lsn| lsn != change.lsn) {
        return Err(format!("{identity} is {:?} of {} and is stored as {version:?}", change.op, change.lsn));
    }
    let with_lsn = || format!("{},\"_lsn\":{}}}", change.text.trim_end_matches('}'), change.lsn);
    if put.body != change.text.as_bytes() && put.body != with_lsn().as_bytes() {
        return Err(format!("{identity} is stored with other bytes than the feed gave"));
    }
    Ok(Some(place))
}

/// Whether a version is named for what the mirror holds beneath it: the feed of newest versions does not tell.
fn newest_op_fits(doc: &Doc, version: &Version) -> bool {
    let exists = doc.stored.last().is_some_and(|kept| !kept.version.is_tombstone());
    match version.op {
        StoredOp::Create => !exists,
        StoredOp::Replace => exists,
        // The comparison was quicker than the feed.
        StoredOp::Reconcile => true,
        _ => false,
    }
}

/// Whether a version is named for what happened; or what may not be left out before it.
fn every_op_fits(
    world: &World,
    doc: &Doc,
    version: &Version,
    change: &Change,
    before: &[usize],
) -> Result<bool, String> {
    let identity = version.identity();
    let Some((first, last)) = world.began(&doc.epk) else {
        return Err(format!("{identity} is stored before there is a lease"));
    };
    if let Some(skipped) = before.iter().map(|&place| &world.log[place]).find(|change| change.lsn > last) {
        return Err(format!("{identity} is stored without {} of lsn {} before it", skipped.etag, skipped.lsn));
    }
    let followed = change.lsn > first;
    Ok(match version.op {
        StoredOp::Backfill => !change.op.is_delete() && change.lsn <= last,
        StoredOp::Create => change.op == Op::Create && followed,
        StoredOp::Replace => change.op == Op::Replace && followed,
        StoredOp::Delete => change.op == Op::Delete && followed,
        StoredOp::Expire => change.op == Op::Expire && followed,
        // Nobody purges here.
        StoredOp::Purge => false,
        // Behind a gap the comparison may be quicker than the backfill.
        StoredOp::Reconcile => !change.op.is_delete() && world.lost.iter().any(|lost| contains(&lost.range, &doc.epk)),
    })
}
