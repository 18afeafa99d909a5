//! Exports that somebody asks for over HTTP.

use std::path::Path;

use serde_json::{Value, json};

use super::super::eventually;
use super::super::mirror::CONTAINER;
use super::super::world::{ALL_VERSIONS, Target, World};
use super::{TOKEN, daemon, no_faults, put, world};

/// A world whose jobs export, with so many documents that are mirrored.
async fn exporting(count: usize) -> World {
    let mut world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let folder = world.folder().join("exports").display().to_string();
    world.set("ADMIN__EXPORT_TO", &folder);
    changed(&world, count, 1).await;
    world
}

async fn changed(world: &World, count: usize, round: u32) {
    put(world, "orders", count, round).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
}

/// The lines of an export's only file.
fn lines(place: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(place).join("1-000001.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_job_exports_into_a_folder_of_its_own_and_another_one_builds_on_it() {
    let world = exporting(40).await;
    let at = world.complete_until("orders").await;
    let (running, admin) = daemon(&world, "a").await;
    let id = admin.begin("export", "orders", json!({ "at": at })).await;
    let job = admin.ended(&id).await;
    assert_eq!((&job["state"], &job["kind"], &job["at"]), (&json!("succeeded"), &json!("export"), &json!(at)), "{job}");
    assert_eq!((&job["progress"]["done"], &job["drift"]), (&json!(40), &json!(0)), "{job}");
    let place = job["result"]["place"].as_str().unwrap();
    assert!(place.ends_with(&id), "{job}");
    assert_eq!(job["result"]["containers"][0]["counts"]["documents"], 40, "{job}");
    // As the command makes it.
    world.succeed(&["export", "--at", &at, "--out", "by-command"]).await;
    assert_eq!(lines(place), lines(world.folder().join("by-command").to_str().unwrap()));
    // A daemon that ends says in the mirror how far it is.
    assert_eq!(running.terminate().await, Some(0));
    changed(&world, 3, 2).await;
    let (running, admin) = daemon(&world, "b").await;
    let next = admin.begin("export", "orders", json!({ "since": id })).await;
    let job = admin.ended(&next).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(lines(job["result"]["place"].as_str().unwrap()).len(), 3);
    let none = admin.begin("export", "orders", json!({ "since": "20200101T000000Z-00000000" })).await;
    let job = admin.ended(&none).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("not_found")), "{job}");
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test]
async fn an_export_goes_on_in_another_process_as_of_the_same_instant_and_ends_when_it_is_cancelled() {
    let world = exporting(60).await;
    let (running, admin) = daemon(&world, "a").await;
    let slow = json!({ "rules": [{ "service": "blob", "operation": "get", "path": "/documents/", "delayMs": 2000 }] });
    world.emulator.control("faults", &slow).await;
    let id = admin.begin("export", "orders", json!({})).await;
    let folder = world.folder().join("exports").join(&id);
    eventually("the export has begun", async || folder.join("manifest.partial.json").exists().then_some(())).await;
    let begun = admin.until(&id, "it runs", |job| job["state"] == "running" && job["phase"] == "exporting").await;
    assert_eq!(begun["owner"], "a", "{begun}");
    running.kill().await;
    world.emulator.advance(20).await;
    no_faults(&world).await;
    changed(&world, 5, 2).await;
    let (running, admin) = daemon(&world, "b").await;
    let job = admin.ended(&id).await;
    assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(2)), "{job}");
    let place = job["result"]["place"].as_str().unwrap();
    assert_eq!(
        (lines(place).len(), lines(place).iter().filter(|line| line["document"]["round"] == 2).count()),
        (60, 0)
    );
    world.emulator.control("faults", &slow).await;
    let id = admin.begin("export", "orders", json!({})).await;
    admin.until(&id, "it runs", |job| job["state"] == "running").await;
    assert_eq!(admin.delete(&id).await.0, 202);
    let job = admin.ended(&id).await;
    assert_eq!(job["state"], "cancelled", "{job}");
    assert!(!world.folder().join("exports").join(&id).join("manifest.json").exists());
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test]
async fn where_no_place_is_configured_or_content_is_encrypted_no_job_exports() {
    let off = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let mut encrypted = World::encrypted(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    encrypted.source("orders").make(&["/pk"]).await;
    encrypted.set("ADMIN__JOBS", "true");
    encrypted.variable("COSMIRROR_ADMIN_TOKEN", TOKEN);
    let folder = encrypted.folder().join("exports").display().to_string();
    encrypted.set("ADMIN__EXPORT_TO", &folder);
    for (world, code) in [(off, "off"), (encrypted, "encrypted")] {
        let (running, admin) = daemon(&world, "a").await;
        let (status, refused) =
            admin.post(&json!({ "kind": "export", "database": "shop", "container": "orders" })).await;
        assert_eq!((status, &refused["error"]["code"]), (409, &json!(code)), "{refused}");
        assert!(!refused["error"]["remedy"].as_str().unwrap().is_empty());
        assert_eq!(running.terminate().await, Some(0));
    }
}

#[tokio::test]
async fn a_job_exports_into_blobs() {
    let mut world = exporting(20).await;
    let url = format!("{}/{CONTAINER}/of-jobs", world.emulator.blob_endpoint());
    world.set("ADMIN__EXPORT_TO", &url);
    let (running, admin) = daemon(&world, "a").await;
    let id = admin.begin("export", "orders", json!({ "compress": true })).await;
    let job = admin.ended(&id).await;
    assert_eq!((&job["state"], &job["compress"]), (&json!("succeeded"), &json!(true)), "{job}");
    let place = job["result"]["place"].as_str().unwrap();
    assert_eq!(place.trim_end_matches('/'), format!("{url}/{id}"), "{job}");
    world.source("elsewhere").make(&["/pk"]).await;
    let done = world.json(&["import", place, "--into", "shop/elsewhere", "--yes"]).await;
    assert_eq!(done["created"], 20, "{done}");
    assert_eq!(running.terminate().await, Some(0));
}
