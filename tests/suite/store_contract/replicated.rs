//! The contract, held by a store with a replica: two directories.

use std::sync::Arc;

use cosmirror::store::directory::DirectoryStore;
use cosmirror::store::{Replicated, VersionStore as _};

use super::{Opened, PAGE_ITEMS, holds_the_contract};

async fn prepared() -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| DirectoryStore::with_page_items_max(directory.path().join(name), PAGE_ITEMS.into());
    let store = Replicated::new(Arc::new(open("first")), "").with("south", Arc::new(open("south")), "copies");
    store.prepare(true).await.unwrap();
    Opened { store: Box::new(store), _keep: Box::new(directory) }
}

holds_the_contract!(prepared);
