//! Every belief, in the order in which they are settled.
//!
//! A belief is one function. Its name is the sentence, and its comment says which code would be wrong otherwise; a test holds both to that, and
//! the table in `docs/operations.md` to this list. To add one: write the function, name it here, and give it a row.

use futures::FutureExt as _;

use crate::belief::{Belief, MINUTES_MAX};
use crate::{source_contract, store_contract};

mod changes;
mod identity;
mod leases;
mod listings;
mod positions;
mod protection;
mod puts;
mod refusals;
mod topology;
mod transactions;

/// What the emulator cannot be asked, and is skipped there.
pub(crate) const AZURE_ONLY: [&str; 1] = ["an-identity-may-do-what-the-daemon-does"];

macro_rules! beliefs {
    ($($module:ident::$function:ident $($minutes:literal)?)*) => {
        const ALL: &[Belief] = &[$(Belief {
            function: stringify!($function),
            minutes_max: beliefs!(@minutes $($minutes)?),
            look: |kit| $module::$function(kit).boxed(),
        }),*];
    };
    (@minutes) => { MINUTES_MAX };
    (@minutes $minutes:literal) => { $minutes };
}

beliefs! {
    identity::the_etag_is_the_same_everywhere
    identity::an_etag_stays_while_its_document_does
    identity::text_comes_back_as_it_was_written
    identity::feed_and_point_read_give_the_same_text
    identity::both_modes_number_alike
    identity::numbers_and_times_grow_along_the_feed
    changes::every_version_is_delivered_in_order
    changes::operations_are_named
    changes::a_delete_names_its_document
    changes::a_delete_tells_every_kind_of_key
    changes::a_delete_tells_a_hierarchical_key
    changes::a_change_has_the_time_of_its_commit
    changes::an_expiry_says_so 30
    changes::a_renamed_document_leaves_no_stale_one
    transactions::a_transaction_shares_one_number_and_time
    transactions::a_transaction_is_never_cut
    transactions::a_transaction_gives_every_change_in_order
    positions::a_position_is_a_quoted_number
    positions::now_then_a_write_gives_the_write
    positions::the_end_tells_the_newest_number
    positions::the_end_is_dated_behind_every_commit
    positions::an_unsigned_request_is_dated
    positions::a_start_at_an_instant_leaves_out_nothing_later
    positions::positions_of_both_modes_count_alike
    refusals::all_versions_cannot_begin_at_the_beginning
    refusals::an_account_without_all_versions_says_so
    refusals::a_position_outside_the_retention_is_told_apart
    refusals::a_missing_container_is_told_apart
    refusals::a_throttled_request_says_how_long
    refusals::a_wrong_key_is_told_apart
    refusals::the_account_tells_its_regions_and_consistency
    refusals::an_identity_may_do_what_the_daemon_does
    topology::a_recreated_container_has_another_id
    topology::a_part_of_a_range_gives_exactly_its_keys
    topology::a_position_holds_on_the_parts_of_a_split 180
    leases::of_sixteen_replaces_of_a_lease_one_succeeds
    leases::a_lease_is_listed_by_its_prefix
    leases::a_lease_is_timed_by_the_service
    leases::time_to_live_counts_only_where_the_container_has_one 30
    puts::a_put_answers_a_version_id
    puts::a_version_id_is_an_instant_near_the_services_date
    puts::a_create_over_a_blob_is_409
    puts::an_overwrite_by_an_old_etag_is_412
    puts::an_overwrite_of_nothing_is_412
    puts::a_name_whose_blob_was_deleted_can_be_created_again
    puts::a_put_is_checked_by_its_md5
    puts::metadata_of_8_kib_is_kept_and_more_is_refused
    puts::metadata_names_differ_by_case_at_most
    puts::names_of_1024_characters_and_with_tildes_are_kept
    listings::versions_are_listed_oldest_first_with_metadata
    listings::a_listing_shows_a_put_at_once
    listings::an_older_version_is_read_by_its_id_and_is_not_current
    listings::a_blob_without_current_version_is_listed_with_its_versions
    protection::without_the_permission_to_delete_history_stays
    protection::rights_are_looked_at_before_conditions
    protection::the_account_tells_its_kind_and_hierarchy
    protection::soft_delete_days_can_be_read
    protection::an_immutable_version_is_overwritten_by_a_new_one
    protection::a_put_locks_its_own_policy
    source_contract::the_contract_of_a_source_holds 30
    store_contract::the_contract_of_a_store_holds 30
}

/// Every belief, in order.
pub(crate) fn all() -> impl Iterator<Item = &'static Belief> {
    ALL.iter()
}

#[cfg(test)]
mod tests;
