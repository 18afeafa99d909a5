//! The contract of a source, by the very sentences that the tests hold to the emulator.

use cosmirror::feed::ChangeFeed as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use self::sentences::Source;
use crate::belief::{Seen, Unsettled, last_panic};
use crate::kit::Kit;

#[path = "../../../tests/suite/source_contract/sentences.rs"]
#[expect(clippy::unwrap_used, reason = "a sentence that does not hold panics, and that is its answer")]
mod sentences;

type Sentence = (&'static str, for<'a> fn(&'a Source) -> BoxFuture<'a, ()>);

macro_rules! sentences {
    ($($name:ident)*) => {
        /// A sentence that is not named here is dead code, which the compiler tells.
        const SENTENCES: &[Sentence] = &[$((stringify!($name), |source| sentences::$name(source).boxed())),*];
    };
}

sentences! {
    all_versions_come_in_order_with_their_deletes_and_exact_bytes
    the_latest_version_of_each_document_comes_once_and_deleted_ones_do_not
    a_position_lies_behind_its_page_and_can_be_read_from_again
    now_lies_behind_everything_and_only_not_modified_says_so
    the_ranges_tile_the_key_space_and_the_position_format_is_the_known_one
    the_services_time_is_a_lower_bound_that_moves
    writes_hold_to_their_conditions
    ids_that_a_url_would_change_are_read_replaced_and_deleted_like_others
    a_query_gives_every_result_once
}

/// Every sentence of the contracts in `src/feed.rs` and `src/documents.rs` that `tests/suite/source_contract.rs` holds to the emulator.
pub(crate) async fn the_contract_of_a_source_holds(kit: &Kit) -> Seen {
    let mut broken = Vec::new();
    for (at, (name, sentence)) in SENTENCES.iter().enumerate() {
        let place = kit.container(&format!("contract-{at}"), &["/pk"]).await?;
        let name_in_database = place.names.join("/");
        let source = Source::new(kit.account.clone(), place.resolved.clone(), name_in_database);
        if std::panic::AssertUnwindSafe(sentence(&source)).catch_unwind().await.is_err() {
            broken.push(format!("{name}: {}", last_panic()));
        }
        // Each costs by the hour, and its work is done.
        let removed = kit.cosmos.send("DELETE", &place.path(&[]), &[], String::new()).await?;
        removed.expect(&[204], &format!("removing the container {:?}", place.feed.container().rid))?;
    }
    if broken.is_empty() {
        Ok(format!("{} sentences", SENTENCES.len()))
    } else {
        Err(Unsettled::Failed(broken.join("; ")))
    }
}
