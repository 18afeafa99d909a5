//! Several daemons share the ranges of a container: processes that come, go, die and sleep, under traffic.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::documents::random;
use super::eventually;
use super::oracle::{assert_every_change_once, live};
use super::ranges::{assert_leases_tile, disturb};
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, Running, Target, World};

const RANGES: usize = 5;

/// How many leases each owner has; those without one under the empty name.
async fn shares(world: &World) -> BTreeMap<String, usize> {
    let Some(history) = world.emulator.history(DATABASE, "leases").await else { return BTreeMap::new() };
    let mut shares = BTreeMap::new();
    for text in live(&history).values() {
        let lease: Value = serde_json::from_str(text).unwrap();
        if lease["LeaseToken"].is_string() {
            *shares.entry(lease["Owner"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    shares
}

/// Waits until these and nobody else own the leases, in equal shares.
async fn shared_by(world: &World, names: &[&str]) {
    eventually(&format!("the leases are shared by {names:?}"), async || {
        let shares = shares(world).await;
        let all = shares.len() == names.len() && names.iter().all(|name| shares.contains_key(*name));
        let (most, least) = (shares.values().max()?, shares.values().min()?);
        (all && most - least <= 1).then_some(())
    })
    .await;
}

/// A container of several ranges whose leases are there.
async fn prepared() -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    world
}

fn start(world: &World, name: &str) -> Running {
    world.start(&["run", "--instance", name])
}

/// Lets a story happen under traffic, and compares the mirror with the source's history.
async fn under_traffic(world: &World, random: &mut StdRng, story: impl AsyncFnOnce(&mut StdRng)) {
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(random);
    let source = world.source("orders");
    let told = async {
        story(random).await;
        stop.cancel();
    };
    tokio::join!(told, traffic(&source, &mut traffic_random, &stop));
    world.catch_up().await;
    assert_leases_tile(world).await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}

#[tokio::test]
async fn three_daemons_of_which_one_dies_and_one_sleeps_mirror_everything_once_while_ranges_split_and_merge() {
    let mut random = random();
    let world = prepared().await;
    let mut ranges: Vec<String> = (0..RANGES).map(|id| id.to_string()).collect();
    let mut next = RANGES;
    under_traffic(&world, &mut random, async |random| {
        let (one, two, three) = (start(&world, "one"), start(&world, "two"), start(&world, "three"));
        shared_by(&world, &["one", "two", "three"]).await;
        disturb(&world, random, &mut ranges, &mut next).await;
        world.more_requests("blob", "put", 30).await;
        two.signal("STOP").await;
        disturb(&world, random, &mut ranges, &mut next).await;
        // Asleep for longer than a lease lives: the others have taken what it had.
        shared_by(&world, &["one", "three"]).await;
        two.signal("CONT").await;
        world.more_requests("blob", "put", 30).await;
        three.kill().await;
        disturb(&world, random, &mut ranges, &mut next).await;
        shared_by(&world, &["one", "two"]).await;
        world.more_requests("blob", "put", 30).await;
        assert_eq!((one.terminate().await, two.terminate().await), (Some(0), Some(0)));
    })
    .await;
}

#[tokio::test]
async fn a_fleet_grows_from_one_to_three_and_shrinks_again_without_a_lost_or_doubled_change() {
    let mut random = random();
    let world = prepared().await;
    under_traffic(&world, &mut random, async |_| {
        let one = start(&world, "one");
        shared_by(&world, &["one"]).await;
        let (two, three) = (start(&world, "two"), start(&world, "three"));
        shared_by(&world, &["one", "two", "three"]).await;
        world.more_requests("blob", "put", 30).await;
        assert_eq!((three.terminate().await, two.terminate().await), (Some(0), Some(0)));
        shared_by(&world, &["one"]).await;
        world.more_requests("blob", "put", 30).await;
        assert_eq!(one.terminate().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn several_containers_of_one_range_are_shared_like_one_of_several() {
    let names = ["a", "b", "c", "d"];
    let containers: Vec<(&str, &str)> = names.iter().map(|name| (*name, ALL_VERSIONS)).collect();
    let world = World::new(&containers, Target::Blobs).await;
    for name in names {
        world.source(name).make(&["/pk"]).await;
    }
    let one = start(&world, "one");
    shared_by(&world, &["one"]).await;
    let two = start(&world, "two");
    shared_by(&world, &["one", "two"]).await;
    assert_eq!((one.terminate().await, two.terminate().await), (Some(0), Some(0)));
}
