//! The contract of a version store, held to every implementation: the directory, and Azure over HTTP against the embedded
//! emulator, once with a shared key and once with a shared access signature; and by snapshots
//! where the account keeps no versions; and a store with a replica.

use std::any::Any;

use cosmirror::store::VersionStore;

mod concurrency;
mod contents;
mod listings;
mod versions;

#[cfg(feature = "emulator")]
mod azure;
#[cfg(feature = "emulator")]
mod azure_snapshots;
#[cfg(feature = "emulator")]
mod azure_versioning;
mod directory;
mod erase;
mod fixture;
mod replicated;

/// Page length of the stores under test, so short that every longer listing has several pages.
const PAGE_ITEMS: u16 = 3;

/// A prepared store, with whatever must live as long.
struct Opened {
    store: Box<dyn VersionStore>,
    _keep: Box<dyn Any>,
}

/// One test per sentence of the contract, for the store that `$open` makes.
macro_rules! holds_the_contract {
    ($open:path) => {
        crate::suite::store_contract::holds_the_contract! { $open =>
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
    };
    ($open:path => $($module:ident::$sentence:ident)*) => {
        $(
            #[tokio::test]
            async fn $sentence() {
                let opened = $open().await;
                crate::suite::store_contract::$module::$sentence(opened.store.as_ref()).await;
            }
        )*
    };
}
use holds_the_contract;
