//! What the dead letters of a purged document hold of it.

use serde_json::json;

use super::super::crash_points::die_at;
use super::super::mirror::{self, Mirror};
use super::super::world::{ALL_VERSIONS, Target, World};
use super::away::{SOUTH, add_south, assert_not_in_south};
use super::{ID, KEY, PURGE, assert_unreadable, document, live, operations, purge, world as purgeable};

/// Changes of the document that the target refuses, so that they become dead letters.
async fn refuse_changes(world: &World) {
    let path = format!("/documents/p/{ID}.json");
    let refuse = json!({ "rules": [{ "service": "blob", "operation": "put", "path": path, "status": 400 }] });
    world.emulator.control("faults", &refuse).await;
    world.source("orders").put(KEY, &document(7)).await;
    world.source("orders").delete(KEY, ID).await;
    world.catch_up().await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    world.emulator.advance(2).await;
}

/// The names of the dead letters that a person sees.
async fn listed(world: &World) -> Vec<String> {
    let letters = world.json(&["dead-letters", "list"]).await;
    letters["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| letter["name"].as_str().unwrap().to_owned())
        .collect()
}

/// How many dead letters the store holds, those without a current version too.
fn letters_in(held: &Mirror) -> usize {
    held.keys().filter(|name| name.contains("/_mirror/dead-letters/")).count()
}

#[tokio::test]
async fn its_dead_letters_go_with_it_and_are_not_replayed() {
    let world = purgeable(Target::Blobs, ALL_VERSIONS).await;
    refuse_changes(&world).await;
    assert!(!listed(&world).await.is_empty());
    let looked = world.json(&PURGE).await;
    assert!(looked["targets"][0]["dead_letters"].as_u64().unwrap() > 0, "{looked}");
    let done = purge(&world).await;
    assert_eq!(done["targets"][0]["dead_letters"], 0, "{done}");
    assert_unreadable(&world).await;
    assert_eq!(listed(&world).await, Vec::<String>::new());
    assert_eq!(operations(&world).await, ["purge"]);
}

/// What was current has become a version by then, and no listing of current blobs shows the letter.
#[tokio::test]
async fn a_purge_that_dies_inside_a_dead_letter_finds_it_again() {
    let world = purgeable(Target::Blobs, ALL_VERSIONS).await;
    refuse_changes(&world).await;
    let before = letters_in(&world.mirror().await);
    die_at(&world, "purge-erased", &[&PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(letters_in(&world.mirror().await), before);
    let done = purge(&world).await;
    assert_eq!((&done["targets"][0]["dead_letters"], &done["targets"][0]["held"]), (&json!(0), &json!(0)), "{done}");
    assert_eq!(letters_in(&world.mirror().await), 0);
    assert_unreadable(&world).await;
}

#[tokio::test]
async fn what_a_policy_keeps_in_one_target_comes_to_no_other_and_is_shown_to_nobody() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("TARGET__IMMUTABLE_FOR", "30d");
    world.source("orders").make(&["/pk"]).await;
    add_south(&mut world, true);
    live(&world).await;
    refuse_changes(&world).await;
    let letter = listed(&world).await.remove(0);
    assert!(letters_in(&mirror::of_container(&world.emulator, SOUTH).await) > 0);
    let finished = world.run(&[&PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(finished.code, Some(3), "{}", finished.err);
    assert!(letters_in(&world.mirror().await) > 0, "they are there, protected");
    // A start of the daemon compares the records of both.
    world.catch_up().await;
    assert_eq!(letters_in(&mirror::of_container(&world.emulator, SOUTH).await), 0);
    assert_not_in_south(&world).await;
    assert_eq!(listed(&world).await, Vec::<String>::new());
    let shown = world.run(&["dead-letters", "show", &letter, "--raw"]).await;
    assert_eq!((shown.code, shown.out), (Some(10), Vec::new()), "{}", shown.err);
    assert!(shown.err.contains("was erased") && !shown.err.contains(ID), "{}", shown.err);
}
