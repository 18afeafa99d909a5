//! The source container changes its settings, or is removed and created again.

use serde_json::{Map, Value, json};

use super::coverage::{assert_all_stored, prepared};
use super::eventually;
use super::gaps::{can_restore, the_gap};
use super::oracle::stored;
use super::world::{ALL_VERSIONS, LATEST_VERSION, World};

/// The mirror's description of its container, every version of it.
async fn descriptions(world: &World) -> Vec<Value> {
    let mirror = world.mirror().await;
    let versions = &mirror["shop/orders/_mirror/container.json"];
    versions.iter().map(|version| serde_json::from_slice(&version.body).unwrap()).collect()
}

/// Another container of the same name, with two of the twelve documents and one of its own.
async fn create_again(world: &World) {
    let source = world.source("orders");
    source.remove().await;
    source.make(&["/pk"]).await;
    for (number, id) in [(0, "d0"), (1, "d1"), (1, "new")] {
        let document = json!({ "id": id, "pk": format!("p{number}"), "life": 2 });
        source.put(&json!([format!("p{number}")]).to_string(), &document.to_string()).await;
    }
}

async fn assert_two_lives(world: &World) {
    let (gap, from, until) = the_gap(world).await;
    assert!(gap["reason"].as_str().unwrap().contains("created again"), "{gap}");
    let lives = descriptions(world).await.pop().unwrap()["generations"].as_array().unwrap().clone();
    assert_eq!(lives.len(), 2);
    assert_ne!(lives[0]["rid"], lives[1]["rid"]);
    assert_all_stored(world).await;
    // One history under one name, and nothing of the first life is lost.
    let mirror = world.mirror().await;
    let stored = stored(&mirror, "orders");
    assert_eq!(stored.len(), 13);
    let rids = |id: &str| -> Vec<&str> {
        let (_, versions) = stored.iter().find(|((_, own), _)| own == id).unwrap();
        versions.iter().map(|version| version.field("rid").unwrap()).collect()
    };
    let rid = |life: usize| lives[life]["rid"].as_str().unwrap();
    assert_eq!((rids("d0"), rids("d7"), rids("new")), (vec![rid(0), rid(1)], vec![rid(0)], vec![rid(1)]));
    // As of the first life its twelve documents come back; since the second one only its own count, and the mirror equals the source.
    assert!(can_restore(world, from - 1).await);
    assert!(!can_restore(world, from + 1).await);
    let to = |at: i64| jiff::Timestamp::from_second(at).unwrap().to_string();
    let before = world.json(&["restore", "--all", "--at", &to(from - 1), "--dry-run"]).await["plan"].clone();
    assert_eq!(
        [&before["create"], &before["replace"], &before["extra"], &before["unknown"]],
        [10, 2, 1, 0],
        "{before}"
    );
    let after = world.json(&["restore", "--all", "--at", &to(until), "--dry-run"]).await["plan"].clone();
    assert_eq!([&after["create"], &after["unchanged"]], [0, 3], "{after}");
    world.succeed(&["verify"]).await;
}

#[tokio::test]
async fn a_container_that_was_created_again_goes_on_under_its_names_behind_a_gap() {
    let world = prepared(ALL_VERSIONS, 1).await;
    world.emulator.advance(5).await;
    create_again(&world).await;
    world.catch_up().await;
    assert_two_lives(&world).await;
}

#[tokio::test]
async fn a_daemon_whose_container_is_created_again_ends_and_the_next_start_goes_on() {
    let world = prepared(ALL_VERSIONS, 1).await;
    let daemon = world.start(&["run"]);
    world.more_requests("cosmos", "feed", 10).await;
    create_again(&world).await;
    assert_eq!(daemon.ended().await, Some(1));
    world.emulator.advance(40).await;
    world.catch_up().await;
    assert_two_lives(&world).await;
}

#[tokio::test]
async fn settings_that_change_while_a_daemon_runs_are_mirrored_with_their_history() {
    let world = prepared(LATEST_VERSION, 1).await;
    let daemon = world.start(&["run"]);
    world.more_requests("cosmos", "feed", 10).await;
    world.source("orders").change_settings(Map::from_iter([("defaultTtl".to_owned(), json!(3600))])).await;
    // It looks now and then, and as soon as a range cannot be read.
    let rule = json!({ "service": "cosmos", "operation": "feed", "container": "orders", "status": 404, "count": 1 });
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
    let ttl = |description: &Value| description["generations"][0]["settings"]["defaultTtl"].clone();
    eventually("the settings are mirrored", async || {
        (ttl(descriptions(&world).await.last().unwrap()) == json!(3600)).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    let told: Vec<Value> = descriptions(&world).await.iter().map(ttl).collect();
    assert_eq!(told, [Value::Null, json!(3600)], "what it was before is the version beneath");
}
