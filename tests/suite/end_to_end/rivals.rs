//! Several daemons want the same leases.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::documents::random;
use super::eventually;
use super::oracle::{assert_every_change_once, live};
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, Target, World};

/// Waits until every lease belongs to this owner.
async fn owned_by(world: &World, owner: &str) {
    eventually(&format!("{owner} owns the leases"), async || {
        let leases = live(&world.emulator.history(DATABASE, "leases").await?);
        let leases = leases.values().map(|text| serde_json::from_str::<Value>(text).unwrap());
        let owners: Vec<Value> =
            leases.filter(|l| l["LeaseToken"].is_string()).map(|mut l| l["Owner"].take()).collect();
        (!owners.is_empty() && owners.iter().all(|found| found == owner)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_slept_through_its_lease_and_one_that_died_leave_nothing_twice_and_nothing_out() {
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = serde_json::json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": 3 });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let rivalry = async {
        let sleeper = world.start(&["run", "--instance", "sleeper"]);
        owned_by(&world, "sleeper").await;
        let heir = world.start(&["run", "--instance", "heir"]);
        world.more_requests("blob", "put", 30).await;
        sleeper.signal("STOP").await;
        owned_by(&world, "heir").await;
        sleeper.signal("CONT").await;
        world.more_requests("blob", "put", 60).await;
        owned_by(&world, "heir").await;
        heir.kill().await;
        owned_by(&world, "sleeper").await;
        world.more_requests("blob", "put", 30).await;
        assert_eq!(sleeper.terminate().await, Some(0));
        stop.cancel();
    };
    tokio::join!(rivalry, traffic(&source, &mut traffic_random, &stop));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}

#[tokio::test]
async fn a_single_run_beside_a_daemon_ends_with_11() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    let daemon = world.start(&["run", "--instance", "daemon"]);
    owned_by(&world, "daemon").await;
    let finished = world.run(&["-q", "run", "--once"]).await;
    assert_eq!(finished.code, Some(11), "{}", finished.err);
    assert!(finished.err.contains("held by another process; remedy: "), "{}", finished.err);
    assert_eq!(daemon.terminate().await, Some(0));
}
