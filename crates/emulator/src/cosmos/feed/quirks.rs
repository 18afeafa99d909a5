//! Oddities that the service's feeds have now and then, made to happen at will.

use std::sync::Arc;

use serde::Deserialize;

use super::super::change::Change;
use super::super::state::{FeedPage, FeedStart};

/// A document without its system properties.
const GARBLED: &[u8] = b"{\"garbled\":true}";

/// What a container's feeds do besides answering. All off unless a test asks for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct FeedQuirks {
    /// Every so many pages with items, one comes without any (200) and with the continuation it was asked with. 0: none.
    pub(crate) empty_page_every: u64,
    /// How far the sequence number of an answer to a start from now lies behind the partition's: a replica that lags.
    pub(crate) now_behind: u64,
    /// Deletes carry their partition key as an array of values and not as an object.
    pub(crate) delete_key_as_array: bool,
    /// Latest-version pages are flat, although the envelope was asked for.
    pub(crate) flat: bool,
    /// The documents with this id come as entries that no client understands, in every feed.
    pub(crate) garbled_id: Option<String>,
    #[serde(skip)]
    pages: u64,
}

impl FeedQuirks {
    /// What becomes of a page.
    pub(super) fn distort(&mut self, page: FeedPage, start: FeedStart) -> FeedPage {
        if start == FeedStart::Now {
            return FeedPage { next: page.next.saturating_sub(self.now_behind), ..page };
        }
        if self.empty_page_every == 0 || page.changes.is_empty() {
            return page;
        }
        self.pages += 1;
        if !self.pages.is_multiple_of(self.empty_page_every) {
            return page;
        }
        // The continuation stands before the transaction that would have been the first.
        let next = page.changes.first().map_or(page.next, |first| first.lsn - 1);
        FeedPage { changes: Vec::new(), next, last: false, ..page }
    }

    /// Takes from the documents of one id what every client needs.
    pub(super) fn garble(&self, mut page: FeedPage) -> FeedPage {
        for change in &mut page.changes {
            if self.garbled_id.as_deref() == Some(&*change.id) && change.document.is_some() {
                let document = Some(bytes::Bytes::from_static(GARBLED));
                *change = Arc::new(Change { document, ..Change::clone(change) });
            }
        }
        page
    }
}
