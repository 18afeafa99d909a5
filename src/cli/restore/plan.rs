//! Every container's plan, in one file.
//!
//! | step | file |
//! |---|---|
//! | mirrors, targets and what is asked of each | `plan/open.rs` |
//! | the result in words and in JSON | `plan/show.rs` |

use std::path::PathBuf;
use std::time::Duration;

use cosmirror_formats::restore_plan::{Counts, FORMAT, Part, PlanEnd, PlanHead};

use super::args::PlanArgs;
use super::spinner;
use crate::cli::Context;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit};
use crate::restore::{Basis, Estimate, Meter, PlanWriter, Restore, Tally, new_id};

mod open;
mod show;

/// Where a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// Into its file.
    File,
    /// It is only counted.
    Nowhere,
}

/// A plan that was made.
pub(super) struct Planned {
    /// Its file, which is there if that was asked for.
    pub(super) path: PathBuf,
    head: PlanHead,
    tallies: Vec<Tally>,
    end: PlanEnd,
    time: Option<(Duration, Basis)>,
    to: To,
}

/// The plan for all containers that hold something of the selection.
pub(super) async fn plan(
    args: &PlanArgs,
    context: &Context,
    identities: &Identities,
    to: To,
) -> Result<Planned, CommandError> {
    let opened = open::open(args, context, identities).await?;
    let id = new_id();
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("restore-{id}.plan")));
    let parts: Vec<Part> = opened.iter().map(|part| part.described.clone()).collect();
    let head = PlanHead { format: FORMAT, id, made: crate::time::now().to_string(), parts };
    let mut writer = match to {
        To::File => PlanWriter::create(&path, args.force, &head)?,
        To::Nowhere => PlanWriter::nowhere(&head)?,
    };
    let several = context.containers(&args.sources)?.len() > 1;
    let (mut tallies, mut not_found, mut latency) = (Vec::new(), None, None);
    for (part, opened) in opened.iter().enumerate() {
        let progress = spinner("comparing");
        let restore = Restore {
            mirror: &opened.mirror,
            documents: opened.documents.as_deref(),
            request: &opened.request,
            part,
            in_place: opened.described.in_place(),
            meter: Meter::default(),
            progress: progress.clone(),
        };
        let result = restore.plan(&mut writer).await;
        progress.finish_and_clear();
        latency = latency.max(restore.meter.latency());
        match result {
            Err(error) if several && error.exit == Exit::NotFound => {
                not_found = Some(error);
                tallies.push(Tally::default());
            }
            result => tallies.push(result?),
        }
    }
    if let Some(error) = not_found.filter(|_| tallies.iter().all(Tally::is_empty)) {
        return Err(error);
    }
    let (mut counts, mut estimate) = (Counts::default(), Estimate::default());
    tallies.iter().for_each(|tally| counts += tally.counts);
    tallies.iter().for_each(|tally| estimate += tally.estimate);
    let damaged = tallies.iter().map(|tally| tally.damaged).sum();
    let bytes = tallies.iter().map(|tally| tally.bytes).sum();
    let end = writer.finish(counts, damaged, bytes, estimate.request_units)?;
    for note in tallies.iter().flat_map(|tally| &tally.notes) {
        tracing::warn!("{note}");
    }
    let time = estimate.time(context.config.config.source.request_units_per_second_max, latency);
    Ok(Planned { path, head, tallies, end, time, to })
}
