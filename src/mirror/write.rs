//! Storing the changes of a document: in order, every put conditional. [`window`](super::window) does so with many documents.
//!
//! A put goes on top of what is known to be current (`If-Match`) or to be absent (`If-None-Match: *`). Knowledge comes from the
//! cache or from a look; where neither has it, a create is tried first while creates have lately been right. A put
//! that failed is unknown, not undone: the stored version is looked at before anything is judged. A crash leaves a prefix
//! of each document's versions and no checkpoint, so the page comes again and what is stored is recognised.
//!
//! The fence is asked last, when the put has its place among the requests in flight, and a put is bounded in time so that one
//! begun at the fence's last instant has ended before another owner may begin.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cosmirror_formats::{EpkRange, MirrorPaths, Op, Operation, Version};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Entry};
use super::checkpoint::RangeProgress;
use super::dead_letter;
use super::gap;
use super::guard::Guard;
use super::order::{Decision, Known, arrange, decide, existed};
use super::plan::{self, DocumentPlan, Incoming, Unreadable};
use super::thin::{self, Tally};
use crate::admin::ContainerMetrics;
use crate::crash::crash_point;
use crate::failure::{Action, Failure, Kind};
use crate::pace::limit::Request;
use crate::pace::requests::{Requests, Turn};
use crate::retry::Backoff;
use crate::store::{Condition, Head, Listing, Put, Stored, VersionStore};

/// Documents of a range that are written at the same time at least, so that one that waits for its next attempt holds up none.
const DOCUMENTS_IN_PARALLEL_MIN: usize = 64;
/// While waiting for its turn, a document gives a sign of life this often.
const WAITING_SIGN: Duration = Duration::from_secs(5);
/// Versions of one document that are searched for an identity before the search is given up.
const SEARCH_VERSIONS_MAX: usize = 50_000;

/// Why writing ended before the page was durable.
#[derive(Debug)]
pub enum Halt {
    /// The lease may have run out; another owner goes on.
    Fenced,
    /// The process is asked to end and the target does not take writes at the moment.
    Drained,
    /// The failure table gives the range up, or stops the process.
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Under which conditions a range writes.
pub struct Terms {
    /// Open while the lease is ours.
    pub guard: Arc<Guard>,
    /// Cancelled when the process is to end.
    pub drain: CancellationToken,
    /// The range that is followed.
    pub range: EpkRange,
    /// Its lineage.
    pub lineage: String,
    /// How far the range is.
    pub progress: watch::Receiver<RangeProgress>,
}

/// A document while its changes are written.
struct Subject {
    name: String,
    known: Option<Known>,
    tally: Tally,
}

/// Writes the documents of one container.
pub struct Writer {
    store: Arc<dyn VersionStore>,
    paths: MirrorPaths,
    metrics: ContainerMetrics,
    requests: Arc<Requests>,
    put_timeout: Duration,
    versions_per_minute_max: u32,
    cache: Cache,
    create_first: AtomicBool,
    search_max: usize,
}

/// How the search for a version ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// It is among the versions.
    Stored,
    /// It is not.
    Missing,
    /// There are more versions than are looked through.
    GivenUp,
}

impl Writer {
    /// A writer; `requests` bounds the requests in flight over all containers, `put_timeout` each put. `versions_per_minute_max` is
    /// what [`thin`] goes by.
    pub fn new(
        store: Arc<dyn VersionStore>,
        paths: MirrorPaths,
        metrics: ContainerMetrics,
        requests: Arc<Requests>,
        put_timeout: Duration,
        versions_per_minute_max: u32,
    ) -> Self {
        let (cache, create_first) = (Cache::default(), AtomicBool::new(true));
        let search_max = SEARCH_VERSIONS_MAX;
        Self { store, paths, metrics, requests, put_timeout, versions_per_minute_max, cache, create_first, search_max }
    }

    /// Stores every change of a document on a page; `Ok` says that each is a version, a dead letter, or left out by [`thin`].
    pub(super) async fn write_document(&self, document: DocumentPlan, page: &str, terms: &Terms) -> Result<(), Halt> {
        let DocumentPlan { name, mut changes } = document;
        let (remembered, mut tally) = match self.cache.get(&name) {
            Some(entry) => (Some(entry.known), entry.tally),
            None => (None, Tally::default()),
        };
        let shares_lsn = changes.windows(2).any(|w| w[0].version.lsn == w[1].version.lsn);
        let thins = tally.exceeds(&changes, self.versions_per_minute_max) && changes.len() > 1;
        let known = match remembered {
            // The order of a transaction's changes follows from what is stored; what is remembered may be older.
            Some(known) if !shares_lsn => Some(known),
            None if self.create_first.load(Ordering::Relaxed) && !shares_lsn && !thins => None,
            _ => {
                let known = self.look(&name, &changes[0].version, terms).await?;
                self.create_first.store(known.is_none(), Ordering::Relaxed);
                known
            }
        };
        if shares_lsn {
            plan::number_deletes(&mut changes);
        }
        if shares_lsn || thins {
            changes = self.missing(&name, known.as_ref(), changes, terms).await?;
        }
        if shares_lsn {
            arrange(exists_before(known.as_ref(), &changes, terms), &mut changes, Incoming::shape);
        }
        if thins {
            changes = thin::keep_last(changes);
        }
        let mut subject = Subject { name, known, tally };
        for (at, incoming) in changes.iter().enumerate() {
            self.write_version(&mut subject, incoming, &changes[at + 1..], page, terms).await?;
        }
        if let Some(known) = subject.known {
            self.cache.put(&subject.name, Entry { known, tally: subject.tally });
        }
        Ok(())
    }

    /// Keeps what could not be understood.
    pub(super) async fn write_letter(&self, unreadable: &Unreadable, page: &str, terms: &Terms) -> Result<(), Halt> {
        self.store_dead_letter(dead_letter::unreadable(unreadable, page, terms), terms).await
    }

    /// How many documents a range may write at a time: more than may be asked at a time would only wait.
    pub(super) fn documents_max(&self) -> usize {
        self.requests.max().max(DOCUMENTS_IN_PARALLEL_MIN)
    }

    /// The changes that are not stored yet. They begin where the stored state is, so that state gives their order; with the
    /// others among them it would be taken for the state before the first.
    async fn missing(
        &self,
        name: &str,
        known: Option<&Known>,
        changes: Vec<Incoming>,
        terms: &Terms,
    ) -> Result<Vec<Incoming>, Halt> {
        let mut stored = Vec::with_capacity(changes.len());
        for (at, incoming) in changes.iter().enumerate() {
            let later = &changes[at + 1..];
            stored.push(match decide(known, &incoming.version) {
                Decision::Stored | Decision::Older | Decision::Purged => true,
                Decision::Open => self.search(name, known, incoming, later, terms).await? == Search::Stored,
                Decision::Put => false,
            });
        }
        let mut missing = Vec::with_capacity(changes.len());
        for (incoming, stored) in changes.into_iter().zip(stored) {
            if stored {
                self.skipped(false)?;
            } else {
                missing.push(incoming);
            }
        }
        Ok(missing)
    }

    async fn write_version(
        &self,
        subject: &mut Subject,
        incoming: &Incoming,
        later: &[Incoming],
        page: &str,
        terms: &Terms,
    ) -> Result<(), Halt> {
        let mut backoff = Backoff::default();
        let mut overtaken = false;
        loop {
            let Subject { name, known, .. } = &mut *subject;
            match decide(known.as_ref(), &incoming.version) {
                Decision::Stored => return self.skipped(false),
                Decision::Older => return self.skipped(overtaken),
                Decision::Purged => return self.stays_away(),
                Decision::Open => match self.search(name, known.as_ref(), incoming, later, terms).await? {
                    Search::Stored => return self.skipped(false),
                    Search::Missing => {}
                    Search::GivenUp => return self.set_aside(subject, incoming, page, terms).await,
                },
                Decision::Put => {}
            }
            let (put, version) = put_on(name, known.as_ref(), incoming);
            crash_point!("version-to-put");
            match self.fenced_put(put, terms).await? {
                Ok(stored) => {
                    crash_point!("version-put");
                    terms.guard.alive();
                    self.stored(subject, stored, &version, incoming.body.len());
                    return Ok(());
                }
                Err(failure) => {
                    let action = failure.kind.action();
                    if action == Action::DeadLetter {
                        if self.is_purged(name, &incoming.version).await {
                            return self.stays_away();
                        }
                        let letter = dead_letter::refused(name, &version, incoming, &failure, page, terms);
                        return self.store_dead_letter(letter, terms).await;
                    }
                    overtaken |= action == Action::Look && known.is_some();
                    if action == Action::Look && known.is_none() {
                        self.create_first.store(false, Ordering::Relaxed);
                    }
                    self.recover(failure, &mut backoff, terms).await?;
                    *known = self.look(name, &incoming.version, terms).await?;
                }
            }
        }
    }

    /// A version became the document's current one.
    fn stored(&self, subject: &mut Subject, stored: Stored, version: &Version, bytes: usize) {
        subject.known = Some(Known::new(stored.etag, version));
        self.metrics.versions_written.inc();
        self.metrics.stored.stored(version.op, bytes);
        self.metrics.versions_left_out.inc_by(version.omitted.unwrap_or(0).into());
        let Some(versions) = subject.tally.stored() else { return };
        if subject.tally.became_hot() {
            self.metrics.hot_documents.inc();
        }
        tracing::warn!(
            name = subject.name,
            versions,
            "a document changes very often, and each version of it is kept and paid for; where not all of them are needed, set versions_per_minute_max of its container"
        );
    }

    /// One put, unless the lease may have run out by the time it could begin. The outer error ends the page.
    async fn fenced_put(&self, put: Put, terms: &Terms) -> Result<Result<Stored, Failure>, Halt> {
        let turn = self.turn(Request::Put, terms).await?;
        if !terms.guard.is_open() {
            return Err(Halt::Fenced);
        }
        let answer = tokio::time::timeout(self.put_timeout, self.store.put(put)).await.unwrap_or_else(|_| {
            let seconds = self.put_timeout.as_secs_f64();
            Err(Failure::new(Kind::Transient, format!("a put had no answer within {seconds} s")))
        });
        turn.answered(&answer);
        Ok(answer)
    }

    /// Waits for the turn of a request, with signs of life: where the target hardly answers, the line is long.
    async fn turn(&self, request: Request, terms: &Terms) -> Result<Turn<'_>, Halt> {
        let waiting = self.requests.turn(request);
        tokio::pin!(waiting);
        loop {
            if let Ok(turn) = tokio::time::timeout(WAITING_SIGN, &mut waiting).await {
                return Ok(turn);
            }
            terms.guard.alive();
            if terms.drain.is_cancelled() {
                return Err(Halt::Drained);
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends a function that returns this type")]
    fn skipped(&self, overtaken: bool) -> Result<(), Halt> {
        if overtaken {
            self.metrics.stale_writes_refused.inc();
        } else {
            self.metrics.duplicates_skipped.inc();
        }
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends a function that returns this type")]
    fn stays_away(&self) -> Result<(), Halt> {
        self.metrics.stored.purged_skipped.inc();
        Ok(())
    }

    /// Whether a version that the target refused, for whatever it does not like, is of a time of which the document's history was erased. Where
    /// that cannot be told it is kept: better twice erased than lost.
    async fn is_purged(&self, name: &str, version: &Version) -> bool {
        let Ok(Some(head)) = self.store.head(name).await else { return false };
        known_of(head, version).is_ok_and(|known| decide(Some(&known), version) == Decision::Purged)
    }

    /// The current version of a document, which must be that document's.
    async fn look(&self, name: &str, expected: &Version, terms: &Terms) -> Result<Option<Known>, Halt> {
        let mut backoff = Backoff::default();
        loop {
            let turn = self.turn(Request::Head, terms).await?;
            let result = match self.store.head(name).await {
                // It may be taken for stored, or put something over.
                Ok(Some(head)) => self.store.keep(&head).await.map(|()| Some(head)),
                result => result,
            };
            turn.answered(&result);
            let head = match result {
                Ok(None) => return Ok(None),
                Ok(Some(head)) => head,
                Err(failure) => {
                    self.recover(failure, &mut backoff, terms).await?;
                    continue;
                }
            };
            return Ok(Some(known_of(head, expected)?));
        }
    }

    /// Keeps a change of which it cannot be told whether it is stored. As a dead letter it takes its place in its document's history, once.
    async fn set_aside(&self, subject: &Subject, incoming: &Incoming, page: &str, terms: &Terms) -> Result<(), Halt> {
        let (_, version) = put_on(&subject.name, subject.known.as_ref(), incoming);
        let why =
            format!("the document has more than {} versions: this one was not looked for further", self.search_max);
        let failure = Failure::new(Kind::Refused, why);
        let letter = dead_letter::refused(&subject.name, &version, incoming, &failure, page, terms);
        self.store_dead_letter(letter, terms).await
    }

    /// Whether a change, of which `known` does not tell whether it is newer, is among a document's versions.
    async fn search(
        &self,
        name: &str,
        known: Option<&Known>,
        incoming: &Incoming,
        later: &[Incoming],
        terms: &Terms,
    ) -> Result<Search, Halt> {
        // What was left out beneath a version is nowhere to be found; it came before that version.
        let is_known = |later: &Incoming| known.is_some_and(|k| k.thinned && k.identity == later.version.identity());
        if later.iter().any(is_known) {
            return Ok(Search::Stored);
        }
        let identity = incoming.version.identity();
        let mut backoff = Backoff::default();
        let (mut next, mut seen) = (None, 0);
        loop {
            let turn = self.turn(Request::List, terms).await?;
            let listed = self.store.list(name, Listing::Versions, next.clone()).await;
            turn.answered(&listed);
            let page = match listed {
                Ok(page) => page,
                Err(failure) => {
                    self.recover(failure, &mut backoff, terms).await?;
                    continue;
                }
            };
            let mut versions = page.heads.iter().filter(|head| head.name == name);
            if versions.any(|head| Version::from_metadata(&head.metadata).is_ok_and(|v| v.identity() == identity)) {
                return Ok(Search::Stored);
            }
            seen += page.heads.len();
            next = page.next;
            match next {
                None => return Ok(Search::Missing),
                Some(_) if seen >= self.search_max => return Ok(Search::GivenUp),
                Some(_) => {}
            }
        }
    }

    /// Records that the range may lack changes from where it is completely mirrored on, and gives where the gap begins.
    pub async fn begin_gap(&self, known: &RangeProgress, reason: &str, terms: &Terms) -> Result<BTreeSet<i64>, Halt> {
        let (mut backoff, from) = (Backoff::default(), known.first_missing());
        loop {
            match gap::begin(self.store.as_ref(), &self.paths, &terms.range, known, from, reason).await {
                Ok(gaps) => return Ok(gaps),
                Err(failure) => self.recover(failure, &mut backoff, terms).await?,
            }
        }
    }

    async fn store_dead_letter(&self, letter: dead_letter::Letter, terms: &Terms) -> Result<(), Halt> {
        let letter = match self.store.recipients() {
            Some(recipients) => letter.encrypted(recipients)?,
            None => letter,
        };
        let mut backoff = Backoff::default();
        loop {
            crash_point!("letter-to-put");
            match self.fenced_put(letter.put(&self.paths, &terms.range), terms).await? {
                Ok(_) => {
                    crash_point!("letter-put");
                    self.metrics.dead_letters.inc();
                    tracing::error!(range = %terms.range, letter = letter.hash(), reason = letter.reason(), "a change could not be stored and is kept as a dead letter");
                    return Ok(());
                }
                Err(failure) if failure.kind == Kind::Conflict => return Ok(()),
                // What cannot even be kept as a dead letter stops the range: going on would lose it.
                Err(failure) if failure.kind.action() == Action::DeadLetter => return Err(failure.into()),
                Err(failure) => self.recover(failure, &mut backoff, terms).await?,
            }
        }
    }

    /// Waits before the next attempt where the failure table says so; otherwise ends the page.
    async fn recover(&self, failure: Failure, backoff: &mut Backoff, terms: &Terms) -> Result<(), Halt> {
        self.metrics.write_failed(failure.kind);
        terms.guard.failed();
        match failure.kind.action() {
            Action::Look => Ok(()),
            Action::Retry => {
                let pause = backoff.next(failure.retry_after);
                tracing::warn!(error = %failure, pause_ms = pause.as_millis(), "the target did not take a request; trying again");
                terms.guard.rests(pause);
                tokio::select! {
                    biased;
                    () = terms.guard.closed() => return Err(Halt::Fenced),
                    () = terms.drain.cancelled() => return Err(Halt::Drained),
                    () = tokio::time::sleep(pause) => {}
                }
                if terms.drain.is_cancelled() { Err(Halt::Drained) } else { Ok(()) }
            }
            Action::DeadLetter | Action::GiveUpRange | Action::Stop => Err(failure.into()),
        }
    }
}

/// Whether a document exists before these changes. What is stored says so, unless it need not be the state before them.
fn exists_before(known: Option<&Known>, changes: &[Incoming], terms: &Terms) -> bool {
    let in_their_midst = |known: &Known| {
        let first = changes.first().map(|change| &change.version);
        first.is_some_and(|first| known.lsn.is_some() && first.lsn == known.lsn && first.lineage == known.lineage)
    };
    let progress = terms.progress.borrow();
    match known {
        // What is stored may have changed unseen in a gap.
        Some(known) if progress.gaps.is_empty() || in_their_midst(known) => known.exists,
        // The backfill leaves to following what was changed before it came to it; of that nothing may be stored yet.
        None if changes.first().is_some_and(|first| progress.knew_all_before(first.version.ts)) => false,
        _ => existed(changes, Incoming::shape),
    }
}

/// What the current version of a document says, which must be that document's.
pub(crate) fn known_of(head: Head, expected: &Version) -> Result<Known, Failure> {
    let Head { name, etag, metadata, .. } = head;
    let stored = Version::from_metadata(&metadata)
        .map_err(|e| Failure::new(Kind::Integrity, format!("the blob {name:?} is not usable: {e}")))?;
    if stored.id != expected.id || stored.pk != expected.pk {
        let message = format!("the blob {name:?} holds another document than its name says");
        return Err(Failure::new(Kind::Integrity, message));
    }
    Ok(Known::new(etag, &stored))
}

/// The conditional put of an incoming version on what is known, and the version as it will be stored.
pub(crate) fn put_on(name: &str, known: Option<&Known>, incoming: &Incoming) -> (Put, Version) {
    let mut version = incoming.version.clone();
    thin::mark(&mut version, &incoming.left_out, known);
    version.prev = known.map(|k| k.identity.clone());
    if incoming.operation == Operation::Write && version.op != Op::Backfill && !known.is_some_and(|k| k.exists) {
        version.op = Op::Create;
    }
    let put = Put {
        name: name.to_owned(),
        body: incoming.body.clone(),
        metadata: version.to_metadata(),
        condition: known.map_or(Condition::Absent, |k| Condition::Matches(k.etag.clone())),
    };
    (put, version)
}

#[cfg(test)]
mod tests;
