//! Findings about the account, its containers and the leases.

use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use super::super::cosmos::DATABASE;
use super::super::documents::random;
use super::super::traffic::traffic;
use super::super::world::{LATEST_VERSION, World};
use super::{Checked, WRONG_KEY, faults, mirrored, world};

/// The source's part of what there is when the account cannot be used.
const BEHIND_THE_ACCOUNT: [&str; 4] =
    ["container.exists", "container.feed-mode", "leases.container", "leases.permissions"];

#[tokio::test]
async fn a_wrong_key_of_the_source_fails_and_what_needs_it_is_not_checked() {
    let mut world = mirrored().await;
    world.set("SOURCE__AUTH", "key");
    world.variable("COSMIRROR_SOURCE_KEY", WRONG_KEY);
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["source.account"]);
    checked.says("source.account", "fail", "401").remedies("source.account", "check source.auth and the key");
    for name in BEHIND_THE_ACCOUNT {
        checked.says(name, "warn", "not checked: ");
    }
    checked.says("source.reachable", "ok", "answers").says("target.versioning", "ok", "kept");
}

#[tokio::test]
async fn a_skewed_clock_is_found_on_its_side() {
    let world = mirrored().await;
    world.emulator.control("clock", &json!({ "service": "cosmos", "offsetSeconds": 3600 })).await;
    world.emulator.control("clock", &json!({ "service": "blob", "offsetSeconds": -60 })).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["source.clock"]);
    checked.says("source.clock", "fail", "behind the service's").remedies("source.clock", "NTP");
    checked.says("target.clock", "warn", "ahead of the service's").remedies("target.clock", "NTP");
}

#[tokio::test]
async fn several_write_regions_are_warned_of() {
    let world = mirrored().await;
    world.emulator.control("account", &json!({ "multipleWriteLocations": true })).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("warn"), ["source.write-regions"]);
    checked.remedies("source.write-regions", "single write region");
}

#[tokio::test]
async fn a_feed_that_the_account_refuses_fails_and_the_other_mode_does_not() {
    let mut world = world().await;
    world.emulator.control("account", &json!({ "allVersions": false })).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["container.feed-mode"]);
    checked.remedies("container.feed-mode", "continuous backup").remedies("container.feed-mode", LATEST_VERSION);
    world.set("CONTAINERS__0__FEED", LATEST_VERSION);
    Checked::of(&world).await.says("container.feed-mode", "ok", LATEST_VERSION);
}

#[tokio::test]
async fn a_missing_container_fails_with_its_name_and_the_others_are_looked_at() {
    let mut world = world().await;
    world.set("CONTAINERS__1__DATABASE", DATABASE);
    world.set("CONTAINERS__1__CONTAINER", "carts");
    world.set("LEASES__CREATE", "false");
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["container.exists", "leases.container"]);
    let missing: Vec<_> = checked.checks.iter().filter(|check| check["name"] == "container.exists").collect();
    assert_eq!((&missing[0]["status"], &missing[0]["subject"]), (&json!("ok"), &json!("shop/orders")));
    assert_eq!((&missing[1]["status"], &missing[1]["subject"]), (&json!("fail"), &json!("shop/carts")));
    checked
        .says("leases.container", "fail", "leases.create is false")
        .remedies("leases.container", "--partition-key-path /id");
}

async fn with_leases(key: &str, ttl: Option<i64>) -> World {
    let world = world().await;
    let more = ttl.map(|ttl| Map::from_iter([("defaultTtl".to_owned(), json!(ttl))]));
    world.source("leases").make_with(&[key], more.unwrap_or_default()).await;
    world
}

#[tokio::test]
async fn a_lease_container_that_would_lose_leases_or_cannot_hold_them_fails() {
    let world = with_leases("/id", Some(3_600)).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["leases.container"]);
    checked.says("leases.container", "fail", "3600 s").says("leases.permissions", "ok", "deleted");
    let world = with_leases("/pk", None).await;
    let checked = Checked::of(&world).await;
    checked.says("leases.container", "fail", "/pk").says("leases.permissions", "warn", "not checked");
    for (key, ttl) in [("/id", None), ("/partitionKey", Some(-1))] {
        let world = with_leases(key, ttl).await;
        Checked::of(&world).await.says("leases.container", "ok", key).says("leases.permissions", "ok", "replaced");
        assert_eq!(world.history("leases").await.last().unwrap().op, "delete");
    }
}

#[tokio::test]
async fn leases_that_cannot_be_written_fail_and_a_probe_does_not_stay() {
    let world = with_leases("/id", None).await;
    let write = |more: serde_json::Value| {
        let mut rule = json!({ "service": "cosmos", "operation": "item-write", "container": "leases" });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([rule])
    };
    faults(&world, write(json!({ "status": 403 }))).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["leases.permissions"]);
    checked.says("leases.permissions", "fail", "403");
    assert!(world.history("leases").await.is_empty());
    // The answer to its creation is lost, and the driver's own second attempt finds it.
    faults(&world, write(json!({ "action": "respond-then-reset", "count": 1 }))).await;
    Checked::of(&world).await;
    let history = world.history("leases").await;
    assert_eq!(history.last().unwrap().op, "delete", "{history:?}");
}

#[tokio::test]
async fn the_rate_of_changes_is_measured_and_priced() {
    let world = mirrored().await;
    let stop = CancellationToken::new();
    let source = world.source("orders");
    let mut random = random();
    let looking = async {
        let checked = Checked::with(&world, &["--sample", "2s"]).await;
        stop.cancel();
        checked
    };
    let (checked, ()) = tokio::join!(looking, traffic(&source, &mut random, &stop));
    checked.says("container.change-rate", "ok", "changes a second").says(
        "container.change-rate",
        "ok",
        "a batch counts once",
    );
    checked.says("container.cost", "ok", "USD for their puts").says("container.cost", "ok", "GiB of growth a month");
}
