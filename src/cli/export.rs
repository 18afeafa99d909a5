//! `export`: documents as they were at an instant, in files.
//!
//! | step | file |
//! |---|---|
//! | the arguments | `export/args.rs` |
//! | what it came to | `export/show.rs` |
//!
//! Every container's mirror is opened and its window asked about before anything is written. A signal ends the work at once: what is durable stays, and the same
//! command goes on behind it.

use indicatif::{ProgressBar, ProgressStyle};

use super::Context;
use super::history::open_mirror;
use crate::export::place::Place;
use crate::export::{Base, Made, Options, Whole, begun, covering};
use crate::failure::{CommandError, Exit};
use crate::history::MirrorReader;
use crate::run::termination;

pub(super) mod args;
mod show;

use args::ExportArgs;

/// Runs the command.
pub(super) async fn run(args: &ExportArgs, context: &Context) -> Result<(), CommandError> {
    let signal = termination()?;
    tokio::select! {
        result = export(args, context) => result,
        _ = signal => {
            let remedy = "run the same command again, or with --resume in place of --at: it goes on behind the files that are whole";
            Err(CommandError::new(Exit::Cancelled, "cancelled", remedy))
        }
    }
}

async fn export(args: &ExportArgs, context: &Context) -> Result<(), CommandError> {
    let file_bytes_max = args.out.file_bytes(args.file_size)?;
    let mut place = context.open_export(&args.out)?;
    let base = match &args.since {
        Some(since) => Some(Base::open(context.open_export(since)?.as_ref()).await?),
        None => None,
    };
    let at = instant(args, place.as_ref()).await?;
    let options = Options {
        compression: args.compress.into(),
        file_bytes_max,
        uncertain: args.uncertain.map(Into::into),
        unknown: args.unknown.map(Into::into),
    };
    let mirrors = mirrors(args, context, base.as_ref(), at, &options).await?;
    let progress = spinner();
    let Made { manifest, notes, was_there } =
        Whole { at, mirrors, base, options }.run(place.as_mut(), &progress).await?;
    progress.finish_and_clear();
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    if was_there {
        tracing::warn!("this export is there already: nothing was written");
    }
    show::show(context, &manifest, &args.out.to_string())
}

/// The instant that is asked for, or that of the export that was begun.
async fn instant(args: &ExportArgs, place: &dyn Place) -> Result<i64, CommandError> {
    if let Some(at) = args.at {
        return Ok(at.as_second());
    }
    let found = begun(place).await?.ok_or_else(|| {
        let message = format!("{} holds no export that was begun", place.describe(""));
        CommandError::new(Exit::NotFound, message, "name the instant with --at to begin one")
    })?;
    Ok(found.at)
}

/// The mirrors of the containers, each of which covers the instant and can be read.
async fn mirrors(
    args: &ExportArgs,
    context: &Context,
    base: Option<&Base>,
    at: i64,
    options: &Options,
) -> Result<Vec<MirrorReader>, CommandError> {
    let identities = args.identity.read()?;
    let sources = match base {
        Some(base) if args.sources.is_empty() => base.names(),
        _ => args.sources.clone(),
    };
    let mut mirrors = Vec::new();
    for container in context.containers(&sources)? {
        mirrors.push(covering(open_mirror(context, container, &identities).await?, at, options).await?);
    }
    Ok(mirrors)
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} documents {per_sec}");
    let spinner = ProgressBar::new_spinner().with_message("exporting");
    style.map(|style| spinner.clone().with_style(style)).unwrap_or(spinner)
}
