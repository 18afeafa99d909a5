//! A second look at what was not equal at first, before it is called drift.
//!
//! The two sides were read at different times, so most of what differs beside a running daemon is on its way. The order of looking is
//! what makes a verdict certain: first how far each range is mirrored, then the mirror's head, then the source by a point read. Whatever
//! the source committed up to the watermark was in the mirror when the head was read, so a difference among such
//! versions is drift; anything later is pending. A document that is gone has no time of its own: it is extra only if its
//! mirrored version is older than the scan by the staleness margin, the scan did not see it, a point read does not find
//! it, and the feed, where it shows deletes, has been mirrored past the scan's end.

use cosmirror_formats::PartitionKey;
use cosmirror_formats::feed_page::SystemProperties;
use cosmirror_formats::version::sha256_hex;

use super::compare::{Candidate, Held, Pair, State, state};
use super::horizon::{Horizon, Part};
use super::scan::held;
use super::{Mode, Reconcile};
use crate::documents::Document;
use crate::failure::{Failure, Kind};
use crate::history::{Entry, Life, MirrorReader, Place, client_text};
use crate::mirror::order::Known;
use crate::retry::persist;

/// What a point read about costs, for each kibibyte of the document begun.
const REQUEST_UNITS_PER_KIBIBYTE: f64 = 1.0;

const NO_HORIZON: &str = "the range it belongs to has not been read to its end yet";
const LATER: &str = "it changed later than its range is mirrored";
const RECENT: &str = "its last change or its delete is too recent to tell";

/// The verdict on one document.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The two sides are equal by now.
    Equal,
    /// Neither side has it any more.
    Absent,
    /// What differs may be on its way.
    Pending(&'static str),
    /// They differ.
    Drift(Box<Drift>),
}

/// A difference that is certain, with everything that its repair goes by.
#[derive(Debug)]
pub(super) struct Drift {
    pub(super) state: State,
    pub(super) why: String,
    /// The mirror's head that was compared.
    pub(super) known: Option<Known>,
    /// The commit time of that head.
    pub(super) held_ts: Option<i64>,
    /// The source's document that was compared.
    pub(super) live: Option<Live>,
    /// The range it belongs to; none where no lease or record covers it.
    pub(super) part: Option<Part>,
}

/// A document as a point read gave it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) document: Document,
    /// Its `_ts`.
    pub(super) ts: i64,
}

/// What bounds a verdict in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Up to here the range is completely mirrored.
    pub(super) watermark: Option<i64>,
    /// The scan began no earlier.
    pub(super) begun: i64,
    /// The scan ended no later.
    pub(super) ended: i64,
    /// The staleness margin.
    pub(super) margin: i64,
    /// Whether the feed shows deletes.
    pub(super) shows_deletes: bool,
}

impl Limits {
    /// Why a difference between these commit times may be on its way; none where it is drift.
    pub(super) fn pending(&self, state: State, live: Option<i64>, held: Option<i64>) -> Option<&'static str> {
        let Some(watermark) = self.watermark else { return Some(NO_HORIZON) };
        if live.max(held).is_some_and(|ts| ts > watermark) {
            return Some(LATER);
        }
        let gone_long = held.is_some_and(|ts| ts + self.margin < self.begun);
        let deletes_mirrored = !self.shows_deletes || watermark >= self.ended;
        (state == State::Extra && !(gone_long && deletes_mirrored)).then_some(RECENT)
    }
}

/// Looks again at what may be drift.
pub(super) struct Judge<'a> {
    pub(super) reconcile: &'a Reconcile<'a>,
    /// The mirror, opened after the scan so that it knows of the dead letters by then.
    pub(super) mirror: &'a MirrorReader,
    pub(super) horizon: &'a Horizon,
    pub(super) limits: Limits,
}

impl Judge<'_> {
    pub(super) async fn judge(&self, candidate: &Candidate) -> Result<Verdict, Failure> {
        let key = candidate.partition_key();
        let key = key.ok_or_else(|| Failure::new(Kind::Internal, "a document without a partition key"))?;
        let held = look(self.mirror, &candidate.name).await?;
        let live = self.live(&key, &candidate.id).await?;
        let mut drift =
            Drift { state: State::Different, why: String::new(), known: None, held_ts: None, live, part: None };
        let newest = match &held {
            Some(Held { version: Err(why), .. }) => {
                drift.why.clone_from(why);
                return Ok(Verdict::Drift(Box::new(drift)));
            }
            _ => self.newest(&candidate.name, held.as_ref())?,
        };
        if let Some(Held { head, version: Ok(version), .. }) = &held {
            drift.known = Some(Known::new(head.etag.clone(), version));
            drift.held_ts = Some(version.ts);
        }
        let live_etag = drift.live.as_ref().map(|live| live.document.etag.as_str());
        let present = newest.as_ref().filter(|entry| entry.life.ended.is_none());
        drift.state = state(live_etag, present.and_then(|entry| entry.version.etag.as_deref()));
        match (drift.state, candidate.state, &drift.live, &newest) {
            (State::Absent, ..) => return Ok(Verdict::Absent),
            (State::Equal, State::Different, Some(live), Some(newest)) => {
                let expected = self.reconcile.expected(&live.document.bytes)?;
                let why = content(self.mirror, newest, expected.as_deref()).await?;
                let Some(why) = why else { return Ok(Verdict::Equal) };
                drift.state = State::Different;
                drift.why = why;
                return Ok(Verdict::Drift(Box::new(drift)));
            }
            (State::Equal, ..) => return Ok(Verdict::Equal),
            _ => {}
        }
        drift.part = self.horizon.of(&(self.reconcile.source.effective_key)(&key)?).cloned();
        let limits = Limits { watermark: drift.part.as_ref().and_then(|part| part.watermark), ..self.limits };
        // A reconciliation's tombstone has the end of an interval for its time, which may be ahead of the watermark.
        let held_ts = drift.known.as_ref().map(|known| known.ts);
        if let Some(why) = limits.pending(drift.state, drift.live.as_ref().map(|live| live.ts), held_ts) {
            return Ok(Verdict::Pending(why));
        }
        drift.why = why(&drift, newest.is_some());
        Ok(Verdict::Drift(Box::new(drift)))
    }

    /// The newest version, dead letters included: what one holds is not lost, only not in its place.
    fn newest(&self, name: &str, held: Option<&Held>) -> Result<Option<Entry>, Failure> {
        let letters = self.mirror.letters.get(name).map(Vec::as_slice).unwrap_or_default();
        if held.is_none() && letters.is_empty() {
            return Ok(None);
        }
        let heads = held.iter().map(|held| held.head.clone()).collect();
        Ok(self.mirror.document(heads, letters)?.entries.pop())
    }

    async fn live(&self, key: &PartitionKey, id: &str) -> Result<Option<Live>, Failure> {
        let source = &self.reconcile.source;
        source.units.wait().await;
        let found = persist(|| source.documents.read(key, id)).await?;
        let kibibytes = found.as_ref().map_or(0, |document| document.bytes.len() / 1024) + 1;
        source.units.spend(REQUEST_UNITS_PER_KIBIBYTE * f64::from(u32::try_from(kibibytes).unwrap_or(u32::MAX)));
        let Some(document) = found else { return Ok(None) };
        let system = std::str::from_utf8(&document.bytes).ok().and_then(|text| SystemProperties::of(text).ok());
        let ts = system.and_then(|system| system.ts);
        let ts = ts.ok_or_else(|| Failure::new(Kind::Internal, format!("document {id:?} of {key} has no _ts")))?;
        Ok(Some(Live { document, ts }))
    }
}

impl Reconcile<'_> {
    /// A first look at two sides; a candidate where they are not known to be equal, and none where there is nothing to say.
    pub(super) async fn first_look(&self, pair: Pair) -> Result<Looked, Failure> {
        let mut state = pair.state();
        if let (State::Equal, Mode::Hash | Mode::Full, Some(Held { head, version: Ok(version), .. })) =
            (state, self.request.mode, &pair.held)
        {
            let place = Place::Version { name: head.name.clone(), version: head.version.clone() };
            let (version, length, current) = ((**version).clone(), head.length, head.current);
            let entry = Entry { version, place, length, current, life: Life::default() };
            let expected = pair.source.as_ref().and_then(|seen| seen.sha256.as_deref());
            if content(self.mirror, &entry, expected).await?.is_some() {
                state = State::Different;
            }
        }
        match state {
            State::Equal => return Ok(Looked::Equal),
            State::Absent => return Ok(Looked::Absent),
            _ => {}
        }
        let name = pair.source.as_ref().map(|seen| seen.name.clone());
        let name = name.or_else(|| pair.held.as_ref().map(|held| held.head.name.clone())).unwrap_or_default();
        let Some((key, id)) = pair.document() else {
            let why = pair.held.and_then(|held| held.version.err()).unwrap_or_default();
            return Ok(Looked::Unusable { name, why });
        };
        let seen = pair.source.map(|seen| (seen.etag, seen.lsn));
        Ok(Looked::Candidate(Box::new(Candidate { state, name, id, key, seen })))
    }

    /// What a document's stored text must hash to, without what the service writes; none where the mode does not ask.
    fn expected(&self, document: &[u8]) -> Result<Option<String>, Failure> {
        if self.request.mode != Mode::Full {
            return Ok(None);
        }
        Ok(Some(sha256_hex(&client_text(document, "the source's document")?)))
    }
}

/// What a first look told.
pub(super) enum Looked {
    Equal,
    Absent,
    /// To be looked at again.
    Candidate(Box<Candidate>),
    /// A blob of no known document.
    Unusable {
        name: String,
        why: String,
    },
}

/// The mirror's head of one name.
pub(super) async fn look(mirror: &MirrorReader, name: &str) -> Result<Option<Held>, Failure> {
    let head = persist(|| mirror.store.head(name)).await?;
    head.map(|head| held(mirror, head)).transpose()
}

/// What is wrong with stored bytes: they must match their hash, and without the service's properties the expected one.
async fn content(mirror: &MirrorReader, entry: &Entry, expected: Option<&str>) -> Result<Option<String>, Failure> {
    let read = match expected {
        // Without the content itself no key is needed.
        None => mirror.check(entry).await.map(|()| None),
        Some(expected) => mirror.body(entry).await.map(|bytes| Some((bytes, expected))),
    };
    let (bytes, expected) = match read {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(None),
        Err(failure) if matches!(failure.kind, Kind::Integrity | Kind::NotFound) => return Ok(Some(failure.message)),
        Err(failure) => return Err(failure),
    };
    let stored = match client_text(&bytes, "the stored version") {
        Ok(text) => sha256_hex(&text),
        Err(failure) => return Ok(Some(failure.message)),
    };
    let same_but_for_the_service = stored == expected;
    Ok((!same_but_for_the_service).then(|| "the stored version has the source's etag and other content".to_owned()))
}

fn why(drift: &Drift, is_known: bool) -> String {
    let identity = drift.known.as_ref().map(|known| known.identity.as_str()).unwrap_or_default();
    let etag = drift.live.as_ref().map(|live| live.document.etag.as_str()).unwrap_or_default();
    match drift.state {
        State::Missing if is_known => format!("the source holds {etag}, the mirror has it as deleted ({identity})"),
        State::Missing => format!("the source holds {etag}, the mirror has no version of it"),
        State::Stale => format!("the source holds {etag}, the mirror's newest version is {identity}"),
        State::Extra => format!("the source has no such document, the mirror's newest version is {identity}"),
        State::Different | State::Equal | State::Absent => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATES: [State; 3] = [State::Missing, State::Stale, State::Extra];

    fn limits(watermark: Option<i64>, shows_deletes: bool) -> Limits {
        Limits { watermark, begun: 100, ended: 110, margin: 5, shows_deletes }
    }

    #[test]
    fn what_is_gone_is_drift_only_where_the_margin_has_passed_and_the_feed_would_have_told() {
        let pending = |watermark, held, shows| limits(Some(watermark), shows).pending(State::Extra, None, Some(held));
        assert_eq!(pending(110, 94, true), None);
        assert_eq!(pending(110, 95, true), Some(RECENT), "within the margin of the scan's start");
        assert_eq!(pending(109, 94, true), Some(RECENT), "its delete may not be mirrored yet");
        assert_eq!(pending(109, 94, false), None, "no delete will ever be mirrored");
        assert_eq!(pending(93, 94, false), Some(LATER));
    }

    proptest! {
        #[test]
        fn whatever_is_later_than_the_watermark_is_pending(
            at in 0usize..3, live in prop::option::of(0i64..200), held in prop::option::of(0i64..200),
            watermark in prop::option::of(0i64..200), shows_deletes: bool,
        ) {
            let pending = limits(watermark, shows_deletes).pending(STATES[at], live, held);
            let late = watermark.is_none_or(|watermark| live.into_iter().chain(held).any(|ts| ts > watermark));
            prop_assert!(!late || pending.is_some());
            prop_assert!(late || pending.is_none() || STATES[at] == State::Extra);
        }
    }
}
