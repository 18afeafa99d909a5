//! Does what a file says, whether it is a plan or what undoes one.
//!
//! Everything that can be wrong with the file or with the containers is found before anything is asked or written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cosmirror_formats::restore_plan::Part;
use tokio_util::sync::CancellationToken;

use super::args::ApplyOptions;
use super::{ask, bar, cancelled};
use crate::cli::Context;
use crate::failure::{CommandError, Exit};
use crate::pace::RequestUnits;
use crate::restore::{Application, Pace, Report, RestoreFile};

mod show;
mod targets;

pub(super) use show::show;

/// Properties that a mark would break: the service's own, and what it reads.
const NO_MARK: [&str; 8] = ["id", "ttl", "_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"];

/// Applies the file at `path` and says how that ended.
pub(super) async fn run(
    path: &Path,
    unfinished: bool,
    options: &ApplyOptions,
    context: &Context,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    let file = RestoreFile::open(path, unfinished)?;
    let report = applied(file, path, options, context, cancel).await?;
    show(context, &report)?;
    report.error().map_or(Ok(()), Err)
}

/// Asks and applies.
pub(super) async fn applied(
    mut file: RestoreFile,
    path: &Path,
    options: &ApplyOptions,
    context: &Context,
    cancel: &CancellationToken,
) -> Result<Report, CommandError> {
    let undo = options.undo.clone().unwrap_or_else(|| beside(path));
    if undo == path {
        let message = format!("--undo {}: that is the file to apply", path.display());
        return Err(CommandError::new(Exit::Usage, message, "name another file"));
    }
    let found = tokio::select! {
        found = targets::find(&file, context) => found?,
        () = cancel.cancelled() => return Err(cancelled()),
    };
    let mark_field = match &file {
        RestoreFile::Plan(_) => options.mark_field.clone(),
        // An undoing brings back what was, without a mark.
        RestoreFile::Undo(_) => None,
    };
    if let Some(name) = &mark_field {
        found.require_unused(name)?;
    }
    if !options.yes && !file.is_applied(&undo) {
        agreed(&mut file, cancel).await?;
    }
    let request_units = Arc::new(RequestUnits::new(options.request_units_per_second));
    let opened = found.create_missing(&request_units).await?;
    let pace = Pace::new(request_units, options.concurrency, cancel.clone());
    let (writing, verifying) = (bar(file.changes(), "restoring"), bar(0, "verifying"));
    let application = Application {
        parts: opened.parts,
        targets: opened.targets,
        undo,
        mark_field,
        concurrency: options.concurrency as usize,
        failures_max: options.max_failures,
        pace: &pace,
        cancel,
        writing: writing.clone(),
        verifying: verifying.clone(),
    };
    let mut report = application.run(file).await;
    writing.finish_and_clear();
    verifying.finish_and_clear();
    report.plan = Some(path.display().to_string());
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    Ok(report)
}

/// Where what undoes a file is kept if nothing else is said.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".undo");
    PathBuf::from(name)
}

/// Asks for every container in turn.
async fn agreed(file: &mut RestoreFile, cancel: &CancellationToken) -> Result<(), CommandError> {
    let changes = file.changes_by_part()?;
    for (part, changes) in file.parts().iter().zip(changes) {
        let container = part.into.split_once('/').map_or("", |(_, container)| container);
        let question = ask::Question {
            source: &part.into,
            container,
            summary: &summary(file, part),
            changes,
            in_place: part.into == part.source,
        };
        tokio::select! {
            agreed = ask::ask(question) => agreed?,
            () = cancel.cancelled() => return Err(cancelled()),
        }
    }
    Ok(())
}

fn summary(file: &RestoreFile, part: &Part) -> String {
    match file {
        RestoreFile::Plan(_) => format!("{}: {}", part.into, part.selection),
        RestoreFile::Undo(_) => format!("{}: undo {}", part.into, part.selection),
    }
}

impl targets::Found {
    /// A mark must not take the place of what the service or the document's place depends on.
    fn require_unused(&self, name: &str) -> Result<(), CommandError> {
        let of_key = self.key_paths().any(|path| path.trim_start_matches('/').split('/').next() == Some(name));
        let why = match name {
            "" => "it is empty",
            name if name.contains('/') => "it is a path, and only a property of the document itself can be the mark",
            name if NO_MARK.contains(&name) => "the service gives that property a meaning",
            _ if of_key => "the partition key is there",
            _ => return Ok(()),
        };
        Err(CommandError::new(Exit::Usage, format!("--mark-field {name:?}: {why}"), "name another property"))
    }
}
