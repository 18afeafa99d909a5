//! `import`: documents from files into containers.
//!
//! | step | file |
//! |---|---|
//! | the arguments | `import/args.rs` |
//! | where the documents go | `import/destination.rs` |
//! | which are not brought back | `import/purges.rs` |
//!
//! Input and containers are found right before anybody is asked or anything is written. A signal ends the looking and asking at once, and the writing
//! behind the requests that are under way; a second one does not wait for them.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::interrupt::{interruptible, unless};
use super::restore::ask::{Question, ask};
use super::restore::bar;
use crate::cosmos::Account;
use crate::export::place::{ExportPlace, Place};
use crate::failure::{CommandError, Exit};
use crate::import::{BadLines, Chain, Checked, Import, Input, Plain, Progress, Report};
use crate::pace::RequestUnits;
use crate::restore::{Overwrite, Pace, blocking};

pub(super) mod args;
mod destination;
mod purges;

use args::ImportArgs;
use destination::Destination;

/// Runs the command.
pub(super) async fn run(args: &ImportArgs, context: &Context) -> Result<(), CommandError> {
    let cancel = CancellationToken::new();
    interruptible(import(args, context, &cancel), &cancel, cancelled).await
}

fn cancelled() -> CommandError {
    CommandError::new(Exit::Cancelled, "cancelled", "run the same import again: what is written stays")
}

async fn import(args: &ImportArgs, context: &Context, cancel: &CancellationToken) -> Result<(), CommandError> {
    let account = match &args.account {
        Some(endpoint) => context.into_account(endpoint)?.account()?.clone(),
        None => context.account()?.clone(),
    };
    let opened = unless(cancel, cancelled, open(args, context)).await?;
    let account = Account::connect(&account).await?;
    let destinations = unless(cancel, cancelled, destination::find(args, &account, &opened)).await?;
    let input = match (opened, destinations.first().and_then(Destination::key_paths)) {
        (Input::Plain(plain), Some(paths)) => Input::Plain(plain.for_key(paths)),
        (input, _) => input,
    };
    let bad = match &args.skip_bad {
        Some(file) => BadLines::collected(file)?,
        None => BadLines::refused(),
    };
    let checked = unless(cancel, cancelled, input.check(bad)).await?;
    if !args.dry_run && !args.yes {
        agreed(args, context, &input, &destinations, &checked, cancel).await?;
    }
    let report = written(args, context, &account, (&input, &checked), destinations, cancel).await?;
    show(context, &report)?;
    report.error().map_or(Ok(()), Err)
}

/// The exports or the file that are named.
async fn open(args: &ImportArgs, context: &Context) -> Result<Input, CommandError> {
    if let [ExportPlace::Directory(path)] = args.paths.as_slice()
        && !path.is_dir()
    {
        let path = path.clone();
        let plain = blocking(move || Plain::open(&path)).await?;
        if args.sources.is_empty() {
            return Ok(Input::Plain(plain));
        }
        let message = "--source chooses containers of an export, and a file of documents has none";
        return Err(CommandError::new(Exit::Usage, message, "leave --source out"));
    }
    if let Some(file) = args.paths.iter().find(|place| !place.is_there()) {
        let message = format!("{file} is no folder of an export, and other paths are named beside it");
        return Err(CommandError::new(Exit::Usage, message, "import one file at a time, or the exports of one chain"));
    }
    let places: Result<Vec<Box<dyn Place>>, _> = args.paths.iter().map(|place| context.open_export(place)).collect();
    let mut chain = Chain::open(places?).await?;
    chain.choose(&args.sources)?;
    Ok(Input::Chain(chain))
}

/// Asks for every container in turn.
async fn agreed(
    args: &ImportArgs,
    context: &Context,
    input: &Input,
    destinations: &[Destination],
    checked: &Checked,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    let overwrite = Overwrite::from(args.overwrite).name();
    for destination in destinations {
        let name = destination.name();
        let own = |of: &&crate::config::Container| {
            of.database == destination.database && of.container == destination.container
        };
        let summary = format!("import of {} into {name}, overwrite {overwrite}", input.describe());
        let question = Question {
            source: &name,
            container: &destination.container,
            summary: &summary,
            changes: checked.documents,
            in_place: context.config.config.containers.iter().any(|of| own(&of)),
        };
        unless(cancel, cancelled, ask(question)).await?;
    }
    Ok(())
}

async fn written(
    args: &ImportArgs,
    context: &Context,
    account: &Account,
    (input, checked): (&Input, &Checked),
    mut destinations: Vec<Destination>,
    cancel: &CancellationToken,
) -> Result<Report, CommandError> {
    if let Some(file) = &args.progress
        && destinations.iter().any(Destination::is_missing)
    {
        // The progress of another import is refused before anything is created for it.
        Progress::require_none(file)?;
    }
    let purges = unless(cancel, cancelled, purges::of(context, &destinations)).await?;
    if !args.dry_run {
        unless(cancel, cancelled, destination::create(&mut destinations, account)).await?;
    }
    let id = identity(args, account, checked, &destinations);
    let file = args.progress.clone().unwrap_or_else(|| PathBuf::from(format!("import-{}.progress", &id[..16])));
    let progress = Progress::begin(&file, id, args.dry_run)?;
    let configured = context.config.config.source.request_units_per_second_max;
    let units = Arc::new(RequestUnits::new(args.request_units_per_second.unwrap_or(configured)));
    let pace = Pace::new(Arc::clone(&units), args.concurrency, cancel.clone());
    let destinations = destinations.into_iter().zip(purges).collect();
    let opening = async { Ok::<_, CommandError>(destination::open(destinations, account, &units, &pace).await) };
    let targets = unless(cancel, cancelled, opening).await?;
    let bar = bar(checked.documents, "importing");
    let import = Import {
        input,
        targets: &targets,
        overwrite: args.overwrite.into(),
        dry_run: args.dry_run,
        concurrency: args.concurrency as usize,
        failures_max: args.max_failures,
        pace: &pace,
        cancel,
        bar: bar.clone(),
    };
    let report = import.run(progress).await;
    bar.finish_and_clear();
    let mut report = report?;
    (report.bad, report.request_units) = (checked.bad, units.spent());
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    Ok(report)
}

/// What an import is told from others by: its input, where it goes, and how. The containers must be there: what is settled in one that was deleted
/// says nothing of the next one of its name.
fn identity(args: &ImportArgs, account: &Account, checked: &Checked, destinations: &[Destination]) -> String {
    let mut hash = Sha256::new();
    hash.update(&checked.digest);
    hash.update(account.endpoint().as_str());
    hash.update([0]);
    for destination in destinations {
        hash.update(destination.identity());
        hash.update([0]);
    }
    for source in &args.sources {
        hash.update(source);
        hash.update([0]);
    }
    hash.update(Overwrite::from(args.overwrite).name());
    cosmirror_formats::blob_name::hex(&hash.finalize())
}

fn show(context: &Context, report: &Report) -> Result<(), CommandError> {
    if context.output.format.is_json() {
        return context.output.json(report);
    }
    for line in lines(report) {
        context.output.line(line)?;
    }
    Ok(())
}

fn lines(report: &Report) -> Vec<String> {
    let Report { created, replaced, unchanged, kept, conflicts, failed, bad, left_out, purged, resumed, .. } = report;
    let what = if report.dry_run { "would import" } else { "imported" };
    let mut lines = vec![format!(
        "{what}: create {created}, replace {replaced}, unchanged {unchanged}, kept {kept}, conflicts {conflicts}, failed {failed}, \
         bad {bad}, left out {left_out}, purged {purged}; {:.0} request units",
        report.request_units
    )];
    if *resumed > 0 {
        lines.push(format!("{resumed} documents before these were settled by an earlier run"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_json_and_text_of_an_import() {
        let report =
            Report { created: 1, replaced: 2, unchanged: 3, resumed: 4, request_units: 5.5, ..Report::default() };
        let golden = concat!(
            r#"{"created":1,"replaced":2,"unchanged":3,"kept":0,"conflicts":0,"failed":0,"bad":0,"left_out":0,"purged":0,"#,
            r#""resumed":4,"request_units":5.5,"dry_run":false,"notes":[]}"#,
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), golden);
        let lines = lines(&report);
        assert!(lines[0].starts_with("imported: create 1, replace 2, unchanged 3, kept 0"), "{lines:?}");
        assert_eq!(lines[1], "4 documents before these were settled by an earlier run");
    }
}
