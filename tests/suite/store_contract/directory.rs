//! The contract, held by the directory.

use cosmirror::failure::{Exit, Kind};
use cosmirror::store::VersionStore as _;
use cosmirror::store::directory::DirectoryStore;

use super::{Opened, PAGE_ITEMS, holds_the_contract};

async fn prepared() -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::with_page_items_max(directory.path().join("mirror"), PAGE_ITEMS.into());
    store.prepare(true).await.unwrap();
    Opened { store: Box::new(store), _keep: Box::new(directory) }
}

holds_the_contract!(prepared);

#[tokio::test]
async fn a_missing_directory_is_made_only_when_asked_for() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/mirror");
    let store = DirectoryStore::new(path.clone());
    let failure = store.prepare(false).await.unwrap_err();
    assert_eq!((failure.kind, failure.kind.exit()), (Kind::NotFound, Exit::NotFound));
    assert!(failure.remedy.contains("target.create") && !path.exists(), "{failure}");
    store.prepare(true).await.unwrap();
    store.prepare(false).await.unwrap();
}
