//! An identity that cannot delete on the target, by far the safest one for a backup: everything works with it, and nothing is even tried.

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::crash_points::changes;
use super::dead_letters::letters;
use super::eventually;
use super::oracle::{live_as_sent, stored};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

/// Deletes are refused, and what else is told.
async fn refuse_deletes(world: &World, also: &[Value]) {
    let deletes = json!({ "service": "blob", "operation": "delete", "status": 403 });
    let rules = [&[deletes], also].concat();
    world.emulator.control("faults", &json!({ "rules": rules })).await;
}

async fn started_and_restarted(world: &World) {
    let daemon = world.start(&["run"]);
    world.more_requests("blob", "put", 10).await;
    daemon.kill().await;
    world.emulator.advance(40).await;
    changes(world, 1).await;
    let daemon = world.start(&["run"]);
    world.more_requests("blob", "put", 10).await;
    world.emulator.control("split", &json!({ "database": DATABASE, "container": "orders", "range": "0" })).await;
    eventually("the lease has given way", async || {
        let leases = world.history("leases").await;
        let gone = |change: &super::emulator::Change| change.document.is_none() && change.id.ends_with("..0");
        leases.iter().any(gone).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
}

async fn refused_and_replayed(world: &World) {
    let documents = json!({ "service": "blob", "operation": "put", "path": "/documents/", "status": 400 });
    refuse_deletes(world, &[documents]).await;
    changes(world, 2).await;
    world.catch_up().await;
    assert!(!letters(world).await.is_empty());
    refuse_deletes(world, &[]).await;
    let replayed = world.json(&["dead-letters", "replay", "--all"]).await;
    assert_eq!(replayed["failed"], 0, "{replayed}");
}

async fn spoilt_and_restored(world: &World) {
    let held = live_as_sent(&world.history("orders").await);
    world.emulator.advance(10).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    for (key, id) in held.keys().take(5) {
        world.source("orders").delete(key, id).await;
    }
    changes(world, 3).await;
    world.catch_up().await;
    let restore = ["restore", "--all", "--at", &at, "--source", "shop/orders", "--delete-extra", "--yes"];
    world.succeed(&restore).await;
    assert_eq!(live_as_sent(&world.history("orders").await), held);
}

async fn deleted_and_reconciled(world: &World) {
    for number in 0..3 {
        world.source("carts").delete(r#"["p"]"#, &format!("c{number}")).await;
    }
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let mirror = world.mirror().await;
    let gone = stored(&mirror, "carts").into_values().filter(|v| v.last().unwrap().field("etag").is_none()).count();
    assert_eq!(gone, 3);
    world.succeed(&["verify", "--mode", "full", "--repair"]).await;
}

#[tokio::test]
async fn an_identity_that_cannot_delete_on_the_target_does_everything_and_nothing_is_tried_in_vain() {
    let world = World::new(&[("orders", ALL_VERSIONS), ("carts", LATEST_VERSION)], Target::Blobs).await;
    refuse_deletes(&world, &[]).await;
    everything(&world).await;
    assert_eq!(world.emulator.requests("blob", "delete", "*").await, 0, "something was to be deleted");
}

/// Whatever writes into a mirror of `orders` and `carts`, while deletes are refused from the second step on.
pub(super) async fn everything(world: &World) {
    for container in ["orders", "carts"] {
        world.source(container).make(&["/pk"]).await;
    }
    changes(world, 0).await;
    for number in 0..6 {
        let document = json!({ "id": format!("c{number}"), "pk": "p" });
        world.source("carts").put(r#"["p"]"#, &document.to_string()).await;
    }
    started_and_restarted(world).await;
    refused_and_replayed(world).await;
    spoilt_and_restored(world).await;
    deleted_and_reconciled(world).await;
}
