//! The program dies at each of its crash points in turn; what the next one makes of it is compared with the source's history.
//!
//! Every point belongs to one of the stories below and in the files beside, and a test holds them to the program's own list. A point that
//! is not passed fails its story, because the process then does not die.

use cosmirror::crash::POINTS;
use futures::stream::{self, StreamExt as _};
use rand::RngExt as _;
use serde_json::json;

use super::cosmos::DATABASE;
use super::directory;
use super::documents::random;
use super::export;
use super::import;
use super::oracle::assert_every_change_once;
use super::purge;
use super::ranges::assert_leases_tile;
use super::rehearse;
use super::restore_apply;
use super::snapshots;
use super::targets;
use super::traffic::{create, delete, replace};
use super::world::{ALL_VERSIONS, Target, World};

mod gaps;
mod repairs;

const START: [&str; 10] = [
    "container-described",
    "probe-created",
    "lock-taken",
    "first-lease-created",
    "marker-to-create",
    "marker-created",
    "lease-taken",
    "backfill-page-durable",
    "backfill-to-end",
    "backfill-ended",
];
const FOLLOWING: [&str; 8] = [
    "version-to-put",
    "version-put",
    "page-durable",
    "position-moved",
    "state-to-put",
    "state-put",
    "lease-to-renew",
    "lease-renewed",
];
const ENDING: [&str; 2] = ["lease-to-release", "lease-released"];
const SPLITTING: [&str; 6] = [
    "split-lease-taken",
    "split-part-created",
    "split-covered",
    "split-part-state-put",
    "split-superseded",
    "split-lease-deleted",
];

const SEEDED: u64 = 60;
const RANGES: usize = 2;
/// Worlds at the same time.
const WORLDS: usize = 2;
/// Documents of a round of changes.
const DOCUMENTS: usize = 8;

#[test]
fn every_crash_point_has_its_story() {
    let stories: [&[&str]; 14] = [
        &START,
        &FOLLOWING,
        &ENDING,
        &SPLITTING,
        &gaps::POINTS,
        &repairs::POINTS,
        &rehearse::POINTS,
        &purge::POINTS,
        &restore_apply::POINTS,
        &snapshots::POINTS,
        &targets::POINTS,
        &directory::POINTS,
        &export::POINTS,
        &import::POINTS,
    ];
    let mut told = stories.concat();
    let mut all = POINTS.to_vec();
    told.sort_unstable();
    all.sort_unstable();
    assert_eq!(told, all);
}

/// Lets a command die at a point, and its leases and locks run out.
pub(super) async fn die_at(world: &World, point: &str, arguments: &[&str]) {
    world.start_to_die(point, arguments).died().await;
    world.emulator.advance(40).await;
}

/// Creates, replaces and deletes documents of their own, some in one transaction.
pub(super) async fn changes(world: &World, round: usize) {
    let source = world.source("orders");
    for number in 0..DOCUMENTS {
        let (pk, id) = (format!("p{number}"), format!("r{round}-{number}"));
        let key = json!([pk]).to_string();
        let text = |id: &str, step: u32| json!({ "id": id, "pk": pk, "step": step }).to_string();
        for step in 0..2 {
            source.put(&key, &text(&id, step)).await;
        }
        match number % 4 {
            0 => source.delete(&key, &id).await,
            1 => source.batch(&key, &[delete(&id), create(&text(&id, 2)), replace(&id, &text(&id, 3))]).await,
            2 => {
                let brief = format!("{id}-brief");
                source
                    .batch(&key, &[create(&text(&brief, 0)), replace(&brief, &text(&brief, 1)), delete(&brief)])
                    .await;
            }
            _ => {}
        }
    }
}

async fn followed(count: u64) -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": count, "keys": 12, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world
}

/// The next process stores what the one before left, once and in order.
pub(super) async fn assert_goes_on(world: &World, before: u64) {
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, before, &world.mirror().await, "orders");
    assert_leases_tile(world).await;
}

#[tokio::test]
async fn a_daemon_that_dies_while_it_starts_or_while_its_backfill_runs_is_followed_by_one_that_goes_on() {
    stream::iter(START)
        .for_each_concurrent(WORLDS, async |point| {
            println!("{point}");
            let world = followed(SEEDED).await;
            die_at(&world, point, &["run"]).await;
            assert_goes_on(&world, SEEDED).await;
            changes(&world, 0).await;
            assert_goes_on(&world, SEEDED).await;
        })
        .await;
}

#[tokio::test]
async fn a_daemon_that_dies_at_any_step_of_following_or_ending_is_followed_by_one_that_goes_on() {
    let mut random = random();
    let world = followed(0).await;
    world.catch_up().await;
    for (round, point) in FOLLOWING.into_iter().chain(ENDING).enumerate() {
        changes(&world, round).await;
        // There are two ranges, and each comes there once at least.
        let point = format!("{point}:{}", random.random_range(1..=RANGES));
        println!("{point}");
        let arguments: &[&str] = if round < FOLLOWING.len() { &["run"] } else { &["run", "--once"] };
        die_at(&world, &point, arguments).await;
        assert_goes_on(&world, 0).await;
    }
}

#[tokio::test]
async fn a_daemon_that_dies_at_any_step_of_a_split_is_followed_by_one_that_goes_on() {
    let world = followed(0).await;
    world.catch_up().await;
    let mut next = RANGES;
    for (round, point) in SPLITTING.into_iter().enumerate() {
        println!("{point}");
        changes(&world, round).await;
        // The newest range of all, so that each has one parent.
        let range = (next - 1).to_string();
        world.emulator.control("split", &json!({ "database": DATABASE, "container": "orders", "range": range })).await;
        next += 2;
        changes(&world, SPLITTING.len() + round).await;
        die_at(&world, point, &["run"]).await;
        assert_goes_on(&world, 0).await;
    }
}
