//! Leases that other processors left: .NET's are taken over and stay readable to it; Java's are refused, and taken over once they were
//! converted as `docs/operations.md` tells.
//!
//! Java's forms: `ServiceItemLeaseV1` and `ChangeFeedStateV1` (version 1) and `pkversion/ServiceItemLease` (version 0) of azure-sdk-for-java.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::oracle::{live, stored};
use super::world::{LATEST_VERSION, Target, World};

/// A container of one range with documents, and what the ids of its leases begin with, by resource ids.
async fn prepared() -> (World, String) {
    let world = World::new(&[("orders", LATEST_VERSION)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.source("leases").make(&["/id"]).await;
    for number in 0..5 {
        let document = json!({ "id": format!("d{number}"), "pk": "p" });
        world.source("orders").put(r#"["p"]"#, &document.to_string()).await;
    }
    let first: Value =
        serde_json::from_str(&live(&world.history("orders").await).into_values().next().unwrap()).unwrap();
    // A document's resource id begins with its database's four bytes and its container's four.
    let rid = STANDARD.decode(first["_rid"].as_str().unwrap().replace('-', "/")).unwrap();
    let text = |bytes: &[u8]| STANDARD.encode(bytes).replace('/', "-");
    (world, format!("127.0.0.1_{}_{}", text(&rid[..4]), text(&rid[..8])))
}

async fn put_lease(world: &World, lease: &Value) {
    world.source("leases").put(&json!([lease["id"]]).to_string(), &lease.to_string()).await;
}

/// The leases there are.
async fn leases(world: &World) -> Vec<Value> {
    let leases = live(&world.history("leases").await).into_values();
    let mut leases: Vec<Value> = leases.map(|text| serde_json::from_str(&text).unwrap()).collect();
    leases.retain(|lease| lease["LeaseToken"].is_string());
    leases
}

/// The one lease there is.
async fn the_lease(world: &World) -> Value {
    let mut leases = leases(world).await;
    assert_eq!(leases.len(), 1, "{leases:?}");
    leases.remove(0)
}

/// Everything is mirrored, what came before the position by a backfill; the position went on, and nobody made another lease.
async fn assert_taken_over(world: &World, handled_before: usize) {
    world.source("orders").put(r#"["p"]"#, r#"{"id":"later","pk":"p"}"#).await;
    world.catch_up().await;
    let history = world.history("orders").await;
    let last = history.last().unwrap().lsn.to_string();
    assert_eq!(the_lease(world).await["ContinuationToken"].as_str().unwrap().trim_matches('"'), last);
    let mirror = world.mirror().await;
    let stored = stored(&mirror, "orders");
    for (name, text) in live(&history) {
        let newest = stored.get(&name).unwrap_or_else(|| panic!("{name:?} is not there")).last().unwrap();
        assert_eq!(String::from_utf8_lossy(&newest.body), text, "{name:?}");
    }
    // Only what was handled before the position is a backfill's, and there is a window from its end on.
    let backfilled = stored.values().filter(|versions| versions[0].field("op") == Some("backfill")).count();
    assert_eq!(backfilled, handled_before);
    let status = world.json(&["status"]).await;
    assert!(status["containers"][0]["restorable_from"].is_string(), "{status}");
}

async fn third_position(world: &World) -> String {
    format!("\"{}\"", world.history("orders").await[2].lsn)
}

#[tokio::test]
async fn the_lease_of_a_function_without_a_prefix_is_taken_over_and_stays_readable_to_it() {
    let (mut world, prefix) = prepared().await;
    let mut lease = json!({
        "id": format!("{prefix}..0"), "version": 0, "LeaseToken": "0", "FeedRange": { "Range": { "min": "", "max": "FF" } },
        "Owner": null, "ContinuationToken": third_position(&world).await, "properties": { "theirs": "kept" },
        "timestamp": "2026-08-07T18:56:44.1234567Z", "Mode": "Incremental Feed",
    });
    put_lease(&world, &lease).await;
    put_lease(&world, &json!({ "id": format!("{prefix}.info") })).await;
    world.set("LEASES__PROCESSOR", "");
    assert_taken_over(&world, 3).await;
    let mut after = the_lease(&world).await;
    let properties = after["properties"].as_object().unwrap();
    assert_eq!(properties["theirs"], "kept");
    assert!(properties.values().all(Value::is_string), "{properties:?}");
    // All else is as it was, but for what moves and what the service adds.
    for moving in ["ContinuationToken", "timestamp", "properties"] {
        lease[moving] = after[moving].clone();
    }
    after.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
    assert_eq!(after, lease);
}

#[tokio::test]
async fn what_another_processor_handled_between_two_runs_is_a_gap_that_is_repaired() {
    let (world, prefix) = prepared().await;
    let lease = json!({
        "id": format!("cosmirror{prefix}..0"), "version": 0, "LeaseToken": "0", "ContinuationToken": third_position(&world).await,
        "Owner": null, "properties": {}, "timestamp": "2026-08-07T18:56:44.1234567Z",
    });
    put_lease(&world, &lease).await;
    assert_taken_over(&world, 3).await;
    let before = world.complete_until("orders").await;
    // Handed back; the function handles a change and stops. It left our properties as they were.
    world.emulator.advance(10).await;
    world.source("orders").put(r#"["p"]"#, r#"{"id":"handled elsewhere","pk":"p"}"#).await;
    let mut lease = the_lease(&world).await;
    lease["ContinuationToken"] = format!("\"{}\"", world.history("orders").await.last().unwrap().lsn).into();
    put_lease(&world, &lease).await;
    world.emulator.advance(10).await;
    assert_taken_over(&world, 4).await;
    let mirror = world.mirror().await;
    let gaps = mirror.iter().filter(|(path, _)| path.contains("/_mirror/gaps/"));
    let gaps: Vec<Value> = gaps.map(|(_, v)| serde_json::from_slice(&v.last().unwrap().body).unwrap()).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0]["reason"].as_str().unwrap().contains("another processor"), "{gaps:?}");
    assert!(gaps[0]["until"].as_i64() > gaps[0]["from"].as_i64(), "{gaps:?}");
    let restore = world.run(&["restore", "--all", "--at", &before, "--dry-run"]).await;
    assert_eq!(restore.code, Some(0), "{}", restore.err);
}

#[tokio::test]
async fn the_lease_of_an_old_processor_is_taken_over_and_keeps_its_old_name_beside_the_new_one() {
    let (world, prefix) = prepared().await;
    let lease = json!({
        "id": format!("cosmirror{prefix}..0"), "PartitionId": "0", "Owner": "", "ContinuationToken": third_position(&world).await,
    });
    put_lease(&world, &lease).await;
    assert_taken_over(&world, 3).await;
    let after = the_lease(&world).await;
    assert_eq!((&after["PartitionId"], &after["LeaseToken"]), (&json!("0"), &json!("0")));
}

#[tokio::test]
async fn a_lease_without_bounds_whose_partition_was_split_since_gives_way_to_leases_of_its_parts() {
    let (world, prefix) = prepared().await;
    let id = format!("cosmirror{prefix}..0");
    put_lease(&world, &json!({ "id": id, "PartitionId": "0", "ContinuationToken": third_position(&world).await }))
        .await;
    put_lease(&world, &json!({ "id": format!("cosmirror{prefix}.info") })).await;
    let split = json!({ "database": DATABASE, "container": "orders", "range": "0" });
    world.emulator.control("split", &split).await;
    world.catch_up().await;
    let told: Vec<(Value, Value)> =
        leases(&world).await.into_iter().map(|mut l| (l["LeaseToken"].take(), l["PartitionId"].take())).collect();
    assert_eq!(told, [(json!("1"), json!("1")), (json!("2"), json!("2"))], "old readers find the parts too");
    let mirror = world.mirror().await;
    assert_eq!(stored(&mirror, "orders").len(), live(&world.history("orders").await).len());
}

#[tokio::test]
async fn a_java_lease_of_version_1_is_refused_until_its_position_is_unwrapped() {
    let (world, prefix) = prepared().await;
    let bounds = json!({ "min": "", "max": "FF", "isMinInclusive": true, "isMaxInclusive": false });
    let state = json!({
        "V": 1, "Rid": "x", "Mode": "INCREMENTAL", "StartFrom": { "Type": "BEGINNING" },
        "Continuation": {
            "V": 1, "Rid": "x", "Range": bounds,
            "Continuation": [{ "token": third_position(&world).await, "range": bounds }],
        },
    });
    let mut lease = json!({
        "id": format!("cosmirror{prefix}..-FF"), "_etag": "", "LeaseToken": "-FF", "ContinuationToken": URL_SAFE.encode(state.to_string()),
        "timestamp": "2026-11-20T18:46:23.123456Z", "Owner": "host", "version": 1, "feedRange": { "Range": bounds },
    });
    put_lease(&world, &lease).await;
    let refused = world.run(&["-q", "run", "--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    for part in ["..-FF", "Java", "\\\"Taking over from a Java processor\\\" in docs/operations.md"] {
        let found = refused.err.contains(part) || refused.err.contains(&part.replace('\\', ""));
        assert!(found, "{part}: {}", refused.err);
    }

    let wrapped = URL_SAFE.decode(lease["ContinuationToken"].as_str().unwrap()).unwrap();
    let wrapped: Value = serde_json::from_slice(&wrapped).unwrap();
    assert_eq!(wrapped["Mode"], "INCREMENTAL");
    lease["ContinuationToken"] = wrapped["Continuation"]["Continuation"][0]["token"].clone();
    let fields = lease.as_object_mut().unwrap();
    let bounds = fields.remove("feedRange").unwrap();
    fields.insert("FeedRange".to_owned(), bounds);
    fields.insert("properties".to_owned(), json!({}));
    fields.insert("Owner".to_owned(), Value::Null);
    put_lease(&world, &lease).await;
    assert_taken_over(&world, 3).await;
}

#[tokio::test]
async fn a_java_lease_of_version_0_is_taken_over_under_an_id_of_resource_ids() {
    let (world, prefix) = prepared().await;
    let java = json!({
        "id": format!("cosmirror127.0.0.1_{DATABASE}_orders..0"), "_etag": "", "LeaseToken": "0",
        "ContinuationToken": third_position(&world).await, "timestamp": "2026-11-20T18:46:23.123Z[UTC]", "Owner": "host",
    });
    put_lease(&world, &java).await;
    let mut lease = java.clone();
    lease["id"] = format!("cosmirror{prefix}..0").into();
    lease["version"] = 0.into();
    lease["properties"] = json!({});
    lease["Owner"] = Value::Null;
    put_lease(&world, &lease).await;
    let id = java["id"].as_str().unwrap();
    world.source("leases").delete(&json!([id]).to_string(), id).await;
    assert_taken_over(&world, 3).await;
}
