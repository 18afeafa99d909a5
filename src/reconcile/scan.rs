//! What both sides hold: the source by its change feed, the mirror by its listing.
//!
//! The latest-version feed, read from its beginning, shows every document that exists through the reading, and its text as feeds
//! deliver it; that works in both modes and costs what reading the documents costs. A range that splits or merges meanwhile is read
//! again under its new bounds. The listing is only of current versions, with metadata and without content.

use std::collections::VecDeque;

use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{EpkRange, MirrorPaths, feed_page};
use futures::{Stream, TryStreamExt as _};
use indicatif::ProgressBar;

use super::compare::Held;
use super::{Mode, Reconcile, Sample, Scope, Source};
use crate::config::FeedMode;
use crate::failure::{Failure, Kind};
use crate::feed::{FeedPage, Position};
use crate::history::{MirrorReader, client_text, groups};
use crate::retry::persist;
use crate::seen::{RUN_DOCUMENTS_MAX, Runs, Seen};
use crate::store::{Head, Listing};

/// Documents asked for at once.
const PAGE_DOCUMENTS: u32 = 1000;

/// The source's documents, between two instants of the service.
pub(super) struct Scan {
    pub(super) documents: Runs,
    /// Entries of the feed that cannot be read as documents.
    pub(super) unreadable: u64,
    /// A lower bound of the instant at which reading began.
    pub(super) begun: i64,
    /// A lower bound of the instant at which reading ended.
    pub(super) ended: i64,
}

/// How the source is read.
pub(super) struct Scanner<'a> {
    pub(super) source: &'a Source<'a>,
    /// The only range to read; none for all.
    pub(super) scope: Option<&'a Scope<'a>>,
    /// The part of the key space to read where there is no such range.
    pub(super) within: &'a EpkRange,
    pub(super) paths: &'a MirrorPaths,
    pub(super) mode: Mode,
    pub(super) sample: Sample,
    pub(super) progress: &'a ProgressBar,
}

impl Scanner<'_> {
    /// Reads every range.
    pub(super) async fn scan(&self) -> Result<Scan, Failure> {
        let feed = self.source.feed;
        let begun = persist(|| feed.service_time()).await?;
        let mut scan = Scan { documents: Runs::new(RUN_DOCUMENTS_MAX), unreadable: 0, begun, ended: begun };
        let mut open: VecDeque<EpkRange> = match self.scope {
            Some(scope) => VecDeque::from([scope.range.clone()]),
            None => self.physical().await?.into(),
        };
        while let Some(range) = open.pop_front() {
            match self.range(&range, &mut scan).await {
                Err(failure) if failure.kind == Kind::RangeGone && self.scope.is_none() => {
                    // What was read of it counts all the same: of one document the last sight decides.
                    let successors = self.physical().await?;
                    open.extend(successors.into_iter().filter_map(|successor| successor.common(&range)));
                }
                done => done?,
            }
        }
        scan.ended = persist(|| feed.service_time()).await?;
        Ok(scan)
    }

    async fn physical(&self) -> Result<Vec<EpkRange>, Failure> {
        let ranges = persist(|| self.source.feed.ranges()).await?;
        Ok(ranges.into_iter().filter_map(|physical| physical.range.common(self.within)).collect())
    }

    async fn range(&self, range: &EpkRange, scan: &mut Scan) -> Result<(), Failure> {
        let mut position = Position::Beginning;
        loop {
            self.source.units.wait().await;
            let read = || self.source.feed.read(range, FeedMode::LatestVersion, &position, PAGE_DOCUMENTS);
            let page = persist(read).await?;
            self.source.units.spend(page.request_units);
            if page.not_modified {
                return Ok(());
            }
            self.take(&page, scan)?;
            position = Position::Token(page.token);
        }
    }

    fn take(&self, page: &FeedPage, scan: &mut Scan) -> Result<(), Failure> {
        for entry in &page.entries {
            let Ok(change) = feed_page::parse_change(entry, &self.source.feed.container().key) else {
                scan.unreadable += 1;
                continue;
            };
            let name = self.paths.document(&change.pk, &change.id);
            let (Some(etag), true) = (change.etag, self.sample.contains(&name)) else { continue };
            let sha256 = match self.mode {
                Mode::Full => Some(sha256_hex(&client_text(change.document.as_bytes(), "the source's document")?)),
                Mode::Presence | Mode::Hash => None,
            };
            let (id, key, lsn) = (change.id, change.pk.to_json(), change.lsn);
            scan.documents.push(Seen { name, id, key, etag, ts: None, lsn, sha256, nth: 0 })?;
            self.progress.inc(1);
        }
        Ok(())
    }
}

/// The mirror's newest versions, in the order of names.
pub(super) fn catalog(reconcile: &Reconcile<'_>) -> impl Stream<Item = Result<Held, Failure>> + Send {
    let (mirror, sample) = (reconcile.mirror, reconcile.request.sample);
    groups(mirror.store.as_ref(), mirror.paths.documents(), Listing::Current).try_filter_map(move |mut heads| {
        let held = heads.pop().filter(|head| sample.contains(&head.name)).map(|head| held(mirror, head));
        let held = held.transpose().and_then(|held| match held {
            Some(held) if !in_scope(reconcile, &held)? => Ok(None),
            held => Ok(held),
        });
        async move { held }
    })
}

/// Whether a document belongs to the range the comparison is confined to.
fn in_scope(reconcile: &Reconcile<'_>, held: &Held) -> Result<bool, Failure> {
    let range = reconcile.scope.as_ref().map_or(&reconcile.within, |scope| scope.range);
    match &held.version {
        _ if *range == EpkRange::full() => Ok(true),
        Ok(version) => {
            let key = (reconcile.source.effective_key)(&version.pk)?;
            Ok(range.min <= key && key < range.max)
        }
        // It must be told once, wherever it belongs: with the first part, of comparisons that no follower makes.
        Err(_) => Ok(reconcile.scope.is_none() && range.min.is_empty()),
    }
}

/// A head with what its metadata say.
pub(super) fn held(mirror: &MirrorReader, head: Head) -> Result<Held, Failure> {
    match mirror.document(vec![head.clone()], &[]) {
        Ok(history) => {
            let entry = history.entries.into_iter().next();
            let entry = entry.ok_or_else(|| Failure::new(Kind::Internal, "a blob without a version"))?;
            let of_earlier_life = entry.life.ended.is_some();
            Ok(Held { head, version: Ok(Box::new(entry.version)), of_earlier_life })
        }
        Err(failure) if failure.kind == Kind::Integrity => {
            Ok(Held { head, version: Err(failure.message), of_earlier_life: false })
        }
        Err(failure) => Err(failure),
    }
}
