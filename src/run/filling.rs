//! Bringing required targets to where the first one is, before a range is followed that they may lack something of.
//!
//! A lease says which targets hold everything as far as its position. Whoever takes one that does not name a required target fills that
//! target first, and only then follows: nobody else writes the range by then, so nothing can slip by. A process that is configured without a
//! target takes its name out of every lease it saves. So it does not matter when, and by how many replicas one after the other, the
//! configuration is changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::MirrorPaths;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::mirror::checkpoint::RangeProgress;
use crate::store::Replicated;

/// How often a range that waits for it gives a sign of life.
pub(super) const SIGN: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Done {
    /// When the last filling that was completed began.
    began: Option<Instant>,
    /// Whether the records were brought since the process began.
    records: bool,
}

/// The filling of one container's replicas.
pub(super) struct Filling {
    replicated: Arc<Replicated>,
    paths: MirrorPaths,
    /// What was done. Held while something is, so that many ranges wait for the same.
    done: Mutex<Done>,
}

impl Filling {
    /// Until a replica is known to hold what they claim, it gets no states of ranges.
    pub(super) fn new(replicated: Arc<Replicated>, paths: MirrorPaths) -> Self {
        replicated.hold_back(&paths.range_states());
        Self { replicated, paths, done: Mutex::default() }
    }

    /// The targets that have to hold everything.
    pub(super) fn targets(&self) -> BTreeSet<String> {
        self.replicated.names()
    }

    /// Returns when the replicas hold all that the first target held at `taken`, when the range's lease was taken or its position was lost.
    pub(super) async fn complete(&self, progress: &RangeProgress, taken: Instant) -> Result<(), Failure> {
        let mut done = self.done.lock().await;
        if !progress.targets.is_superset(&self.targets()) {
            if done.began.is_none_or(|began| began < taken) {
                let now = Instant::now();
                self.replicated.fill(&self.paths).await?;
                *done = Done { began: Some(now), records: true };
            }
        } else if !done.records {
            self.replicated.bring_records(&self.paths).await?;
            done.records = true;
        }
        drop(done);
        self.replicated.let_through(&self.paths.range_states());
        Ok(())
    }
}
