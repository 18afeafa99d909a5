//! Erasing a document's history: what is left of it where, and that nothing brings it back.

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::crash_points::die_at;
use super::mirror::{self, CONTAINER, list, text};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

mod again;
mod away;
mod held;
mod letters;

/// The steps of the command.
pub(super) const POINTS: [&str; 3] = ["purge-recorded", "purge-marked", "purge-erased"];

/// What nobody may find any more.
const SECRET: &str = "born on the 29th of February";
/// The document whose history is erased, and its key.
const ID: &str = "ada";
const KEY: &str = r#"["p"]"#;
const PURGE: [&str; 4] = ["purge", ID, "--pk", "p"];
/// Longer than soft delete keeps what was deleted.
const RETENTION_SECONDS: u32 = 8 * 24 * 60 * 60;

/// The document in one of its states.
fn document(step: u32) -> String {
    json!({ "id": ID, "pk": "p", "step": step, "note": SECRET }).to_string()
}

/// Another document beside it, which stays.
fn neighbour(step: u32) -> String {
    json!({ "id": "ada-2", "pk": "p", "step": step }).to_string()
}

/// A followed container with three versions of the document, which its source has deleted, and of another one.
async fn world(target: Target, feed: &str) -> World {
    let world = World::new(&[("orders", feed)], target).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    world.source("orders").delete(KEY, ID).await;
    world.catch_up().await;
    world
}

/// The same with the document still there.
async fn live(world: &World) {
    world.catch_up().await;
    for step in 0..3 {
        world.source("orders").put(KEY, &document(step)).await;
        world.source("orders").put(KEY, &neighbour(step)).await;
        world.catch_up().await;
    }
}

/// Erases the document's history, as JSON.
async fn purge(world: &World) -> Value {
    world.json(&[&PURGE[..], &["--confirm"]].concat()).await
}

/// No content that can be read holds the secret.
async fn assert_unreadable(world: &World) {
    for (name, versions) in world.mirror().await {
        for stored in versions {
            let text = String::from_utf8_lossy(&stored.body).into_owned();
            assert!(!text.contains(SECRET), "{name} {}: {text}", stored.version);
        }
    }
}

/// The operations of the document's versions that the target shows, oldest first.
async fn operations(world: &World) -> Vec<String> {
    let held = world.mirror().await;
    let versions = held.get(&format!("{DATABASE}/orders/documents/p/{ID}.json")).cloned().unwrap_or_default();
    versions.iter().map(|stored| stored.field("op").unwrap().to_owned()).collect()
}

/// What a person sees of the document's history.
async fn history(world: &World) -> Vec<String> {
    let shown = world.json(&["history", ID, "--pk", "p"]).await;
    shown["versions"].as_array().unwrap().iter().map(|version| version["op"].as_str().unwrap().to_owned()).collect()
}

/// Nothing but the neighbour comes back when everything is restored into an empty container.
async fn assert_not_restored(world: &World) {
    world.emulator.advance(10).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.source("elsewhere").make(&["/pk"]).await;
    world.succeed(&["restore", "--all", "--at", &at, "--into", "shop/elsewhere", "--yes"]).await;
    let restored = world.history("elsewhere").await;
    assert_eq!(restored.iter().map(|change| change.id.as_str()).collect::<Vec<_>>(), ["ada-2"]);
}

#[tokio::test]
async fn a_look_erases_nothing_and_says_what_there_is() {
    for (target, versions, snapshots) in [(Target::Blobs, 4, 0), (Target::Snapshots, 1, 4), (Target::Directory, 4, 0)] {
        let world = world(target, ALL_VERSIONS).await;
        let before = world.mirror().await;
        let shown = world.json(&PURGE).await;
        assert_eq!(
            (&shown["id"], &shown["partition_key"], &shown["confirmed"]),
            (&json!(ID), &json!(["p"]), &json!(false))
        );
        let found = &shown["targets"][0];
        assert_eq!((&found["target"], &found["versions"]), (&json!("first"), &json!(versions)));
        // Each process that meets a version takes one more snapshot of it.
        let found_snapshots = found["snapshots"].as_u64().unwrap();
        assert!(found_snapshots >= snapshots && (snapshots > 0 || found_snapshots == 0), "{shown}");
        let days = if target == Target::Directory { Value::Null } else { json!(7) };
        assert_eq!(
            (&found["dead_letters"], &found["held"], &found["erased"], &found["recoverable_days"]),
            (&json!(0), &json!(0), &json!(0), &days)
        );
        assert_eq!(world.mirror().await, before);
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_purged_document_once_the_services_own_retention_is_over() {
    for target in [Target::Blobs, Target::Snapshots, Target::Directory] {
        let world = world(target, ALL_VERSIONS).await;
        let done = purge(&world).await;
        let found = &done["targets"][0];
        assert_eq!(
            (&found["versions"], &found["snapshots"], &found["held"]),
            (&json!(0), &json!(0), &json!(0)),
            "{done}"
        );
        assert!(found["erased"].as_u64().unwrap() >= 4, "{done}");
        assert_unreadable(&world).await;
        assert_eq!(operations(&world).await, ["purge"]);
        assert_eq!(history(&world).await, ["purge"]);
        assert_not_restored(&world).await;
        if target == Target::Directory {
            assert_eq!(found["recoverable"], 0);
            continue;
        }
        // Soft delete keeps it, and it is said until when.
        assert!(found["recoverable"].as_u64().unwrap() >= 3, "{done}");
        let everything = "versions,snapshots,deleted,metadata";
        let deleted = async || {
            list(&world.emulator, CONTAINER, everything)
                .await
                .into_iter()
                .filter(|xml| text(xml, "Deleted") == "true")
                .count()
        };
        assert!(deleted().await > 0);
        let gone_by = found["gone_by"].as_i64().unwrap();
        assert!((found["gone_by"].as_i64().unwrap() - gone_by).abs() < 60);
        world.emulator.advance(RETENTION_SECONDS).await;
        assert_eq!(deleted().await, 0);
        let names = list(&world.emulator, CONTAINER, everything).await;
        let left = names.iter().filter(|xml| text(xml, "Name").ends_with(&format!("/{ID}.json")));
        assert!(left.map(|xml| text(xml, "op")).all(|op| op == "purge"));
    }
}

#[tokio::test]
async fn the_record_says_when_and_by_which_command_and_not_what() {
    let world = world(Target::Blobs, ALL_VERSIONS).await;
    let done = purge(&world).await;
    let held = world.mirror().await;
    let (name, record) = held.iter().find(|(name, _)| name.contains("/_mirror/purges/")).unwrap();
    let text = String::from_utf8(record.last().unwrap().body.clone()).unwrap();
    assert!(!name.contains(ID) && !text.contains(ID) && !text.contains(SECRET), "{name}: {text}");
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&record["until"], &record["runs"][0]["command"]), (&done["until"], &json!("purge --confirm")));
    assert_eq!(record["runs"][0]["erased"], done["targets"][0]["erased"]);
    assert!(record["runs"][0]["ended"].is_string(), "{text}");
}

#[tokio::test]
async fn what_the_source_still_holds_or_nobody_knows_of_is_not_purged() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    let before = world.mirror().await;
    let finished = world.run(&[&PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(finished.code, Some(7), "{}", finished.err);
    assert!(finished.err.contains("delete it there first") && !finished.err.contains(SECRET), "{}", finished.err);
    let looked = world.run(&PURGE).await;
    assert!(looked.code == Some(0) && looked.err.contains("still holds the document"), "{}", looked.err);
    let nobody = world.run(&["purge", "nobody", "--pk", "p", "--confirm"]).await;
    assert_eq!(nobody.code, Some(10), "{}", nobody.err);
    assert_eq!(world.mirror().await, before);
}

#[tokio::test]
async fn a_purge_that_dies_at_any_step_shows_nothing_more_and_is_gone_on_with() {
    for (point, target) in POINTS.into_iter().zip([Target::Blobs, Target::Directory, Target::Snapshots]) {
        let world = world(target, ALL_VERSIONS).await;
        die_at(&world, point, &[&PURGE[..], &["--confirm"]].concat()).await;
        if point != "purge-recorded" {
            assert_eq!(history(&world).await, ["purge"], "{point}");
        }
        world.catch_up().await;
        purge(&world).await;
        assert_unreadable(&world).await;
        assert_eq!(operations(&world).await, ["purge"], "{point}");
    }
}

#[tokio::test]
async fn a_document_that_is_created_again_has_a_history_of_its_own() {
    for feed in [ALL_VERSIONS, LATEST_VERSION] {
        let world = world(Target::Blobs, feed).await;
        purge(&world).await;
        world.emulator.advance(5).await;
        let again = json!({ "id": ID, "pk": "p", "again": true }).to_string();
        world.source("orders").put(KEY, &again).await;
        world.catch_up().await;
        assert_eq!(history(&world).await, ["purge", "create"]);
        let verified = world.json(&["verify", "--mode", "full"]).await;
        assert_eq!((&verified["equal"], &verified["missing"], &verified["extra"]), (&json!(2), &json!(0), &json!(0)));
        world.source("orders").delete(KEY, ID).await;
        world.catch_up().await;
        world.emulator.advance(5).await;
        purge(&world).await;
        assert_eq!(operations(&world).await, ["purge"]);
        assert_eq!(mirror::of_blobs(&world.emulator).await.keys().filter(|name| name.contains("/purges/")).count(), 1);
    }
}
