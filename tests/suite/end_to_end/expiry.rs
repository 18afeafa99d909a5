//! Documents whose time to live runs out.

use serde_json::json;

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
