//! The contract of erasing, held by every place: what is left is seen, and what is erased is gone from listings and reads.

use cosmirror::store::azure::SnapshotStore;
use cosmirror::store::directory::DirectoryStore;
use cosmirror::store::{Condition, Erased, Eraser, Left, Listing, Shape, VersionStore};

use super::PAGE_ITEMS;
use super::fixture::{content, create, listed, put_of, replace};

#[cfg(feature = "emulator")]
use super::azure;
#[cfg(feature = "emulator")]
use crate::suite::emulated::{Emulated, shared_key};

/// Five versions of a name, one of a name that begins with it, and one of a name that is its beginning.
async fn filled(store: &dyn VersionStore) {
    let mut stored = create(store, "a/b", "0").await;
    for version in 1..5 {
        stored = replace(store, "a/b", &version.to_string(), &stored).await;
    }
    create(store, "a/b.more", "other").await;
    create(store, "a/a", "other").await;
}

/// Erases all that is there, older states first.
async fn erase_all(eraser: &dyn Eraser, name: &str) {
    loop {
        let mut there: Vec<Left> = eraser.left(name).await.unwrap().into_iter().filter(|left| !left.deleted).collect();
        if there.is_empty() {
            return;
        }
        if there.iter().any(|left| left.shape != Shape::Current) {
            there.retain(|left| left.shape != Shape::Current);
        }
        for left in there {
            assert_eq!(eraser.erase(&left).await.unwrap(), Erased::Deleted);
            assert_eq!(eraser.erase(&left).await.unwrap(), Erased::Deleted, "what is gone already is no failure");
        }
    }
}

async fn holds(store: &dyn VersionStore, eraser: &dyn Eraser) {
    assert!(eraser.left("a/b").await.unwrap().is_empty());
    filled(store).await;
    let left = eraser.left("a/b").await.unwrap();
    assert!(left.len() >= 5 && left.iter().all(|left| left.name == "a/b" && left.length == 1), "{left:?}");
    assert_eq!(left.iter().filter(|left| left.shape == Shape::Current).count(), 1);
    assert!(left.iter().all(|left| left.metadata.get("op").is_some_and(|op| op == "create") && left.hold.is_none()));
    // What is current stays what it is while the others go.
    for old in left.iter().filter(|left| left.shape != Shape::Current) {
        eraser.erase(old).await.unwrap();
    }
    assert_eq!(content(store, "a/b", None).await.as_deref(), Some("4"));
    let head = store.head("a/b").await.unwrap().unwrap();
    store.put(put_of("a/b", "5", Condition::Matches(head.etag))).await.unwrap();
    erase_all(eraser, "a/b").await;
    assert_eq!(content(store, "a/b", None).await, None);
    assert!(listed(store, "a/b", Listing::Versions).await.iter().all(|head| head.name == "a/b.more"));
    // The name can be used again, and its neighbours never noticed.
    create(store, "a/b", "again").await;
    for (name, body) in [("a/b", "again"), ("a/b.more", "other"), ("a/a", "other")] {
        assert_eq!(content(store, name, None).await.as_deref(), Some(body));
    }
}

#[tokio::test]
async fn a_directory_erases_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::with_page_items_max(folder.path().join("mirror"), PAGE_ITEMS.into());
    store.prepare(true).await.unwrap();
    holds(&store, &store).await;
    assert_eq!(store.recoverable_days().await, None);
}

#[cfg(feature = "emulator")]
#[tokio::test]
async fn an_account_with_versions_erases_versions_and_tells_what_can_be_brought_back() {
    let (_emulated, store) = azure::prepared().await;
    assert_eq!(store.recoverable_days().await, Some(7));
    holds(&store, &store).await;
    let deleted: Vec<Left> = store.left("a/b").await.unwrap().into_iter().filter(|left| left.deleted).collect();
    assert_eq!(deleted.len(), 6, "{deleted:?}");
    assert!(deleted.iter().all(|left| left.gone_by.is_some_and(|at| at > 1_700_000_000)), "{deleted:?}");
}

#[cfg(feature = "emulator")]
#[tokio::test]
async fn an_account_with_snapshots_erases_snapshots() {
    let emulated = Emulated::start().await;
    emulated.control("storage", r#"{"versioning":false,"hierarchicalNamespace":true,"softDeleteDays":0}"#).await;
    let blobs = azure::store_at(&emulated.target(), shared_key());
    let store = SnapshotStore::on(azure::store_at(&emulated.target(), shared_key()));
    store.prepare(true).await.unwrap();
    assert_eq!(blobs.recoverable_days().await, None);
    holds(&store, &blobs).await;
    assert!(blobs.left("a/b").await.unwrap().iter().all(|left| !left.deleted));
}
