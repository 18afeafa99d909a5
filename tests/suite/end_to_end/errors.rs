//! What cannot work says so in one line with its remedy and its exit code, before anything is written.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

/// A base64 text that is nobody's key.
const WRONG_KEY: &str = "bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50LCBvciBvZiBhbnkgb3RoZXI=";

/// A world in which nothing is wrong yet.
async fn world() -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.source("orders").put(r#"["p"]"#, r#"{"id":"a","pk":"p"}"#).await;
    world
}

/// The message and the remedy of a command that must end with this code, and says the same as JSON.
async fn refusal(world: &World, arguments: &[&str], code: i32) -> (String, String) {
    let text = world.run(&[&["-q"], arguments].concat()).await;
    assert_eq!(text.code, Some(code), "{arguments:?}: {}", text.err);
    assert!(text.out.is_empty() && text.err.lines().count() == 1, "{arguments:?}: {}", text.err);
    let told = world.run(&[&["-q", "-o", "json"], arguments].concat()).await;
    assert_eq!(told.code, Some(code), "{arguments:?}: {}", told.err);
    let told: Value = serde_json::from_str(&told.err).unwrap();
    let (message, remedy) = (told["error"]["message"].as_str().unwrap(), told["error"]["remedy"].as_str().unwrap());
    assert_eq!(told["error"]["exit"], code);
    assert!(!told["error"]["code"].as_str().unwrap().is_empty());
    assert_eq!(text.err, format!("error: {message}; remedy: {remedy}\n"));
    (message.to_owned(), remedy.to_owned())
}

/// As [`refusal`], of `run --once`, which leaves no trace.
async fn refused(world: &World, code: i32, message: &str, remedy: &str) {
    let (told, way_out) = refusal(world, &["run", "--once"], code).await;
    assert!(told.contains(message) && way_out.contains(remedy), "{told}; {way_out}");
    assert!(!told.contains(WRONG_KEY) && !way_out.contains(WRONG_KEY));
    let stored: Vec<String> = world.mirror().await.into_keys().collect();
    assert!(stored.is_empty(), "{stored:?}");
    assert_eq!(world.emulator.history(DATABASE, "leases").await, None);
    assert_eq!(world.emulator.requests("cosmos", "item-write", "*").await, 1, "only the test's own");
}

#[tokio::test]
async fn a_bad_configuration_ends_with_2_before_any_request() {
    let mut world = world().await;
    let before = world.emulator.requests("*", "*", "*").await;
    world.set("LEASES__EXPIRATION", "1s");
    refused(&world, 2, "leases.expiration: must be at least twice leases.renew_interval", "correct").await;
    world.set("LEASES__EXPIRATION", "2s");
    world.set("SOURCE__AUTH", "key");
    refused(&world, 2, "COSMIRROR_SOURCE_KEY", "source.key_env").await;
    // What `refused` itself looks at: two listings and nothing else.
    assert_eq!(world.emulator.requests("*", "*", "*").await, before + 2);
}

#[tokio::test]
async fn a_wrong_key_of_the_source_ends_with_12() {
    let mut world = world().await;
    world.set("SOURCE__AUTH", "key");
    world.variable("COSMIRROR_SOURCE_KEY", WRONG_KEY);
    refused(&world, 12, "401", "check source.auth").await;
}

#[tokio::test]
async fn a_wrong_key_of_the_target_ends_with_12() {
    let mut world = world().await;
    world.set("TARGET__AUTH", "shared-key");
    world.variable("COSMIRROR_TARGET_KEY", WRONG_KEY);
    refused(&world, 12, "AuthenticationFailed (403)", "check the key").await;
}

#[tokio::test]
async fn a_missing_source_container_or_database_ends_with_10_and_its_name() {
    let mut world = world().await;
    world.set("CONTAINERS__0__CONTAINER", "carts");
    refused(&world, 10, "shop/carts", "create it, or correct its name").await;
    world.set("CONTAINERS__0__DATABASE", "bazaar");
    refused(&world, 10, "bazaar/carts", "create it, or correct its name").await;
}

#[tokio::test]
async fn an_account_that_keeps_no_versions_ends_with_2_and_no_blob_is_left() {
    let world = world().await;
    world.emulator.control("storage", &json!({ "versioning": false })).await;
    refused(&world, 2, "blob versioning is off", "--enable-versioning true").await;
    assert_eq!(world.emulator.requests("blob", "put", "201").await, 2, "only the probes");
}

#[tokio::test]
async fn an_account_without_the_feed_of_all_versions_ends_with_2_and_names_the_other_mode() {
    let world = world().await;
    world.emulator.control("account", &json!({ "allVersions": false })).await;
    let (_, remedy) = refusal(&world, &["run", "--once"], 2).await;
    assert!(remedy.contains(LATEST_VERSION), "{remedy}");
}

#[tokio::test]
async fn a_taken_admin_port_ends_with_2_before_any_request() {
    let mut world = world().await;
    let before = world.emulator.requests("*", "*", "*").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    world.set("ADMIN__LISTEN", &taken.local_addr().unwrap().to_string());
    refused(&world, 2, "is taken by another process", "admin.listen").await;
    assert_eq!(world.emulator.requests("*", "*", "*").await, before + 1);
}

#[tokio::test]
async fn what_the_mirror_does_not_hold_ends_with_10_and_what_it_does_not_cover_with_5() {
    let world = world().await;
    let (message, remedy) = refusal(&world, &["history", "a", "--pk", "p"], 10).await;
    assert!(!message.is_empty() && !remedy.is_empty());
    world.catch_up().await;
    let (_, remedy) = refusal(&world, &["history", "a", "--pk", "other"], 10).await;
    assert!(remedy.contains(r#"["p"]"#), "{remedy}");
    refusal(&world, &["show", "b", "--pk", "p"], 10).await;
    refusal(&world, &["show", "a", "--pk", "p", "--version", "1"], 10).await;
    refusal(&world, &["restore", "--id", "b", "--pk", "p", "--version", "1", "--yes"], 10).await;
    for at in ["2999-01-01T00:00:00Z", "2000-01-01T00:00:00Z"] {
        refusal(&world, &["show", "a", "--pk", "p", "--at", at], 5).await;
        let (message, remedy) = refusal(&world, &["restore", "--all", "--yes", "--at", at], 5).await;
        assert!(message.contains("is not covered") && remedy.starts_with("ask for an instant"), "{message}; {remedy}");
    }
    let history = world.history("orders").await;
    assert_eq!(history.len(), 1, "a refused restore wrote to the source");
}

/// It once showed nothing until the target had answered, request by request.
#[tokio::test]
async fn status_tells_of_leases_and_feed_although_the_target_hangs_or_fails() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.source("orders").put(r#"["p"]"#, r#"{"id":"a","pk":"p"}"#).await;
    world.catch_up().await;
    let well = world.json(&["status"]).await["containers"][0].clone();
    assert_eq!((&well["gaps"], &well["dead_letters"], &well["note"]), (&json!(0), &json!(0), &json!(null)));
    for fault in [json!({ "action": "hang" }), json!({ "status": 503 })] {
        let mut rule = fault.clone();
        rule["service"] = "blob".into();
        world.emulator.control("faults", &json!({ "rules": [rule] })).await;
        let told = world.json(&["status", "--max-lag", "1d"]).await["containers"][0].clone();
        assert_eq!((&told["gaps"], &told["dead_letters"]), (&json!(null), &json!(null)), "{told}");
        assert!(told["note"].as_str().unwrap().contains("the target was not read"), "{told}");
        assert_eq!((&told["restorable_from"], told["pending_changes"].as_i64()), (&well["restorable_from"], Some(0)));
        let text = String::from_utf8(world.succeed(&["status"]).await).unwrap();
        assert!(text.contains("\n  gaps             ?\n") && text.contains("the target was not read"), "{text}");
    }
}
