//! `purge`: erase a document's whole history from every target. Without `--confirm` it only says what there is.
//!
//! A document that its container still holds is not purged: what it is would come back with its next change, and the law is served at the
//! source first. So the source is asked, at the second up to which everything is erased and at one behind it.
//!
//! Where an earlier purge is not through and the id is in use again, the command goes on with that purge, up to its second, and leaves the
//! new document alone.

use std::time::Duration;

use cosmirror_formats::PartitionKey;
use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::Value;

use super::Context;
use super::args::PurgeArgs;
use super::history::{key_or_only, open_mirror};
use super::output::Format;
use super::table;
use crate::config::{Container, FIRST_TARGET, FurtherTarget};
use crate::cosmos::Account;
use crate::documents::Documents as _;
use crate::documents::cosmos::CosmosDocuments;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit};
use crate::history::instant;
use crate::purge::{Found, Place, Purge};
use crate::retry::persist;
use crate::run::{open_eraser, termination};

/// How the records of purges call the command.
const COMMAND: &str = "purge --confirm";
/// How soon the service's clock is looked at again.
const CLOCK_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a str,
    partition_key: Value,
    confirmed: bool,
    until: i64,
    targets: &'a [Found],
}

/// Runs the command.
pub(super) async fn run(args: &PurgeArgs, context: &Context) -> Result<(), CommandError> {
    let signal = termination()?;
    tokio::select! {
        result = purge(args, context) => result,
        _ = signal => {
            let remedy = "run it again: what was erased stays so, and readers show nothing of the rest";
            Err(CommandError::new(Exit::Cancelled, "cancelled", remedy))
        }
    }
}

async fn purge(args: &PurgeArgs, context: &Context) -> Result<(), CommandError> {
    if context.mirror.is_some() && !args.without_source {
        let message = "--mirror names no source that could tell whether it still holds the document";
        let remedy = "pass --without-source where the source is gone, or work with the configuration";
        return Err(CommandError::new(Exit::Usage, message, remedy));
    }
    let container = context.source_container(&args.source)?;
    let places = places(context, container, &args.identity.read()?).await?;
    let [first, ..] = &places[..] else { return Err(no_mirror(container)) };
    let key = key_or_only(&first.mirror, args.key.key(), &args.id).await?;
    let mut purge = Purge { places, key, id: args.id.clone(), until: 0, finishes: false };
    choose_second(&mut purge, args, context, container).await?;
    let found = if args.confirm { purge.run(COMMAND).await? } else { purge.look().await? };
    if found.iter().all(Found::is_nothing) {
        return Err(purge.places[0].mirror.not_found(&purge.key, &purge.id).await);
    }
    show(&purge, &found, args.confirm, context)?;
    verdict(&found, args.confirm)
}

/// Every target, or the one that was chosen.
async fn places(context: &Context, container: &Container, identities: &Identities) -> Result<Vec<Place>, CommandError> {
    let further = context.targets.targets.iter().map(|further| further.name.clone());
    let all = || [FIRST_TARGET.to_owned()].into_iter().chain(further).collect();
    let names: Vec<String> = context.target.clone().map_or_else(all, |name| vec![name]);
    let mut places = Vec::new();
    for target in names {
        let alone = context.on_target(&target)?;
        let mirror = match open_mirror(&alone, container, identities).await {
            Err(error) if error.exit == Exit::NotFound && context.targets.required_targets().any(named(&target)) => {
                return Err(not_filled(&target));
            }
            Err(error) if error.exit == Exit::NotFound && target != FIRST_TARGET && context.target.is_none() => {
                tracing::warn!(target, %error, "the target holds no mirror of the container yet");
                continue;
            }
            mirror => mirror?,
        };
        places.push(Place { target, mirror, eraser: open_eraser(&alone.config.config.target)? });
    }
    Ok(places)
}

fn named(target: &str) -> impl Fn(&FurtherTarget) -> bool {
    move |further| further.name == target
}

/// A required target gets documents before it gets the mirror's description of itself.
fn not_filled(target: &str) -> CommandError {
    let message =
        format!("the required target {target:?} is not filled yet, and may hold the document; nothing was erased");
    CommandError::new(Exit::NotFound, message, "let the daemon fill it, then run the purge again")
}

fn no_mirror(container: &Container) -> CommandError {
    let message = format!("no target holds a mirror of {}/{}", container.database, container.container);
    CommandError::new(Exit::NotFound, message, "check the configuration's targets and --source")
}

/// Up to which second is erased: the present one, of a document that is gone. Of one that is there, that of an earlier purge which is not
/// through, because the document was created again behind it.
async fn choose_second(
    purge: &mut Purge,
    args: &PurgeArgs,
    context: &Context,
    container: &Container,
) -> Result<(), CommandError> {
    let mirrored = ask_mirrors(purge).await?;
    let source = match args.without_source {
        true => None,
        false => Some(ask_source(purge, args, context, container).await?),
    };
    let asked = source.as_ref().unwrap_or(&mirrored);
    purge.until = asked.until.max(mirrored.until);
    let Some(there) = asked.there else { return Ok(()) };
    let name = format!("{}/{}", container.database, container.container);
    // What the mirror alone shows may be what that purge is about.
    if let Some(until) = purge.unfinished().await?.filter(|until| there > *until) {
        (purge.until, purge.finishes) = (until, true);
        let until = instant(until);
        tracing::warn!(
            "{name}: a document with this id was created again, and is left alone; this is about what was committed up to {until}"
        );
    } else if source.is_some() && args.confirm {
        let message = format!("{name} still holds the document; nothing was erased");
        return Err(CommandError::new(Exit::Conflict, message, "delete it there first, then run the purge again"));
    } else if source.is_some() {
        tracing::warn!("{name} still holds the document: it has to be deleted there before its history can be erased");
    }
    Ok(())
}

/// What somebody says of the document.
struct Answer {
    /// The last second of which they know.
    until: i64,
    /// When it was written, where it is there, as far as they say.
    there: Option<i64>,
}

/// The newest instant of which some target knows something of the document, or at which it is complete.
async fn ask_mirrors(purge: &Purge) -> Result<Answer, CommandError> {
    let (mut until, mut newest) = (0, None);
    for Place { mirror, .. } in &purge.places {
        let history = mirror.history(&purge.key, &purge.id).await?;
        let letters = history.unreadable.iter().filter_map(|letter| letter.ts).max();
        let versions = history.entries.iter().map(|entry| entry.version.ts).max();
        newest = newest.max(history.entries.last().map(|entry| (entry.version.ts, !entry.version.is_tombstone())));
        let known = versions.max(letters).max(mirror.window().until);
        until = until.max(known.unwrap_or_default());
    }
    Ok(Answer { until, there: newest.filter(|(_, exists)| *exists).map(|(ts, _)| ts) })
}

/// The source at the service's present second, and, before something is erased, at one that is behind it for every replica: what is
/// there at the first and gone at the last may have been replaced in between.
async fn ask_source(
    purge: &Purge,
    args: &PurgeArgs,
    context: &Context,
    container: &Container,
) -> Result<Answer, CommandError> {
    let source = &context.config.config.source;
    let account = Account::connect(source).await?;
    let until = persist(|| account.clock().now()).await?;
    let resolved = account.resolve(&container.database, &container.container).await?;
    let documents =
        CosmosDocuments::new(account.clone(), resolved, format!("{}/{}", container.database, container.container));
    let is_there = async || persist(|| documents.read(&purge.key, &args.id)).await.map(|found| found.is_some());
    // Whenever it was written, an earlier purge was about what had been there before.
    let there = Answer { until, there: Some(i64::MAX) };
    if is_there().await? {
        return Ok(there);
    }
    // What was written within this second is seen from the next one on, and where a replica lags after the margin.
    let margin = i64::try_from(source.staleness_margin.as_secs()).unwrap_or(i64::MAX);
    while args.confirm && persist(|| account.clock().now()).await? <= until.saturating_add(margin) {
        tokio::time::sleep(CLOCK_PAUSE).await;
    }
    Ok(if args.confirm && is_there().await? { there } else { Answer { until, there: None } })
}

fn show(purge: &Purge, found: &[Found], confirmed: bool, context: &Context) -> Result<(), CommandError> {
    let Purge { key, id, until, .. } = purge;
    let view = View { id, partition_key: key.to_json(), confirmed, until: *until, targets: found };
    match context.output.format {
        Format::Json => context.output.json(&view),
        Format::Ndjson => found.iter().try_for_each(|found| context.output.json(found)),
        Format::Text | Format::JsonPatch => text(&view, key).iter().try_for_each(|line| context.output.line(line)),
    }
}

fn text(view: &View<'_>, key: &PartitionKey) -> Vec<String> {
    let what = if view.confirmed { "erased up to" } else { "would be erased up to" };
    let mut lines =
        vec![table::printable(&format!("{} of partition key {key}: {what} {}", view.id, instant(view.until)))];
    let head = ["TARGET", "VERSIONS", "SNAPSHOTS", "DEAD LETTERS", "BYTES", "ERASED", "HELD", "RECOVERABLE", "GONE BY"];
    let row = |found: &Found| {
        let Found { versions, snapshots, dead_letters, bytes, erased, held, recoverable, .. } = found;
        [
            found.target.clone(),
            versions.to_string(),
            snapshots.to_string(),
            dead_letters.to_string(),
            HumanBytes(*bytes).to_string(),
            erased.to_string(),
            held.to_string(),
            recoverable.to_string(),
            found.gone_by.map_or_else(|| "-".to_owned(), instant),
        ]
    };
    let rows: Vec<[String; 9]> = [head.map(str::to_owned)].into_iter().chain(view.targets.iter().map(row)).collect();
    lines.extend(table::lines(&rows).into_iter().map(|line| format!("  {line}")));
    lines.extend(view.targets.iter().flat_map(|found| notes(found, view.confirmed)));
    if !view.confirmed {
        lines.push("nothing was erased: --confirm erases it, and nobody can bring it back".to_owned());
    }
    lines
}

/// What a person has to know besides.
fn notes(found: &Found, confirmed: bool) -> Vec<String> {
    let Found { target, held, held_until, legal_hold, recoverable_days, unknown_dead_letters, rehearsed_into, .. } =
        found;
    let mut notes = Vec::new();
    if *held > 0 {
        let until =
            held_until.map_or_else(|| "as long as it says".to_owned(), |until| format!("until {}", instant(until)));
        notes.push(match legal_hold {
            true => format!("{target}: a legal hold keeps some of it, until somebody takes it off"),
            false => format!("{target}: a policy keeps {held} of them, {until}; readers show nothing of them"),
        });
    }
    if let (Some(days), false) = (recoverable_days, confirmed) {
        notes.push(format!("{target}: soft delete keeps what is erased for {days} days; then it is gone for good"));
    }
    if *unknown_dead_letters > 0 {
        notes.push(format!(
            "{target}: {unknown_dead_letters} dead letters belong to no known document, or are encrypted: look whether one of them holds it"
        ));
    }
    if let Some(container) = rehearsed_into {
        notes.push(format!("{target}: a rehearsal into {container} was not cleaned, and may have left it there: rehearse again with --clean"));
    }
    notes
}

fn verdict(found: &[Found], confirmed: bool) -> Result<(), CommandError> {
    let held: u64 = found.iter().map(|found| found.held).sum();
    if !confirmed || held == 0 {
        return Ok(());
    }
    let until = found.iter().filter_map(|found| found.held_until).max();
    let remedy = match until {
        Some(until) => format!("run it again after {}", instant(until)),
        None => "run it again when the policy or the legal hold is over".to_owned(),
    };
    let message = format!("{held} versions are protected from deletion and stay; readers show nothing of them");
    Err(CommandError::new(Exit::Partial, message, remedy))
}
