//! Documents whose time to live runs out.

use serde_json::json;

use super::eventually;
use super::oracle::{assert_every_change_once, live_as_sent};
use super::world::{ALL_VERSIONS, Target, World};

#[tokio::test]
async fn an_expired_document_is_told_apart_from_a_deleted_one_and_comes_back_only_as_of_its_lifetime() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make_with(&["/pk"], json!({ "defaultTtl": -1 }).as_object().unwrap().clone()).await;
    let key = r#"["p"]"#;
    source.put(key, r#"{"id":"short","pk":"p","ttl":100}"#).await;
    source.put(key, r#"{"id":"long","pk":"p","ttl":-1}"#).await;
    source.put(key, r#"{"id":"deleted","pk":"p"}"#).await;
    let held = world.history("orders").await;
    world.catch_up().await;
    let alive = world.complete_until("orders").await;
    world.emulator.advance(200).await;
    source.delete(key, "deleted").await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    let expired = world.complete_until("orders").await;
    assert_every_change_once(&world.history("orders").await, held.len() as u64, &world.mirror().await, "orders");
    for (id, op) in [("short", "expire"), ("deleted", "delete")] {
        let history = world.json(&["history", id, "--pk", "p"]).await;
        assert_eq!(history["versions"][1]["op"], op, "{history}");
        assert_eq!(history["versions"][1]["etag"], serde_json::Value::Null);
    }
    let plan = world.json(&["restore", "--all", "--at", &expired, "--dry-run"]).await;
    assert_eq!([&plan["plan"]["create"], &plan["plan"]["unchanged"]], [0, 1], "{plan}");
    world.succeed(&["restore", "--all", "--at", &alive, "--yes"]).await;
    assert_eq!(live_as_sent(&world.history("orders").await), live_as_sent(&held));
}

/// Somebody switches a time to live on by mistake, and everything expires. That it may have been on before nobody can tell from the mirror,
/// but it must never be taken for granted: without a side the documents are refused, and nothing is deleted.
#[tokio::test]
async fn a_time_to_live_that_was_switched_on_by_mistake_is_undone_as_of_an_instant_before_it() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    for id in ["a", "b", "c"] {
        source.put(r#"["p"]"#, &json!({ "id": id, "pk": "p" }).to_string()).await;
    }
    let held = live_as_sent(&world.history("orders").await);
    world.emulator.advance(600).await;
    world.catch_up().await;
    let before = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    source.change_settings(json!({ "defaultTtl": 60 }).as_object().unwrap().clone()).await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    eventually("everything has expired", async || {
        live_as_sent(&world.history("orders").await).is_empty().then_some(())
    })
    .await;
    world.emulator.advance(5).await;
    world.catch_up().await;
    source.change_settings(json!({ "defaultTtl": -1 }).as_object().unwrap().clone()).await;
    let restore = ["restore", "--all", "--at", &before, "--delete-extra"];
    let plan = world.json(&[&restore[..], &["--dry-run"]].concat()).await;
    assert_eq!([&plan["plan"]["uncertain"], &plan["plan"]["delete"]], [3, 0], "{plan}");
    let refused = world.run(&[&restore[..], &["--yes"]].concat()).await;
    assert!(refused.code == Some(5) && refused.err.contains("which of off, 60 s was in force"), "{}", refused.err);
    let shown = world.run(&["show", "a", "--pk", "p", "--at", &before]).await;
    assert!(shown.code == Some(5) && shown.err.contains("which of off, 60 s was in force"), "{}", shown.err);
    world.succeed(&[&restore[..], &["--uncertain", "before", "--yes"]].concat()).await;
    assert_eq!(live_as_sent(&world.history("orders").await), held);
}
