//! `dead-letters`: the changes that could not be stored as versions. `list` and `show` need nothing but the mirror, and so does
//! `replay`, which stores them.
//!
//! A dead letter is named by the part of its record's name behind `_mirror/dead-letters/`.

use std::ffi::OsString;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror_formats::records::DeadLetter;
use cosmirror_formats::{KeyDefinition, MirrorPaths};

use super::Context;
use super::args::{DeadLettersCommand, DeadLettersListArgs, DeadLettersReplayArgs, DeadLettersShowArgs};
use super::history::mirror_of;
use super::output::Format;
use crate::config::Container;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::{Purges, dead_letter_encryption, described, key_definition, resolution};
use crate::records;
use crate::replay::{Done, Outcome, Replay};
use crate::retry::persist;
use crate::store::VersionStore;

mod view;

use view::{ListView, RecordView, ReplayView};

/// Dead letters read at once; a mirror with more needs its cause mended first.
const LETTERS_MAX: usize = 100_000;
/// What a record's name may be given with.
const FOLDER: &str = "_mirror/dead-letters/";

/// The command line with whole names where a name begins with a hyphen, as those of the first range do: it would be read as a flag.
pub(super) fn with_names(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut named = false;
    let whole = |argument: OsString| {
        named |= argument == "dead-letters";
        match argument.to_str().filter(|text| named && begins_with_hyphen(text)) {
            Some(name) => OsString::from(format!("{FOLDER}{name}")),
            None => argument,
        }
    };
    arguments.into_iter().map(whole).collect()
}

fn begins_with_hyphen(text: &str) -> bool {
    let bound = text.strip_prefix('-').and_then(|rest| rest.split_once('/')).map(|(bound, _)| bound);
    bound.is_some_and(|bound| !bound.is_empty() && bound.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')))
}

fn without_folder(name: &str) -> &str {
    name.rsplit_once(FOLDER).map_or(name, |(_, short)| short)
}

/// One container's mirror.
struct Mirror {
    container: Container,
    store: Arc<dyn VersionStore>,
    paths: MirrorPaths,
    definition: Option<KeyDefinition>,
    identities: Identities,
}

/// Runs the command.
pub(super) async fn run(command: &DeadLettersCommand, context: &Context) -> Result<(), CommandError> {
    match command {
        DeadLettersCommand::List(args) => list(args, context).await,
        DeadLettersCommand::Show(args) => show(args, context).await,
        DeadLettersCommand::Replay(args) => replay(args, context).await,
    }
}

async fn list(args: &DeadLettersListArgs, context: &Context) -> Result<(), CommandError> {
    let mut view = ListView::default();
    for container in context.containers(&args.sources)? {
        let mirror = Mirror::open(context, container, Identities::default()).await?;
        let purges = Purges::read(mirror.store.as_ref(), &mirror.paths).await?;
        let letters = mirror.letters(args.unresolved).await?;
        for (name, record) in letters.iter().filter(|(_, record)| !purges.cover_letter(record)) {
            view.add(&mirror, name, record);
        }
    }
    match context.output.format {
        Format::Json => context.output.json(&view),
        Format::Ndjson => view.dead_letters.iter().try_for_each(|letter| context.output.json(letter)),
        Format::Text | Format::JsonPatch => view.text().iter().try_for_each(|line| context.output.line(line)),
    }
}

async fn show(args: &DeadLettersShowArgs, context: &Context) -> Result<(), CommandError> {
    let identities = args.identity.read()?;
    let mirror = Mirror::open(context, context.source_container(&args.source)?, identities).await?;
    let name = mirror.full_name(&args.name);
    let record = mirror.letter(&name).await?.ok_or_else(|| missing(std::slice::from_ref(&args.name)))?;
    let (store, paths) = (mirror.store.as_ref(), &mirror.paths);
    if persist(|| Purges::of_letter(store, paths, &record)).await?.cover_letter(&record) {
        return Err(purged(&args.name));
    }
    let raw = mirror.raw(&name, &record)?;
    if args.raw {
        return context.output.bytes(&raw);
    }
    let view = RecordView::new(&mirror, &name, record, &raw);
    if context.output.format.is_json() {
        return context.output.json(&view);
    }
    view.text().iter().try_for_each(|line| context.output.line(line))
}

async fn replay(args: &DeadLettersReplayArgs, context: &Context) -> Result<(), CommandError> {
    let remedy = "replay with the daemon's configuration; history, show and restore read a dead letter where it is";
    context.require_configuration("dead-letters replay, which writes", remedy)?;
    let containers = if args.all {
        context.containers(&args.sources)?
    } else {
        match args.sources.as_slice() {
            [] | [_] => vec![context.source_container(&args.sources.first().cloned())?],
            _ => {
                let remedy = "name the dead letters of one container, with one --source";
                return Err(CommandError::new(Exit::Usage, "names belong to one container", remedy));
            }
        }
    };
    let identities = args.identity.read()?;
    let mut view = ReplayView::new(args.dry_run);
    let (mut ended, mut closed) = (None, None);
    for container in containers {
        let mirror = Mirror::open(context, container, identities.clone()).await?;
        let letters = if args.all { mirror.letters(true).await? } else { mirror.named(&args.names).await? };
        let replay = Replay {
            store: mirror.store.as_ref(),
            paths: &mirror.paths,
            definition: mirror.definition.clone(),
            identities: &identities,
            dry_run: args.dry_run,
        };
        let (done, failure) = replay.run(letters).await;
        done.iter().for_each(|done| view.add(&mirror, done));
        closed = closed.or_else(|| done.iter().find_map(closed_for));
        ended = failure;
        if ended.is_some() {
            break;
        }
    }
    match context.output.format {
        Format::Json => context.output.json(&view)?,
        Format::Ndjson => view.replayed.iter().try_for_each(|done| context.output.json(done))?,
        Format::Text | Format::JsonPatch => view.text().iter().try_for_each(|line| context.output.line(line))?,
    }
    // What was done before it is shown above.
    match (ended, closed) {
        (Some(failure), _) => Err(failure.into()),
        (None, Some(closed)) => Err(closed),
        (None, None) => all_replayed(&view),
    }
}

/// Where a letter could not be opened.
fn closed_for(done: &Done) -> Option<CommandError> {
    let Outcome::Closed(why) = &done.outcome else { return None };
    let message = format!("the dead letter {:?}: {why}", without_folder(&done.name));
    Some(CommandError::new(
        Exit::Unauthorized,
        message,
        "name the file of an identity that opens it with --identity FILE",
    ))
}

fn all_replayed(view: &ReplayView) -> Result<(), CommandError> {
    if view.failed == 0 {
        return Ok(());
    }
    let message = format!("{} of {} dead letters could not be replayed", view.failed, view.replayed.len());
    let remedy = "each says why; mend the cause and replay them again";
    Err(CommandError::new(Exit::Partial, message, remedy))
}

fn missing(names: &[String]) -> CommandError {
    let names: Vec<String> = names.iter().map(|name| format!("{:?}", without_folder(name))).collect();
    let message = format!("there is no dead letter {}", names.join(", "));
    CommandError::new(
        Exit::NotFound,
        message,
        "`cosmirror dead-letters list` names them; --source chooses the container",
    )
}

/// Of what nobody is to see, although a policy keeps it.
fn purged(name: &str) -> CommandError {
    let message = format!("the dead letter {:?} is not shown: its document's history was erased", without_folder(name));
    CommandError::new(
        Exit::NotFound,
        message,
        "`cosmirror purge` erases the dead letter too, when nothing protects it any more",
    )
}

impl Mirror {
    async fn open(context: &Context, container: &Container, identities: Identities) -> Result<Self, CommandError> {
        let (store, paths) = mirror_of(context, container)?;
        let definition = key_definition(&described(store.as_ref(), &paths).await?);
        Ok(Self { container: container.clone(), store, paths, definition, identities })
    }

    /// The bytes of a letter as the feed delivered them.
    fn raw(&self, name: &str, record: &DeadLetter) -> Result<Vec<u8>, CommandError> {
        let broken = |why: &dyn std::fmt::Display| {
            let message = format!("the dead letter {name} cannot be read: {why}");
            CommandError::new(Exit::Integrity, message, "bring back a previous version of the record")
        };
        let stored = STANDARD.decode(&record.raw_base64).map_err(|error| broken(&error))?;
        if record.encryption.is_none() {
            return Ok(stored);
        }
        let encryption = dead_letter_encryption(record).ok_or_else(|| broken(&"how it is encrypted is not known"))?;
        Ok(self.identities.open(&format!("the dead letter {name}"), &encryption, &stored)?.to_vec())
    }

    /// The records, by name.
    async fn letters(&self, unresolved: bool) -> Result<Vec<(String, DeadLetter)>, Failure> {
        let wanted = |head: &crate::store::Head| !unresolved || resolution(head).is_none();
        let prefix = self.paths.dead_letters();
        records::all_where(self.store.as_ref(), &prefix, LETTERS_MAX, wanted, |name, record| (name, record)).await
    }

    async fn letter(&self, name: &str) -> Result<Option<DeadLetter>, Failure> {
        match records::read(self.store.as_ref(), name).await {
            // What no store takes for a name is the name of nothing.
            Err(failure) if failure.kind == Kind::Refused => Ok(None),
            read => read,
        }
    }

    /// The records with these names, each once; an error if one is missing.
    async fn named(&self, names: &[String]) -> Result<Vec<(String, DeadLetter)>, CommandError> {
        let (mut found, mut absent) = (Vec::new(), Vec::new());
        for short in names {
            let name = self.full_name(short);
            match self.letter(&name).await? {
                Some(record) if found.iter().all(|(known, _)| *known != name) => found.push((name, record)),
                Some(_) => {}
                None => absent.push(short.clone()),
            }
        }
        if absent.is_empty() { Ok(found) } else { Err(missing(&absent)) }
    }

    fn full_name(&self, short: &str) -> String {
        format!("{}{}", self.paths.dead_letters(), without_folder(short))
    }

    fn short_name<'n>(&self, name: &'n str) -> &'n str {
        name.strip_prefix(&self.paths.dead_letters()).unwrap_or(name)
    }
}
