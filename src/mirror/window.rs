//! The pages of a range that are being written: several at a time, so that one slow document holds up no other.
//!
//! - **Lanes**: a document's changes of a later page wait for those of the earlier one, whichever feed brought them. Everything else goes
//!   on. Many documents are written at the same time; a lane has one of them.
//! - **Prefix**: a page is given out as durable when every change of it and of all earlier pages of its stream is stored. Only here is
//!   that proof made.
//! - **Bounds**: a stream has at most [`PAGES_WRITTEN_MAX`] pages that are being written. A page that is stored behind one that is not
//!   keeps nothing but its token, and there are at most [`PAGES_MAX`] of them: so much is read again after a crash.
//!
//! All of it are futures that the range's one task polls. Dropping the window abandons them, as a crash would: what is stored is
//! recognised when the pages come again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tracing::Span;

use super::checkpoint::Durable;
use super::plan::{DocumentPlan, PagePlan, Unreadable};
use super::write::{Halt, Terms, Writer};
use crate::pace::bytes::Share;

/// Pages of one stream that are being written.
const PAGES_WRITTEN_MAX: usize = 4;
/// Pages of one stream that are not checkpointed, those included that are stored already.
const PAGES_MAX: usize = 64;

/// One of the two feeds of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The feed that goes on.
    Followed,
    /// What existed before it began.
    Backfill,
}

/// What a page says when it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It held changes.
    Changes {
        /// With it the range is complete up to here, where that can be told.
        complete_until: Option<i64>,
    },
    /// Nothing more was there.
    CaughtUp {
        /// At this instant of the service.
        asked_at: Option<i64>,
        /// With it the range is complete up to here, where that can be told.
        complete_until: Option<i64>,
    },
}

impl Mark {
    /// Up to where the range is complete with the page.
    pub fn complete_until(self) -> Option<i64> {
        match self {
            Self::Changes { complete_until } | Self::CaughtUp { complete_until, .. } => complete_until,
        }
    }
}

struct Page {
    number: u64,
    stream: Stream,
    token: String,
    mark: Mark,
    /// Documents and dead letters that are not stored yet.
    left: usize,
    /// Given back when the last of them is stored.
    share: Option<Share>,
    /// Ends when the last of them is stored.
    span: Span,
}

struct Job {
    page: u64,
    token: Arc<str>,
    work: Work,
}

enum Work {
    Document(DocumentPlan),
    Letter(Unreadable),
}

struct Done {
    page: u64,
    lane: Option<String>,
    result: Result<(), Halt>,
}

/// The pages of one range that are being written.
pub struct Window {
    writer: Arc<Writer>,
    terms: Arc<Terms>,
    pages: VecDeque<Page>,
    entered: u64,
    /// Per document that is written or ready, what waits behind.
    lanes: HashMap<String, VecDeque<Job>>,
    ready: VecDeque<Job>,
    active: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl Window {
    /// An empty one.
    pub fn new(writer: Arc<Writer>, terms: Terms) -> Self {
        Self {
            writer,
            terms: Arc::new(terms),
            pages: VecDeque::new(),
            entered: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            active: FuturesUnordered::new(),
        }
    }

    /// Under which conditions it writes.
    pub fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms)
    }

    /// Whether another page of this stream may be read.
    pub fn has_room(&self, stream: Stream) -> bool {
        let pages = || self.pages.iter().filter(|page| page.stream == stream);
        pages().count() < PAGES_MAX && pages().filter(|page| page.left > 0).count() < PAGES_WRITTEN_MAX
    }

    /// Whether every page is stored.
    pub fn is_stored(&self) -> bool {
        self.pages.iter().all(|page| page.left == 0)
    }

    /// Begins to write a page. `token` lies behind it.
    pub fn enter(&mut self, stream: Stream, token: String, mark: Mark, plan: PagePlan, share: Share) {
        let number = self.entered;
        self.entered += 1;
        let left = plan.documents.len() + plan.unreadable.len();
        let shared: Arc<str> = token.as_str().into();
        let job = |work| Job { page: number, token: Arc::clone(&shared), work };
        self.ready.extend(plan.unreadable.into_iter().map(Work::Letter).map(job));
        for document in plan.documents {
            match self.lanes.get_mut(&document.name) {
                Some(lane) => lane.push_back(job(Work::Document(document))),
                None => {
                    self.lanes.insert(document.name.clone(), VecDeque::new());
                    self.ready.push_back(job(Work::Document(document)));
                }
            }
        }
        let mark = self.forget_earlier_catching_up(stream, mark);
        let share = Some(share).filter(|_| left > 0);
        self.pages.push_back(Page { number, stream, token, mark, left, share, span: Span::none() });
        self.begin();
    }

    /// Ends `span` when the page that was entered last is stored.
    pub fn trace(&mut self, span: Span) {
        if let Some(page) = self.pages.back_mut().filter(|page| page.left > 0) {
            page.span = span;
        }
    }

    /// Waits until a document is stored; whether a page is stored thereby. Without a page that is being written it waits for ever.
    pub async fn step(&mut self) -> Result<bool, Halt> {
        match self.active.next().await {
            Some(done) => self.finish(done),
            None => std::future::pending().await,
        }
    }

    /// Goes on writing until `other` is done.
    pub async fn beside<T>(&mut self, other: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return Ok(done),
                stepped = self.step() => drop(stepped?),
            }
        }
    }

    /// The next page of either stream that is stored with all before it.
    pub fn next_durable(&mut self) -> Option<(Stream, Mark, Durable)> {
        let first = |stream| self.pages.iter().position(|page| page.stream == stream);
        let mut firsts = [Stream::Followed, Stream::Backfill].into_iter().filter_map(first);
        let at = firsts.find(|at| self.pages[*at].left == 0)?;
        let page = self.pages.remove(at)?;
        Some((page.stream, page.mark, Durable::after_storing(page.token)))
    }

    /// Leaves every page but the first of each stream to whoever goes on. What of them is being written may still be stored.
    pub fn abandon_later_pages(&mut self) {
        let first = |stream| self.pages.iter().find(|page| page.stream == stream).map(|page| page.number);
        let kept = [first(Stream::Followed), first(Stream::Backfill)];
        let is_kept = |page: u64| kept.contains(&Some(page));
        self.pages.retain(|page| is_kept(page.number));
        self.lanes.values_mut().for_each(|lane| lane.retain(|job| is_kept(job.page)));
        let (ready, dropped): (Vec<Job>, Vec<Job>) = self.ready.drain(..).partition(|job| is_kept(job.page));
        self.ready.extend(ready);
        for job in dropped {
            if let Work::Document(document) = job.work {
                self.leave(&document.name);
            }
        }
        self.begin();
    }

    /// Polls while an earlier page is not stored say together what the last of them says.
    fn forget_earlier_catching_up(&mut self, stream: Stream, mark: Mark) -> Mark {
        let last = self.pages.iter().rposition(|page| page.stream == stream);
        let (Some(at), Mark::CaughtUp { asked_at, complete_until }) = (last, mark) else { return mark };
        let Mark::CaughtUp { complete_until: before, .. } = self.pages[at].mark else { return mark };
        self.pages.remove(at);
        Mark::CaughtUp { asked_at, complete_until: complete_until.max(before) }
    }

    fn begin(&mut self) {
        while self.active.len() < self.writer.documents_max() {
            let Some(Job { page, token, work }) = self.ready.pop_front() else { break };
            let (writer, terms) = (Arc::clone(&self.writer), Arc::clone(&self.terms));
            self.active.push(Box::pin(async move {
                match work {
                    Work::Document(document) => {
                        let lane = Some(document.name.clone());
                        Done { page, lane, result: writer.write_document(document, &token, &terms).await }
                    }
                    Work::Letter(unreadable) => {
                        Done { page, lane: None, result: writer.write_letter(&unreadable, &token, &terms).await }
                    }
                }
            }));
        }
    }

    fn finish(&mut self, done: Done) -> Result<bool, Halt> {
        done.result?;
        if let Some(lane) = done.lane {
            self.leave(&lane);
        }
        self.begin();
        let Some(page) = self.pages.iter_mut().find(|page| page.number == done.page) else { return Ok(false) };
        page.left -= 1;
        if page.left == 0 {
            page.share = None;
            page.span = Span::none();
        }
        Ok(page.left == 0)
    }

    /// Lets the next one of a lane go on.
    fn leave(&mut self, lane: &str) {
        match self.lanes.get_mut(lane).map(VecDeque::pop_front) {
            Some(Some(next)) => self.ready.push_back(next),
            Some(None) => drop(self.lanes.remove(lane)),
            None => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
