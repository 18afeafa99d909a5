//! Sorting more documents of a container than fit into memory: runs of bounded size on disk, merged as they are read.
//!
//! A feed or a query gives documents in an order of its own, and one that changes while it is read more than once; what comes out is
//! in the order of names, each name once, with what was seen last. Memory holds one run and, while merging, one entry
//! and a read buffer of each run; runs are merged in tiers, so that their number (and that of open files) grows with the
//! logarithm of the number of documents.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::spool::Spool;

/// Documents sorted in memory at once; some tens of megabytes.
pub(crate) const RUN_DOCUMENTS_MAX: usize = 50_000;
/// Runs of one tier that are merged into one of the next.
const TIER_RUNS_MAX: usize = 16;
/// Documents by which each merge goes on for each that is added.
const MERGED_PER_DOCUMENT: usize = 4;

/// What the source holds of one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The name of its blob.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: String,
    /// Its partition key as a JSON array.
    pub(crate) key: serde_json::Value,
    /// Its `_etag`.
    pub(crate) etag: String,
    /// When it was committed, in seconds since 1970, where it was asked for.
    pub(crate) ts: Option<i64>,
    /// Its log sequence number, where the feed told it.
    pub(crate) lsn: Option<u64>,
    /// The hash of its text as a client would send it, where the mode asks for it.
    pub(crate) sha256: Option<String>,
    /// When it was seen, as a count.
    pub(crate) nth: u64,
}

/// Collects documents in any order.
pub(crate) struct Runs {
    run: Vec<Seen>,
    run_max: usize,
    tiers: Vec<Tier>,
    count: u64,
}

/// Runs of about one size.
#[derive(Default)]
struct Tier {
    runs: Vec<Spool<Seen>>,
    merging: Option<Merging>,
}

/// Runs on their way to become one of the next tier.
struct Merging {
    /// What was merged, which comes before all the rest.
    done: Spool<Seen>,
    rest: Merged,
}

impl Runs {
    pub(crate) fn new(run_max: usize) -> Self {
        Self { run: Vec::new(), run_max, tiers: Vec::new(), count: 0 }
    }

    /// Adds a document that was seen after all others so far.
    pub(crate) fn push(&mut self, mut seen: Seen) -> Result<(), Failure> {
        seen.nth = self.count;
        self.count += 1;
        self.run.push(seen);
        if self.run.len() >= self.run_max {
            self.spill()?;
        }
        self.merge_some()
    }

    /// How many were added.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// Every name once, in order.
    pub(crate) fn sorted(mut self) -> Result<Merged, Failure> {
        self.spill()?;
        let mut runs: Vec<Run> = Vec::new();
        for Tier { runs: whole, merging } in self.tiers {
            for mut spool in whole {
                runs.push(Box::new(spool.read()?));
            }
            if let Some(Merging { mut done, rest }) = merging {
                runs.push(Box::new(done.read()?.chain(rest)));
            }
        }
        Merged::of(runs)
    }

    /// Sorts what is in memory and writes it down.
    fn spill(&mut self) -> Result<(), Failure> {
        if self.run.is_empty() {
            return Ok(());
        }
        self.run.sort_unstable_by(|a, b| (&a.name, Reverse(a.nth)).cmp(&(&b.name, Reverse(b.nth))));
        let mut spool = Spool::new()?;
        for seen in self.run.drain(..) {
            spool.push(&seen)?;
        }
        self.add(0, spool)
    }

    /// Adds a run, and begins to merge its tier where there are enough of them.
    fn add(&mut self, tier: usize, run: Spool<Seen>) -> Result<(), Failure> {
        if tier == self.tiers.len() {
            self.tiers.push(Tier::default());
        }
        let Tier { runs, merging } = &mut self.tiers[tier];
        runs.push(run);
        if runs.len() >= TIER_RUNS_MAX && merging.is_none() {
            let sources = runs.drain(..).map(|mut spool| Ok(Box::new(spool.read()?) as Run));
            let rest = Merged::of(sources.collect::<Result<_, Failure>>()?)?;
            *merging = Some(Merging { done: Spool::new()?, rest });
        }
        Ok(())
    }

    /// Goes on with every merge by a few documents. A whole one at once would hold up whoever shares the thread for minutes; at more than
    /// one document for each that is added, each ends before its tier is full again.
    fn merge_some(&mut self) -> Result<(), Failure> {
        for tier in 0..self.tiers.len() {
            let Some(Merging { done, rest }) = &mut self.tiers[tier].merging else { continue };
            let mut left = MERGED_PER_DOCUMENT;
            while left > 0
                && let Some(seen) = rest.next()
            {
                done.push(&seen?)?;
                left -= 1;
            }
            if left > 0
                && let Some(Merging { done, .. }) = self.tiers[tier].merging.take()
            {
                self.add(tier + 1, done)?;
            }
        }
        Ok(())
    }
}

type Run = Box<dyn Iterator<Item = Result<Seen, Failure>> + Send>;

/// Sorted runs as one.
pub(crate) struct Merged {
    runs: Vec<Run>,
    heads: Vec<Option<Seen>>,
    order: BinaryHeap<Reverse<(String, Reverse<u64>, usize)>>,
    last: Option<String>,
}

impl Merged {
    fn of(runs: Vec<Run>) -> Result<Self, Failure> {
        let heads = runs.iter().map(|_| None).collect();
        let mut merged = Self { runs, heads, order: BinaryHeap::new(), last: None };
        (0..merged.runs.len()).try_for_each(|run| merged.fetch(run))?;
        Ok(merged)
    }

    fn fetch(&mut self, run: usize) -> Result<(), Failure> {
        if let Some(seen) = self.runs[run].next().transpose()? {
            self.order.push(Reverse((seen.name.clone(), Reverse(seen.nth), run)));
            self.heads[run] = Some(seen);
        }
        Ok(())
    }
}

impl Iterator for Merged {
    type Item = Result<Seen, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(Reverse((name, _, run))) = self.order.pop() {
            let seen = self.heads[run].take();
            if let Err(failure) = self.fetch(run) {
                return Some(Err(failure));
            }
            // Of one name the one that was seen last comes first.
            if self.last.as_ref() != Some(&name) {
                self.last = Some(name);
                return seen.map(Ok);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn seen(name: String, etag: u64) -> Seen {
        Seen {
            name,
            id: String::new(),
            key: serde_json::Value::Null,
            etag: etag.to_string(),
            ts: None,
            lsn: None,
            sha256: None,
            nth: 0,
        }
    }

    /// A tier was once merged as a whole by the document that filled it, for minutes where it held millions.
    #[test]
    fn what_was_seen_last_of_each_name_comes_in_order_out_of_tiers_that_are_merged_bit_by_bit() {
        let mut chance = fastrand::Rng::with_seed(7);
        for count in [0, 1, 5, 32, 33, 500, 1_100, 9_000] {
            let (mut runs, mut last) = (Runs::new(2), BTreeMap::new());
            for etag in 0..count {
                let name = format!("d{}", chance.u64(0..count));
                last.insert(name.clone(), etag.to_string());
                let before: u64 = runs.tiers.iter().filter_map(|tier| Some(tier.merging.as_ref()?.done.len())).sum();
                runs.push(seen(name, etag)).unwrap();
                let after: u64 = runs.tiers.iter().filter_map(|tier| Some(tier.merging.as_ref()?.done.len())).sum();
                assert!(after.saturating_sub(before) <= (MERGED_PER_DOCUMENT * runs.tiers.len()) as u64);
                assert!(
                    runs.tiers.iter().all(|tier| tier.runs.len() <= TIER_RUNS_MAX),
                    "a merge ends before the next is due"
                );
            }
            let sorted = runs.sorted().unwrap().map(|seen| seen.map(|seen| (seen.name, seen.etag)));
            assert_eq!(sorted.collect::<Result<Vec<_>, _>>().unwrap(), last.into_iter().collect::<Vec<_>>());
        }
    }
}
