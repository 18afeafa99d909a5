//! Blob versioning that is off, goes off or comes back.

use std::time::Duration;

use cosmirror::failure::{Exit, Failure, Kind};
use cosmirror::store::azure::AzureStore;
use cosmirror::store::{Condition, Listing, Stored, VersionStore as _};

use super::azure::{prepared, store_at};
use super::fixture::{content, create, names, put_of, replace};
use crate::suite::emulated::{Emulated, shared_key};

const OFF: &str = "{\"versioning\":false}";
const ON: &str = "{\"versioning\":true}";

#[tokio::test]
async fn an_account_without_versioning_is_refused_and_no_blob_is_left() {
    for settings in ["{\"versioning\":false}", "{\"versioning\":false,\"hierarchicalNamespace\":true}"] {
        let emulated = Emulated::start().await;
        emulated.control("storage", settings).await;
        let store = store_at(&emulated.target(), shared_key());
        let failure = store.prepare(true).await.unwrap_err();
        assert_eq!((failure.kind, failure.kind.exit()), (Kind::Misconfigured, Exit::Usage), "{failure}");
        assert!(failure.remedy.contains("versioning"), "{failure}");
        assert!(names(&store, "", Listing::Current).await.is_empty());
        assert!(names(&store, "", Listing::Versions).await.is_empty());
    }
}

/// A blob keeps the version id it got while versioning was on, so a probe left by an earlier start proves nothing.
#[tokio::test]
async fn versioning_that_was_turned_off_since_the_last_start_is_noticed() {
    let (emulated, store) = prepared().await;
    emulated.control("storage", OFF).await;
    let again = store_at(&emulated.target(), shared_key());
    assert_eq!(again.prepare(true).await.unwrap_err().kind, Kind::Misconfigured);
    assert!(names(&store, "", Listing::Current).await.is_empty());
}

#[tokio::test]
async fn versioning_that_is_turned_off_while_writing_stops_the_next_put() {
    let (emulated, store) = prepared().await;
    let first = create(&store, "t/a", "1").await;
    emulated.control("storage", OFF).await;
    let failure = store.put(put_of("t/a", "2", Condition::Matches(first.etag))).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Misconfigured, "{failure}");
    assert!(failure.remedy.contains("versioning"), "{failure}");
}

#[tokio::test]
async fn a_blob_from_before_versioning_is_read_and_kept_when_overwritten() {
    let (emulated, _) = prepared().await;
    let store = another(&emulated).await;
    emulated.control("storage", OFF).await;
    store.put(put_of("t/a", "1", Condition::Absent)).await.unwrap_err();
    emulated.control("storage", ON).await;

    let head = store.head("t/a").await.unwrap().unwrap();
    assert_eq!((head.version.as_str(), head.current), ("", true));
    assert_eq!(content(&store, "t/a", Some("")).await.as_deref(), Some("1"));
    let before = Stored { etag: head.etag, version: head.version };
    replace(&store, "t/a", "2", &before).await;
    assert_eq!(names(&store, "t/", Listing::Versions).await, ["t/a", "t/a"]);
}

/// Another store of the same account, as another process has one, for which no probe's answer counts for longer than its own put.
async fn another(emulated: &Emulated) -> AzureStore {
    let store = store_at(&emulated.target(), shared_key()).with_probe_interval(Duration::ZERO);
    store.prepare(false).await.unwrap();
    store
}

async fn refused(store: &AzureStore, name: &str, condition: Condition) {
    let failure: Failure = store.put(put_of(name, "must not be stored", condition)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Misconfigured, "{failure}");
    assert!(failure.remedy.contains("versioning"), "{failure}");
}

/// The put was repeated, and the version that the first one had stored without an id was overwritten for good.
#[tokio::test]
async fn after_an_answer_without_version_id_no_put_is_begun_until_versions_are_kept_again() {
    let (emulated, _) = prepared().await;
    let store = another(&emulated).await;
    let first = create(&store, "t/a", "1").await;
    let other = create(&store, "t/b", "1").await;
    emulated.control("storage", OFF).await;
    store.put(put_of("t/a", "2", Condition::Matches(first.etag))).await.unwrap_err();
    let head = store.head("t/a").await.unwrap().unwrap();
    assert_eq!((head.version.as_str(), head.length), ("", 1), "it was stored all the same");
    for _ in 0..2 {
        refused(&store, "t/a", Condition::Matches(head.etag.clone())).await;
        refused(&store, "t/b", Condition::Matches(other.etag.clone())).await;
        refused(&store, "t/c", Condition::Absent).await;
    }
    assert_eq!(store.head("t/a").await.unwrap().unwrap(), head);
    assert_eq!(names(&store, "", Listing::Current).await, ["t/a", "t/b"], "no probe is left either");
    assert_eq!(names(&store, "t/", Listing::Versions).await, ["t/a", "t/a", "t/b"]);

    emulated.control("storage", ON).await;
    let before = Stored { etag: head.etag, version: head.version };
    let third = replace(&store, "t/a", "3", &before).await;
    assert_eq!(names(&store, "t/a", Listing::Versions).await, ["t/a", "t/a", "t/a"]);
    replace(&store, "t/a", "4", &third).await;
    replace(&store, "t/b", "2", &other).await;
}

#[tokio::test]
async fn what_another_process_stored_without_version_id_is_not_overwritten_either() {
    let (emulated, unaware) = prepared().await;
    let (meets_head, meets_content, meets_listing) =
        (another(&emulated).await, another(&emulated).await, another(&emulated).await);
    emulated.control("storage", OFF).await;
    unaware.put(put_of("t/a", "1", Condition::Absent)).await.unwrap_err();
    let head = meets_head.head("t/a").await.unwrap().unwrap();
    let (of_content, _) = meets_content.get("t/a", None).await.unwrap().unwrap();
    let listed = meets_listing.list("t/", Listing::Versions, None).await.unwrap().heads.remove(0);
    for (store, etag) in [(&meets_head, &head.etag), (&meets_content, &of_content.etag), (&meets_listing, &listed.etag)]
    {
        refused(store, "t/a", Condition::Matches(etag.clone())).await;
        assert_eq!(content(store, "t/a", None).await.as_deref(), Some("1"));
    }
    emulated.control("storage", ON).await;
    let before = Stored { etag: head.etag, version: head.version };
    replace(&meets_head, "t/a", "2", &before).await;
    let versions = meets_head.list("t/a", Listing::Versions, None).await.unwrap().heads;
    let kept = content(&meets_head, "t/a", Some(&versions[0].version)).await;
    assert_eq!((versions.len(), kept.as_deref()), (2, Some("1")));
}

/// The interval is the product's; the emulator's counters would grow with each probe.
#[tokio::test]
async fn while_it_stays_off_probes_are_seconds_apart() {
    let (emulated, store) = prepared().await;
    emulated.control("storage", OFF).await;
    store.put(put_of("t/a", "1", Condition::Absent)).await.unwrap_err();
    let rule = "{\"rules\":[{\"service\":\"blob\",\"operation\":\"put\",\"status\":500}]}";
    emulated.control("faults", rule).await;
    // Any request would be answered with 500, which is transient.
    for number in 0..20 {
        refused(&store, &format!("t/{number}"), Condition::Absent).await;
        assert_eq!(store.prepare(true).await.unwrap_err().kind, Kind::Misconfigured);
    }
}
