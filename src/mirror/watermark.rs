//! The range's state in the mirror: since when and until when it is complete.
//!
//! The live value is in the lease; the mirror's copy exists so that a reader needs nothing but the mirror. It is written at
//! most once a minute while changes come, every quarter of an hour while none do, when the backfill or a reconciliation ends, when
//! the window opens, and at the end. Each write keeps the newer of the stored and the own watermark.

use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::records::{FORMAT, RangeState};
use cosmirror_formats::{EpkRange, MirrorPaths};
use tokio::time::Instant;

use super::checkpoint::RangeProgress;
use crate::config::FeedMode;
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::records;
use crate::store::{Condition, VersionStore};

const BUSY_INTERVAL: Duration = Duration::from_mins(1);
/// Rounds of read and replace before another writer's persistence is reported.
const CONFLICTS_MAX: u32 = 5;
const IDLE_INTERVAL: Duration = Duration::from_mins(15);

fn is_open(from: Option<i64>, until: Option<i64>) -> bool {
    from.is_some_and(|from| until.is_some_and(|until| until >= from))
}

/// Writes one range's state.
pub struct RangeStateFile {
    store: Arc<dyn VersionStore>,
    name: String,
    template: RangeState,
    etag: Option<String>,
    written: Option<(Instant, RangeState)>,
}

impl RangeStateFile {
    /// The file of a range that begins to be followed here.
    pub fn new(
        store: Arc<dyn VersionStore>,
        paths: &MirrorPaths,
        range: &EpkRange,
        rid: &str,
        mode: FeedMode,
        progress: &RangeProgress,
    ) -> Self {
        let template = RangeState {
            format: FORMAT,
            lineage: progress.lineage.clone(),
            rid: rid.to_owned(),
            range: range.clone(),
            mode: mode.as_str().to_owned(),
            since: progress.since,
            backfilled: None,
            reconciled: None,
            watermark: None,
            superseded_by: Vec::new(),
        };
        let name = paths.range_state(&progress.lineage, range);
        Self { store, name, template, etag: None, written: None }
    }

    /// Whether it is time to write. `busy`: changes came since the last write.
    pub fn is_due(&self, progress: &RangeProgress, busy: bool) -> bool {
        let Some((at, state)) = &self.written else { return true };
        let interval = if busy { BUSY_INTERVAL } else { IDLE_INTERVAL };
        // The moment from which on anything can be restored must not wait for the next interval.
        let opens = is_open(progress.backfilled, progress.watermark) && !is_open(state.backfilled, state.watermark);
        let news = state.backfilled != progress.backfilled || state.reconciled < progress.reconciled;
        opens || news || at.elapsed() >= interval
    }

    /// Writes what `progress` says, merged with what is stored.
    pub async fn write(&mut self, progress: &RangeProgress) -> Result<(), Failure> {
        let mut own = self.template.clone();
        own.backfilled = progress.backfilled;
        own.watermark = progress.watermark;
        own.reconciled = own.reconciled.max(progress.reconciled);
        for _ in 0..CONFLICTS_MAX {
            match self.write_once(own.clone()).await {
                Err(failure) if failure.kind == Kind::Conflict => {}
                done => return done,
            }
        }
        Err(Failure::new(
            Kind::Conflict,
            format!("the range state {:?} keeps being changed by another writer", self.name),
        ))
    }

    async fn write_once(&mut self, mut state: RangeState) -> Result<(), Failure> {
        if self.etag.is_none()
            && let Some((stored, etag)) = records::get::<RangeState>(self.store.as_ref(), &self.name).await?
        {
            state.watermark = state.watermark.max(stored.watermark);
            state.reconciled = state.reconciled.max(stored.reconciled);
            state.superseded_by = stored.superseded_by;
            state.since = stored.since;
            self.etag = Some(etag);
        }
        let condition = self.etag.clone().map_or(Condition::Absent, Condition::Matches);
        crash_point!("state-to-put");
        match self.store.put(records::put(self.name.clone(), &state, condition)).await {
            Ok(stored) => {
                crash_point!("state-put");
                self.etag = Some(stored.etag);
                self.template = RangeState { backfilled: None, watermark: None, ..state.clone() };
                self.written = Some((Instant::now(), state));
                Ok(())
            }
            Err(failure) => {
                // Whatever happened, the next attempt reads what is stored first.
                self.etag = None;
                Err(failure)
            }
        }
    }
}
