//! Puts what each document should be beside what the container holds.
//!
//! Equal etags mean equal documents; where they differ, the bytes are compared without the properties that the service writes, so a
//! document that was restored before counts as unchanged. Stored bytes are only downloaded where a comparison, a condition or a time
//! to live asks for them.
//!
//! What the container holds and the mirror has never heard of was written after everything that the mirror has read. The mirror
//! is complete up to the instant that is restored, so such a document did not exist then; one whose last change is earlier is as it was.

use bytes::Bytes;
use cosmirror_formats::Encryption;
use cosmirror_formats::restore_plan::{Action, Content, Step};
use futures::stream::{BoxStream, TryStreamExt as _};

use super::join::Pair;
use super::live::{self, Known};
use super::plan::{Live, Planned, Policy, Tally, Verdict, decide};
use super::plan_file::PlanWriter;
use super::request::named;
use super::wanted::{Wanted, wanted};
use super::{DOCUMENTS_AT_ONCE, Overwrite, Point, Restore, Selection, Side};
use crate::documents::Document;
use crate::failure::{Failure, Kind};
use crate::history::{DocumentHistory, Entry, Expiry, Place, client_text, instant};

const ALWAYS: &str = "--overwrite always restores it all the same";
const GONE: &str = "it is gone from the container, and the mode cannot tell since when; --uncertain before brings it back, --uncertain after takes it for deleted";

const BY_TIME_TO_LIVE: &str = "--uncertain before takes it as it stood, --uncertain after takes it for expired";

const NEITHER: &str = "neither the mirror nor the container has such a document; check its id and partition key";

/// Puts what is to be done about the documents into the plan, in the order in which they come: plans of one state are the same.
pub(super) async fn plan(
    restore: &Restore<'_>,
    pairs: BoxStream<'_, Result<Pair, Failure>>,
    plan: &mut PlanWriter,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let planned = pairs.map_ok(|pair| async move { planned(restore, pair).await }).try_buffered(DOCUMENTS_AT_ONCE);
    let mut planned = std::pin::pin!(planned);
    while let Some(planned) = planned.try_next().await? {
        tally.add(planned, plan)?;
        restore.progress.inc(1);
    }
    Ok(tally)
}

async fn planned(restore: &Restore<'_>, pair: Pair) -> Result<Planned, Failure> {
    let result = match &pair.candidate.history {
        Ok(document) => compared(restore, document, pair.live).await,
        Err(failure) => Err(failure.clone()),
    };
    match result {
        Err(failure) if failure.kind == Kind::Integrity => Ok(Planned::Damaged(failure)),
        result => result,
    }
}

/// What the container holds of a document.
#[derive(Clone)]
struct Now {
    etag: String,
    ts: i64,
    /// The document itself, where it was read.
    document: Option<Document>,
}

impl Now {
    fn of(document: Document) -> Result<Self, Failure> {
        Ok(Self { etag: document.etag.clone(), ts: live::committed(&document)?, document: Some(document) })
    }
}

/// A document under comparison.
struct Case<'a> {
    restore: &'a Restore<'a>,
    document: &'a DocumentHistory,
    now: Option<Now>,
}

async fn compared(restore: &Restore<'_>, document: &DocumentHistory, known: Known) -> Result<Planned, Failure> {
    let wanted = wanted(restore.request, document, restore.mirror.gaps())?;
    if wanted == Wanted::NotSelected {
        return Ok(Planned::NotSelected);
    }
    let now = match known {
        Known::Absent => None,
        Known::There(etag, ts) => Some(Now { etag, ts, document: None }),
        Known::Nothing => live::read(restore, &document.key, &document.id).await?.map(Now::of).transpose()?,
    };
    let case = Case { restore, document, now };
    if !case.is_touched() {
        return Ok(Planned::NotSelected);
    }
    match wanted {
        Wanted::Version(entry) => case.existed(entry).await,
        Wanted::Absent => Ok(case.did_not_exist()),
        Wanted::Refused(verdict, why) => Ok(case.refused(verdict, &why)),
        Wanted::NotSelected => Ok(Planned::NotSelected),
    }
}

impl Case<'_> {
    /// Whether the document changed in the interval that was asked for, by the mirror or by the container.
    fn is_touched(&self) -> bool {
        let Some(changed) = &self.restore.request.changed else { return true };
        if changed.touches(self.document) {
            return true;
        }
        if !self.restore.in_place {
            return false;
        }
        let newest = self.document.entries.last();
        let exists = newest.is_some_and(|newest| !newest.version.is_tombstone() && newest.life.ended.is_none());
        match &self.now {
            Some(now) => changed.holds(now.ts),
            // It was deleted since the mirror read it last.
            None => changed.until.is_none() && exists,
        }
    }

    fn at(&self) -> Option<i64> {
        match self.restore.request.point {
            Point::At(at) => Some(at),
            Point::Version(_) | Point::BeforeChange(_) => None,
        }
    }

    fn refused(&self, verdict: Verdict, why: &str) -> Planned {
        let Self { document, .. } = self;
        let note = format!("{:?} of partition key {}: {why}", document.id, document.key);
        Planned::Verdict(verdict, None, Some(note))
    }

    async fn existed(self, entry: &Entry) -> Result<Planned, Failure> {
        let selected = match &self.restore.request.condition {
            None => Ok(None),
            Some(_) => self.restore.mirror.body(entry).await.map(Some),
        };
        let result = match selected {
            Ok(Some(stored)) if !self.meets_condition(entry, &stored)? => return Ok(Planned::NotSelected),
            Ok(stored) => self.compare(entry, stored).await,
            Err(failure) => Err(failure),
        };
        match result {
            Err(failure) if failure.kind == Kind::NotFound => Ok(self.refused(Verdict::Unknown, &failure.message)),
            result => result,
        }
    }

    /// Whether the document was so then.
    fn meets_condition(&self, entry: &Entry, stored: &Bytes) -> Result<bool, Failure> {
        let Some(condition) = &self.restore.request.condition else { return Ok(true) };
        let broken = |why: &dyn std::fmt::Display| {
            let what = named(&entry.place, &self.document.id);
            Failure::new(Kind::Integrity, format!("{what} is not a JSON document: {why}"))
        };
        let text = std::str::from_utf8(stored).map_err(|error| broken(&error))?;
        condition.matches(text).map_err(|error| broken(&error))
    }

    /// `stored` are the version's bytes where they were read already.
    async fn compare(&self, entry: &Entry, stored: Option<Bytes>) -> Result<Planned, Failure> {
        if self.now.as_ref().is_some_and(|now| Some(&now.etag) == entry.version.etag.as_ref()) {
            return Ok(Planned::Verdict(Verdict::Unchanged, None, None));
        }
        if self.may_have_been_deleted(entry) {
            match self.restore.request.uncertain {
                None => return Ok(self.refused(Verdict::Uncertain, GONE)),
                Some(Side::After) => return Ok(self.did_not_exist()),
                Some(Side::Before) => {}
            }
        }
        let ttls = match self.at() {
            Some(at) => Some((at, self.restore.mirror.default_ttls(entry).await?)),
            None => None,
        };
        let expiring = ttls.filter(|(_, ttls)| ttls.let_expire());
        if stored.is_none() && self.now.is_none() && expiring.is_none() {
            return Ok(self.verdict(Some(entry), Live::Absent));
        }
        let stored = match stored {
            Some(stored) => stored,
            None => self.restore.mirror.body(entry).await?,
        };
        let expiry = expiring.map_or(Expiry::Alive, |(at, ttls)| ttls.expiry(&stored, entry.version.ts, at));
        match (expiry, self.restore.request.uncertain) {
            (Expiry::Uncertain(why), None) => {
                Ok(self.refused(Verdict::Uncertain, &format!("{why}; {BY_TIME_TO_LIVE}")))
            }
            (Expiry::Expired(_), _) | (Expiry::Uncertain(_), Some(Side::After)) => Ok(self.did_not_exist()),
            (Expiry::Alive, _) | (Expiry::Uncertain(_), Some(Side::Before)) => {
                self.compare_content(entry, &stored).await
            }
        }
    }

    /// Whether the newest version may have been deleted before the instant without the mirror having heard of it.
    fn may_have_been_deleted(&self, entry: &Entry) -> bool {
        let newest = self.document.entries.last().is_some_and(|last| std::ptr::eq(last, entry));
        let missed = self.at().is_some_and(|at| self.restore.mirror.may_miss_delete(at));
        self.restore.in_place && missed && newest && self.now.is_none()
    }

    /// Reads the container's document if that was not done yet, and compares it.
    async fn compare_content(&self, entry: &Entry, stored: &Bytes) -> Result<Planned, Failure> {
        let (key, id) = (&self.document.key, &self.document.id);
        let now = match &self.now {
            Some(now) if now.document.is_none() => live::read(self.restore, key, id).await?.map(Now::of).transpose()?,
            now => now.clone(),
        };
        let Some(document) = now.as_ref().and_then(|now| now.document.as_ref()) else {
            return Ok(Self { now: None, ..*self }.verdict(Some(entry), Live::Absent));
        };
        let stored = client_text(stored, &named(&entry.place, id))?;
        let same = client_text(&document.bytes, "the container's document")? == stored;
        let state = if same { Live::Equal } else { Live::Different };
        Ok(Self { now, ..*self }.verdict(Some(entry), state))
    }

    /// When the document changed last behind the interval that was asked for: that may be somebody's own repair.
    fn changed_again(&self) -> Option<i64> {
        let until = self.restore.request.changed.filter(|_| self.restore.in_place)?.until?;
        let (live, mirrored) =
            (self.now.as_ref().map(|now| now.ts), self.document.entries.last().map(|last| last.version.ts));
        live.max(mirrored).filter(|last| *last > until)
    }

    fn did_not_exist(&self) -> Planned {
        if self.restore.request.condition.is_some() {
            return Planned::NotSelected;
        }
        if self.document.is_empty()
            && self.now.is_none()
            && matches!(self.restore.request.selection, Selection::Listed(_))
        {
            return self.refused(Verdict::Unknown, NEITHER);
        }
        let unheard = self.document.is_empty() && self.restore.in_place;
        let state = match (&self.now, self.at()) {
            (None, _) => Live::Absent,
            (Some(now), Some(at)) if unheard && now.ts <= at => {
                return Planned::Verdict(Verdict::Unchanged, None, None);
            }
            (Some(_), _) => Live::Different,
        };
        self.verdict(None, state)
    }

    fn verdict(&self, entry: Option<&Entry>, state: Live) -> Planned {
        let request = self.restore.request;
        let newer = entry.zip(self.now.as_ref()).is_some_and(|(entry, now)| entry.version.ts > now.ts);
        let policy = Policy { overwrite: request.overwrite, delete_extra: request.delete_extra };
        let verdict = decide(entry.is_some(), state, newer, policy);
        if let (Verdict::Do(_), Some(later)) = (verdict, self.changed_again())
            && request.overwrite != Overwrite::Always
        {
            let why = format!("it changed again at {}, behind the interval; {ALWAYS}", instant(later));
            return self.refused(Verdict::Conflict, &why);
        }
        let step = match verdict {
            Verdict::Do(action) => Some(Step {
                part: self.restore.part,
                action,
                id: self.document.id.clone(),
                partition_key: self.document.key.to_json(),
                etag: self.now.as_ref().filter(|_| action != Action::Create).map(|now| now.etag.clone()),
                content: entry.filter(|_| action != Action::Delete).map(content),
            }),
            _ => None,
        };
        Planned::Verdict(verdict, step, None)
    }
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
        encryption: entry.version.encryption.as_ref().map(Encryption::to_string),
    }
}
