//! The container's ranges: cutting, splitting and merging them, and losing the lease of one.

use std::time::Duration;

use cosmirror_formats::{EpkRange, Lease};

use super::{EPKS, Lost, Physical, World, contains};
use crate::feed::PhysicalRange;

impl World {
    /// Cuts the key space into so many ranges.
    pub(in crate::run::simulation) fn cut(&mut self, count: usize) {
        let mut cuts: Vec<String> = vec![String::new(), "FF".to_owned()];
        while cuts.len() <= count {
            let cut = format!("{:04X}", self.random.u32(1..EPKS));
            if !cuts.contains(&cut) {
                cuts.push(cut);
            }
        }
        cuts.sort();
        for bounds in cuts.windows(2) {
            let range = self.new_range(EpkRange::new(bounds[0].clone(), bounds[1].clone()), Vec::new());
            self.physical.push(Physical { range, lsn: 0, since: Duration::ZERO, log: Vec::new() });
        }
    }

    fn new_range(&mut self, range: EpkRange, parents: Vec<String>) -> PhysicalRange {
        self.ranges += 1;
        PhysicalRange { id: (self.ranges - 1).to_string(), range, parents }
    }

    /// Puts two ranges in the place of one; nothing if it is too narrow.
    pub(in crate::run::simulation) fn split(&mut self, place: usize) {
        let parent = self.physical[place].clone();
        let PhysicalRange { id, range, parents } = &parent.range;
        let low = u32::from_str_radix(&range.min, 16).unwrap_or(0);
        let high = if range.max == "FF" { EPKS } else { u32::from_str_radix(&range.max, 16).unwrap() };
        if high - low < 2 {
            return;
        }
        let at = format!("{:04X}", self.random.u32(low + 1..high));
        self.remember_ranges();
        let since = self.elapsed();
        let lineage: Vec<String> = parents.iter().chain([id]).cloned().collect();
        let bounds = [EpkRange::new(range.min.clone(), at.clone()), EpkRange::new(at.clone(), range.max.clone())];
        let children = bounds.map(|bounds| {
            let log = parent.log.iter().copied();
            let log = log.filter(|&c| contains(&bounds, &self.documents[self.log[c].document].epk)).collect();
            Physical { range: self.new_range(bounds, lineage.clone()), lsn: parent.lsn + 1, since, log }
        });
        self.note(|| format!("split {id} {range} at {at}"));
        self.physical.splice(place..=place, children);
    }

    /// Puts one range in the place of this one and the next.
    pub(in crate::run::simulation) fn merge(&mut self, place: usize) {
        if place + 1 >= self.physical.len() {
            return;
        }
        self.remember_ranges();
        let (low, high) = (self.physical[place].clone(), self.physical[place + 1].clone());
        let mut lineage = low.range.parents.clone();
        lineage.extend(high.range.parents.iter().cloned());
        lineage.extend([low.range.id.clone(), high.range.id.clone()]);
        let mut log: Vec<usize> = low.log.into_iter().chain(high.log).collect();
        log.sort_by_key(|&place| (self.log[place].lsn, place));
        let range = self.new_range(EpkRange::new(low.range.range.min, high.range.range.max), lineage);
        self.note(|| format!("merge {} and {} into {}", low.range.id, high.range.id, range.id));
        let merged = Physical { range, lsn: low.lsn.max(high.lsn) + 1, since: self.elapsed(), log };
        self.physical.splice(place..=place + 1, [merged]);
    }

    /// Removes some lease, as nobody should.
    pub(in crate::run::simulation) fn lose_lease(&mut self) {
        let ids: Vec<String> =
            self.leases.iter().filter(|(_, d)| d.lease.is_some()).map(|(id, _)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let id = &ids[self.random.usize(0..ids.len())];
        let document = self.leases.remove(id).unwrap();
        let Some(Lease { range: Some(range), owner, .. }) = document.lease else { return };
        self.note(|| format!("the lease {id} is removed"));
        let owner = owner.zip(document.renewed);
        self.lost.push(Lost { range, owner });
    }

    fn remember_ranges(&mut self) {
        let until = self.elapsed() + Duration::from_secs(3);
        self.physical_before = (self.physical.iter().map(|p| p.range.clone()).collect(), until);
    }
}
