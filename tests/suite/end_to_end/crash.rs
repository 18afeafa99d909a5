//! The daemon is killed again and again while it works.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::documents::random;
use super::eventually;
use super::oracle::assert_every_change_once;
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, Running, Target, World};

const SEEDED: u64 = 400;
const KILLS_AT_START: usize = 3;
/// Of each of the two kinds.
const KILLS_UNDER_TRAFFIC: usize = 4;
const RANGES: usize = 4;

/// Kills a daemon after some more requests, and lets its leases and locks run out.
async fn kill_after(world: &World, service: &str, operation: &str, requests: u64) {
    let daemon = world.start(&["run"]);
    world.more_requests(service, operation, requests).await;
    die(world, daemon).await;
}

/// Kills a daemon just after it wrote its leases so many times: what it saved must be stored by then.
async fn kill_after_saving(world: &World, writes: usize) {
    let saved = world.history("leases").await.len();
    let daemon = world.start(&["run"]);
    eventually("the leases are written", async || {
        (world.history("leases").await.len() >= saved + writes).then_some(())
    })
    .await;
    die(world, daemon).await;
}

async fn die(world: &World, daemon: Running) {
    daemon.kill().await;
    world.emulator.advance(40).await;
}

/// Waits until the leases are there, so that every later change is followed.
pub(super) async fn leases_are_there(world: &World) {
    eventually("the leases", async || {
        let leases = world.emulator.history(DATABASE, "leases").await?;
        leases.iter().any(|change| change.id.ends_with(".info")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_daemon_killed_at_any_moment_loses_nothing_and_stores_nothing_twice() {
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({
        "database": DATABASE, "container": "orders", "count": SEEDED, "bytes": 400, "keys": 40, "partitions": RANGES,
    });
    world.emulator.control("seed", &seed).await;
    for _ in 0..KILLS_AT_START {
        kill_after(&world, "*", "*", random.random_range(1..60)).await;
    }
    let daemon = world.start(&["run"]);
    leases_are_there(&world).await;
    die(&world, daemon).await;

    // A page takes its time, so that there is much to lose in its middle.
    let slow = json!({ "service": "blob", "operation": "put", "delayMs": 80, "probability": 0.5 });
    world.emulator.control("faults", &json!({ "rules": [slow] })).await;
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let killing = async {
        for _ in 0..KILLS_UNDER_TRAFFIC {
            kill_after(&world, "blob", "put", random.random_range(2..120)).await;
            kill_after_saving(&world, RANGES + random.random_range(1..8)).await;
        }
        stop.cancel();
    };
    tokio::join!(killing, traffic(&source, &mut traffic_random, &stop));
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    world.catch_up().await;
    let history = world.history("orders").await;
    assert!(history.len() as u64 > SEEDED, "there was no traffic");
    assert_every_change_once(&history, SEEDED, &world.mirror().await, "orders");
}
