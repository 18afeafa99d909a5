//! Cutting what lacks a lease by the physical ranges, and naming the leases of the pieces.

use cosmirror_formats::{EpkRange, Lease};

use super::LeaseStore;
use crate::failure::{Failure, Kind};
use crate::feed::PhysicalRange;

/// A piece of the key space within one physical range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// The piece.
    pub range: EpkRange,
    /// Where it lies.
    pub within: &'a PhysicalRange,
}

/// The pieces of these holes, each within one physical range.
pub fn cut<'a>(holes: &[EpkRange], physical: &'a [PhysicalRange]) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for hole in holes {
        for within in physical.iter().filter(|physical| physical.range.overlaps(hole)) {
            let (min, max) = (within.range.min.clone().max(hole.min.clone()), within.range.max.clone());
            parts.push(Part { range: EpkRange::new(min, max.min(hole.max.clone())), within });
        }
    }
    parts
}

impl Part<'_> {
    /// The lease of this piece, free, with everything else as in `like`. It is named after the physical range where it is all of
    /// it, and after its bounds otherwise.
    pub fn lease(&self, prefix: &str, like: &Lease) -> Lease {
        let (range, within) = (&self.range, self.within);
        let whole = *range == within.range;
        let token = if whole { within.id.clone() } else { format!("{}-{}", range.min, range.max) };
        let mut lease = Lease {
            id: format!("{prefix}..{token}"),
            version: u32::from(!whole).into(),
            token,
            range: Some(range.clone()),
            ..like.clone()
        };
        super::owner::Owner::unmark(&mut lease);
        lease
    }
}

/// Creates the lease of a part, and gives it as it stands. It may be there: from before a crash, or from another replica. Then it must
/// stand for the same part.
pub async fn create(leases: &LeaseStore, lease: &Lease) -> Result<Lease, Failure> {
    match leases.create(lease).await {
        Err(failure) if failure.kind != Kind::Conflict => return Err(failure),
        _ => {}
    }
    let standing = leases.read(&lease.id).await?;
    if standing.as_ref().is_some_and(|standing| standing.lease.range != lease.range) {
        let message =
            format!("the lease {:?} stands for another range than the part it is to be created for", lease.id);
        return Err(Failure::new(Kind::Misconfigured, message)
            .remedy("remove that lease if no other program uses it, or set leases.processor to another name"));
    }
    // One that is gone by now was followed and has given way.
    Ok(standing.map_or_else(|| lease.clone(), |standing| standing.lease))
}
