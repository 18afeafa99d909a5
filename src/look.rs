//! What one document is in the mirror: in a version, at an instant, or now. For the commands that show and compare it, and for the page.
//!
//! | file | what it holds |
//! |---|---|
//! | `look/versions.rs` | a document's versions in the contract's form |
//! | `look/side.rs` | the two states that are compared |
//! | `look/difference.rs` | their difference in the contract's form |

use bytes::Bytes;

use cosmirror_formats::Op;

use crate::failure::{CommandError, Exit};
use crate::history::{Coverage, DocumentHistory, Entry, Expiry, MirrorReader, State, instant};

pub(crate) mod difference;
pub(crate) mod side;
pub(crate) mod versions;

/// Which state is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which<'a> {
    /// After everything that the mirror holds.
    Newest,
    /// At the end of this second, counted from 1970.
    At(i64),
    /// In the version with this name.
    Version(&'a str),
}

/// A state that is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen<'a> {
    /// The document, by this version.
    Document { entry: &'a Entry, bytes: Bytes },
    /// There is none.
    Absent(Absence<'a>),
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Absence<'a> {
    /// What became of it, as the end of a sentence about the document.
    pub(crate) how: String,
    /// The version that says so; none where it did not exist yet.
    pub(crate) entry: Option<&'a Entry>,
    /// The version that was there before, where one is known.
    pub(crate) before: Option<&'a Entry>,
}

impl<'a> Absence<'a> {
    fn not_yet() -> Self {
        Self { how: "did not exist yet".to_owned(), entry: None, before: None }
    }

    /// `entry` says that it is gone.
    fn gone(history: &'a DocumentHistory, entry: &'a Entry) -> Self {
        if !entry.version.is_tombstone() {
            let ended = entry.life.ended.map(instant).unwrap_or_default();
            let how = format!("went with its container, which was created again by {ended}");
            return Self { how, entry: Some(entry), before: Some(entry) };
        }
        let (version, at) = (&entry.version, instant(entry.version.ts));
        let how = match (version.op, version.after) {
            (Op::Expire, _) => format!("was removed by its time to live at {at}"),
            (_, Some(after)) if version.is_of_reconciliation() => {
                format!("was deleted between {} and {at}", instant(after))
            }
            _ => format!("was deleted at {at}"),
        };
        let before = preceding(history, entry).filter(|before| !before.version.is_tombstone());
        Self { how, entry: Some(entry), before }
    }
}

/// The version before this one in the mirror.
pub(crate) fn preceding<'a>(history: &'a DocumentHistory, entry: &Entry) -> Option<&'a Entry> {
    let at = history.entries.iter().position(|other| std::ptr::eq(other, entry))?;
    at.checked_sub(1).map(|before| &history.entries[before])
}

/// The mirror and the document's history, read anew once all these instants are known to be covered: what made them so, a version or a
/// dead letter, may be younger than what was read before. One that is not covered is an error.
pub(crate) async fn covered(
    mirror: MirrorReader,
    history: DocumentHistory,
    instants: &[i64],
) -> Result<(MirrorReader, DocumentHistory), CommandError> {
    for at in instants {
        Coverage::require(&mirror, *at).await?;
    }
    if instants.is_empty() {
        return Ok((mirror, history));
    }
    let mirror = mirror.read_again().await?;
    let history = mirror.history(&history.key, &history.id).await?;
    Ok((mirror, history))
}

/// The state that is asked for. An instant must be [`covered`]; a state that is not known is an error.
pub(crate) async fn look<'a>(
    mirror: &MirrorReader,
    history: &'a DocumentHistory,
    which: Which<'_>,
) -> Result<Seen<'a>, CommandError> {
    let id = &history.id;
    let not_covered =
        |message: String| CommandError::new(Exit::NotCovered, message, "`cosmirror history` lists what there is");
    let state = match which {
        Which::Newest => history.state_at(i64::MAX),
        Which::At(at) => history.state_at(at),
        Which::Version(name) => match history.version(name) {
            Some(entry) if entry.version.is_tombstone() => State::Deleted(entry),
            Some(entry) => State::Present(entry),
            None => {
                let message = format!("document {id:?} has no version {name:?}");
                return Err(CommandError::new(Exit::NotFound, message, "`cosmirror history` lists its versions"));
            }
        },
    };
    let entry = match state {
        State::Present(entry) => entry,
        State::Deleted(entry) => return Ok(Seen::Absent(Absence::gone(history, entry))),
        State::NotYet => return Ok(Seen::Absent(Absence::not_yet())),
        State::Uncertain { after, until } => {
            let (after, until) = (instant(after), instant(until));
            return Err(not_covered(format!(
                "document {id:?} changed between {after} and {until}, and the mirror cannot tell when: it was followed in latest-version mode, or versions were left out"
            )));
        }
        State::Unknown(why) => return Err(not_covered(format!("the state of document {id:?} is not known: {why}"))),
    };
    let bytes = mirror.body(entry).await?;
    let Which::At(at) = which else { return Ok(Seen::Document { entry, bytes }) };
    match mirror.default_ttls(entry).await?.expiry(&bytes, entry.version.ts, at) {
        Expiry::Alive => {}
        Expiry::Expired(expired) => {
            let how = format!("was removed by its time to live at {}", instant(expired));
            return Ok(Seen::Absent(Absence { how, entry: Some(entry), before: Some(entry) }));
        }
        Expiry::Uncertain(why) => {
            return Err(not_covered(format!("the state of document {id:?} is not known: {why}")));
        }
    }
    if history.entries.last().is_some_and(|last| std::ptr::eq(last, entry)) && mirror.may_miss_delete(at) {
        return Err(maybe_deleted(mirror, id, at));
    }
    Ok(Seen::Document { entry, bytes })
}

/// The feed gives no deletes, and none was looked for since.
fn maybe_deleted(mirror: &MirrorReader, id: &str, at: i64) -> CommandError {
    let known = match mirror.deletes_known_until(at) {
        Some(until) => format!("deletes are known up to {}", instant(until)),
        None => "no reconciliation has looked for deletes".to_owned(),
    };
    let message = format!("whether document {id:?} was deleted by {} is not known yet: {known}", instant(at));
    let remedy =
        "name a version, which `cosmirror history` lists, or wait for the next reconciliation (`reconcile.interval`)";
    CommandError::new(Exit::NotCovered, message, remedy)
}

/// What was there before the first version: nothing, where that version created the document. Otherwise it is not known.
pub(crate) fn before_the_first<'a>(history: &DocumentHistory, first: &Entry) -> Result<Seen<'a>, CommandError> {
    if first.version.op == Op::Create {
        return Ok(Seen::Absent(Absence::not_yet()));
    }
    let message =
        format!("the mirror holds no version of document {:?} before {:?}", history.id, first.place.version());
    let remedy = "name what to compare with --from and --to; `--to live` is the container's document";
    Err(CommandError::new(Exit::NotFound, message, remedy))
}
