//! A listing as a stream of documents: consecutive heads of one name, page by page.
//!
//! The next page is asked for before this one is read, so memory holds up to three pages and one document's heads. The store lists by name and then oldest first, so a document's versions
//! are never torn apart.

use std::iter::Peekable;
use std::task::Poll;
use std::time::Duration;
use std::vec::IntoIter;

use cosmirror_formats::{MirrorPaths, Version};
use futures::future::BoxFuture;
use futures::stream::try_unfold;
use futures::{FutureExt as _, Stream};
use tokio::time::Instant;

use super::dead_letters::Letter;
use super::order::source_order;
use super::{DocumentHistory, Entry, Life, Place};
use crate::failure::{Failure, Kind};
use crate::retry::persist;
use crate::store::{Arriving, Head, Listing, VersionStore};

/// The heads under `prefix`, one group per name.
pub(crate) fn groups(
    store: &dyn VersionStore,
    prefix: String,
    listing: Listing,
) -> impl Stream<Item = Result<Vec<Head>, Failure>> {
    let mut groups = Groups { store, prefix, listing, page: Vec::new().into_iter().peekable(), ahead: None };
    groups.ahead = Some(groups.ask(None));
    try_unfold(groups, |mut groups| async move {
        let group = groups.next_group().await?;
        Ok(group.map(|group| (group, groups)))
    })
}

/// All versions under exactly this name, oldest first.
pub(super) async fn versions_of(store: &dyn VersionStore, name: &str) -> Result<Vec<Head>, Failure> {
    Ok(versions_within(store, name, usize::MAX).await?.unwrap_or_default())
}

/// The same where there are at most this many; a few more, a page of the listing, may be read.
pub(super) async fn versions_within(
    store: &dyn VersionStore,
    name: &str,
    versions_max: usize,
) -> Result<Option<Vec<Head>>, Failure> {
    // The name is the least of those that begin with it, so it comes first or not at all.
    let (mut heads, mut next) = (Vec::new(), None);
    loop {
        let page = persist(|| store.list(name, Listing::Versions, next.clone())).await?;
        let (read, before) = (page.heads.len(), heads.len());
        heads.extend(page.heads.into_iter().take_while(|head| head.name == name));
        if heads.len() > versions_max {
            return Ok(None);
        }
        next = page.next;
        if next.is_none() || heads.len() - before < read {
            return Ok(Some(heads));
        }
    }
}

struct Groups<'a> {
    store: &'a dyn VersionStore,
    prefix: String,
    listing: Listing,
    page: Peekable<IntoIter<Head>>,
    /// The next page; none at the end of the listing.
    ahead: Option<Ahead<'a>>,
}

/// A page that was asked for.
struct Ahead<'a> {
    next: Option<String>,
    at: Instant,
    page: BoxFuture<'a, Result<Arriving<'a>, Failure>>,
}

/// Nobody reads a page that was asked for while another one is worked on; one that has waited longer than this is asked for again, before it
/// counts as unanswered.
const AHEAD_MAX: Duration = Duration::from_secs(10);

impl<'a> Groups<'a> {
    async fn next_group(&mut self) -> Result<Option<Vec<Head>>, Failure> {
        let mut group: Vec<Head> = Vec::new();
        loop {
            while let Some(head) = self.page.next_if(|head| group.first().is_none_or(|first| first.name == head.name)) {
                group.push(head);
            }
            if self.page.peek().is_some() || !self.fetch().await? {
                return Ok((!group.is_empty()).then_some(group));
            }
        }
    }

    /// Fetches the next page, and asks for the one behind it; false at the end of the listing.
    async fn fetch(&mut self) -> Result<bool, Failure> {
        let Some(mut asked) = self.ahead.take() else { return Ok(false) };
        if asked.at.elapsed() > AHEAD_MAX {
            asked = self.ask(asked.next);
        }
        let page = asked.page.await?;
        if page.next.is_some() {
            let mut ahead = self.ask(page.next);
            // It is on its way once it was polled.
            if let Poll::Ready(answer) = futures::poll!(&mut ahead.page) {
                ahead.page = std::future::ready(answer).boxed();
            }
            self.ahead = Some(ahead);
        }
        self.page = page.heads.await?.into_iter().peekable();
        Ok(true)
    }

    fn ask(&self, next: Option<String>) -> Ahead<'a> {
        let (store, prefix, listing, marker) = (self.store, self.prefix.clone(), self.listing, next.clone());
        let asked = async move { persist(|| store.list_ahead(&prefix, listing, marker.clone())).await };
        Ahead { next, at: Instant::now(), page: asked.boxed() }
    }
}

/// One document's heads, in the store's order, as its history. The metadata must speak of the document that the name stands
/// for, in every version; otherwise the names collided or a blob was copied, and nothing under that name can be trusted.
pub(super) fn document_of(
    paths: &MirrorPaths,
    heads: Vec<Head>,
    letters: &[Letter],
) -> Result<DocumentHistory, Failure> {
    let mut entries: Vec<Entry> = heads.into_iter().map(entry).collect::<Result<_, _>>()?;
    let first = entries.first().map(|entry| (entry.version.pk.clone(), entry.version.id.clone()));
    let Some((key, id)) = first.or_else(|| letters.first().map(|l| (l.key.clone(), l.id.clone()))) else {
        return Err(Failure::new(Kind::Internal, "a document's listing without versions"));
    };
    let name = paths.document(&key, &id);
    for entry in &entries {
        let same = entry.version.pk == key && entry.version.id == id;
        if !same || !matches!(&entry.place, Place::Version { name: own, .. } if *own == name) {
            return Err(wrong_document(entry));
        }
    }
    entries.extend(letters.iter().filter_map(|letter| letter.entry.clone()));
    let unreadable = letters.iter().filter_map(Letter::unreadable).collect();
    Ok(without_purged(DocumentHistory { key, id, entries: source_order(entries), unreadable }))
}

/// The same without what was purged. A service may be bound to keep it for a while; nobody is to see it.
fn without_purged(mut history: DocumentHistory) -> DocumentHistory {
    let marks = history.entries.iter().filter(|entry| entry.version.is_purge());
    let Some(mark) = marks.max_by_key(|entry| entry.version.ts).map(|mark| mark.version.clone()) else {
        return history;
    };
    history.entries.retain(|entry| entry.version.ts > mark.ts || entry.version == mark);
    history.unreadable.retain(|letter| letter.ts.is_none_or(|ts| ts > mark.ts));
    history
}

fn entry(head: Head) -> Result<Entry, Failure> {
    let version = Version::from_metadata(&head.metadata)
        .map_err(|error| Failure::new(Kind::Integrity, format!("{} (version {}): {error}", head.name, head.version)))?;
    let place = Place::Version { name: head.name, version: head.version };
    Ok(Entry { version, place, length: head.length, current: head.current, life: Life::default() })
}

fn wrong_document(entry: &Entry) -> Failure {
    let path = match &entry.place {
        Place::Version { name, .. } | Place::DeadLetter { name } => name,
    };
    let error = cosmirror_formats::VersionError::WrongPath { path: path.clone(), id: entry.version.id.clone() };
    Failure::new(Kind::Integrity, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;
    use futures::TryStreamExt as _;
    use tokio::time::sleep;

    use super::super::memory::{entry as entry_of, history};
    use super::super::{State, Unreadable};
    use super::*;
    use crate::store::{Page, Put, Stored};

    const PAGES: usize = 3;
    const ANSWERED_AFTER: Duration = Duration::from_secs(1);

    /// Pages of one name each; notes which were asked for.
    #[derive(Default)]
    struct Paged(Mutex<Vec<usize>>);

    #[async_trait]
    impl VersionStore for Paged {
        async fn prepare(&self, _: bool) -> Result<(), Failure> {
            unreachable!()
        }

        async fn put(&self, _: Put) -> Result<Stored, Failure> {
            unreachable!()
        }

        async fn head(&self, _: &str) -> Result<Option<Head>, Failure> {
            unreachable!()
        }

        async fn get(&self, _: &str, _: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
            unreachable!()
        }

        async fn list(&self, _: &str, _: Listing, next: Option<String>) -> Result<Page, Failure> {
            let number = next.map_or(0, |next| next.parse().unwrap());
            self.0.lock().unwrap().push(number);
            sleep(ANSWERED_AFTER).await;
            let head = Head {
                name: number.to_string(),
                version: "v".to_owned(),
                etag: "e".to_owned(),
                current: true,
                length: 0,
                metadata: Default::default(),
            };
            let next = (number + 1 < PAGES).then(|| (number + 1).to_string());
            Ok(Page { heads: vec![head], next })
        }
    }

    /// Looks at every document for so long; gives the pages that were asked for, and how long it took.
    async fn looked_at_for(look: Duration) -> (Vec<usize>, Duration) {
        let (store, begun) = (Paged::default(), Instant::now());
        let mut names = Vec::new();
        let groups = groups(&store, String::new(), Listing::Versions);
        let mut groups = std::pin::pin!(groups);
        while let Some(group) = groups.try_next().await.unwrap() {
            names.push(group[0].name.clone());
            sleep(look).await;
        }
        assert_eq!(names, ["0", "1", "2"]);
        let asked = store.0.lock().unwrap().clone();
        (asked, begun.elapsed())
    }

    #[test]
    fn nothing_of_what_was_purged_is_shown_whatever_the_target_still_holds() {
        let at = |name: &str, ts: i64| entry_of(name, ts, Some(ts.unsigned_abs()));
        let mark = |until| {
            let mut mark = entry_of("", until, None);
            mark.version = Version::purge(until, "rid", "d", &mark.version.pk);
            mark
        };
        let letter = |ts| Unreadable { ts, name: String::new() };
        let entries = vec![at("a", 10), mark(15), at("b", 20), mark(30), at("c", 31), at("d", 40)];
        let unreadable = vec![letter(Some(30)), letter(Some(31)), letter(None)];
        let mut shown = without_purged(DocumentHistory { unreadable, ..history(entries) });
        let names: Vec<String> = shown.entries.iter().map(|entry| entry.version.identity()).collect();
        assert_eq!(names, ["purge:30", "c", "d"]);
        assert_eq!(shown.unreadable, [letter(Some(31)), letter(None)], "of the last one nobody knows when it was");
        shown.unreadable.clear();
        assert_eq!([shown.state_at(29), shown.state_at(5)], [State::NotYet, State::NotYet]);
        assert!(matches!(shown.state_at(30), State::Deleted(_)) && matches!(shown.state_at(31), State::Present(_)));
        let untouched = history(vec![at("a", 10), at("b", 20)]);
        assert_eq!(without_purged(untouched.clone()), untouched);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_page_is_on_its_way_while_this_one_is_looked_at() {
        let (asked, took) = looked_at_for(ANSWERED_AFTER).await;
        assert_eq!(asked, [0, 1, 2]);
        // A name may go on on the next page, so the first look comes behind two of them. The third one comes during that look.
        assert_eq!(took, ANSWERED_AFTER * 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_nobody_came_for_is_asked_for_again() {
        let (asked, _) = looked_at_for(AHEAD_MAX + ANSWERED_AFTER * 2).await;
        assert_eq!(asked, [0, 1, 2, 2]);
    }
}
