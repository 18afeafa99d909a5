//! Pages of the change feed: which changes, and from where the next page goes on.
//!
//! A page costs what it holds, not what the container holds, except where the scope is a part of a partition: then
//! the changes between are walked over. Transactions are never split over pages.

use std::sync::Arc;

use jiff::Timestamp;

use crate::cosmos::change::Change;
use crate::cosmos::errors::CosmosError;
use crate::cosmos::keys::Scope;
use crate::cosmos::partition::Partition;

/// The largest page, unless one transaction alone is larger.
pub(crate) const PAGE_BYTES_MAX: usize = 4 << 20;

/// Room for the envelope of one change.
const ENVELOPE_BYTES: usize = 160;

/// Which changes a feed shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeedMode {
    /// The current version of each item, once.
    LatestVersion,
    /// Every version and every removal.
    AllVersions,
}

/// Where a feed starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeedStart {
    Beginning,
    Now,
    Time(Timestamp),
    /// After a sequence number that an earlier page gave.
    After(u64),
}

/// A page of changes.
#[derive(Debug)]
pub(crate) struct FeedPage {
    pub(crate) changes: Vec<Arc<Change>>,
    /// The sequence number after which the next page starts.
    pub(crate) next: u64,
    pub(crate) range: Arc<str>,
    /// The partition's sequence number.
    pub(crate) lsn: u64,
}

/// Reads a page of one partition within a part of the hash space.
pub(crate) fn feed_page(
    partition: &Partition,
    scope: &Scope,
    mode: FeedMode,
    start: FeedStart,
    items_max: usize,
) -> Result<FeedPage, CosmosError> {
    let after = match start {
        FeedStart::Beginning => 0,
        FeedStart::Now => partition.lsn(),
        FeedStart::Time(time) => partition.lsn_before(time.as_second()),
        FeedStart::After(lsn) if lsn <= partition.lsn() => lsn,
        FeedStart::After(lsn) => {
            return Err(CosmosError::bad_request(format!(
                "The continuation {lsn} is none of partition key range {}, which stands at {}.",
                partition.id,
                partition.lsn()
            )));
        }
    };
    let in_scope = |change: &&Arc<Change>| scope.contains(&change.epk);
    let (changes, last) = match (mode, scope) {
        (FeedMode::AllVersions, _) => take(partition.log_after(after).iter().filter(in_scope), items_max),
        (FeedMode::LatestVersion, Scope::Point(_)) => {
            let mut versions: Vec<_> = partition.live_in(scope).filter(|version| version.lsn > after).collect();
            versions.sort_unstable_by_key(|version| (version.lsn, version.place));
            take(versions.into_iter(), items_max)
        }
        (FeedMode::LatestVersion, Scope::Span { .. }) => {
            take(partition.latest_after(after).filter(in_scope), items_max)
        }
    };
    let next = last.unwrap_or_else(|| partition.lsn());
    Ok(FeedPage { changes, next, range: Arc::clone(&partition.id), lsn: partition.lsn() })
}

/// Takes whole transactions until a limit; the second value is the last one's number if something is left.
fn take<'a>(mut from: impl Iterator<Item = &'a Arc<Change>>, items_max: usize) -> (Vec<Arc<Change>>, Option<u64>) {
    let mut taken: Vec<Arc<Change>> = Vec::new();
    let mut bytes = 0;
    let mut next = from.next();
    while let Some(change) = next {
        let size =
            change.document.as_ref().map_or(0, bytes::Bytes::len) + change.key.len() + change.id.len() + ENVELOPE_BYTES;
        if let Some(last) = taken.last()
            && last.lsn != change.lsn
            && (taken.len() >= items_max || bytes + size > PAGE_BYTES_MAX)
        {
            let last = last.lsn;
            return (taken, Some(last));
        }
        bytes += size;
        taken.push(Arc::clone(change));
        next = from.next();
    }
    (taken, None)
}
