//! The contract, held by snapshots where the account keeps no versions; and what a crash leaves between a put and its snapshot.

use cosmirror::failure::{Exit, Kind};
use cosmirror::store::azure::{AzureStore, SnapshotStore};
use cosmirror::store::{Condition, Listing, Stored, VersionStore as _};

use super::azure::store_at;
use super::fixture::{content, create, listed, names, put_of, replace};
use crate::suite::emulated::{Emulated, shared_key};

const HIERARCHICAL: &str = "{\"versioning\":false,\"hierarchicalNamespace\":true}";

/// An emulator that keeps no versions.
async fn without_versions() -> Emulated {
    let emulated = Emulated::start().await;
    emulated.control("storage", HIERARCHICAL).await;
    emulated
}

fn blobs(emulated: &Emulated) -> AzureStore {
    store_at(&emulated.target(), shared_key())
}

async fn prepared() -> (Emulated, SnapshotStore) {
    let emulated = without_versions().await;
    let store = SnapshotStore::on(blobs(&emulated));
    store.prepare(true).await.unwrap();
    (emulated, store)
}

/// Puts a blob and takes no snapshot of it, as a process does that dies in between.
async fn put_alone(emulated: &Emulated, name: &str, body: &str, condition: Condition) -> Stored {
    let alone = blobs(emulated);
    assert_eq!(alone.put(put_of(name, body, condition)).await.unwrap_err().kind, Kind::Misconfigured);
    let head = alone.head(name).await.unwrap().unwrap();
    Stored { etag: head.etag, version: head.version }
}

mod with_a_shared_key {
    use super::super::{Opened, holds_the_contract};

    async fn prepared() -> Opened {
        let (emulated, store) = super::prepared().await;
        Opened { store: Box::new(store), _keep: Box::new(emulated) }
    }

    holds_the_contract!(prepared);
}

mod by_the_sdk_alone {
    use cosmirror::store::VersionStore as _;
    use cosmirror::store::azure::SnapshotStore;

    use super::super::{Opened, holds_the_contract};

    async fn prepared() -> Opened {
        let emulated = super::without_versions().await;
        let store = SnapshotStore::on(super::blobs(&emulated).by_the_sdk_alone());
        store.prepare(true).await.unwrap();
        Opened { store: Box::new(store), _keep: Box::new(emulated) }
    }

    holds_the_contract!(prepared);
}

#[tokio::test]
async fn what_has_no_snapshot_gets_one_before_it_is_overwritten() {
    let (emulated, store) = prepared().await;
    put_alone(&emulated, "t/a", "first", Condition::Absent).await;
    let head = store.head("t/a").await.unwrap().unwrap();
    assert_eq!(content(&store, "t/a", Some(&head.version)).await.as_deref(), Some("first"));
    replace(&store, "t/a", "second", &Stored { etag: head.etag, version: head.version.clone() }).await;
    assert_eq!(content(&store, "t/a", Some(&head.version)).await.as_deref(), Some("first"));
    assert_eq!(listed(&store, "t/", Listing::Versions).await.len(), 2);
}

#[tokio::test]
async fn what_is_taken_for_stored_stays_whoever_overwrites_it() {
    let (emulated, store) = prepared().await;
    put_alone(&emulated, "t/a", "first", Condition::Absent).await;
    let head = store.head("t/a").await.unwrap().unwrap();
    store.keep(&head).await.unwrap();
    put_alone(&emulated, "t/a", "foreign", Condition::Matches(head.etag.clone())).await;
    assert_eq!(content(&store, "t/a", Some(&head.version)).await.as_deref(), Some("first"));
    // It is not current any more, and nothing is done about what is.
    let another = SnapshotStore::on(blobs(&emulated));
    another.keep(&head).await.unwrap();
    assert_eq!(listed(&store, "t/", Listing::Versions).await.len(), 2);
}

#[tokio::test]
async fn a_version_is_one_however_many_snapshots_it_has() {
    let (emulated, store) = prepared().await;
    let first = create(&store, "t/a", "1").await;
    let second = replace(&store, "t/a", "2", &first).await;
    for _ in 0..4 {
        // Another process does not know that it has one.
        let another = SnapshotStore::on(blobs(&emulated));
        let head = another.head("t/a").await.unwrap().unwrap();
        another.keep(&head).await.unwrap();
    }
    let heads = listed(&store, "t/", Listing::Versions).await;
    let found: Vec<_> = heads.iter().map(|head| (head.version.as_str(), head.current)).collect();
    assert_eq!(found, [(first.version.as_str(), false), (second.version.as_str(), true)]);
    assert_eq!(content(&store, "t/a", Some(&second.version)).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn an_account_that_keeps_versions_as_well_holds_both_and_shows_one() {
    let emulated = Emulated::start().await;
    let store = SnapshotStore::on(blobs(&emulated));
    store.prepare(true).await.unwrap();
    let first = create(&store, "t/a", "1").await;
    replace(&store, "t/a", "2", &first).await;
    assert_eq!(names(&store, "t/", Listing::Versions).await, ["t/a", "t/a"]);
    assert_eq!(content(&store, "t/a", Some(&first.version)).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_missing_container_is_made_only_when_asked_for_and_a_marker_is_only_ours() {
    let emulated = without_versions().await;
    let store = SnapshotStore::on(blobs(&emulated));
    let failure = store.prepare(false).await.unwrap_err();
    assert_eq!(failure.kind.exit(), Exit::NotFound, "{failure}");
    store.prepare(true).await.unwrap();
    let failure = store.list("", Listing::Versions, Some("2!92!a".to_owned())).await.unwrap_err();
    assert!(failure.message.contains("marker"), "{failure}");
}
