//! What a document should be: the point that was asked for, held against its history. Pure.

use cosmirror_formats::records::Gap;

use super::plan::Verdict;
use super::{Point, Request, Side};
use crate::failure::{Failure, Kind};
use crate::history::{DocumentHistory, Entry, State, instant};

/// What a document should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wanted<'a> {
    /// This version.
    Version(&'a Entry),
    /// It did not exist.
    Absent,
    /// That is not known, for this reason.
    Refused(Verdict, String),
    /// The document has no such point.
    NotSelected,
}

impl<'a> From<State<'a>> for Wanted<'a> {
    fn from(state: State<'a>) -> Self {
        match state {
            State::Present(entry) => Self::Version(entry),
            State::Deleted(_) | State::NotYet => Self::Absent,
            State::Uncertain { after, until } => {
                let (after, until) = (instant(after), instant(until));
                let why = format!(
                    "it changed between {after} and {until}, and the mirror cannot tell when: it was followed in latest-version mode, or versions were left out; --uncertain before or after takes one of both"
                );
                Self::Refused(Verdict::Uncertain, why)
            }
            State::Unknown(why) => Self::Refused(
                Verdict::Unknown,
                format!("{why}; --unknown before or after takes the nearest known state"),
            ),
        }
    }
}

/// What the document should be. A version that was named and is not there is an error.
pub(crate) fn wanted<'a>(
    request: &Request,
    document: &'a DocumentHistory,
    gaps: &[Gap],
) -> Result<Wanted<'a>, Failure> {
    let (state, around) = match &request.point {
        Point::At(at) => (document.state_at(*at), document.known_around(*at)),
        Point::Version(name) => {
            return match document.version(name) {
                Some(entry) if entry.version.is_tombstone() => Ok(Wanted::Absent),
                Some(entry) => Ok(Wanted::Version(entry)),
                None => Err(no_version(document, name)),
            };
        }
        Point::BeforeChange(etag) => match document.state_before(etag, gaps) {
            Some(state) => (state, around_change(document, etag)),
            None => return Ok(Wanted::NotSelected),
        },
    };
    let side = match &state {
        State::Uncertain { .. } => request.uncertain,
        State::Unknown(_) => request.unknown,
        State::Present(_) | State::Deleted(_) | State::NotYet => None,
    };
    let instead = match side {
        Some(Side::Before) => Some(around.0),
        Some(Side::After) => around.1,
        None => None,
    };
    Ok(instead.unwrap_or(state).into())
}

/// The version beneath a change, and the change itself.
fn around_change<'a>(document: &'a DocumentHistory, etag: &str) -> (State<'a>, Option<State<'a>>) {
    let entries = &document.entries;
    let at = entries.iter().position(|entry| entry.version.etag.as_deref() == Some(etag)).unwrap_or_default();
    let before = at.checked_sub(1).map(|before| &entries[before]);
    let before = match before {
        Some(entry) if entry.version.is_tombstone() => State::Deleted(entry),
        Some(entry) => State::Present(entry),
        None => State::NotYet,
    };
    (before, entries.get(at).map(State::Present))
}

fn no_version(document: &DocumentHistory, name: &str) -> Failure {
    let message = format!("document {:?} of partition key {} has no version {name:?}", document.id, document.key);
    Failure::new(Kind::NotFound, message).remedy("`cosmirror history` lists its versions")
}
