//! History in snapshots, on an account that keeps no versions: nothing is lost, wherever the program dies, and everything that reads a mirror
//! reads this one.

use serde_json::json;

use super::cosmos::DATABASE;
use super::crash_points::{assert_goes_on, changes, die_at};
use super::directory::held_and_given_back;
use super::oracle::assert_every_change_once;
use super::world::{ALL_VERSIONS, Target, World};

/// Between a put and its snapshot.
pub(super) const POINTS: [&str; 1] = ["snapshot-to-take"];
/// The steps around it.
const AROUND: [&str; 2] = ["version-to-put", "version-put"];
/// How often a point is passed before it counts: once for the first version of a document, later for one that is put over another.
const PASSES: [usize; 3] = [1, 4, 11];
const RANGES: usize = 2;

/// Every version of a document has its snapshot, by which alone it outlives an overwrite.
async fn assert_all_kept(world: &World) {
    for (name, versions) in world.mirror().await {
        let alone = versions.iter().filter(|stored| stored.version.is_empty());
        assert!(!name.contains("/documents/") || alone.count() == 0, "{name} has no snapshot");
    }
}

#[tokio::test]
async fn snapshots_hold_every_version_and_give_it_back() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Snapshots).await;
    held_and_given_back(&world).await;
    assert_all_kept(&world).await;
    world.succeed(&["verify", "--mode", "full"]).await;
}

#[tokio::test]
async fn a_daemon_that_dies_around_a_snapshot_is_followed_by_one_that_loses_nothing() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Snapshots).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    let points = POINTS.into_iter().chain(AROUND).flat_map(|point| PASSES.map(|pass| format!("{point}:{pass}")));
    for (round, point) in points.enumerate() {
        println!("{point}");
        changes(&world, round).await;
        die_at(&world, &point, &["run"]).await;
        assert_goes_on(&world, 0).await;
        assert_all_kept(&world).await;
    }
}

#[tokio::test]
async fn puts_and_snapshots_that_fail_or_whose_answers_are_lost_are_made_up_for() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Snapshots).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    for (round, outcome) in
        [json!({ "status": 503 }), json!({ "action": "respond-then-reset" })].into_iter().enumerate()
    {
        let mut rule = json!({ "service": "blob", "operation": "put", "probability": 0.3, "path": "/documents/" });
        rule.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
        world.emulator.control("faults", &json!({ "rules": [rule] })).await;
        changes(&world, round).await;
        world.catch_up().await;
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
        assert_all_kept(&world).await;
    }
}
