//! Splits and merges of a container's partitions.
//!
//! Ids of ranges are numbers that are never used twice in a container. What a request still asks of a range that is gone
//! is refused (410/1002) by the look-up of the id; the continuations of that range hold on its successors.

use azure_data_cosmos_driver::models::EffectivePartitionKey;

use super::{State, expiry, transaction};
use crate::cosmos::journal::Record;
use crate::cosmos::partition::Partition;
use crate::journal::JournalError;

/// Why the partitions stay as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopologyError {
    #[error("there is no partition key range {0:?}")]
    NoSuchRange(String),
    #[error("{0:?} does not lie inside the bounds of the range")]
    Outside(String),
    #[error("the range cannot be split any further")]
    TooNarrow,
    #[error("a merge takes two ranges or more")]
    TooFew,
    #[error("the ranges do not adjoin")]
    Apart,
    #[error(transparent)]
    NotKept(#[from] JournalError),
}

impl State {
    /// Puts two partitions in the place of one, and gives their ids.
    pub(crate) fn split(
        &mut self,
        range: &str,
        at: Option<EffectivePartitionKey>,
    ) -> Result<[String; 2], TopologyError> {
        let index = self.place_of(range)?;
        let parent = &self.partitions[index];
        let at = match at {
            Some(at) if parent.is_inside(&at) => at,
            Some(at) => return Err(TopologyError::Outside(at.to_hex())),
            None => parent.split_point().ok_or(TopologyError::TooNarrow)?,
        };
        self.keep(&Record::Split { number: self.numbers, range: range.into(), at: at.to_hex().into() }, &[])?;
        let parent = &self.partitions[index];
        let ids = [self.ranges.to_string(), (self.ranges + 1).to_string()];
        let children = parent.split(&at, ids.clone());
        self.succeed(index..index + 1, children);
        Ok(ids)
    }

    /// Puts one partition in the place of several that adjoin, and gives its id.
    pub(crate) fn merge(&mut self, ranges: &[String]) -> Result<String, TopologyError> {
        let mut places = ranges.iter().map(|range| self.place_of(range)).collect::<Result<Vec<_>, _>>()?;
        places.sort_unstable();
        places.dedup();
        let (Some(&first), Some(&last)) = (places.first(), places.last()) else {
            return Err(TopologyError::TooFew);
        };
        if places.len() < 2 {
            return Err(TopologyError::TooFew);
        }
        if last - first + 1 != places.len() {
            return Err(TopologyError::Apart);
        }
        self.keep(&Record::Merge { number: self.numbers, ranges: ranges.into() }, &[])?;
        let id = self.ranges.to_string();
        let merged = Partition::merge(&self.partitions[first..=last], id.clone());
        self.succeed(first..last + 1, [merged]);
        Ok(id)
    }

    fn place_of(&self, range: &str) -> Result<usize, TopologyError> {
        self.partitions
            .iter()
            .position(|partition| &*partition.id == range)
            .ok_or_else(|| TopologyError::NoSuchRange(range.to_owned()))
    }

    fn succeed<const N: usize>(&mut self, parents: std::ops::Range<usize>, mut successors: [Partition; N]) {
        for successor in &mut successors {
            // The log remembers each version's expiry as it was when the version was written; the container's default
            // time to live may have changed since.
            let default_ttl = self.default_ttl;
            successor.reschedule(|version| expiry(default_ttl, transaction::ttl_of(version.text()), version.ts));
        }
        self.partitions.splice(parents, successors);
        self.ranges += N as u64;
        self.topology += 1;
    }
}
