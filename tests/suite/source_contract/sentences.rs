//! The sentences of the contract. Each wants a container of its own that holds nothing, with the key `/pk`.

use bytes::Bytes;
use cosmirror::config::FeedMode;
use cosmirror::cosmos::{Account, Resolved};
use cosmirror::documents::Documents as _;
use cosmirror::documents::cosmos::CosmosDocuments;
use cosmirror::failure::Kind;
use cosmirror::feed::cosmos::CosmosFeed;
use cosmirror::feed::{ChangeFeed as _, FeedPage, Position};
use cosmirror_formats::feed_page::{parse_change, without_system_properties};
use cosmirror_formats::lease::{EpkRange, uncovered};
use cosmirror_formats::{Change, KeyDefinition, Operation, PartitionKey};
use futures::TryStreamExt as _;
use serde_json::json;

const LATEST: FeedMode = FeedMode::LatestVersion;
const ALL: FeedMode = FeedMode::AllVersionsAndDeletes;

/// A container and both ways to it.
pub(super) struct Source {
    feed: CosmosFeed,
    documents: CosmosDocuments,
}

impl Source {
    /// The container that was resolved under this name.
    pub(super) fn new(account: Account, resolved: Resolved, name: String) -> Self {
        let feed = CosmosFeed::new(account.clone(), resolved.clone(), name.clone());
        Self { feed, documents: CosmosDocuments::new(account, resolved, name) }
    }

    async fn read(&self, mode: FeedMode, position: &Position, count_max: u32) -> FeedPage {
        self.feed.read(&EpkRange::full(), mode, position, count_max).await.unwrap()
    }

    /// Every page from a position to the end, and the position there.
    async fn drain(&self, mode: FeedMode, mut position: Position, count_max: u32) -> (Vec<Bytes>, Position) {
        let mut entries = Vec::new();
        loop {
            let page = self.read(mode, &position, count_max).await;
            position = Position::Token(page.token);
            if page.not_modified {
                return (entries, position);
            }
            entries.extend(page.entries);
        }
    }

    /// Creates a document. A small container throttles whoever creates many, and says when to go on.
    async fn create(&self, id: &str) -> String {
        loop {
            match self.documents.create(&key(), id, body(id, 0)).await {
                Err(failure) if failure.throttled => {
                    tokio::time::sleep(failure.retry_after.unwrap_or(THROTTLED)).await;
                }
                created => return created.unwrap(),
            }
        }
    }
}

/// Pause where the service does not say how long.
const THROTTLED: std::time::Duration = std::time::Duration::from_secs(1);

fn key() -> PartitionKey {
    PartitionKey::from_json(&json!(["p"])).unwrap()
}

fn body(id: &str, n: u32) -> Bytes {
    Bytes::from(format!(r#"{{"z":1.10,"id":{},"pk":"p","n":{n}}}"#, json!(id)))
}

fn changes(entries: &[Bytes]) -> Vec<Change<'_>> {
    entries.iter().map(|entry| parse_change(entry, &KeyDefinition::new(["/pk"])).unwrap()).collect()
}

fn told(entries: &[Bytes]) -> Vec<(Operation, String)> {
    changes(entries).into_iter().map(|change| (change.operation, change.id)).collect()
}

pub(super) async fn all_versions_come_in_order_with_their_deletes_and_exact_bytes(source: &Source) {
    let start = Position::Token(source.read(ALL, &Position::Now, 1).await.token);
    let etag = source.create("a").await;
    let etag = source.documents.replace(&key(), "a", body("a", 1), &etag).await.unwrap();
    source.create("b").await;
    source.documents.delete(&key(), "a", &etag).await.unwrap();
    let (entries, _) = source.drain(ALL, start, 2).await;
    let a = || "a".to_owned();
    let expected = [
        (Operation::Create, a()),
        (Operation::Replace, a()),
        (Operation::Create, "b".to_owned()),
        (Operation::Delete, a()),
    ];
    assert_eq!(told(&entries), expected);
    let all = changes(&entries);
    assert_eq!(without_system_properties(all[1].document).unwrap().as_bytes(), &body("a", 1)[..]);
    assert_eq!((all[1].etag.as_deref(), &all[3].pk), (Some(etag.as_str()), &key()));
    assert!(all.is_sorted_by_key(|change| change.lsn));
}

pub(super) async fn the_latest_version_of_each_document_comes_once_and_deleted_ones_do_not(source: &Source) {
    for id in ["a", "b", "c"] {
        let etag = source.create(id).await;
        let etag = source.documents.replace(&key(), id, body(id, 1), &etag).await.unwrap();
        if id == "b" {
            source.documents.delete(&key(), id, &etag).await.unwrap();
        }
    }
    let (entries, _) = source.drain(LATEST, Position::Beginning, 1).await;
    assert_eq!(told(&entries), [(Operation::Write, "a".to_owned()), (Operation::Write, "c".to_owned())]);
}

pub(super) async fn a_position_lies_behind_its_page_and_can_be_read_from_again(source: &Source) {
    for n in 0..5 {
        source.create(&format!("d{n}")).await;
    }
    let first = source.read(LATEST, &Position::Beginning, 2).await;
    assert_eq!((first.entries.len(), first.not_modified), (2, false));
    let behind = Position::Token(first.token);
    let (once, end) = source.drain(LATEST, behind.clone(), 2).await;
    let (again, _) = source.drain(LATEST, behind, 100).await;
    assert_eq!(once.len(), 3);
    assert_eq!(once, again);
    source.create("later").await;
    let (later, _) = source.drain(LATEST, end, 100).await;
    assert_eq!(told(&later), [(Operation::Write, "later".to_owned())]);
}

pub(super) async fn now_lies_behind_everything_and_only_not_modified_says_so(source: &Source) {
    source.create("a").await;
    for mode in [LATEST, ALL] {
        let page = source.read(mode, &Position::Now, 1).await;
        assert!(page.not_modified && page.entries.is_empty());
    }
}

pub(super) async fn the_ranges_tile_the_key_space_and_the_position_format_is_the_known_one(source: &Source) {
    let ranges: Vec<EpkRange> = source.feed.ranges().await.unwrap().into_iter().map(|r| r.range).collect();
    assert!(uncovered(&ranges).is_empty());
    for mode in [LATEST, ALL] {
        source.feed.self_test(&ranges[0], mode).await.unwrap();
    }
}

pub(super) async fn the_services_time_is_a_lower_bound_that_moves(source: &Source) {
    source.create("a").await;
    let told = source.feed.service_time().await.unwrap();
    let (entries, _) = source.drain(LATEST, Position::Beginning, 10).await;
    let committed = changes(&entries)[0].ts;
    // The document was committed before the clock was asked, within the seconds that a test takes.
    assert!((committed - 1..committed + 60).contains(&told), "{committed} {told}");
}

pub(super) async fn writes_hold_to_their_conditions(source: &Source) {
    let documents = &source.documents;
    assert_eq!(documents.read(&key(), "a").await.unwrap(), None);
    let first = source.create("a").await;
    assert_eq!(documents.create(&key(), "a", body("a", 1)).await.unwrap_err().kind, Kind::Conflict);
    let second = documents.replace(&key(), "a", body("a", 1), &first).await.unwrap();
    assert_eq!(documents.replace(&key(), "a", body("a", 2), &first).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(documents.delete(&key(), "a", &first).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(documents.read(&key(), "a").await.unwrap().unwrap().etag, second);
    documents.delete(&key(), "a", &second).await.unwrap();
    assert_eq!(documents.replace(&key(), "a", body("a", 3), &second).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(documents.delete(&key(), "a", &second).await.unwrap_err().kind, Kind::NotFound);
}

pub(super) async fn ids_that_a_url_would_change_are_read_replaced_and_deleted_like_others(source: &Source) {
    for id in [".", "..", "a\tb", " a ", "a#b?", "100%", "%2e%2e", "☃"] {
        let etag = source.create(id).await;
        let etag = source.documents.replace(&key(), id, body(id, 1), &etag).await.unwrap();
        let read = source.documents.read(&key(), id).await.unwrap().unwrap();
        assert_eq!(read.etag, etag, "{id:?}");
        let text = without_system_properties(std::str::from_utf8(&read.bytes).unwrap()).unwrap();
        assert_eq!(text.as_bytes(), &body(id, 1)[..], "{id:?}");
        source.documents.delete(&key(), id, &etag).await.unwrap();
        assert_eq!(source.documents.read(&key(), id).await.unwrap(), None, "{id:?}");
    }
}

pub(super) async fn a_query_gives_every_result_once(source: &Source) {
    for n in 0..230 {
        source.create(&format!("d{n}")).await;
    }
    let sql = "SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)";
    let pages: Vec<Vec<Bytes>> = source.documents.query(sql, &[("@prefix", "d1")]).try_collect().await.unwrap();
    assert_eq!(pages.concat().len(), 111);
}
