//! Rehearsals that somebody asks for over HTTP.

use serde_json::json;

use super::super::world::{ALL_VERSIONS, Target, World};
use super::{daemon, no_faults, put, world};

async fn rehearsing(count: usize) -> World {
    let mut world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("REHEARSAL__INTO", "rehearsals/{container}");
    put(&world, "orders", count, 1).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    world
}

#[tokio::test]
async fn a_job_rehearses_as_the_settings_say_and_tells_what_it_found_and_how_long_it_took() {
    let world = rehearsing(30).await;
    let (running, admin) = daemon(&world, "a").await;
    let id = admin.begin("rehearse", "orders", json!({ "sample": 1 })).await;
    let job = admin.ended(&id).await;
    assert_eq!(
        (&job["state"], &job["kind"], &job["sample"]),
        (&json!("succeeded"), &json!("rehearse"), &json!(1.0)),
        "{job}"
    );
    let result = &job["result"];
    assert_eq!(
        (&result["state"], &result["cleaned"], &result["scratch"]),
        (&json!("equal"), &json!(true), &json!("rehearsals/orders")),
        "{job}"
    );
    assert_eq!((&result["counts"]["documents"], &result["counts"]["equal"]), (&json!(30), &json!(30)), "{job}");
    assert!(result["took"]["rto_seconds_all"].as_f64().unwrap() > 0.0, "{job}");
    // The status tells of it as of any other.
    let status = world.json(&["status"]).await;
    assert_eq!(status["containers"][0]["rehearsal"]["by"], "job", "{status}");
    assert_eq!(world.emulator.history("rehearsals", "orders").await, None);
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test]
async fn a_rehearsal_that_is_cancelled_or_dies_is_cleaned_up_by_the_next_one() {
    let world = rehearsing(30).await;
    let (running, admin) = daemon(&world, "a").await;
    let slow = json!({ "rules": [{ "service": "blob", "operation": "get", "path": "/documents/", "delayMs": 2000 }] });
    world.emulator.control("faults", &slow).await;
    let id = admin.begin("rehearse", "orders", json!({ "sample": 1 })).await;
    let under_way = admin.until(&id, "it restores", |job| job["phase"] == "restoring").await;
    assert_eq!(under_way["progress"]["total"], 30, "{under_way}");
    assert_eq!(admin.delete(&id).await.0, 202);
    assert_eq!(admin.ended(&id).await["state"], "cancelled");
    no_faults(&world).await;
    // What was cut off counts as going on until it has given no sign of life for a while.
    let next = admin.begin("rehearse", "orders", json!({ "sample": 1 })).await;
    admin.until(&next, "it waits", |job| job["phase"] == "waiting for another rehearsal").await;
    world.emulator.advance(100).await;
    let job = admin.ended(&next).await;
    assert_eq!((&job["state"], &job["result"]["counts"]["equal"]), (&json!("succeeded"), &json!(30)), "{job}");
    assert_eq!(world.emulator.history("rehearsals", "orders").await, None);
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test]
async fn where_the_settings_name_no_scratch_container_no_job_rehearses() {
    let world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let (running, admin) = daemon(&world, "a").await;
    let (status, refused) = admin.post(&json!({ "kind": "rehearse", "database": "shop", "container": "orders" })).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("off")), "{refused}");
    assert!(refused["error"]["remedy"].as_str().unwrap().contains("rehearsal.into"), "{refused}");
    assert_eq!(running.terminate().await, Some(0));
}
