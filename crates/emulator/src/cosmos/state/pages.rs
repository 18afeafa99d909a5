//! Pages of the change feed: which changes, and from where the next page goes on.
//!
//! A page costs what it holds, not what the container holds. Where the scope is a part of a partition, the changes
//! between are walked over, up to a limit: then the page ends early, with few items or none, and the next one goes on
//! behind them. Transactions are never split over pages.

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

/// How many changes outside the scope one page walks over.
const PASSED_MAX: usize = 10_000;

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

/// What a feed is asked for.
#[derive(Debug)]
pub(crate) struct FeedRequest<'a> {
    /// The part of the hash space, which lies within the partition.
    pub(crate) scope: &'a Scope,
    pub(crate) mode: FeedMode,
    pub(crate) start: FeedStart,
    pub(crate) items_max: usize,
    /// The time before which the all-versions feed has forgotten its changes, in seconds since 1970.
    pub(crate) kept_since: i64,
}

/// A page of changes.
#[derive(Debug)]
pub(crate) struct FeedPage {
    pub(crate) changes: Vec<Arc<Change>>,
    /// The sequence number after which the next page starts.
    pub(crate) next: u64,
    /// Whether the page reaches the end of what there is now.
    pub(crate) last: bool,
    pub(crate) range: Arc<str>,
    /// The partition's sequence number.
    pub(crate) lsn: u64,
}

/// Reads a page of one partition.
pub(crate) fn feed_page(partition: &Partition, request: &FeedRequest<'_>) -> Result<FeedPage, CosmosError> {
    let FeedRequest { scope, mode, items_max, .. } = *request;
    let after = start_of(partition, request)?;
    // A look at each change's key costs about as much as all else that is done for a change here.
    let whole = scope.covers(&partition.bounds);
    let in_scope = |change: &Change| whole || scope.contains(&change.epk);
    let (changes, cut) = match (mode, scope) {
        (FeedMode::AllVersions, _) => take(partition.log_after(after).iter(), in_scope, items_max),
        (FeedMode::LatestVersion, Scope::Point(_)) if partition.is_sparse_in(scope) => {
            let mut versions: Vec<_> = partition.live_in(scope).filter(|version| version.lsn > after).collect();
            versions.sort_unstable_by_key(|version| (version.lsn, version.seq));
            take(versions.into_iter(), in_scope, items_max)
        }
        (FeedMode::LatestVersion, _) => take(partition.latest_after(after), in_scope, items_max),
    };
    let lsn = partition.lsn();
    Ok(FeedPage { changes, next: cut.unwrap_or(lsn), last: cut.is_none(), range: Arc::clone(&partition.id), lsn })
}

/// The sequence number after which a page starts.
fn start_of(partition: &Partition, request: &FeedRequest<'_>) -> Result<u64, CosmosError> {
    let lsn = match request.start {
        FeedStart::Beginning => 0,
        FeedStart::Now => partition.lsn(),
        FeedStart::Time(time) => partition.lsn_before(time.as_second()),
        FeedStart::After(lsn) => lsn,
    };
    if lsn > partition.lsn() {
        return Err(CosmosError::bad_request(format!(
            "The continuation {lsn} is none of partition key range {}, which stands at {}.",
            partition.id,
            partition.lsn()
        )));
    }
    // A continuation is too old once a change after it may be missing.
    let next = partition.log_after(lsn).first();
    if request.mode == FeedMode::AllVersions && next.is_some_and(|change| change.ts < request.kept_since) {
        return Err(CosmosError::bad_request(format!(
            "The continuation {lsn} lies outside the retention window of the all versions and deletes change feed: changes \
             after it are no longer kept."
        )));
    }
    Ok(lsn)
}

/// Takes whole transactions until a limit. The second value is the number after which the next page goes on, if
/// something may be left.
fn take<'a>(
    from: impl Iterator<Item = &'a Arc<Change>>,
    in_scope: impl Fn(&Change) -> bool,
    items_max: usize,
) -> (Vec<Arc<Change>>, Option<u64>) {
    let mut taken: Vec<Arc<Change>> = Vec::new();
    let (mut bytes, mut passed) = (0, 0);
    let mut seen = None;
    for change in from {
        let wanted = in_scope(change);
        let size =
            change.document.as_ref().map_or(0, bytes::Bytes::len) + change.key.len() + change.id.len() + ENVELOPE_BYTES;
        if seen.is_some_and(|seen| seen != change.lsn) {
            let full = taken.len() >= items_max || (wanted && !taken.is_empty() && bytes + size > PAGE_BYTES_MAX);
            if full || passed >= PASSED_MAX {
                return (taken, seen);
            }
        }
        seen = Some(change.lsn);
        if wanted {
            bytes += size;
            taken.push(Arc::clone(change));
        } else {
            passed += 1;
        }
    }
    (taken, None)
}
