//! The id in use again, while its earlier history is erased or not yet gone.

use serde_json::{Value, json};

use super::super::crash_points::die_at;
use super::super::world::{ALL_VERSIONS, Target, World};
use super::away::add_south;
use super::{ID, KEY, PURGE, assert_unreadable, history, live, operations, world as purgeable};

const CONFIRM: &str = "--confirm";

/// Another document under the id of the one that was purged.
async fn create_again(world: &World) {
    world.emulator.advance(5).await;
    world.source("orders").put(KEY, &json!({ "id": ID, "pk": "p", "again": true }).to_string()).await;
    world.catch_up().await;
    world.emulator.advance(5).await;
    world.catch_up().await;
}

/// Goes on with the purge that is not through, up to its second and not further.
async fn finish(world: &World, flags: &[&str], until: Option<&Value>) {
    let finished = world.run(&[&["-o", "json"], &PURGE[..], &[CONFIRM], flags].concat()).await;
    assert_eq!(finished.code, Some(0), "{}", finished.err);
    assert!(finished.err.contains("created again, and is left alone"), "{}", finished.err);
    let done: Value = serde_json::from_slice(&finished.out).unwrap();
    assert!(until.is_none_or(|until| done["until"] == *until), "{done}");
    assert!(done["targets"][0]["erased"].as_u64().unwrap() > 0, "{done}");
    assert_unreadable(world).await;
    assert_eq!(history(world).await.last().map(String::as_str), Some("create"));
}

#[tokio::test]
async fn what_a_policy_kept_is_erased_later_and_the_new_document_is_left_alone() {
    for flags in [&[][..], &["--without-source"]] {
        let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
        world.set("TARGET__IMMUTABLE_FOR", "30d");
        world.source("orders").make(&["/pk"]).await;
        live(&world).await;
        world.source("orders").delete(KEY, ID).await;
        world.catch_up().await;
        let held = world.run(&[&["-o", "json"], &PURGE[..], &[CONFIRM]].concat()).await;
        assert_eq!(held.code, Some(3), "{}", held.err);
        let held: Value = serde_json::from_slice(&held.out).unwrap();
        create_again(&world).await;
        world.emulator.advance(32 * 24 * 60 * 60).await;
        // The host's clock stayed behind, and no policy may end in the past.
        world.set("TARGET__IMMUTABLE_FOR", "90d");
        finish(&world, flags, Some(&held["until"])).await;
        assert_eq!(operations(&world).await, ["purge", "create"], "{flags:?}");
        // Nothing of the earlier one is left, and the new one is there.
        let refused = world.run(&[&PURGE[..], &[CONFIRM]].concat()).await;
        assert_eq!(refused.code, Some(7), "{}", refused.err);
        assert_eq!(operations(&world).await, ["purge", "create"]);
    }
}

#[tokio::test]
async fn a_purge_that_died_is_finished_beneath_the_new_document() {
    for (point, left) in [("purge-recorded", &["create"][..]), ("purge-marked", &["purge", "create"])] {
        let world = purgeable(Target::Blobs, ALL_VERSIONS).await;
        die_at(&world, point, &[&PURGE[..], &[CONFIRM]].concat()).await;
        create_again(&world).await;
        finish(&world, &[], None).await;
        assert_eq!(operations(&world).await, left, "{point}");
        world.emulator.advance(10).await;
        world.catch_up().await;
        assert_eq!(operations(&world).await, left, "{point}");
    }
}

/// The purge waits until no replica of the source lags behind its second. What is replaced and then deleted meanwhile was committed after
/// that second, and would outlive it.
#[tokio::test]
async fn a_document_that_is_there_at_the_purges_second_ends_it_before_it_waits() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    // Longer than a command may take here: who waits first does not get to the end.
    world.set("SOURCE__STALENESS_MARGIN", "1h");
    let finished = world.run(&[&PURGE[..], &[CONFIRM]].concat()).await;
    assert_eq!(finished.code, Some(7), "{}", finished.err);
    assert!(finished.err.contains("delete it there first"), "{}", finished.err);
}

/// It gets the documents before the mirror's description of itself.
#[tokio::test]
async fn a_required_target_that_is_not_filled_yet_is_not_passed_over() {
    let mut world = purgeable(Target::Blobs, ALL_VERSIONS).await;
    add_south(&mut world, true);
    let before = world.mirror().await;
    let refused = world.run(&[&PURGE[..], &[CONFIRM]].concat()).await;
    assert_eq!(refused.code, Some(10), "{}", refused.err);
    assert!(refused.err.contains("\"south\" is not filled yet"), "{}", refused.err);
    assert_eq!(world.mirror().await, before);
    world.catch_up().await;
    world.succeed(&[&PURGE[..], &[CONFIRM]].concat()).await;
    assert_unreadable(&world).await;
}

#[tokio::test]
async fn a_rehearsal_that_was_not_cleaned_is_named() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    world.succeed(&["rehearse", "--into", "rehearsals/orders"]).await;
    world.source("orders").delete(KEY, ID).await;
    world.catch_up().await;
    world.emulator.advance(2).await;
    let looked = String::from_utf8(world.succeed(&PURGE).await).unwrap();
    assert!(looked.contains("a rehearsal into rehearsals/orders was not cleaned"), "{looked}");
    world.succeed(&["rehearse", "--into", "rehearsals/orders", "--clean"]).await;
    let looked = world.json(&PURGE).await;
    assert_eq!(looked["targets"][0]["rehearsed_into"], Value::Null, "{looked}");
}
