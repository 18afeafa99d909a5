//! What must be true when nothing disturbs any more: everything is stored, and every lease has its owner.

use std::collections::BTreeSet;
use std::time::Duration;

use cosmirror_formats::records::Gap;
use cosmirror_formats::{EpkRange, Lease};

use super::window::records;
use super::{BACKFILLED, replica};
use crate::run::simulation::world::{LeaseDocument, Physical, World};

/// Why the world is not yet as it must be in the end, with these replicas as owners (or nobody where there are none, or anybody where
/// that is not asked); none where it is.
pub(in crate::run::simulation) fn unsettled(world: &World, live: Option<&[String]>) -> Option<String> {
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
    if let Some(gap) = records::<Gap>(world, "/_mirror/gaps/").iter().find(|gap| gap.until.is_none()) {
        return Some(format!("the gap of {} from {} has not ended", gap.range, gap.from));
    }
    if let Some(why) = leases().find_map(|lease| replica::differs(world, lease)) {
        return Some(why);
    }
    let all = EpkRange::full();
    if let Some(change) = world.missing(&all).next() {
        return Some(format!("{} of {} is not stored", change.etag, world.documents[change.document].id));
    }
    if world.shows_newest_only() {
        let gone = world.gone_unnoticed().filter(|_| world.reconciles);
        return gone.map(|document| format!("{} is gone, and the mirror does not say so", document.id));
    }
    world.missing_before(&all, u64::MAX).map(|document| format!("{document} is not stored"))
}

/// Why the leases do not tile the key space, each owned by one of these replicas.
fn unowned(world: &World, live: Option<&[String]>) -> Option<String> {
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
pub(in crate::run::simulation) fn owned(world: &World, live: &[String]) -> Vec<String> {
    let leases = world.leases.values().filter_map(|document| document.lease.as_ref());
    let owned = leases.filter(|lease| lease.owner.as_ref().is_some_and(|owner| live.contains(owner)));
    owned.map(|lease| lease.id.clone()).collect()
}

/// A lease that is not among these.
pub(in crate::run::simulation) fn orphan(world: &World, followed: &BTreeSet<String>) -> Option<String> {
    let mut leases = world.leases.values().filter_map(|document| document.lease.as_ref());
    leases.find(|lease| !followed.contains(&lease.id)).map(|lease| lease.id.clone())
}

/// Why the leases are not shared equally by these replicas.
pub(in crate::run::simulation) fn unbalanced(world: &World, live: &[String]) -> Option<String> {
    if let Some(why) = unowned(world, Some(live)) {
        return Some(why);
    }
    let owners = || world.leases.values().filter_map(|document| document.lease.as_ref()?.owner.as_ref());
    let shares: Vec<usize> = live.iter().map(|name| owners().filter(|owner| *owner == name).count()).collect();
    let (least, most) = (shares.iter().min()?, shares.iter().max()?);
    (most - least > 1).then(|| format!("{live:?} have {shares:?} leases"))
}

/// When the service last took a lease's renewal of this replica, which may have been under way when the replica crashed.
pub(in crate::run::simulation) fn last_renewal(world: &World, name: &str) -> Option<Duration> {
    let owned = |document: &&LeaseDocument| document.lease.as_ref().is_some_and(|l| l.owner.as_deref() == Some(name));
    world.leases.values().filter(owned).filter_map(|document| document.renewed).max()
}
