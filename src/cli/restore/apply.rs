//! Does what a file says, whether it is a plan or what undoes one.
//!
//! Everything that can be wrong with the file or with the containers is found before anything is asked or written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cosmirror_formats::restore_plan::{Counts, Part};
use tokio_util::sync::CancellationToken;

use super::args::ApplyOptions;
use super::{ask, bar, cancelled};
use crate::cli::Context;
use crate::cli::interrupt::unless;
use crate::encryption::{Identities, Recipients};
use crate::failure::{CommandError, Exit, Failure};
use crate::pace::RequestUnits;
use crate::restore::{Application, Applied, EarlierRun, Keys, Pace, Report, RestoreFile, blocking};

mod show;
pub(in crate::cli) mod targets;

pub(super) use show::show;

/// Properties that a mark would break: the service's own, and what it reads.
const NO_MARK: [&str; 8] = ["id", "ttl", "_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"];

/// Applies the file at `path` and says how that ended.
pub(super) async fn run(
    (path, unfinished): (&Path, bool),
    options: &ApplyOptions,
    context: &Context,
    identities: &Identities,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    let file = open(path, unfinished, identities, cancel).await?;
    let report = applied(file, path, options, (context, identities), cancel).await?;
    show(context, &report)?;
    report.error().map_or(Ok(()), Err)
}

/// Reads a file, which may take a while, until a signal comes.
pub(super) async fn open(
    path: &Path,
    unfinished: bool,
    identities: &Identities,
    cancel: &CancellationToken,
) -> Result<RestoreFile, CommandError> {
    let (path, identities) = (path.to_owned(), identities.clone());
    unless(cancel, cancelled, blocking(move || RestoreFile::open(&path, unfinished, &identities))).await
}

/// Asks and applies.
pub(super) async fn applied(
    file: RestoreFile,
    path: &Path,
    options: &ApplyOptions,
    (context, identities): (&Context, &Identities),
    cancel: &CancellationToken,
) -> Result<Report, CommandError> {
    let undo = options.undo.clone().unwrap_or_else(|| beside(path));
    if undo == path {
        let message = format!("--undo {}: that is the file to apply", path.display());
        return Err(CommandError::new(Exit::Usage, message, "name another file"));
    }
    file.require_readable(identities)?;
    let keys = keys(&file, context, identities)?;
    let found = unless(cancel, cancelled, targets::find(&file, context, identities)).await?;
    let mark_field = match &file {
        RestoreFile::Plan(_) => options.mark_field.clone(),
        // An undoing brings back what was, without a mark.
        RestoreFile::Undo(_) => None,
    };
    if let Some(name) = &mark_field {
        found.require_unused(name)?;
    }
    let (file, earlier, changes) =
        unless(cancel, cancelled, blocking(looked_at(file, undo.clone(), !options.yes))).await?;
    if let Some(earlier) = &earlier {
        earlier.require_same_containers(found.parts())?;
    }
    if let Some(changes) = changes {
        agreed(&file, &changes, cancel).await?;
    }
    let configured = context.config.config.source.request_units_per_second_max;
    let request_units = Arc::new(RequestUnits::new(options.request_units_per_second.unwrap_or(configured)));
    let opened = found.create_missing(&request_units).await?;
    let pace = Pace::new(request_units, options.concurrency, cancel.clone());
    let (writing, verifying) = (bar(file.changes(), "restoring"), bar(0, "verifying"));
    let application = Application {
        parts: opened.parts,
        targets: opened.targets,
        undo,
        keys,
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

/// What undoes a file is encrypted as the target is, and where the configuration says nothing of that and the file's content is
/// encrypted all the same, to those who open it.
fn keys(file: &RestoreFile, context: &Context, identities: &Identities) -> Result<Keys, Failure> {
    let configured = Recipients::configured(&context.config.config.target.recipients)?;
    let recipients = configured.or_else(|| identities.recipients().filter(|_| file.is_encrypted()));
    Ok(Keys { recipients, identities: identities.clone() })
}

/// Where what undoes a file is kept if nothing else is said.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".undo");
    PathBuf::from(name)
}

/// The file, what an earlier run left of it, and, where there is something to agree to, what it asks for in each container.
type LookedAt = (RestoreFile, Option<EarlierRun>, Option<Vec<Applied>>);

fn looked_at(mut file: RestoreFile, undo: PathBuf, ask: bool) -> impl FnOnce() -> Result<LookedAt, Failure> + Send {
    move || {
        let earlier = file.earlier_run(&undo);
        let finished = earlier.as_ref().is_some_and(|earlier| earlier.finished);
        let changes = if ask && !finished { Some(file.changes_by_part()?) } else { None };
        Ok((file, earlier, changes))
    }
}

/// Asks for every container in turn.
async fn agreed(file: &RestoreFile, changes: &[Applied], cancel: &CancellationToken) -> Result<(), CommandError> {
    for (part, changes) in file.parts().iter().zip(changes) {
        let container = part.into.split_once('/').map_or("", |(_, container)| container);
        let question = ask::Question {
            source: &part.into,
            container,
            summary: &summary(file, part, changes),
            changes: changes.total(),
            in_place: part.into == part.source,
        };
        unless(cancel, cancelled, ask::ask(question)).await?;
    }
    Ok(())
}

/// What there is to agree to.
fn summary(file: &RestoreFile, part: &Part, changes: &Applied) -> String {
    let Applied { create, replace, delete } = changes;
    let undo = if matches!(file, RestoreFile::Undo(_)) { "undo " } else { "" };
    let summary =
        format!("{}: {undo}{}: create {create}, replace {replace}, delete {delete}", part.into, part.selection);
    let Some(left) = file.left_alone() else { return summary };
    let all = if file.parts().len() > 1 { " in all containers" } else { "" };
    let Counts { conflict, extra, uncertain, unknown, .. } = left;
    format!("{summary}; left alone{all}: kept {conflict}, extra {extra}, uncertain {uncertain}, unknown {unknown}")
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
