//! Ranges split and merge while they are followed.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::documents::random;
use super::eventually;
use super::oracle::{assert_every_change_once, live, stored};
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

const CHANGES: usize = 6;
const RANGES_MAX: usize = 5;

/// The bounds of the leases there are, in order.
async fn leased(world: &World) -> Vec<(String, String)> {
    let documents = live(&world.history("leases").await).into_values();
    let leases = documents.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let bound = |lease: &Value, name: &str| lease["FeedRange"]["Range"][name].as_str().unwrap().to_owned();
    let leases = leases.filter(|lease| lease["LeaseToken"].is_string());
    let mut bounds: Vec<_> = leases.map(|lease| (bound(&lease, "min"), bound(&lease, "max"))).collect();
    bounds.sort();
    bounds
}

/// Splits a range, or merges two that adjoin; `ranges` are the ids in the order of their bounds.
pub(super) async fn disturb(world: &World, random: &mut StdRng, ranges: &mut Vec<String>, next: &mut usize) {
    let place = json!({"database": DATABASE, "container": "orders"});
    let with = |name: &str, value: Value| {
        let mut body = place.clone();
        body[name] = value;
        body
    };
    let merge = ranges.len() > 1 && (ranges.len() == RANGES_MAX || random.random_bool(0.3));
    if merge {
        let first = random.random_range(0..ranges.len() - 1);
        world.emulator.control("merge", &with("ranges", json!(&ranges[first..first + 2]))).await;
        ranges.splice(first..first + 2, [next.to_string()]);
        *next += 1;
    } else {
        let first = random.random_range(0..ranges.len());
        world.emulator.control("split", &with("range", json!(ranges[first]))).await;
        ranges.splice(first..=first, [next.to_string(), (*next + 1).to_string()]);
        *next += 2;
    }
}

/// An empty container of one range whose leases are there.
async fn followed(feed: &str) -> World {
    let world = World::new(&[("orders", feed)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    world
}

async fn followed_over_splits_and_merges(feed: &str) {
    let mut random = random();
    let world = followed(feed).await;
    let (mut ranges, mut next) = (vec!["0".to_owned()], 1);
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let disturbing = async {
        let daemon = world.start(&["run"]);
        for _ in 0..CHANGES {
            world.more_requests("blob", "put", random.random_range(10..40)).await;
            disturb(&world, &mut random, &mut ranges, &mut next).await;
        }
        world.more_requests("blob", "put", 20).await;
        stop.cancel();
        assert_eq!(daemon.terminate().await, Some(0));
    };
    tokio::join!(disturbing, traffic(&source, &mut traffic_random, &stop));
    // And once more while nobody looks.
    disturb(&world, &mut random, &mut ranges, &mut next).await;
    world.emulator.advance(40).await;
    world.catch_up().await;
    let (history, mirror) = (world.history("orders").await, world.mirror().await);
    if feed == ALL_VERSIONS {
        assert_every_change_once(&history, 0, &mirror, "orders");
    }
    let stored = stored(&mirror, "orders");
    for (name, text) in live(&history) {
        let newest = stored[&name].last().unwrap();
        assert_eq!(String::from_utf8_lossy(&newest.body), text, "the newest version of {name:?}");
    }
    assert_leases_tile(&world).await;
    // The mirror answers for all of it: whatever followed one another handed its state on.
    if feed == ALL_VERSIONS {
        let at = world.complete_until("orders").await;
        let plan = world.json(&["restore", "--all", "--at", &at, "--dry-run"]).await;
        assert_eq!(plan["plan"]["unchanged"], live(&history).len(), "{plan}");
    }
}

/// The leases cover every key, none of them twice.
pub(super) async fn assert_leases_tile(world: &World) {
    let leased = leased(world).await;
    assert_eq!((&*leased[0].0, &*leased[leased.len() - 1].1), ("", "FF"), "{leased:?}");
    assert!(leased.windows(2).all(|pair| pair[0].1 == pair[1].0), "{leased:?}");
}

#[tokio::test]
async fn every_change_is_mirrored_once_and_in_order_while_ranges_split_and_merge() {
    followed_over_splits_and_merges(ALL_VERSIONS).await;
}

#[tokio::test]
async fn latest_versions_are_followed_over_splits_and_merges() {
    followed_over_splits_and_merges(LATEST_VERSION).await;
}

#[tokio::test]
async fn a_daemon_killed_while_leases_give_way_leaves_them_so_that_the_next_one_goes_on() {
    let mut random = random();
    let world = followed(ALL_VERSIONS).await;
    let (mut ranges, mut next) = (vec!["0".to_owned()], 1);
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let killing = async {
        for _ in 0..CHANGES {
            disturb(&world, &mut random, &mut ranges, &mut next).await;
            // Taken, given back, its parts created, itself deleted: each write of a lease may be the last.
            let (saved, writes) = (world.history("leases").await.len(), random.random_range(1..12));
            let daemon = world.start(&["run"]);
            eventually("the leases are written", async || {
                (world.history("leases").await.len() >= saved + writes).then_some(())
            })
            .await;
            daemon.kill().await;
            world.emulator.advance(40).await;
        }
        stop.cancel();
    };
    tokio::join!(killing, traffic(&source, &mut traffic_random, &stop));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
    assert_leases_tile(&world).await;
}

#[tokio::test]
async fn ranges_that_split_before_the_first_checkpoint_and_while_their_backfill_runs_lose_nothing() {
    const SEEDED: u64 = 600;
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": SEEDED, "keys": 60, "partitions": 2 });
    world.emulator.control("seed", &seed).await;
    let slow = json!({ "service": "blob", "operation": "put", "delayMs": 40 });
    world.emulator.control("faults", &json!({ "rules": [slow] })).await;
    let (mut ranges, mut next) = (vec!["0".to_owned(), "1".to_owned()], 2);
    let daemon = world.start(&["run"]);
    eventually("the leases are there", async || {
        let leases = world.emulator.history(DATABASE, "leases").await?;
        leases.iter().any(|change| change.id.ends_with(".info")).then_some(())
    })
    .await;
    disturb(&world, &mut random, &mut ranges, &mut next).await;
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let disturbing = async {
        for _ in 0..3 {
            world.more_requests("blob", "put", random.random_range(20..60)).await;
            disturb(&world, &mut random, &mut ranges, &mut next).await;
        }
        stop.cancel();
    };
    tokio::join!(disturbing, traffic(&source, &mut traffic_random, &stop));
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, SEEDED, &world.mirror().await, "orders");
    assert_leases_tile(&world).await;
}
