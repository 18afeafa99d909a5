//! The mirror's description of its container, so that it can be read with the source gone.
//!
//! A container that was removed and created again is another generation: its history goes on under the same names, the states
//! of the old generation's ranges stop counting, and a gap is recorded from the last instant they covered until what exists
//! now is completely stored.

use cosmirror_formats::records::{ContainerRecord, FORMAT, Generation, RangeState};
use cosmirror_formats::{EpkRange, MirrorPaths};

use super::gap;
use crate::config;
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::feed::SourceContainer;
use crate::records;
use crate::store::{Condition, VersionStore};

/// Records read of each kind; physical partitions and gaps number in the hundreds at most.
const RECORDS_MAX: usize = 100_000;

/// Where a container is described.
pub struct Place<'a> {
    /// The target.
    pub store: &'a dyn VersionStore,
    /// The container's names.
    pub paths: &'a MirrorPaths,
    /// The source's endpoint.
    pub account: &'a str,
    /// The container's settings.
    pub settings: &'a config::Container,
}

impl Place<'_> {
    /// Writes what is new about the container; nothing if nothing is.
    pub async fn describe(&self, source: &SourceContainer, service_time: i64) -> Result<(), Failure> {
        let name = self.paths.container_record();
        // Two replicas may begin at the same time; the second one finds what the first one wrote.
        for _ in 0..3 {
            let stored = records::get::<ContainerRecord>(self.store, &name).await?;
            let (before, condition) = match stored {
                Some((record, etag)) => (Some(record), Condition::Matches(etag)),
                None => (None, Condition::Absent),
            };
            let record = self.describe_over(before.clone(), source, service_time);
            if before.as_ref() == Some(&record) {
                return Ok(());
            }
            if before.is_some_and(|b| b.generations.len() < record.generations.len()) {
                self.end_generation(&source.rid, service_time).await?;
            }
            match self.store.put(records::put(name.clone(), &record, condition)).await {
                Err(failure) if failure.kind == Kind::Conflict => {}
                Err(failure) => return Err(failure),
                Ok(_) => {
                    crash_point!("container-described");
                    return Ok(());
                }
            }
        }
        Err(Failure::new(Kind::Conflict, format!("the record {name:?} keeps being changed by another writer")))
    }

    fn describe_over(&self, before: Option<ContainerRecord>, source: &SourceContainer, now: i64) -> ContainerRecord {
        let mode = self.settings.feed.as_str().to_owned();
        let mut record = before.unwrap_or_else(|| ContainerRecord {
            format: FORMAT,
            account: self.account.to_owned(),
            database: self.settings.database.clone(),
            container: self.settings.container.clone(),
            generations: Vec::new(),
        });
        if record.generations.last().is_none_or(|last| last.rid != source.rid) {
            record.generations.push(Generation {
                rid: source.rid.clone(),
                since: now,
                modes: Vec::new(),
                partition_key_paths: source.key_paths.clone(),
                settings: source.settings.clone(),
            });
        }
        if let Some(current) = record.generations.last_mut() {
            current.settings.clone_from(&source.settings);
            if current.modes.last() != Some(&mode) {
                current.modes.push(mode);
            }
        }
        record
    }

    async fn end_generation(&self, rid: &str, now: i64) -> Result<(), Failure> {
        let states: Vec<RangeState> =
            records::all(self.store, &self.paths.range_states(), RECORDS_MAX, |_, state| state).await?;
        let old: Vec<RangeState> = states.into_iter().filter(|s| s.rid != rid && s.superseded_by.is_empty()).collect();
        let from = old.iter().filter_map(|s| s.watermark).min().map_or(now, |complete| complete + 1);
        gap::record(self.store, self.paths, &EpkRange::full(), from, gap::RECREATED).await?;
        for state in old {
            let name = self.paths.range_state(&state.lineage, &state.range);
            let Some((mut state, etag)) = records::get::<RangeState>(self.store, &name).await? else { continue };
            state.superseded_by = vec![EpkRange::full()];
            self.store.put(records::put(name, &state, Condition::Matches(etag))).await?;
            crash_point!("generation-superseded");
        }
        Ok(())
    }
}

/// Ends the gaps that a new generation left, now that its window begins at `until`; gives the number of gaps that stay open.
pub async fn close_gaps(store: &dyn VersionStore, paths: &MirrorPaths, until: i64) -> Result<i64, Failure> {
    let mut open = 0;
    for gap in gap::open(store, paths).await? {
        if gap.reason == gap::RECREATED {
            gap::end(store, paths, &gap, until).await?;
        } else {
            open += 1;
        }
    }
    Ok(open)
}
