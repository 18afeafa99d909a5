//! Whoever might bring a purged document back, and does not.

use serde_json::json;

use super::super::crash_points::die_at;
use super::super::mirror;
use super::super::observer::{admins, metrics, value};
use super::super::wire::account_sas;
use super::super::world::{ALL_VERSIONS, LATEST_VERSION, Running, Target, World};
use super::{ID, KEY, PURGE, SECRET, assert_unreadable, document, history, live, operations, purge};

pub(super) const SOUTH: &str = "south";

/// Another container of the account as a target.
pub(super) fn add_south(world: &mut World, required: bool) {
    world.set("TARGETS__0__NAME", SOUTH);
    world.set("TARGETS__0__REQUIRED", &required.to_string());
    world.set("TARGETS__0__ENDPOINT", &world.emulator.blob_endpoint());
    world.set("TARGETS__0__CONTAINER", SOUTH);
}

/// Nothing of it is in the other target.
pub(super) async fn assert_not_in_south(world: &World) {
    let held = mirror::of_container(&world.emulator, SOUTH).await;
    let versions = held.values().flatten();
    assert!(versions.clone().count() > 0);
    for stored in versions {
        assert!(!String::from_utf8_lossy(&stored.body).contains(SECRET));
    }
}

/// The daemon skips so many changes at least, and stores none of them.
async fn assert_leaves_away(world: &World, daemon: Running, admin: &str, least: f64) {
    super::super::eventually("the page is done", async || {
        let shown = metrics(world, admin).await;
        value(&shown, "purged_skipped_total", None).filter(|skipped| *skipped >= least)
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    assert_unreadable(world).await;
    assert_eq!(operations(world).await, ["purge"]);
}

#[tokio::test]
async fn the_replay_of_a_page_after_a_crash_leaves_it_away_and_counts_it() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    for step in 3..6 {
        world.source("orders").put(KEY, &document(step)).await;
    }
    world.source("orders").delete(KEY, ID).await;
    // Stored, and not checkpointed.
    die_at(&world, "page-durable", &["run", "--once"]).await;
    purge(&world).await;
    let daemon = world.start(&["run"]);
    // The log begins with the one that died.
    let admin = admins(&daemon, 2).await.remove(1);
    assert_leaves_away(&world, daemon, &admin, 4.0).await;
}

/// The daemon has read the document's last changes and is about to store them; nobody tells it of the purge.
#[tokio::test]
async fn a_put_that_is_under_way_while_the_history_is_erased_comes_too_late() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    let path = format!("/documents/p/{ID}.json");
    let late = json!({ "service": "blob", "operation": "put", "path": path, "delayMs": 10_000, "count": 1 });
    world.emulator.control("faults", &json!({ "rules": [late] })).await;
    let before = world.emulator.requests("cosmos", "feed", "200").await;
    world.source("orders").put(KEY, &document(7)).await;
    world.source("orders").delete(KEY, ID).await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    super::super::eventually("the changes are read", async || {
        (world.emulator.requests("cosmos", "feed", "200").await > before).then_some(())
    })
    .await;
    purge(&world).await;
    assert_leaves_away(&world, daemon, &admin, 1.0).await;
}

/// The source holds the document all along, as one that is asked to restore by mistake would.
#[tokio::test]
async fn a_backfill_and_a_repair_leave_it_away() {
    for feed in [ALL_VERSIONS, LATEST_VERSION] {
        let world = World::new(&[("orders", feed)], Target::Blobs).await;
        world.source("orders").make(&["/pk"]).await;
        live(&world).await;
        world.emulator.advance(10).await;
        world.catch_up().await;
        world.json(&[&PURGE[..], &["--confirm", "--without-source"]].concat()).await;
        // Without leases, what exists is read from the beginning.
        world.source("leases").remove().await;
        world.emulator.advance(10).await;
        world.catch_up().await;
        assert_unreadable(&world).await;
        assert_eq!(operations(&world).await, ["purge"], "{feed}");
        let verified = world.run(&["verify", "--repair"]).await;
        assert_eq!(verified.code, Some(4), "{}", verified.err);
        assert_eq!(operations(&world).await, ["purge"], "{feed}");
        assert_unreadable(&world).await;
    }
}

#[tokio::test]
async fn it_goes_from_every_target_and_no_target_brings_it_to_another() {
    for required in [true, false] {
        let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
        world.source("orders").make(&["/pk"]).await;
        add_south(&mut world, required);
        live(&world).await;
        world.source("orders").delete(KEY, ID).await;
        world.catch_up().await;
        let done = purge(&world).await;
        let targets = done["targets"].as_array().unwrap();
        assert_eq!(targets.iter().map(|found| found["target"].as_str().unwrap()).collect::<Vec<_>>(), ["first", SOUTH]);
        assert!(targets.iter().all(|found| found["erased"].as_u64().unwrap() >= 4), "{done}");
        assert_unreadable(&world).await;
        assert_not_in_south(&world).await;
        world.emulator.advance(10).await;
        world.catch_up().await;
        assert_not_in_south(&world).await;
        world.succeed(&["verify", "--against", SOUTH, "--mode", "full"]).await;
    }
}

/// The first target is bound to keep its versions for a while, and the other one is new.
#[tokio::test]
async fn a_new_target_is_not_filled_with_what_a_policy_keeps_in_the_first() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("TARGET__IMMUTABLE_FOR", "30d");
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    world.source("orders").delete(KEY, ID).await;
    world.catch_up().await;
    let finished = world.run(&[&PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(finished.code, Some(3), "{}", finished.err);
    assert!(operations(&world).await.len() > 1, "they are there, protected");
    add_south(&mut world, true);
    world.catch_up().await;
    assert_not_in_south(&world).await;
    world.succeed(&["verify", "--against", SOUTH]).await;
}

/// A plan that was made before, and the undo file of a restore: both hold what is erased since.
#[tokio::test]
async fn neither_a_plan_nor_what_undoes_a_restore_brings_it_back() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.source("orders").put(KEY, &document(9)).await;
    world.catch_up().await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    world.succeed(&["restore", "plan", "--all", "--at", &at, "-f", "first.plan"]).await;
    world.succeed(&["restore", "apply", "first.plan", "--yes"]).await;
    world.catch_up().await;
    world.source("orders").delete(KEY, ID).await;
    world.catch_up().await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    world.succeed(&["restore", "plan", "--all", "--at", &at, "-f", "second.plan"]).await;
    purge(&world).await;
    let before = world.history("orders").await.len();
    // The undo file holds the ninth step, and its document is not what the restore left, so it has to be told apart from a conflict.
    for file in ["second.plan", "first.plan.undo"] {
        let done = world.run(&["-o", "json", "restore", "apply", file, "--yes"]).await;
        let report: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
        assert_eq!((&report["purged"], &report["applied"]["create"]), (&json!(1), &json!(0)), "{file}: {report}");
        assert_eq!(done.code, Some(0), "{file}: {}", done.err);
    }
    assert_eq!(world.history("orders").await.len(), before);
    assert_eq!(history(&world).await, ["purge"]);
}

/// It may know of the purge, and nobody else does.
#[tokio::test]
async fn a_restore_waits_for_a_mirror_that_may_know_of_purges_and_cannot_be_read() {
    let mut world = World::new(&[("orders", ALL_VERSIONS), ("copy", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.source("copy").make(&["/pk"]).await;
    live(&world).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    let plan = ["restore", "plan", "--all", "--at", &at, "--source", "shop/orders", "-f"];
    world.source("orders").put(KEY, &document(9)).await;
    world.catch_up().await;
    world.succeed(&[&plan[..], &["first.plan"]].concat()).await;
    world.succeed(&["restore", "apply", "first.plan", "--yes"]).await;
    world.catch_up().await;
    world.source("orders").delete(KEY, ID).await;
    world.catch_up().await;
    world.emulator.advance(2).await;
    world.json(&[&PURGE[..], &["--source", "shop/orders", "--confirm"]].concat()).await;
    world.succeed(&[&plan[..], &["copy.plan", "--into", "shop/copy"]].concat()).await;
    let refused = async |world: &World, file: &str| {
        let finished = world.run(&["restore", "apply", file, "--yes"]).await;
        assert_eq!(finished.code, Some(12), "{file}: {}", finished.err);
        assert!(finished.err.contains("tells which documents were purged"), "{file}: {}", finished.err);
        assert!(finished.err.contains("nothing was written"), "{file}: {}", finished.err);
    };
    let before = (world.history("orders").await.len(), world.history("copy").await.len());
    // The container that is written to is mirrored too.
    let closed = json!({ "service": "blob", "path": "/shop/copy/_mirror/container.json", "status": 403 });
    world.emulator.control("faults", &json!({ "rules": [closed] })).await;
    refused(&world, "copy.plan").await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    world.set("TARGET__AUTH", "sas");
    world.variable("COSMIRROR_TARGET_SAS", &account_sas("sco", "w"));
    refused(&world, "first.plan.undo").await;
    assert_eq!((world.history("orders").await.len(), world.history("copy").await.len()), before);
    // To read it is enough.
    world.variable("COSMIRROR_TARGET_SAS", &account_sas("sco", "rl"));
    let done = world.json(&["restore", "apply", "first.plan.undo", "--yes"]).await;
    assert_eq!((&done["purged"], &done["applied"]["create"]), (&json!(1), &json!(0)), "{done}");
}

/// The earlier export holds the document, and the mirror cannot tell so any more.
#[tokio::test]
async fn an_export_that_builds_on_one_from_before_says_that_it_is_gone_and_holds_none_of_it() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    let before = world.complete_until("orders").await;
    world.succeed(&["export", "--at", &before, "--out", "full"]).await;
    world.source("orders").delete(KEY, ID).await;
    world.catch_up().await;
    purge(&world).await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    let after = world.complete_until("orders").await;
    world.succeed(&["export", "--at", &after, "--since", "full", "--out", "increment"]).await;
    let lines = |folder: &str| std::fs::read_to_string(world.folder().join(folder).join("1-000001.ndjson")).unwrap();
    assert!(lines("full").contains(SECRET));
    let increment: Vec<serde_json::Value> =
        lines("increment").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(increment.len(), 1, "{increment:?}");
    assert_eq!((&increment[0]["op"], &increment[0]["id"]), (&json!("delete"), &json!(ID)));
    // One from before the purge, made by now, has none of it either.
    world.succeed(&["export", "--at", &before, "--out", "again"]).await;
    assert_eq!(lines("again").lines().count(), 1);
    assert!(lines("again").contains("ada-2") && !lines("again").contains(SECRET), "{}", lines("again"));
    // The first one still holds it; what it is imported into does not get it.
    for (container, exports) in [("alone", &["full"][..]), ("chain", &["full", "increment"])] {
        world.source(container).make(&["/pk"]).await;
        let into = format!("shop/{container}");
        let done = world.json(&[&["import"], exports, &["--into", &into, "--yes"]].concat()).await;
        let purged = u64::from(exports.len() == 1);
        assert_eq!((&done["created"], &done["purged"]), (&json!(1), &json!(purged)), "{done}");
        let ids = world.history(container).await;
        assert_eq!(ids.iter().map(|change| change.id.as_str()).collect::<Vec<_>>(), ["ada-2"]);
    }
}
