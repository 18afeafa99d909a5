//! What a second target must hold that leases speak for.

use std::collections::BTreeSet;

use cosmirror_formats::{EpkRange, Lease, Op as StoredOp};

use super::{BACKFILL_NOW, BACKFILLED};
use crate::run::simulation::world::{Doc, World, contains};
use crate::store::replicated_identity;

/// The second target's name, and what names begin with there.
pub(in crate::run::simulation) const SOUTH: &str = "south";
const TARGETS: &str = "cosmirror.targets";

fn speaks_for_it(lease: &Lease) -> bool {
    lease.properties.get(TARGETS).is_some_and(|targets| targets == SOUTH)
}

/// The identities of the versions under a name, oldest first.
fn identities(world: &World, name: &str) -> Vec<String> {
    let versions = world.blobs.get(name).into_iter().flatten();
    versions.filter_map(|(head, _)| replicated_identity(head)).collect()
}

/// The documents of a range with the names of their blobs.
fn documents<'a>(world: &'a World, range: &'a EpkRange) -> impl Iterator<Item = (&'a str, &'a Doc)> {
    let named = world.by_name.iter().map(|(name, &document)| (name.as_str(), &world.documents[document]));
    named.filter(|(_, document)| contains(range, &document.epk))
}

/// Why a lease that names the second target may not be written with this position: something stored that was followed as far is
/// not there. What a backfill stores is spoken for when it has ended. The feed of newest versions does not show again what was replaced
/// since: that comes with the version that replaced it.
pub(super) fn lacks(world: &World, lease: &Lease, range: &EpkRange, position: u64) -> Option<String> {
    if !speaks_for_it(lease) {
        return None;
    }
    // Behind a gap what exists is read once more, and the end of the reading before stays in the lease meanwhile.
    let backfilled = lease.properties.contains_key(BACKFILLED) && !lease.properties.contains_key(BACKFILL_NOW);
    documents(world, range).find_map(|(name, document)| {
        let held: BTreeSet<String> = identities(world, &format!("{SOUTH}/{name}")).into_iter().collect();
        let spoken_for = |op: StoredOp| match op {
            StoredOp::Backfill => backfilled,
            StoredOp::Reconcile => false,
            _ => true,
        };
        let followed = document.stored.iter().filter(|kept| {
            let lsn = kept.place.map(|place| world.log[place].lsn);
            let shown = !world.shows_newest_only() || kept.place.as_ref() == document.changes.last();
            lsn.is_some_and(|lsn| lsn <= position) && shown && spoken_for(kept.version.op)
        });
        let missing = followed.map(|kept| kept.version.identity()).find(|identity| !held.contains(identity));
        missing.map(|identity| format!("the lease {} names {SOUTH}, which lacks {identity} of {name}", lease.id))
    })
}

/// Why the second target is not as the first one in the range of a lease that names it, when all is quiet. Of a document that is gone the feed
/// of newest versions shows nothing again: what of it is in the first one alone comes with a comparison, where there are any.
pub(super) fn differs(world: &World, lease: &Lease) -> Option<String> {
    let range = lease.range.as_ref().filter(|_| speaks_for_it(lease))?;
    let is_shown = |document: &Doc| document.exists || !world.shows_newest_only() || world.reconciles;
    documents(world, range).filter(|(_, document)| is_shown(document)).find_map(|(name, _)| {
        let (first, south) = (identities(world, name), identities(world, &format!("{SOUTH}/{name}")));
        let alike = |these: &[String]| these.iter().cloned().collect::<BTreeSet<_>>();
        let same = alike(&first) == alike(&south) && first.last() == south.last();
        (!same).then(|| format!("{name} is {first:?}, and {south:?} in {SOUTH}"))
    })
}
