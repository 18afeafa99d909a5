//! `restore`: plan, ask, apply, verify.
//!
//! Every container's plan is made before anything is asked or written. A signal ends planning and asking at once, and the
//! writing behind the requests that are under way; a second one does not wait for them.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::args::RestoreArgs;
use super::history::{key_or_only, open_mirror};
use crate::config::Container;
use crate::documents::Documents;
use crate::failure::{CommandError, Exit};
use crate::history::{MirrorReader, instant};
use crate::restore::{Counts, Plan, Point, Report, Request, Restore, Selection, new_id};
use crate::run::{open_documents, termination};

mod ask;

/// One container's part of the restore.
struct Part<'a> {
    container: &'a Container,
    mirror: MirrorReader,
    documents: Arc<dyn Documents>,
    request: Request,
}

impl Part<'_> {
    fn restore(&self, progress: ProgressBar) -> Restore<'_> {
        Restore { mirror: &self.mirror, documents: self.documents.as_ref(), request: &self.request, progress }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.container.database, self.container.container)
    }
}

/// Runs the command.
pub(super) async fn run(args: &RestoreArgs, context: &Context) -> Result<(), CommandError> {
    let cancel = CancellationToken::new();
    let mut work = std::pin::pin!(restore(args, context, &cancel));
    let signal = termination()?;
    tokio::select! {
        result = &mut work => return result,
        _ = signal => cancel.cancel(),
    }
    let second = termination()?;
    tokio::select! {
        result = work => result,
        _ = second => Err(cancelled()),
    }
}

fn cancelled() -> CommandError {
    CommandError::new(Exit::Cancelled, "cancelled", "run the same restore again: what is restored already stays")
}

async fn restore(args: &RestoreArgs, context: &Context, cancel: &CancellationToken) -> Result<(), CommandError> {
    let planned = tokio::select! {
        planned = plan(args, context) => planned?,
        () = cancel.cancelled() => return Err(cancelled()),
    };
    let mut total = Counts::default();
    planned.iter().for_each(|(_, plan)| total += plan.counts);
    for note in planned.iter().flat_map(|(_, plan)| &plan.notes) {
        tracing::warn!("{note}");
    }
    if args.dry_run {
        return show_plan(context, &planned, total);
    }
    if !args.yes {
        tokio::select! {
            agreed = agreed(&planned) => agreed?,
            () = cancel.cancelled() => return Err(cancelled()),
        }
    }
    let report = apply(planned, cancel).await;
    show_report(context, &report)?;
    report.error().map_or(Ok(()), Err)
}

/// Asks for every container's plan in turn.
async fn agreed(planned: &[(Part<'_>, Plan)]) -> Result<(), CommandError> {
    for (part, plan) in planned {
        let summary = summary(part, plan);
        ask::ask(&part.name(), &part.container.container, &summary, plan.counts.changes()).await?;
    }
    Ok(())
}

/// Applies the plans one after the other, under one id.
async fn apply(planned: Vec<(Part<'_>, Plan)>, cancel: &CancellationToken) -> Report {
    let id = new_id();
    let mut report = Report::default();
    for (part, plan) in planned {
        let known = plan.notes.len();
        let progress = bar(plan.counts.changes(), "restoring");
        let done = part.restore(progress.clone()).run(plan, &id, cancel).await;
        progress.finish_and_clear();
        for note in done.notes.iter().skip(known) {
            tracing::warn!("{note}");
        }
        report.merge(done);
        if report.fatal.is_some() || report.cancelled {
            break;
        }
    }
    report
}

/// The plans of all containers that hold something of the selection.
async fn plan<'a>(args: &RestoreArgs, context: &'a Context) -> Result<Vec<(Part<'a>, Plan)>, CommandError> {
    let config = &context.config.config;
    let containers = context.containers(&args.sources)?;
    let several = containers.len() > 1;
    if several && args.version.is_some() {
        return Err(CommandError::new(
            Exit::Usage,
            "a version belongs to one container, and several are configured",
            "choose one with --source",
        ));
    }
    let (mut planned, mut not_found) = (Vec::new(), None);
    for container in containers {
        let mirror = open_mirror(context, container).await?;
        let request = match request(args, &mirror).await {
            Err(error) if several && error.exit == Exit::NotFound => {
                not_found = Some(error);
                continue;
            }
            request => request?,
        };
        let documents = open_documents(&config.source, &container.database, &container.container).await?;
        let part = Part { container, mirror, documents, request };
        let progress = spinner("comparing");
        let result = part.restore(progress.clone()).plan().await;
        progress.finish_and_clear();
        match result {
            Err(error) if several && error.exit == Exit::NotFound => not_found = Some(error),
            result => planned.push((part, result?)),
        }
    }
    match not_found {
        Some(error) if planned.is_empty() => Err(error),
        _ => Ok(planned),
    }
}

async fn request(args: &RestoreArgs, mirror: &MirrorReader) -> Result<Request, CommandError> {
    let selection = match (&args.id, args.key.key()) {
        (Some(id), key) => Selection::Document { key: key_or_only(mirror, key, id).await?, id: id.clone() },
        (None, Some(key)) => Selection::Key(key),
        (None, None) => Selection::All,
    };
    let point = match (&args.version, &args.at) {
        (Some(version), _) => Point::Version(version.clone()),
        (None, Some(at)) => Point::At(at.as_second()),
        (None, None) => {
            return Err(CommandError::new(Exit::Usage, "no instant is given", "name it with --at or --version"));
        }
    };
    Ok(Request { selection, point, delete_extra: args.delete_extra })
}

/// The contract's form of a plan.
#[derive(Serialize)]
struct PlanView {
    plan: Counts,
}

fn show_plan(context: &Context, planned: &[(Part<'_>, Plan)], total: Counts) -> Result<(), CommandError> {
    if context.output.format.is_json() {
        context.output.json(&PlanView { plan: total })?;
    } else {
        for (part, plan) in planned {
            context.output.line(summary(part, plan))?;
        }
    }
    let damaged: u64 = planned.iter().map(|(_, plan)| plan.damaged).sum();
    if damaged == 0 {
        return Ok(());
    }
    let message = format!("{damaged} documents have damaged versions");
    Err(CommandError::new(Exit::Integrity, message, "the named versions cannot be used; choose others by --version"))
}

fn summary(part: &Part<'_>, plan: &Plan) -> String {
    let point = match &part.request.point {
        Point::At(at) => format!("as of {}", instant(*at)),
        Point::Version(version) => format!("version {version}"),
    };
    let Counts { create, replace, delete, unchanged, conflict, extra, uncertain, unknown } = plan.counts;
    format!(
        "{}: {}, {point}\n  create {create}, replace {replace}, delete {delete}, unchanged {unchanged}, \
         conflict {conflict}, extra {extra}, uncertain {uncertain}, unknown {unknown}",
        part.name(),
        part.request.selection
    )
}

fn show_report(context: &Context, report: &Report) -> Result<(), CommandError> {
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

/// Bars are drawn on a terminal only.
fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}");
    let bar = ProgressBar::new(length).with_message(what);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} documents {per_sec}");
    let spinner = ProgressBar::new_spinner().with_message(what);
    style.map(|style| spinner.clone().with_style(style)).unwrap_or(spinner)
}
