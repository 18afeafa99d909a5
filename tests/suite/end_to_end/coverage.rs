//! Leases that somebody removed, and leases that are there twice.

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::eventually;
use super::oracle::{live, stored};
use super::ranges::assert_leases_tile;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

pub(super) const RANGES: usize = 3;

/// The leases there are.
pub(super) async fn leases(world: &World) -> Vec<Value> {
    let documents = live(&world.history("leases").await).into_values();
    let leases = documents.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    leases.filter(|lease| lease["LeaseToken"].is_string()).collect()
}

/// Every gap that the mirror records, as its newest version says.
pub(super) async fn gaps(world: &World) -> Vec<Value> {
    let mirror = world.mirror().await;
    let gaps = mirror.iter().filter(|(path, _)| path.starts_with(&format!("{DATABASE}/orders/_mirror/gaps/")));
    gaps.map(|(_, versions)| serde_json::from_slice(&versions.last().unwrap().body).unwrap()).collect()
}

pub(super) async fn delete_lease(world: &World, lease: &Value) {
    let id = lease["id"].as_str().unwrap();
    world.source("leases").delete(&json!([id]).to_string(), id).await;
}

/// Writes twelve documents, of all ranges.
pub(super) async fn change_all(world: &World, step: usize) {
    for number in 0..12 {
        let document = json!({ "id": format!("d{number}"), "pk": format!("p{number}"), "step": step });
        world.source("orders").put(&json!([format!("p{number}")]).to_string(), &document.to_string()).await;
    }
}

/// A container of so many ranges with twelve documents, mirrored.
pub(super) async fn prepared(feed: &str, ranges: usize) -> World {
    let world = World::new(&[("orders", feed)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": ranges });
    world.emulator.control("seed", &seed).await;
    change_all(&world, 0).await;
    world.catch_up().await;
    world
}

/// Every document that exists is the newest version of its blob.
pub(super) async fn assert_all_stored(world: &World) {
    let mirror = world.mirror().await;
    let stored = stored(&mirror, "orders");
    for (name, text) in live(&world.history("orders").await) {
        let newest = stored[&name].last().unwrap();
        assert_eq!(String::from_utf8_lossy(&newest.body), text, "the newest version of {name:?}");
    }
}

async fn a_removed_lease_is_a_gap_that_is_repaired(feed: &str) {
    let world = prepared(feed, RANGES).await;
    let before = world.complete_until("orders").await;
    let removed = leases(&world).await.remove(1);
    delete_lease(&world, &removed).await;
    // Nobody follows that range, and nobody will ever get these versions of its documents again.
    change_all(&world, 1).await;
    change_all(&world, 2).await;
    world.emulator.advance(40).await;
    let daemon = world.start(&["run"]);
    let ended =
        eventually("the gap is repaired", async || gaps(&world).await.into_iter().find(|gap| gap["until"].is_number()))
            .await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.emulator.advance(40).await;
    world.catch_up().await;
    assert_eq!(gaps(&world).await.len(), 1);
    assert_eq!(ended["range"], removed["FeedRange"]["Range"]);
    let instant = |at: &Value| jiff::Timestamp::from_second(at.as_i64().unwrap()).unwrap().to_string();
    let listed = json!({ "gaps": [{
        "database": DATABASE, "container": "orders", "range": ended["range"], "from": instant(&ended["from"]),
        "until": instant(&ended["until"]), "reason": ended["reason"],
    }] });
    assert_eq!(world.json(&["gaps", "list"]).await, listed);
    assert_leases_tile(&world).await;
    assert_all_stored(&world).await;
    // What was restorable before stays so, the gap is refused, and what comes after it is restorable again.
    let restore = async |at: &str| world.run(&["restore", "--all", "--at", at, "--dry-run"]).await;
    let earlier = restore(&before).await;
    assert_eq!(earlier.code, Some(0), "{}: {ended}", earlier.err);
    let from = jiff::Timestamp::from_second(ended["from"].as_i64().unwrap() + 5).unwrap();
    let refused = restore(&from.to_string()).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    assert!(refused.err.contains("no lease"), "{}", refused.err);
    let until = world.complete_until("orders").await;
    let finished = restore(&until).await;
    assert_eq!(finished.code, Some(0), "{}", finished.err);
}

#[tokio::test]
async fn a_removed_lease_is_a_gap_that_is_repaired_by_a_backfill() {
    a_removed_lease_is_a_gap_that_is_repaired(ALL_VERSIONS).await;
}

#[tokio::test]
async fn a_removed_lease_of_the_latest_versions_is_a_gap_that_is_repaired_by_reading_again() {
    a_removed_lease_is_a_gap_that_is_repaired(LATEST_VERSION).await;
}

#[tokio::test]
async fn a_lease_that_is_removed_while_a_daemon_runs_is_missed_and_made_again() {
    let world = prepared(ALL_VERSIONS, RANGES).await;
    let daemon = world.start(&["run"]);
    world.more_requests("cosmos", "feed", 10).await;
    delete_lease(&world, &leases(&world).await[0]).await;
    eventually("the gap is repaired", async || gaps(&world).await.into_iter().find(|gap| gap["until"].is_number()))
        .await;
    change_all(&world, 1).await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
    assert_leases_tile(&world).await;
    assert_all_stored(&world).await;
}

#[tokio::test]
async fn of_two_leases_for_one_range_the_one_behind_stays() {
    let world = prepared(ALL_VERSIONS, RANGES).await;
    let mut twin = leases(&world).await.remove(0);
    let id = twin["id"].as_str().unwrap().to_owned();
    let (min, max) = (twin["FeedRange"]["Range"]["min"].clone(), twin["FeedRange"]["Range"]["max"].clone());
    let token = format!("{}-{}", min.as_str().unwrap(), max.as_str().unwrap());
    let (prefix, _) = id.split_once("..").unwrap();
    twin["id"] = format!("{prefix}..{token}").into();
    twin["version"] = 1.into();
    twin["LeaseToken"] = token.into();
    let behind: u64 = twin["ContinuationToken"].as_str().unwrap().trim_matches('"').parse().unwrap();
    twin["ContinuationToken"] = format!("\"{}\"", behind + 1_000).into();
    world.source("leases").put(&json!([twin["id"]]).to_string(), &twin.to_string()).await;
    change_all(&world, 1).await;
    world.catch_up().await;
    assert_leases_tile(&world).await;
    assert_eq!(leases(&world).await.len(), RANGES);
    assert_all_stored(&world).await;
    assert!(gaps(&world).await.is_empty());
}
