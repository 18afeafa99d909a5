//! The contract of a version store, held to Azurite: by snapshots, because it knows no versions. And what a store of versions makes of it.
//!
//! `tests/interop/azurite.sh` starts Azurite and runs this with its endpoint in `COSMIRROR_AZURITE`; `cargo test` leaves it out, and without
//! the variable it fails. So it is the service's own semantics (conditions, bytes, names, listings, snapshots, errors) that are compared
//! with the contract, through the client that the product uses.
//!
//! **Puts.** On an account without versioning a put is done and fails, and the store begins no other. So each put is made by a store of its
//! own, which knows nothing of earlier ones, and the failure is taken for success where it is exactly that one.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on has failed its test")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror::config::Target;
use cosmirror::failure::{Exit, Failure, Kind};
use cosmirror::store::azure::{AzureAuth, AzureStore, SnapshotStore};
use cosmirror::store::{Condition, Head, Listing, Page, Put, Stored, VersionStore};
use cosmirror_formats::{KeyValue, MirrorPaths, PartitionKey};

use fixture::{content, create, listed, names, pages, put_of, replace};

#[path = "suite/store_contract/concurrency.rs"]
mod concurrency;
#[path = "suite/store_contract/contents.rs"]
mod contents;
#[path = "suite/store_contract/fixture.rs"]
mod fixture;
#[path = "suite/store_contract/listings.rs"]
#[expect(dead_code, reason = "Azurite's pages do not cut through the snapshots of one blob without losing some")]
mod listings;
#[path = "suite/store_contract/versions.rs"]
mod versions;

/// Most that a page may have here.
const PAGE_ITEMS: u16 = 5_000;
/// So short that every longer listing has several pages.
const SHORT_PAGE_ITEMS: u16 = 3;
const ENDPOINT: &str = "COSMIRROR_AZURITE";

/// A container that no other test has; it does not exist yet.
fn fresh() -> Target {
    static CONTAINERS: AtomicU32 = AtomicU32::new(0);
    let endpoint = std::env::var(ENDPOINT).unwrap_or_else(|_| panic!("{ENDPOINT} must hold Azurite's blob endpoint"));
    let number = CONTAINERS.fetch_add(1, Ordering::Relaxed);
    Target { endpoint, container: format!("contract-{}-{number}", std::process::id()), ..Target::default() }
}

fn store_at(target: &Target) -> AzureStore {
    AzureStore::new(target, AzureAuth::resolve(target).unwrap()).unwrap().with_page_items_max(SHORT_PAGE_ITEMS)
}

/// See the module.
struct PutByPut(Target);

impl PutByPut {
    /// With its container, which a refused preparation leaves behind.
    async fn prepared() -> Self {
        let target = fresh();
        assert_eq!(store_at(&target).prepare(true).await.unwrap_err().kind, Kind::Misconfigured);
        Self(target)
    }
}

#[async_trait]
impl VersionStore for PutByPut {
    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        store_at(&self.0).prepare(create).await
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        let (store, name) = (store_at(&self.0), put.name.clone());
        match store.put(put).await {
            Err(failure) if failure.kind == Kind::Misconfigured => {
                assert!(failure.message.starts_with("blob versioning is off"), "{failure}");
                let head = store.head(&name).await?.unwrap();
                Ok(Stored { etag: head.etag, version: head.version })
            }
            Ok(stored) => panic!("Azurite keeps versions: hold the whole contract to it. {stored:?}"),
            Err(failure) => Err(failure),
        }
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        store_at(&self.0).head(name).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        store_at(&self.0).get(name, version).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        store_at(&self.0).list(prefix, listing, next).await
    }
}

/// One test per sentence of the contract, by snapshots. Azurite goes on with a listing behind a name, so what is left of a blob that a page's end
/// cuts through is never shown: pages are as long as they can be here, and the sentence about that is not held.
macro_rules! holds {
    ($($module:ident::$sentence:ident)*) => {
        $(
            #[tokio::test]
            async fn $sentence() {
                let target = fresh();
                let store = SnapshotStore::on(AzureStore::new(&target, AzureAuth::resolve(&target).unwrap()).unwrap());
                store.prepare(true).await.unwrap();
                crate::$module::$sentence(&store).await;
            }
        )*
    };
}

holds! {
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
    listings::a_listing_shows_what_head_shows
    listings::an_etag_from_a_listing_is_good_for_an_overwrite
    listings::a_prefix_selects_by_its_bytes
}

#[tokio::test]
async fn an_account_without_versions_is_refused_with_the_remedy_and_no_probe_is_left() {
    let target = fresh();
    let store = store_at(&target);
    let failure = store.prepare(false).await.unwrap_err();
    assert_eq!(failure.kind.exit(), Exit::NotFound, "{failure}");
    assert!(failure.remedy.contains("target.create = true"), "{failure}");
    for _ in 0..2 {
        let failure = store.prepare(true).await.unwrap_err();
        assert_eq!((failure.kind, failure.kind.exit()), (Kind::Misconfigured, Exit::Usage), "{failure}");
        assert!(failure.remedy.contains("--enable-versioning true"), "{failure}");
        assert!(names(&store, "", Listing::Current).await.is_empty());
    }
}

/// What a daemon would do whose account has lost its versioning.
#[tokio::test]
async fn a_put_that_is_answered_without_a_version_id_is_the_last_one_of_its_store() {
    let store = store_at(&PutByPut::prepared().await.0);
    let refused = async |name: &str, condition| {
        let failure = store.put(put_of(name, "2", condition)).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Misconfigured, "{failure}");
    };
    refused("t/a", Condition::Absent).await;
    let head = store.head("t/a").await.unwrap().unwrap();
    refused("t/a", Condition::Matches(head.etag.clone())).await;
    refused("t/b", Condition::Absent).await;
    assert_eq!(store.head("t/a").await.unwrap(), Some(head));
    assert!(store.head("t/b").await.unwrap().is_none());
}

#[tokio::test]
async fn pages_follow_each_other_without_a_hole_and_without_repeating() {
    let store = PutByPut::prepared().await;
    let expected: Vec<String> = (0..10).map(|number| format!("t/{number}")).collect();
    for name in expected.iter().rev() {
        create(&store, name, name).await;
    }
    let pages = pages(&store, "t/", Listing::Current).await;
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, 3, 3, 1]);
    let found: Vec<String> = pages.into_iter().flatten().map(|head| head.name).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn names_of_hostile_documents_are_names_here_too() {
    let store = PutByPut::prepared().await;
    let paths = MirrorPaths::new("pre/fix", "shop", "or ders");
    let text = |text: &str| KeyValue::String(text.to_owned());
    let keys =
        [text("a/b"), text(".."), text(""), text("☃"), KeyValue::Null, KeyValue::Undefined, KeyValue::Number(-1.5e300)];
    let long = "☃".repeat(255);
    let ids = [
        ".",
        "..",
        "a.",
        " ",
        "%2F",
        "a?b#c&d=e",
        "\\",
        "\u{1}\u{7f}",
        "~41",
        "<a>&amp;",
        "-rf",
        "+",
        "\u{feff}",
        &long,
    ];
    let documents = keys.iter().flat_map(|key| ids.iter().map(move |id| (PartitionKey(vec![key.clone()]), *id)));
    let mut expected = BTreeSet::new();
    for (key, id) in documents {
        let name = paths.document(&key, id);
        create(&store, &name, id).await;
        assert_eq!(content(&store, &name, None).await.as_deref(), Some(id), "{name}");
        expected.insert(name);
    }
    assert_eq!(expected.len(), keys.len() * ids.len());
    let found = listed(&store, &paths.documents(), Listing::Current).await;
    assert!(found.iter().map(|head| &head.name).eq(&expected));
    for key in keys {
        let found = names(&store, &paths.documents_of_key(&PartitionKey(vec![key])), Listing::Current).await;
        assert_eq!(found.len(), ids.len(), "{found:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_not_authorized() {
    let target = fresh();
    let auth = AzureAuth::SharedKey { account: "devstoreaccount1".to_owned(), key: "d3Jvbmc=".into() };
    let store = AzureStore::new(&target, auth).unwrap();
    let failure = store.prepare(true).await.unwrap_err();
    assert_eq!((failure.kind, failure.kind.exit()), (Kind::Unauthorized, Exit::Unauthorized), "{failure}");
}
