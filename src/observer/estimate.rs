//! How many changes lie behind a position, told from one entry: the arithmetic of the .NET processor's estimator.
//!
//! The service's newest LSN, less the LSN before the first entry that was not read yet. It is an estimate from above, because LSNs
//! also count what the feed does not show: transactions share one, splits take one, and in latest-version mode a document
//! that changed twice is shown once. It is exact at 0 and wherever every LSN is one change.
//!
//! Source: `ChangeFeedEstimatorIterator` of azure-cosmos-dotnet-v3; unlike there, a lease without a position is read from its
//! start.

use cosmirror_formats::KeyDefinition;
use cosmirror_formats::feed_page::parse_change;

use crate::feed::FeedPage;

/// Changes from the first unread LSN up to the newest, both counted.
pub fn behind(newest: u64, first_unread: u64) -> u64 {
    newest.saturating_add(1).saturating_sub(first_unread)
}

/// The LSN of a page's first entry; none where the entry cannot be read or has none.
pub fn first_lsn(page: &FeedPage, key: &KeyDefinition) -> Option<u64> {
    page.entries.first().and_then(|entry| parse_change(entry, key).ok()?.lsn)
}

/// Changes behind the position that gave this page; none where that cannot be told.
pub fn of_page(page: &FeedPage, key: &KeyDefinition) -> Option<u64> {
    if page.not_modified {
        return Some(0);
    }
    Some(behind(page.session_lsn?, first_lsn(page, key)?))
}

/// Changes that a backfill up to `now_lsn` has not read yet, by the page behind its position.
pub fn of_backfill(page: &FeedPage, key: &KeyDefinition, now_lsn: u64) -> Option<u64> {
    if page.not_modified {
        return Some(0);
    }
    Some(behind(now_lsn, first_lsn(page, key)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn page(entry: Option<&str>, session_lsn: Option<u64>) -> FeedPage {
        FeedPage {
            entries: entry.map(|text| Bytes::from(text.to_owned())).into_iter().collect(),
            token: "\"0\"".to_owned(),
            not_modified: entry.is_none(),
            request_units: 2.0,
            session_lsn,
        }
    }

    fn entry(lsn: u64) -> String {
        format!(r#"{{"id":"a","pk":"p","_rid":"r","_etag":"\"e\"","_ts":7,"_lsn":{lsn}}}"#)
    }

    fn key() -> KeyDefinition {
        KeyDefinition::new(["/pk"])
    }

    #[test]
    fn the_first_unread_change_counts_and_so_does_the_newest() {
        assert_eq!(of_page(&page(Some(&entry(8)), Some(10)), &key()), Some(3));
        assert_eq!(of_page(&page(Some(&entry(10)), Some(10)), &key()), Some(1));
        assert_eq!(of_backfill(&page(Some(&entry(1)), Some(90)), &key(), 40), Some(40));
    }

    #[test]
    fn nothing_to_read_is_nothing_pending() {
        assert_eq!(of_page(&page(None, Some(10)), &key()), Some(0));
        assert_eq!(of_page(&page(None, None), &key()), Some(0));
        assert_eq!(of_backfill(&page(None, None), &key(), 40), Some(0));
    }

    #[test]
    fn a_replica_or_a_backfill_that_is_ahead_makes_nothing_negative() {
        assert_eq!(of_page(&page(Some(&entry(12)), Some(10)), &key()), Some(0));
        assert_eq!(of_backfill(&page(Some(&entry(41)), None), &key(), 40), Some(0));
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_not_nothing() {
        assert_eq!(of_page(&page(Some("{"), Some(10)), &key()), None);
        assert_eq!(of_page(&page(Some(&entry(8)), None), &key()), None);
        let without_lsn = r#"{"id":"a","pk":"p","_rid":"r","_etag":"\"e\"","_ts":7}"#;
        assert_eq!(of_page(&page(Some(without_lsn), Some(10)), &key()), None);
        assert_eq!(of_backfill(&page(Some("{"), None), &key(), 40), None);
    }

    proptest! {
        #[test]
        fn an_estimate_counts_the_numbers_from_the_first_to_the_newest(newest in any::<u64>(), first in any::<u64>()) {
            let counted = u128::from(newest) + 1;
            // The very last number has no successor; there the estimate is one too low.
            let counted = counted.min(u128::from(u64::MAX)).saturating_sub(u128::from(first));
            prop_assert_eq!(u128::from(behind(newest, first)), counted);
        }
    }
}
