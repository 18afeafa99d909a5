//! What a document was at the export's instant, and whether the earlier export says the same already.
//!
//! The states are those that a restore brings back. In latest-version mode, where nobody has looked yet whether a document was deleted,
//! its newest version is uncertain, as it is for `show`: an export does not ask the source.
//!
//! What the earlier export said is worked out anew from the mirror, not read from its files. That holds but for some documents, which are brought
//! again: those it left out, those whose version a repair stored, perhaps after it, those whose history was purged since or cannot be read any more,
//! and all of them where it was told which side to take for states that were not known, because its files do not say for which it did.

use bytes::Bytes;
use cosmirror_formats::Op;
use cosmirror_formats::export::{DeleteLine, Line, LineCounts, PutLine, UnknownLine, Why};
use futures::TryStreamExt as _;

use super::Export;
use crate::failure::{Failure, Kind};
use crate::history::{DocumentHistory, Entry, Expiry, MirrorReader};
use crate::restore::{Candidate, Point, Request, Selection, Side, Verdict, Wanted, candidates, wanted};

const NOT_LOOKED_FOR: &str = "nobody has looked since whether it was deleted: ask for an earlier instant, let `verify --repair` or a reconciliation look, or choose by --uncertain before or after";
const BY_TIME_TO_LIVE: &str = "--uncertain before takes it as it stood, --uncertain after takes it for expired";

/// What becomes of one document.
pub(super) struct Exported {
    /// Its name in the mirror.
    pub(super) name: String,
    /// Its line; none where there is nothing to say.
    pub(super) text: Option<String>,
    /// What the line is.
    pub(super) counts: LineCounts,
    /// Why it was left out.
    pub(super) note: Option<String>,
}

/// What a document was at an instant.
#[derive(Debug, Clone, PartialEq)]
enum Was<'a> {
    Present(&'a Entry),
    /// It did not exist, since this second where that is known.
    Absent(Option<i64>),
    /// Not known.
    LeftOut(Why, String),
}

/// What the export says of a document.
#[derive(Debug, PartialEq)]
enum Said<'a> {
    Nothing,
    Put(&'a Entry),
    Delete(Option<i64>),
    LeftOut(Why, String),
}

/// Decides what to say: everything that existed, or, with an earlier state, what is otherwise than it was.
fn said<'a>(now: Was<'a>, before: Option<Was<'a>>) -> Said<'a> {
    match (now, before) {
        (Was::LeftOut(why, note), _) => Said::LeftOut(why, note),
        (Was::Present(now), Some(Was::Present(before))) if std::ptr::eq(now, before) && !is_repaired(now) => {
            Said::Nothing
        }
        (Was::Present(now), _) => Said::Put(now),
        (Was::Absent(_), None | Some(Was::Absent(_))) => Said::Nothing,
        (Was::Absent(since), Some(Was::Present(_) | Was::LeftOut(..))) => Said::Delete(since),
    }
}

/// Whether a repair stored it: the mirror may have lacked it when the earlier export was made, whatever its time says.
fn is_repaired(entry: &Entry) -> bool {
    entry.version.op == Op::Reconcile
}

/// What the export says of a document. `doubted` says that the earlier export left it out, or guessed as it was told.
pub(super) async fn exported(export: &Export<'_>, candidate: Candidate, doubted: bool) -> Result<Exported, Failure> {
    let Candidate { name, history } = candidate;
    let document = match history {
        Ok(document) => document,
        Err(failure) => return damaged(name, None, &failure),
    };
    match line(export, &name, &document, doubted).await {
        Err(failure) if failure.kind == Kind::Integrity => damaged(name, Some(&document), &failure),
        result => result,
    }
}

async fn line(export: &Export<'_>, name: &str, document: &DocumentHistory, doubted: bool) -> Result<Exported, Failure> {
    let mut bodies = Bodies { mirror: export.mirror, last: None };
    let now = bodies.was(export.now, document).await?;
    let before = match export.since {
        None => None,
        // What the earlier export said of what is purged by now, the mirror cannot tell any more.
        Some((_, request)) if doubted || document.is_purged_behind(instant_of(request)) => {
            Some(Was::LeftOut(Why::Unknown, String::new()))
        }
        Some((_, request)) => Some(match bodies.was(request, document).await {
            // What cannot be read any more is not needed to bring the document again.
            Err(failure) if matches!(failure.kind, Kind::Integrity | Kind::Unauthorized) => {
                Was::LeftOut(Why::Unknown, String::new())
            }
            before => before?,
        }),
    };
    let (id, pk) = (document.id.clone(), document.key.clone());
    match said(now, before) {
        Said::Nothing => Ok(Exported { name: name.to_owned(), text: None, counts: LineCounts::default(), note: None }),
        Said::Put(entry) => match bodies.of(entry).await {
            Ok(stored) => put(name, document, entry, &stored),
            Err(failure) if failure.kind == Kind::NotFound => left_out(name, document, Why::Unknown, &failure.message),
            Err(failure) => Err(failure),
        },
        Said::Delete(since) => {
            let ts = since.unwrap_or_else(|| instant_of(export.now));
            written(name.to_owned(), &Line::Delete(DeleteLine { id, pk, ts }), None)
        }
        Said::LeftOut(why, note) => left_out(name, document, why, &note),
    }
}

fn put(name: &str, document: &DocumentHistory, entry: &Entry, stored: &[u8]) -> Result<Exported, Failure> {
    let text = std::str::from_utf8(stored).map_err(|_| no_document(name))?;
    let line = PutLine {
        id: document.id.clone(),
        pk: document.key.clone(),
        ts: entry.version.ts,
        etag: entry.version.etag.clone().unwrap_or_default(),
        document: text,
    };
    written(name.to_owned(), &Line::Put(line), None)
}

fn left_out(name: &str, document: &DocumentHistory, why: Why, note: &str) -> Result<Exported, Failure> {
    let (id, key) = (document.id.clone(), document.key.clone());
    let note = format!("{id:?} of partition key {key} is left out: {note}");
    let line = UnknownLine { name: name.to_owned(), document: Some((id, key)), why };
    written(name.to_owned(), &Line::Unknown(line), Some(note))
}

fn damaged(name: String, document: Option<&DocumentHistory>, failure: &Failure) -> Result<Exported, Failure> {
    let document = document.map(|document| (document.id.clone(), document.key.clone()));
    let note = format!("{name} is left out: {failure}");
    let line = UnknownLine { name: name.clone(), document, why: Why::Damaged };
    written(name, &Line::Unknown(line), Some(note))
}

fn written(name: String, line: &Line<'_>, note: Option<String>) -> Result<Exported, Failure> {
    let text = line.to_text().map_err(|_| no_document(&name))?;
    let mut counts = LineCounts::default();
    counts.count(line);
    Ok(Exported { name, text: Some(text), counts, note })
}

fn no_document(name: &str) -> Failure {
    Failure::new(Kind::Integrity, format!("a stored version of {name} is not a JSON document"))
}

fn instant_of(request: &Request) -> i64 {
    match request.point {
        Point::At(at) => at,
        Point::Version(_) | Point::BeforeChange(_) => 0,
    }
}

/// The bytes of versions; the last one stays, because both instants may ask for it.
struct Bodies<'a> {
    mirror: &'a MirrorReader,
    last: Option<(String, Bytes)>,
}

impl Bodies<'_> {
    async fn of(&mut self, entry: &Entry) -> Result<Bytes, Failure> {
        let place = entry.place.version();
        match &self.last {
            Some((kept, bytes)) if *kept == place => Ok(bytes.clone()),
            _ => {
                let bytes = self.mirror.body(entry).await?;
                self.last = Some((place, bytes.clone()));
                Ok(bytes)
            }
        }
    }

    /// What the document was at the request's instant.
    async fn was<'d>(&mut self, request: &Request, document: &'d DocumentHistory) -> Result<Was<'d>, Failure> {
        let at = instant_of(request);
        let entry = match wanted(request, document, self.mirror.gaps())? {
            Wanted::Version(entry) => entry,
            Wanted::Absent | Wanted::NotSelected => return Ok(Was::Absent(gone_since(document, at))),
            Wanted::Refused(Verdict::Uncertain, why) => return Ok(Was::LeftOut(Why::Uncertain, why)),
            Wanted::Refused(_, why) => return Ok(Was::LeftOut(Why::Unknown, why)),
        };
        let newest = document.entries.last().is_some_and(|last| std::ptr::eq(last, entry));
        if newest && self.mirror.may_miss_delete(at) {
            match request.uncertain {
                None => return Ok(Was::LeftOut(Why::Uncertain, NOT_LOOKED_FOR.to_owned())),
                Some(Side::After) => return Ok(Was::Absent(None)),
                Some(Side::Before) => {}
            }
        }
        let mirror = self.mirror;
        let ttls = mirror.default_ttls(entry).await?;
        if !ttls.let_expire() {
            return Ok(Was::Present(entry));
        }
        let stored = match self.of(entry).await {
            Err(failure) if failure.kind == Kind::NotFound => return Ok(Was::LeftOut(Why::Unknown, failure.message)),
            stored => stored?,
        };
        Ok(match (ttls.expiry(&stored, entry.version.ts, at), request.uncertain) {
            (Expiry::Uncertain(why), None) => Was::LeftOut(Why::Uncertain, format!("{why}; {BY_TIME_TO_LIVE}")),
            (Expiry::Expired(since), _) => Was::Absent(Some(since)),
            (Expiry::Uncertain(_), Some(Side::After)) => Was::Absent(None),
            (Expiry::Alive, _) | (Expiry::Uncertain(_), Some(Side::Before)) => Was::Present(entry),
        })
    }
}

/// Since when a document that did not exist at `at` was gone, where a version or the container's recreation tells.
fn gone_since(document: &DocumentHistory, at: i64) -> Option<i64> {
    let last = document.entries.iter().rfind(|entry| entry.version.ts <= at)?;
    if last.version.is_tombstone() { Some(last.version.ts) } else { last.life.ended.filter(|ended| *ended <= at) }
}

/// That the first document which existed can be opened where it is encrypted: an export without the key ends before it has written anything.
pub(crate) async fn require_readable(mirror: &MirrorReader, request: &Request) -> Result<(), Failure> {
    let selection = Selection::All;
    let mut documents = candidates(mirror, &selection);
    while let Some(candidate) = documents.try_next().await? {
        let Ok(document) = &candidate.history else { continue };
        if let Wanted::Version(entry) = wanted(request, document, mirror.gaps())? {
            return mirror.identities.require("the content of the mirror", entry.version.encryption.as_ref());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::memory::entry;

    #[test]
    fn a_full_export_says_what_existed_and_nothing_of_what_did_not() {
        let there = entry("a", 10, Some(1));
        assert_eq!(said(Was::Present(&there), None), Said::Put(&there));
        assert_eq!(said(Was::Absent(Some(5)), None), Said::Nothing);
        let left_out = || Was::LeftOut(Why::Uncertain, "w".to_owned());
        assert_eq!(said(left_out(), None), Said::LeftOut(Why::Uncertain, "w".to_owned()));
    }

    #[test]
    fn an_export_that_builds_on_another_says_what_is_otherwise_or_was_not_known() {
        let (old, new) = (entry("a", 10, Some(1)), entry("b", 20, Some(2)));
        let unknown = || Some(Was::LeftOut(Why::Unknown, String::new()));
        assert_eq!(said(Was::Present(&old), Some(Was::Present(&old))), Said::Nothing);
        assert_eq!(said(Was::Present(&new), Some(Was::Present(&old))), Said::Put(&new));
        assert_eq!(said(Was::Present(&new), Some(Was::Absent(None))), Said::Put(&new));
        assert_eq!(said(Was::Present(&old), unknown()), Said::Put(&old));
        assert_eq!(said(Was::Absent(Some(5)), Some(Was::Present(&old))), Said::Delete(Some(5)));
        assert_eq!(said(Was::Absent(Some(5)), unknown()), Said::Delete(Some(5)));
        assert_eq!(said(Was::Absent(Some(5)), Some(Was::Absent(Some(5)))), Said::Nothing);
    }

    /// A repair may store what the mirror lacked when the earlier export was made, with a time before that.
    #[test]
    fn what_a_repair_stored_is_said_again() {
        let mut repaired = entry("a", 10, Some(1));
        repaired.version.op = Op::Reconcile;
        assert_eq!(said(Was::Present(&repaired), Some(Was::Present(&repaired))), Said::Put(&repaired));
    }
}
