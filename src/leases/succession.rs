//! A lease whose range was split gives way to one lease per part.
//!
//! Order, so that a crash anywhere loses nothing and any replica can go on: the parent's lease is taken; the parts' leases are
//! created with the parent's last durable position, which holds on each of them; the mirror gets the parts' states and then marks
//! the parent's as superseded; the parent's lease is deleted last. Until then whoever takes the parent reads nothing from it
//! (its range is gone) and comes here again. What is there already stays as it is, because a part may have been followed
//! since, and the rest is cut by the ranges as they are then.
//!
//! After a merge nothing gives way: the lease goes on with its own bounds, within the larger range. The exception is a lease of
//! which parts are there from before a crash: those hold what they hold, and the rest is cut to match.

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::records::RangeState;
use cosmirror_formats::{EpkRange, Lease, MirrorPaths};

use super::acquire::{give_back, take};
use super::owner::Owner;
use super::parts::{self, Part, cut};
use super::{LeaseStore, Standing, mint_lineage, range_of, required_range_of};
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, PhysicalRange};
use crate::mirror::checkpoint::RangeProgress;
use crate::records;
use crate::store::{Condition, VersionStore};

/// Whether a lease has begun to give way: leases of parts of its range are there. Then it must not be followed, even if its range can
/// be read again since a merge, because its parts are.
pub fn is_under_way(id: &str, range: &EpkRange, leases: &[Standing], physical: &[PhysicalRange]) -> bool {
    let others = leases.iter().filter(|standing| standing.lease.id != id);
    others.filter_map(|standing| range_of(&standing.lease, physical)).any(|other| is_part(&other, range))
}

/// Where a lease gives way.
pub struct Succession<'a> {
    /// The leases.
    pub leases: &'a LeaseStore,
    /// The container's feed, which knows its present ranges.
    pub feed: &'a dyn ChangeFeed,
    /// The mirror.
    pub store: &'a dyn VersionStore,
    /// The container's names in it.
    pub paths: &'a MirrorPaths,
    /// This process in leases.
    pub owner: &'a Owner,
}

impl Succession<'_> {
    /// Puts the parts' leases in the place of one, and gives the parts; none if another replica has the lease, or did it.
    pub async fn run(&self, id: &str) -> Result<Vec<EpkRange>, Failure> {
        // Ours while it gives way, so that two replicas never cut it differently.
        let Some(parent) = self.take(id).await? else { return Ok(Vec::new()) };
        crash_point!("split-lease-taken");
        let parts = self.divide(&parent).await;
        if parts.is_err() {
            give_back(self.leases, &parent).await;
        }
        parts
    }

    async fn divide(&self, parent: &Standing) -> Result<Vec<EpkRange>, Failure> {
        let id = parent.lease.id.as_str();
        let physical = self.feed.ranges().await?;
        let range = required_range_of(&parent.lease, &physical)?;
        // Parts from before a crash. The ranges may have been cut otherwise since; what they hold is theirs.
        let others = self.leases.list().await?.into_iter().filter(|standing| standing.lease.id != id);
        let others: Vec<EpkRange> = others.filter_map(|standing| range_of(&standing.lease, &physical)).collect();
        let (there, missing) = parts_of(&range, &physical, &others)?;
        for part in &missing {
            parts::create(self.leases, &part.lease(self.leases.prefix(), &parent.lease)).await?;
            crash_point!("split-part-created");
        }
        let parts: Vec<EpkRange> = there.into_iter().chain(missing.into_iter().map(|part| part.range)).collect();
        self.require_covered(id, &range, &physical).await?;
        crash_point!("split-covered");
        self.supersede(&parent.lease, &range, &parts).await?;
        crash_point!("split-superseded");
        match self.leases.delete(id, &parent.etag).await {
            // Our own request whose answer was lost, or another replica that took it because we were slow.
            Err(failure) if !matches!(failure.kind, Kind::Conflict | Kind::NotFound) => Err(failure),
            _ => {
                crash_point!("split-lease-deleted");
                Ok(parts)
            }
        }
    }

    /// Without the parent's lease, the others must cover its range; it is not removed before that was seen.
    async fn require_covered(&self, id: &str, range: &EpkRange, physical: &[PhysicalRange]) -> Result<(), Failure> {
        let leases = self.leases.list().await?;
        let others = leases.iter().filter(|standing| standing.lease.id != id);
        let covered: Vec<EpkRange> = others.filter_map(|standing| range_of(&standing.lease, physical)).collect();
        if uncovered(&covered).iter().any(|hole| hole.overlaps(range)) {
            let message = format!("the parts of the range {range} do not have their leases yet");
            return Err(Failure::new(Kind::RangeGone, message));
        }
        Ok(())
    }

    async fn take(&self, id: &str) -> Result<Option<Standing>, Failure> {
        let Some(standing) = self.leases.read(id).await? else { return Ok(None) };
        if standing.lease.owner.is_some() && !self.owner.holds(&standing.lease) {
            return Ok(None);
        }
        Ok(take(self.leases, self.owner, standing).await?.map(|owned| owned.standing))
    }

    /// Hands the parent's state in the mirror on to the parts.
    async fn supersede(&self, parent: &Lease, range: &EpkRange, parts: &[EpkRange]) -> Result<(), Failure> {
        let lineage = mint_lineage(&self.feed.container().rid, range);
        let lineage = RangeProgress::from_lease(parent, &lineage, 0).lineage;
        let name = self.paths.range_state(&lineage, range);
        let Some((state, etag)) = records::get::<RangeState>(self.store, &name).await? else { return Ok(()) };
        for part in parts {
            let part_state = RangeState { range: part.clone(), superseded_by: Vec::new(), ..state.clone() };
            let part_name = self.paths.range_state(&lineage, part);
            match self.store.put(records::put(part_name, &part_state, Condition::Absent)).await {
                Err(failure) if failure.kind != Kind::Conflict => return Err(failure),
                _ => {}
            }
            crash_point!("split-part-state-put");
        }
        let state = RangeState { superseded_by: parts.to_vec(), ..state };
        self.store.put(records::put(name, &state, Condition::Matches(etag))).await?;
        Ok(())
    }
}

/// What of a range has leases already, and the parts that lack one. All together they tile the range.
type Parts<'a> = (Vec<EpkRange>, Vec<Part<'a>>);

/// Whether a range lies within another and is less than it.
fn is_part(part: &EpkRange, whole: &EpkRange) -> bool {
    part != whole && whole.min <= part.min && part.max <= whole.max
}

fn parts_of<'a>(range: &EpkRange, physical: &'a [PhysicalRange], leased: &[EpkRange]) -> Result<Parts<'a>, Failure> {
    let there: Vec<EpkRange> = leased.iter().filter(|other| is_part(other, range)).cloned().collect();
    // The rest of the key space counts as covered here.
    let around = [EpkRange::new("", range.min.clone()), EpkRange::new(range.max.clone(), "FF")];
    let covered: Vec<EpkRange> = there.iter().chain(&around).cloned().collect();
    let missing = cut(&uncovered(&covered), physical);
    let parts: Vec<EpkRange> = covered.into_iter().chain(missing.iter().map(|part| part.range.clone())).collect();
    if !uncovered(&parts).is_empty() || there.len() + missing.len() < 2 {
        // The service is in the middle of it, or the list is old: it is asked again later.
        let message = format!("the range {range} was split or merged, and its parts are not there yet");
        return Err(Failure::new(Kind::RangeGone, message));
    }
    Ok((there, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn physical(bounds: &[(&str, &str, &str)]) -> Vec<PhysicalRange> {
        let range = |(id, min, max): &(&str, &str, &str)| PhysicalRange {
            id: (*id).to_owned(),
            range: EpkRange::new(*min, *max),
            parents: Vec::new(),
        };
        bounds.iter().map(range).collect()
    }

    fn missing(range: (&str, &str), physical: &[PhysicalRange], leased: &[(&str, &str)]) -> Option<Vec<String>> {
        let leased: Vec<EpkRange> = leased.iter().map(|(min, max)| EpkRange::new(*min, *max)).collect();
        let (_, missing) = parts_of(&EpkRange::new(range.0, range.1), physical, &leased).ok()?;
        Some(missing.iter().map(|part| format!("{} in {}", part.range, part.within.id)).collect())
    }

    #[test]
    fn a_range_gives_way_to_the_parts_it_was_split_into() {
        let ranges = physical(&[("3", "20", "30"), ("1", "", "20"), ("4", "30", "FF")]);
        assert_eq!(missing(("20", "FF"), &ranges, &[("", "20")]).unwrap(), ["[20,30) in 3", "[30,FF) in 4"]);
        assert_eq!(missing(("", "FF"), &ranges, &[]).unwrap().len(), 3);
    }

    #[test]
    fn parts_of_an_earlier_attempt_stay_although_the_ranges_were_cut_otherwise_since() {
        let ranges = physical(&[("7", "", "12"), ("8", "12", "FF")]);
        assert_eq!(
            missing(("", "20"), &ranges, &[("", "0A"), ("20", "FF")]).unwrap(),
            ["[0A,12) in 7", "[12,20) in 8"]
        );
        assert_eq!(missing(("", "20"), &ranges, &[("", "0A"), ("0A", "20")]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_lease_of_which_parts_are_there_gives_way_although_the_ranges_were_merged_since() {
        let merged = physical(&[("9", "", "FF")]);
        assert_eq!(
            missing(("20", "30"), &merged, &[("", "20"), ("20", "24"), ("30", "FF")]).unwrap(),
            ["[24,30) in 9"]
        );
        assert_eq!(missing(("20", "30"), &merged, &[("20", "30")]), None, "a lease of the same range is no part");
    }

    #[test]
    fn nothing_gives_way_to_less_than_two_parts() {
        let merged = physical(&[("5", "", "FF")]);
        assert_eq!(missing(("", "20"), &merged, &[("20", "FF")]), None);
        let hole = physical(&[("1", "", "10"), ("2", "18", "FF")]);
        assert_eq!(missing(("", "20"), &hole, &[("20", "FF")]), None);
    }
}
