//! The contracts of a change feed and of a container's documents, held to the Cosmos client over HTTP.
//!
//! The sentences themselves are in `source_contract/sentences.rs`, because `deploy/live-kit` holds a real account to them.

use std::time::Duration;

use cosmirror::config::FeedMode;
use cosmirror::cosmos::Account;
use cosmirror::failure::Kind;
use cosmirror::feed::cosmos::CosmosFeed;
use cosmirror::feed::{ChangeFeed as _, Position};
use cosmirror_formats::EpkRange;
use serde_json::json;

use self::sentences::Source;
use super::emulated::Emulated;

mod sentences;

/// An account with an empty container.
async fn account() -> (Account, Emulated) {
    let emulated = Emulated::start().await;
    let account = Account::connect(&emulated.source()).await.unwrap();
    let key = json!({ "paths": ["/pk"], "kind": "Hash", "version": 2 });
    account.create_container("db", json!({ "id": "c", "partitionKey": key })).await.unwrap();
    (account, emulated)
}

/// One test per sentence.
macro_rules! holds_the_contract {
    ($($sentence:ident)*) => {
        $(
            #[tokio::test]
            async fn $sentence() {
                let (account, _emulated) = account().await;
                let resolved = account.resolve("db", "c").await.unwrap();
                sentences::$sentence(&Source::new(account, resolved, "db/c".to_owned())).await;
            }
        )*
    };
}

holds_the_contract! {
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

#[tokio::test]
async fn an_account_without_all_versions_is_told_apart_with_the_way_out() {
    let (account, emulated) = account().await;
    let resolved = account.resolve("db", "c").await.unwrap();
    let feed = CosmosFeed::new(account, resolved, "db/c".to_owned());
    emulated.control("account", r#"{"allVersions":false}"#).await;
    let mode = FeedMode::AllVersionsAndDeletes;
    let failure = feed.read(&EpkRange::full(), mode, &Position::Now, 1).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Misconfigured, "{failure}");
    assert!(failure.remedy.contains("latest-version"), "{failure}");
}

/// The driver waits without end for an answer that nobody waits for any more.
#[tokio::test]
async fn a_look_at_the_ranges_that_was_given_up_holds_up_no_other() {
    let (account, emulated) = account().await;
    let resolved = account.resolve("db", "c").await.unwrap();
    let feed = CosmosFeed::new(account, resolved, "db/c".to_owned());
    let before = feed.ranges().await.unwrap();
    let slow = r#"{"rules":[{"service":"cosmos","operation":"pkranges","delayMs":60000}]}"#;
    emulated.control("faults", slow).await;
    let given_up = tokio::time::timeout(Duration::from_millis(300), feed.ranges()).await;
    assert!(given_up.is_err(), "it was answered: {given_up:?}");
    emulated.control("faults", r#"{"rules":[]}"#).await;
    assert_eq!(feed.ranges().await.unwrap(), before);
}

#[tokio::test]
async fn a_missing_container_and_a_wrong_key_are_told_apart() {
    let emulated = Emulated::start().await;
    let account = Account::connect(&emulated.source()).await.unwrap();
    assert_eq!(account.resolve("db", "none").await.err().unwrap().kind, Kind::NotFound);
    let key_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key_file.path(), "d3Jvbmc=").unwrap();
    let mut settings = emulated.source();
    settings.auth = cosmirror::config::SourceAuth::Key;
    settings.key_file = Some(key_file.path().to_owned());
    let failure = match Account::connect(&settings).await {
        Err(failure) => failure,
        Ok(account) => account.resolve("db", "none").await.err().unwrap(),
    };
    assert_eq!(failure.kind, Kind::Unauthorized, "{failure}");
    assert!(!failure.to_string().contains("d3Jvbmc"), "{failure}");
}
