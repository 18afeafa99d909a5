//! The daemon is asked to end, and the next one goes on.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use super::documents::random;
use super::oracle::{assert_every_change_once, live};
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, Target, World};

const DAEMONS: usize = 3;

/// The owners in the leases that exist; there is at least one lease.
async fn owners(world: &World) -> Vec<serde_json::Value> {
    let documents = live(&world.history("leases").await).into_values();
    let documents = documents.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
    let owners: Vec<_> =
        documents.filter(|lease| lease["LeaseToken"].is_string()).map(|mut l| l["Owner"].take()).collect();
    assert!(!owners.is_empty());
    owners
}

#[tokio::test]
async fn a_daemon_told_to_end_saves_its_place_and_gives_its_leases_back() {
    let mut random = random();
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    // So long that a lease which was not given back would keep the next daemon waiting until the test has failed.
    for (setting, value) in [("EXPIRATION", "10m"), ("RENEW_INTERVAL", "2m"), ("ACQUIRE_INTERVAL", "1s")] {
        world.set(&format!("LEASES__{setting}"), value);
    }
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let draining = async {
        for _ in 0..DAEMONS {
            let daemon = world.start(&["run"]);
            world.more_requests("blob", "put", random.random_range(10..100)).await;
            assert_eq!(daemon.terminate().await, Some(0));
            assert!(owners(&world).await.iter().all(serde_json::Value::is_null));
        }
        stop.cancel();
    };
    tokio::join!(draining, traffic(&source, &mut traffic_random, &stop));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}
