//! Puts what each document should be beside what the container holds.
//!
//! The container's document is found by a point read. Equal etags mean equal documents; where they differ, the bytes are
//! compared without the properties that the service writes, so a document that was restored before counts as
//! unchanged. Stored bytes are only downloaded where a comparison or a time to live asks for them.

use bytes::Bytes;
use cosmirror_formats::restore_plan::{Action, Content, Step};
use futures::stream::{BoxStream, TryStreamExt as _};

use super::catalog::Candidate;
use super::plan::{Live, Planned, Tally, Verdict, Wanted, decide};
use super::plan_file::PlanWriter;
use super::{DOCUMENTS_AT_ONCE, Point, Restore};
use crate::documents::Document;
use crate::failure::{Failure, Kind};
use crate::history::{DocumentHistory, Entry, Place, State, client_text, expiry, instant};
use crate::retry::persist;

const GONE: &str =
    "it is gone from the container, and the mode cannot tell since when; name a --version to bring it back";

/// Puts what is to be done about the candidates into the plan.
pub(super) async fn plan(
    restore: &Restore<'_>,
    candidates: BoxStream<'_, Result<Candidate, Failure>>,
    plan: &mut PlanWriter,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let planned = candidates
        .map_ok(|candidate| async move {
            match candidate {
                Candidate::Document(document) => planned(restore, &document).await,
                Candidate::Damaged(failure) => Ok(Planned::Damaged(failure)),
            }
        })
        .try_buffer_unordered(DOCUMENTS_AT_ONCE);
    let mut planned = std::pin::pin!(planned);
    while let Some(planned) = planned.try_next().await? {
        tally.add(planned, plan)?;
        restore.progress.inc(1);
    }
    Ok(tally)
}

async fn planned(restore: &Restore<'_>, document: &DocumentHistory) -> Result<Planned, Failure> {
    let result = match &restore.request.point {
        Point::At(at) => match document.state_at(*at) {
            State::Present(entry) => existed(restore, document, entry, Some(*at)).await,
            State::Deleted(_) | State::NotYet => did_not_exist(restore, document).await,
            State::Uncertain { after, until } => {
                let (after, until) = (instant(after), instant(until));
                let why = format!(
                    "it changed between {after} and {until}, and the mirror cannot tell when: it was followed in latest-version mode, or versions were left out"
                );
                Ok(refused(Verdict::Uncertain, document, &why))
            }
            State::Unknown(why) => Ok(refused(Verdict::Unknown, document, why)),
        },
        Point::Version(name) => match document.version(name) {
            Some(entry) if entry.version.is_tombstone() => did_not_exist(restore, document).await,
            Some(entry) => existed(restore, document, entry, None).await,
            None => Err(no_version(document, name)),
        },
    };
    match result {
        Err(failure) if failure.kind == Kind::Integrity => Ok(Planned::Damaged(failure)),
        result => result,
    }
}

fn no_version(document: &DocumentHistory, name: &str) -> Failure {
    let message = format!("document {:?} of partition key {} has no version {name:?}", document.id, document.key);
    Failure::new(Kind::NotFound, message).remedy("`cosmirror history` lists its versions")
}

fn refused(verdict: Verdict, document: &DocumentHistory, why: &str) -> Planned {
    Planned::Verdict(verdict, None, Some(format!("{:?} of partition key {}: {why}", document.id, document.key)))
}

async fn live(restore: &Restore<'_>, document: &DocumentHistory) -> Result<Option<Document>, Failure> {
    persist(|| restore.documents.read(&document.key, &document.id)).await
}

async fn existed(
    restore: &Restore<'_>,
    document: &DocumentHistory,
    entry: &Entry,
    at: Option<i64>,
) -> Result<Planned, Failure> {
    let live = live(restore, document).await?;
    if live.as_ref().is_some_and(|live| Some(&live.etag) == entry.version.etag.as_ref()) {
        return Ok(Planned::Verdict(Verdict::Unchanged, None, None));
    }
    let newest = document.entries.last().is_some_and(|last| std::ptr::eq(last, entry));
    let missed = at.is_some_and(|at| restore.mirror.may_miss_delete(at));
    if missed && live.is_none() && newest {
        return Ok(refused(Verdict::Uncertain, document, GONE));
    }
    let expiring = at.zip(restore.mirror.settings().filter(|settings| settings.get("defaultTtl").is_some()));
    let mut wanted = Wanted::Document;
    let mut state = live.as_ref().map_or(Live::Absent, |_| Live::Different);
    if live.is_some() || expiring.is_some() {
        let stored = match restore.mirror.body(entry).await {
            Err(failure) if failure.kind == Kind::NotFound => {
                return Ok(refused(Verdict::Unknown, document, &failure.message));
            }
            stored => stored?,
        };
        if let Some((at, settings)) = expiring
            && expiry(settings, &stored, entry.version.ts).is_some_and(|expired| expired <= at)
        {
            wanted = Wanted::Absent;
        } else if let Some(live) = &live
            && same(live, &stored, entry)?
        {
            state = Live::Equal;
        }
    }
    Ok(verdict(restore, document, wanted, state, Some(entry), live))
}

async fn did_not_exist(restore: &Restore<'_>, document: &DocumentHistory) -> Result<Planned, Failure> {
    let live = live(restore, document).await?;
    let state = live.as_ref().map_or(Live::Absent, |_| Live::Different);
    Ok(verdict(restore, document, Wanted::Absent, state, None, live))
}

fn same(live: &Document, stored: &Bytes, entry: &Entry) -> Result<bool, Failure> {
    let stored = client_text(stored, &format!("version {} of {:?}", entry.place.version(), entry.version.id))?;
    Ok(client_text(&live.bytes, "the container's document")? == stored)
}

fn verdict(
    restore: &Restore<'_>,
    document: &DocumentHistory,
    wanted: Wanted,
    state: Live,
    entry: Option<&Entry>,
    live: Option<Document>,
) -> Planned {
    let verdict = decide(wanted, state, restore.request.delete_extra);
    let step = match verdict {
        Verdict::Do(action) => {
            let entry = entry.filter(|_| action != Action::Delete);
            Some(Step {
                part: restore.part,
                action,
                id: document.id.clone(),
                partition_key: document.key.to_json(),
                etag: live.map(|live| live.etag),
                content: entry.map(content),
            })
        }
        _ => None,
    };
    Planned::Verdict(verdict, step, None)
}

fn content(entry: &Entry) -> Content {
    let (name, version) = match &entry.place {
        Place::Version { name, version } => (name.clone(), Some(version.clone())),
        Place::DeadLetter { name } => (name.clone(), None),
    };
    Content {
        name,
        version,
        identity: entry.version.identity(),
        ts: entry.version.ts,
        sha256: entry.version.sha256.clone(),
        bytes: entry.length,
    }
}
