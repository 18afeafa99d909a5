//! Does what a plan's file says, one container after the other, under the plan's id.

use std::sync::Arc;

use cosmirror_formats::restore_plan::Part;
use tokio_util::sync::CancellationToken;

use super::args::ApplyOptions;
use super::{ask, bar, cancelled};
use crate::cli::Context;
use crate::cli::history::open_mirror;
use crate::config::Container;
use crate::documents::Documents;
use crate::failure::{CommandError, Exit, Failure};
use crate::history::MirrorReader;
use crate::restore::{PlanReader, Report, Target};
use crate::run::open_documents;

/// Asks and applies.
pub(super) async fn run(
    plan: &PlanReader,
    options: &ApplyOptions,
    context: &Context,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    agreed(plan, options, cancel).await?;
    agreed_to(plan, context, cancel).await
}

/// Asks for every container in turn.
pub(super) async fn agreed(
    plan: &PlanReader,
    options: &ApplyOptions,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    if options.yes {
        return Ok(());
    }
    for (part, changes) in plan.head().parts.iter().zip(changes(plan)?) {
        let container = part.into.split_once('/').map_or("", |(_, container)| container);
        let summary = format!("{}: {}", part.into, part.selection);
        tokio::select! {
            agreed = ask::ask(&part.into, container, &summary, changes) => agreed?,
            () = cancel.cancelled() => return Err(cancelled()),
        }
    }
    Ok(())
}

/// How many steps each container has.
fn changes(plan: &PlanReader) -> Result<Vec<u64>, Failure> {
    let mut changes = vec![0; plan.head().parts.len()];
    for step in plan.steps()? {
        changes[step?.1.part] += 1;
    }
    Ok(changes)
}

/// Applies a plan that was agreed to.
pub(super) async fn agreed_to(
    plan: &PlanReader,
    context: &Context,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    let mut opened = Vec::new();
    for part in &plan.head().parts {
        opened.push(open(part, context).await?);
    }
    let mut report = Report::of(plan.end());
    for (at, (described, (mirror, documents))) in plan.head().parts.iter().zip(&opened).enumerate() {
        let progress = bar(plan.len(), "restoring");
        let target = Target { mirror, documents: documents.as_ref(), part: at, described, progress: progress.clone() };
        let done = target.run(plan, &plan.head().id, cancel).await;
        progress.finish_and_clear();
        for note in &done.notes {
            tracing::warn!("{note}");
        }
        report.merge(done);
        if report.fatal.is_some() || report.cancelled {
            break;
        }
    }
    show(context, &report)?;
    report.error().map_or(Ok(()), Err)
}

async fn open(part: &Part, context: &Context) -> Result<(MirrorReader, Arc<dyn Documents>), CommandError> {
    let configured = context.configured()?;
    let named = |container: &&Container| part.source == format!("{}/{}", container.database, container.container);
    let container = configured.iter().find(named).ok_or_else(|| {
        let message = format!("the plan is of {}, which is not configured", part.source);
        CommandError::new(Exit::Usage, message, "use the configuration that the plan was made with")
    })?;
    let mirror = open_mirror(context, container).await?;
    let documents = open_documents(&context.config.config.source, &container.database, &container.container).await?;
    Ok((mirror, documents))
}

fn show(context: &Context, report: &Report) -> Result<(), CommandError> {
    if context.output.format.is_json() {
        return context.output.json(report);
    }
    let applied = report.applied;
    context.output.line(format!(
        "restored: create {}, replace {}, delete {}; unchanged {}, conflicts {}, failed {}, extra {}, uncertain {}, \
         unknown {}, damaged {}, different {}",
        applied.create,
        applied.replace,
        applied.delete,
        report.unchanged,
        report.conflicts,
        report.failed,
        report.extra,
        report.uncertain,
        report.unknown,
        report.damaged,
        report.different
    ))?;
    match &report.restore {
        Some(id) => context.output.line(format!("recorded as {id}")),
        None => context.output.line("nothing had to be written"),
    }
}
