//! What the mirror could not see: recorded, refused, and repaired as far as it can be.

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::coverage::{assert_all_stored, change_all, gaps, prepared};
use super::oracle::{by_document, stored};
use super::world::{ALL_VERSIONS, LATEST_VERSION, World};

/// Documents that are deleted while nobody looks.
const DELETED: usize = 5;

pub(super) async fn delete_some(world: &World) {
    for number in 0..DELETED {
        world.source("orders").delete(&json!([format!("p{number}")]).to_string(), &format!("d{number}")).await;
    }
}

/// How far the feed of all versions goes back.
pub(super) async fn retention(world: &World, seconds: u64) {
    let retention = json!({ "database": DATABASE, "container": "orders", "seconds": seconds });
    world.emulator.control("retention", &retention).await;
}

/// What the mirror says is what the source holds: every document in its newest state, and of those that are gone a tombstone that says
/// since when nothing is known.
pub(super) async fn assert_equals_the_source(world: &World, from: i64) {
    assert_all_stored(world).await;
    let (history, mirror) = (world.history("orders").await, world.mirror().await);
    let stored = stored(&mirror, "orders");
    let gone = by_document(&history).into_iter().filter(|(_, changes)| changes.last().unwrap().document.is_none());
    let mut tombstones = 0;
    for (name, _) in gone {
        let last = stored[&name].last().unwrap();
        assert_eq!((last.field("etag"), last.field("op")), (None, Some("delete")), "{name:?}");
        assert_eq!(last.field("after"), Some((from - 1).to_string().as_str()), "{name:?}");
        tombstones += 1;
    }
    assert_eq!(tombstones, DELETED);
}

/// Whether all can be restored as of an instant; it is refused where it is not covered.
pub(super) async fn can_restore(world: &World, at: i64) -> bool {
    let at = jiff::Timestamp::from_second(at).unwrap().to_string();
    let finished = world.run(&["restore", "--all", "--at", &at, "--dry-run", "--delete-extra"]).await;
    assert!(matches!(finished.code, Some(0 | 5)), "{}", finished.err);
    finished.code == Some(0)
}

/// The one gap there is, repaired.
pub(super) async fn the_gap(world: &World) -> (Value, i64, i64) {
    let mut gaps = gaps(world).await;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = gaps.remove(0);
    let (from, until) = (gap["from"].as_i64().unwrap(), gap["until"].as_i64().unwrap_or_else(|| panic!("{gap}")));
    (gap, from, until)
}

#[tokio::test]
async fn a_feed_that_went_on_without_the_mirror_is_a_gap_that_is_repaired_with_its_deletes() {
    let world = prepared(ALL_VERSIONS, 1).await;
    change_all(&world, 1).await;
    delete_some(&world).await;
    retention(&world, 60).await;
    world.emulator.advance(600).await;
    world.catch_up().await;
    let (gap, from, until) = the_gap(&world).await;
    assert!(gap["reason"].as_str().unwrap().contains("no longer goes back"), "{gap}");
    assert_equals_the_source(&world, from).await;
    assert!(can_restore(&world, from - 1).await);
    assert!(!can_restore(&world, from + 1).await);
    assert!(!can_restore(&world, until - 1).await);
    assert!(can_restore(&world, until).await);
    // Behind the gap every version comes again.
    change_all(&world, 2).await;
    change_all(&world, 3).await;
    world.catch_up().await;
    let mirror = world.mirror().await;
    for (name, versions) in stored(&mirror, "orders") {
        let steps: Vec<u64> = versions.iter().filter_map(|version| step(&version.body)).collect();
        assert!(steps.ends_with(&[2, 3]), "{name:?}: {steps:?}");
    }
    assert_eq!(gaps(&world).await.len(), 1);
}

fn step(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?["step"].as_u64()
}

async fn switch_of_mode(from: &str, to: &str) {
    let mut world = prepared(from, 2).await;
    change_all(&world, 1).await;
    delete_some(&world).await;
    world.set("CONTAINERS__0__FEED", to);
    world.emulator.advance(40).await;
    world.catch_up().await;
    let recorded = gaps(&world).await;
    assert_eq!(recorded.len(), 2, "one for each range: {recorded:?}");
    for gap in &recorded {
        assert!(gap["reason"].as_str().unwrap().contains("other feed mode"), "{gap}");
        assert!(gap["until"].is_i64(), "{gap}");
    }
    assert_all_stored(&world).await;
    let mirror = world.mirror().await;
    let stored = stored(&mirror, "orders");
    for (name, changes) in by_document(&world.history("orders").await) {
        let exists = changes.last().unwrap().document.is_some();
        assert_eq!(stored[&name].last().unwrap().field("etag").is_some(), exists, "{name:?}");
    }
    // The new feed is followed like one that was never another.
    change_all(&world, 2).await;
    world.catch_up().await;
    assert_all_stored(&world).await;
    assert_eq!(gaps(&world).await.len(), 2);
    let until = recorded.iter().map(|gap| gap["until"].as_i64().unwrap()).max().unwrap();
    world.emulator.advance(20).await;
    assert_eq!(world.run(&["run", "--once", "--reconcile"]).await.code, Some(0));
    assert!(can_restore(&world, until).await);
}

#[tokio::test]
async fn a_switch_to_the_feed_of_latest_versions_is_a_gap_that_is_repaired() {
    switch_of_mode(ALL_VERSIONS, LATEST_VERSION).await;
}

#[tokio::test]
async fn a_switch_to_the_feed_of_all_versions_is_a_gap_that_is_repaired() {
    switch_of_mode(LATEST_VERSION, ALL_VERSIONS).await;
}

/// Entries of this document are not understood by anybody.
async fn garble(world: &World, id: Option<&str>) {
    let feed = json!({ "database": DATABASE, "container": "orders", "garbledId": id });
    world.emulator.control("feed", &feed).await;
}

#[tokio::test]
async fn an_entry_that_is_not_understood_is_a_gap_that_ends_when_everything_else_is_known() {
    let world = prepared(ALL_VERSIONS, 1).await;
    garble(&world, Some("d3")).await;
    change_all(&world, 1).await;
    change_all(&world, 2).await;
    world.catch_up().await;
    let (gap, from, until) = the_gap(&world).await;
    assert!(gap["reason"].as_str().unwrap().contains("could not be understood"), "{gap}");
    assert!(!can_restore(&world, from).await);
    let letters = world.json(&["dead-letters", "list", "--unresolved"]).await;
    let letters = letters["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters.iter().all(|letter| letter["id"].is_null()), "{letters:?}");
    // Every version of the others is there, and of this one the newest state, from a point read.
    let mirror = world.mirror().await;
    for ((_, id), versions) in stored(&mirror, "orders") {
        assert_eq!(versions.len(), if id == "d3" { 2 } else { 3 }, "{id}");
    }
    assert_all_stored(&world).await;
    garble(&world, None).await;
    assert!(can_restore(&world, until).await);
    world.succeed(&["verify"]).await;
    assert_eq!(gaps(&world).await.len(), 1);
}
