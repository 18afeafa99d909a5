//! Puts and readings in short.

use std::collections::BTreeMap;

use bytes::Bytes;
use cosmirror::store::{Condition, Head, Listing, Put, Stored, VersionStore};

use super::PAGE_ITEMS;

pub(super) fn put_of(name: &str, body: &str, condition: Condition) -> Put {
    let metadata = BTreeMap::from([("op".to_owned(), "create".to_owned())]);
    Put { name: name.to_owned(), body: Bytes::copy_from_slice(body.as_bytes()), metadata, condition }
}

/// Stores the first version of `name`.
pub(super) async fn create(store: &dyn VersionStore, name: &str, body: &str) -> Stored {
    store.put(put_of(name, body, Condition::Absent)).await.unwrap()
}

/// Stores a version over `before`.
pub(super) async fn replace(store: &dyn VersionStore, name: &str, body: &str, before: &Stored) -> Stored {
    store.put(put_of(name, body, Condition::Matches(before.etag.clone()))).await.unwrap()
}

/// The content of the current version, or of the one named.
pub(super) async fn content(store: &dyn VersionStore, name: &str, version: Option<&str>) -> Option<String> {
    let got = store.get(name, version).await.unwrap();
    got.map(|(_, body)| String::from_utf8(body.to_vec()).unwrap())
}

/// What a store may hold back on one page and show on the next one, because it takes both to tell whether it is one version.
const HELD_BACK_MAX: usize = 2;

/// Every page of a listing, each no longer than allowed.
pub(super) async fn pages(store: &dyn VersionStore, prefix: &str, listing: Listing) -> Vec<Vec<Head>> {
    let mut pages = Vec::new();
    let mut next = None;
    loop {
        let page = store.list(prefix, listing, next).await.unwrap();
        assert!(page.heads.len() <= usize::from(PAGE_ITEMS) + HELD_BACK_MAX, "a page of {} items", page.heads.len());
        pages.push(page.heads);
        next = page.next;
        if next.is_none() {
            return pages;
        }
        assert!(pages.len() < 1_000, "a listing without end");
    }
}

/// A whole listing.
pub(super) async fn listed(store: &dyn VersionStore, prefix: &str, listing: Listing) -> Vec<Head> {
    pages(store, prefix, listing).await.into_iter().flatten().collect()
}

/// The names of a whole listing.
pub(super) async fn names(store: &dyn VersionStore, prefix: &str, listing: Listing) -> Vec<String> {
    listed(store, prefix, listing).await.into_iter().map(|head| head.name).collect()
}
