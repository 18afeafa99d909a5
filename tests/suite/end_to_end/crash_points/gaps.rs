//! Dying while something is found to be missing: a gap is recorded once, repaired once and ended, whoever goes on.

use serde_json::{Value, json};

use super::die_at;
use crate::suite::end_to_end::cosmos::DATABASE;
use crate::suite::end_to_end::coverage::{RANGES, assert_all_stored, change_all, delete_lease, gaps, leases, prepared};
use crate::suite::end_to_end::eventually;
use crate::suite::end_to_end::ranges::assert_leases_tile;
use crate::suite::end_to_end::world::{ALL_VERSIONS, World};

pub(super) const POINTS: [&str; 9] = [
    "hole-gap-recorded",
    "hole-lease-created",
    "hole-state-superseded",
    "gap-to-end",
    "gap-ended",
    "twin-removed",
    "moved-gap-recorded",
    "generation-gap-recorded",
    "generation-superseded",
];

/// A daemon repairs what is missing; so many gaps were recorded and all have ended.
async fn assert_repaired(world: &World, expected: usize) {
    let daemon = world.start(&["run"]);
    eventually("the gaps are repaired", async || {
        let gaps = gaps(world).await;
        (gaps.len() == expected && gaps.iter().all(|gap| gap["until"].is_number())).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.emulator.advance(5).await;
    world.catch_up().await;
    assert_eq!(gaps(world).await.len(), expected);
    assert_leases_tile(world).await;
    assert_all_stored(world).await;
    let until = world.complete_until("orders").await;
    let plan = world.json(&["restore", "--all", "--at", &until, "--dry-run"]).await;
    assert_eq!([&plan["plan"]["create"], &plan["plan"]["replace"]], [0, 0], "{plan}");
}

#[tokio::test]
async fn a_missing_lease_is_one_gap_wherever_its_repair_dies() {
    let world = prepared(ALL_VERSIONS).await;
    for (round, point) in POINTS[..5].iter().enumerate() {
        println!("{point}");
        let lease = leases(&world).await.remove(round % RANGES);
        delete_lease(&world, &lease).await;
        let mut expected = round + 1;
        if *point == "hole-state-superseded" {
            let range = lease["LeaseToken"].as_str().unwrap();
            let split = json!({ "database": DATABASE, "container": "orders", "range": range });
            world.emulator.control("split", &split).await;
        }
        // The rounds behind that have one gap more, because there were two parts without a lease.
        expected += usize::from(round >= 2);
        change_all(&world, round + 1).await;
        world.emulator.advance(10).await;
        die_at(&world, point, &["run"]).await;
        assert_repaired(&world, expected).await;
    }
}

#[tokio::test]
async fn a_lease_that_is_there_twice_is_there_once_although_who_removed_the_other_died() {
    let world = prepared(ALL_VERSIONS).await;
    let mut twin = leases(&world).await.remove(0);
    let bound = |name: &str| twin["FeedRange"]["Range"][name].as_str().unwrap().to_owned();
    let token = format!("{}-{}", bound("min"), bound("max"));
    let (prefix, _) = twin["id"].as_str().unwrap().split_once("..").unwrap();
    twin["id"] = format!("{prefix}..{token}").into();
    twin["version"] = 1.into();
    twin["LeaseToken"] = token.into();
    world.source("leases").put(&json!([twin["id"]]).to_string(), &twin.to_string()).await;
    change_all(&world, 1).await;
    die_at(&world, "twin-removed", &["run"]).await;
    assert_repaired(&world, 0).await;
    assert_eq!(leases(&world).await.len(), RANGES);
}

#[tokio::test]
async fn a_position_that_others_moved_is_one_gap_although_who_recorded_it_died() {
    let world = prepared(ALL_VERSIONS).await;
    change_all(&world, 1).await;
    let mut lease = leases(&world).await.remove(1);
    // Positions count within their range.
    let history = world.history("orders").await;
    let of_range = history.iter().filter(|change| lease["LeaseToken"] == change.range.as_str());
    let newest = of_range.map(|change| change.lsn).max().unwrap();
    lease["ContinuationToken"] = Value::from(format!("\"{newest}\""));
    world.source("leases").put(&json!([lease["id"]]).to_string(), &lease.to_string()).await;
    change_all(&world, 2).await;
    die_at(&world, "moved-gap-recorded", &["run"]).await;
    assert_repaired(&world, 1).await;
}

#[tokio::test]
async fn a_container_that_was_created_again_is_one_gap_wherever_its_record_dies() {
    let world = prepared(ALL_VERSIONS).await;
    for (round, point) in POINTS[7..].iter().enumerate() {
        println!("{point}");
        world.emulator.advance(10).await;
        world.source("orders").remove().await;
        let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
        world.emulator.control("seed", &seed).await;
        change_all(&world, round + 1).await;
        die_at(&world, point, &["run"]).await;
        change_all(&world, round + 10).await;
        world.catch_up().await;
        assert_all_stored(&world).await;
        let gaps = gaps(&world).await;
        assert_eq!(gaps.len(), round + 1, "{gaps:?}");
        assert!(gaps.iter().all(|gap| gap["until"].is_number()), "{gaps:?}");
    }
}
