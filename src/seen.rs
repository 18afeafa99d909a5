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
    tiers: Vec<Vec<Spool<Seen>>>,
    count: u64,
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
        if self.run.len() >= self.run_max { self.spill() } else { Ok(()) }
    }

    /// How many were added.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// Every name once, in order.
    pub(crate) fn sorted(mut self) -> Result<Merged, Failure> {
        self.spill()?;
        Merged::of(self.tiers.into_iter().flatten())
    }

    fn spill(&mut self) -> Result<(), Failure> {
        if self.run.is_empty() {
            return Ok(());
        }
        self.run.sort_unstable_by(|a, b| (&a.name, Reverse(a.nth)).cmp(&(&b.name, Reverse(b.nth))));
        let mut spool = Spool::new()?;
        for seen in self.run.drain(..) {
            spool.push(&seen)?;
        }
        for tier in 0.. {
            if tier == self.tiers.len() {
                self.tiers.push(Vec::new());
            }
            self.tiers[tier].push(spool);
            if self.tiers[tier].len() < TIER_RUNS_MAX {
                break;
            }
            let runs = std::mem::take(&mut self.tiers[tier]);
            spool = Spool::new()?;
            for seen in Merged::of(runs)? {
                spool.push(&seen?)?;
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
    fn of(spools: impl IntoIterator<Item = Spool<Seen>>) -> Result<Self, Failure> {
        let runs = spools.into_iter().map(|mut spool| Ok(Box::new(spool.read()?) as Run));
        let runs = runs.collect::<Result<Vec<Run>, Failure>>()?;
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
