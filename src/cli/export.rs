//! `export`: documents as they were at an instant, in files.
//!
//! | step | file |
//! |---|---|
//! | the arguments | `export/args.rs` |
//! | what it came to | `export/show.rs` |
//!
//! Every container's mirror is opened and its window asked about before anything is written. A signal ends the work at once: what is durable stays, and the same
//! command goes on behind it.

use cosmirror_formats::export::{CoveredWindow, ExportedContainer, FORMAT, Manifest};
use indicatif::{ProgressBar, ProgressStyle};

use super::Context;
use super::history::open_mirror;
use crate::encryption::Identities;
use crate::export::place::Place;
use crate::export::{Base, Begun, Book, Export, begun, require_readable};
use crate::failure::{CommandError, Exit};
use crate::history::{Coverage, MirrorReader};
use crate::restore::{Point, Request, Selection, Side, new_id};
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
    let mut place = args.out.open(context)?;
    let base = match &args.since {
        Some(since) => Some(Base::open(since.open(context)?.as_ref()).await?),
        None => None,
    };
    let at = instant(args, place.as_ref()).await?;
    let identities = args.identity.read()?;
    let mirrors = mirrors(args, context, base.as_ref(), &identities, at).await?;
    let containers = mirrors.iter().map(described).collect();
    let asked = asked(args, file_bytes_max, at, base.as_ref(), containers);
    if let Some(base) = &base {
        base.require_fits(at, &asked.containers)?;
    }
    let mut book = match Book::begin(place.as_mut(), asked).await? {
        Begun::Finished(manifest) => {
            tracing::warn!("this export is there already: nothing was written");
            return show::show(context, &manifest, &args.out.to_string());
        }
        Begun::Open(book) => book,
    };
    let now = request(args, at);
    // What the earlier export was told to take for an uncertain state does not matter: such documents are brought again.
    let before = base.as_ref().map(|base| Request::new(Selection::All, Point::At(base.at())));
    let progress = spinner();
    for (container, mirror) in mirrors.iter().enumerate() {
        let since = base.as_ref().zip(before.as_ref());
        let export = Export { mirror, container, now: &now, since, progress: &progress };
        let notes = export.run(&mut book).await?;
        progress.suspend(|| notes.iter().for_each(|note| tracing::warn!("{note}")));
    }
    progress.finish_and_clear();
    let manifest = book.finish().await?;
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
    identities: &Identities,
    at: i64,
) -> Result<Vec<MirrorReader>, CommandError> {
    let sources = match base {
        Some(base) if args.sources.is_empty() => base.names(),
        _ => args.sources.clone(),
    };
    let mut mirrors = Vec::new();
    for container in context.containers(&sources)? {
        let mirror = open_mirror(context, container, identities).await?;
        Coverage::require(&mirror, at).await?;
        // What has become a dead letter since the mirror was opened may be what makes the instant a covered one.
        let mirror = mirror.read_again().await?;
        require_readable(&mirror, &request(args, at)).await?;
        mirrors.push(mirror);
    }
    Ok(mirrors)
}

fn request(args: &ExportArgs, at: i64) -> Request {
    Request {
        uncertain: args.uncertain.map(Into::into),
        unknown: args.unknown.map(Into::into),
        ..Request::new(Selection::All, Point::At(at))
    }
}

fn described(mirror: &MirrorReader) -> ExportedContainer {
    let (record, window) = (&mirror.record, mirror.window());
    let own = mirror.paths.base();
    let name = cosmirror_formats::MirrorPaths::new("", &record.database, &record.container);
    let prefix = own.strip_suffix(name.base()).unwrap_or_default().trim_end_matches('/');
    ExportedContainer {
        account: record.account.clone(),
        database: record.database.clone(),
        container: record.container.clone(),
        prefix: prefix.to_owned(),
        generations: record.generations.clone(),
        window: CoveredWindow { from: window.from, until: window.until, deletes_until: window.deletes_until },
        files: Vec::new(),
    }
}

fn asked(
    args: &ExportArgs,
    file_bytes_max: u64,
    at: i64,
    base: Option<&Base>,
    containers: Vec<ExportedContainer>,
) -> Manifest {
    let side = |side: Option<Side>| {
        side.map(|side| match side {
            Side::Before => "before".to_owned(),
            Side::After => "after".to_owned(),
        })
    };
    Manifest {
        format: FORMAT,
        id: new_id(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        began: crate::time::now().to_string(),
        finished: None,
        at,
        since: base.map(Base::since),
        chain: base.map(Base::chain).unwrap_or_default(),
        compression: args.compress.into(),
        file_bytes_max,
        uncertain: side(args.uncertain.map(Into::into)),
        unknown: side(args.unknown.map(Into::into)),
        containers,
    }
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} documents {per_sec}");
    let spinner = ProgressBar::new_spinner().with_message("exporting");
    style.map(|style| spinner.clone().with_style(style)).unwrap_or(spinner)
}
