//! The contract of a version store, by the very sentences that the tests hold to the directory and to the emulator.
//!
//! Each sentence wants a store that holds nothing. Here that is a folder of the one container, and no container more is made.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror::failure::Failure;
use cosmirror::store::azure::AzureStore;
use cosmirror::store::{Head, Listing, Page, Put, Stored, VersionStore};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::belief::{Seen, Unsettled, last_panic};
use crate::kit::Kit;

#[path = "../../../tests/suite/store_contract/concurrency.rs"]
#[expect(clippy::unwrap_used, reason = "a sentence that does not hold panics, and that is its answer")]
mod concurrency;
#[path = "../../../tests/suite/store_contract/contents.rs"]
#[expect(clippy::unwrap_used, reason = "a sentence that does not hold panics, and that is its answer")]
mod contents;
#[path = "../../../tests/suite/store_contract/fixture.rs"]
#[expect(clippy::unwrap_used, reason = "a helper that cannot go on has failed its sentence")]
mod fixture;
#[path = "../../../tests/suite/store_contract/listings.rs"]
#[expect(clippy::unwrap_used, reason = "a sentence that does not hold panics, and that is its answer")]
mod listings;
#[path = "../../../tests/suite/store_contract/versions.rs"]
#[expect(clippy::unwrap_used, reason = "a sentence that does not hold panics, and that is its answer")]
mod versions;

/// Page length of the store, so short that every longer listing has several pages.
pub(crate) const PAGE_ITEMS: u16 = 3;

type Sentence = (&'static str, for<'a> fn(&'a dyn VersionStore) -> BoxFuture<'a, ()>);

macro_rules! sentences {
    ($($module:ident::$name:ident)*) => {
        /// A sentence that is not named here is dead code, which the compiler tells.
        const SENTENCES: &[Sentence] = &[$((stringify!($name), |store| $module::$name(store).boxed())),*];
    };
}

sentences! {
    versions::a_put_makes_the_current_version
    versions::a_create_where_something_is_stored_is_a_conflict_and_changes_nothing
    versions::an_overwrite_with_any_but_the_current_etag_is_a_conflict_and_changes_nothing
    versions::every_version_stays_readable_by_its_name
    versions::a_missing_name_or_version_is_none
    versions::a_name_may_be_the_beginning_of_others
    versions::a_name_that_would_lead_elsewhere_is_refused
    versions::preparing_again_changes_nothing
    concurrency::of_sixteen_creates_at_once_one_succeeds
    concurrency::of_sixteen_overwrites_at_once_one_succeeds
    concurrency::a_put_whose_future_is_dropped_is_done_whole_or_not_at_all
    contents::metadata_comes_back_as_it_was_put
    contents::names_of_metadata_are_compared_without_case
    contents::bytes_come_back_as_they_were_put
    contents::an_empty_body_is_a_version
    contents::two_mebibytes_come_back_exactly
    listings::versions_are_listed_by_name_and_then_by_age
    listings::a_listing_of_current_versions_shows_one_of_each_name
    listings::pages_cut_through_the_versions_of_one_name
    listings::a_listing_shows_what_head_shows
    listings::an_etag_from_a_listing_is_good_for_an_overwrite
    listings::a_prefix_selects_by_its_bytes
    listings::folders_are_told_without_what_is_in_them
}

/// Every sentence of the contract in `src/store.rs` that `tests/suite/store_contract.rs` holds to the emulator.
pub(crate) async fn the_contract_of_a_store_holds(kit: &Kit) -> Seen {
    let mut broken = Vec::new();
    for (at, (name, sentence)) in SENTENCES.iter().enumerate() {
        let store = Folder { store: Arc::clone(&kit.store), folder: format!("contract-{at:02}/") };
        if std::panic::AssertUnwindSafe(sentence(&store)).catch_unwind().await.is_err() {
            broken.push(format!("{name}: {}", last_panic()));
        }
    }
    if broken.is_empty() {
        Ok(format!("{} sentences", SENTENCES.len()))
    } else {
        Err(Unsettled::Failed(broken.join("; ")))
    }
}

/// A part of a store as a store of its own.
struct Folder {
    store: Arc<AzureStore>,
    folder: String,
}

impl Folder {
    fn within(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn without(&self, head: Head) -> Head {
        Head { name: head.name.strip_prefix(&self.folder).unwrap_or(&head.name).to_owned(), ..head }
    }
}

#[async_trait]
impl VersionStore for Folder {
    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.store.prepare(create).await
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        self.store.put(Put { name: self.within(&put.name), ..put }).await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        Ok(self.store.head(&self.within(name)).await?.map(|head| self.without(head)))
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        let got = self.store.get(&self.within(name), version).await?;
        Ok(got.map(|(head, body)| (self.without(head), body)))
    }

    async fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        self.store.folders(&self.within(prefix), count_max).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        let page = self.store.list(&self.within(prefix), listing, next).await?;
        Ok(Page { heads: page.heads.into_iter().map(|head| self.without(head)).collect(), next: page.next })
    }
}
