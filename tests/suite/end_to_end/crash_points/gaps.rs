//! Dying while something is found to be missing: a gap is recorded once, repaired once and ended, whoever goes on.

use serde_json::{Value, json};

use super::die_at;
use crate::suite::end_to_end::cosmos::DATABASE;
use crate::suite::end_to_end::coverage::{RANGES, assert_all_stored, change_all, delete_lease, gaps, leases, prepared};
use crate::suite::end_to_end::eventually;
use crate::suite::end_to_end::gaps::{assert_equals_the_source, can_restore, delete_some, retention, the_gap};
use crate::suite::end_to_end::oracle::{by_document, stored};
use crate::suite::end_to_end::ranges::assert_leases_tile;
use crate::suite::end_to_end::world::{ALL_VERSIONS, LATEST_VERSION, World};

pub(super) const POINTS: [&str; 10] = [
    "gap-recorded",
    "hole-lease-created",
    "hole-state-superseded",
    "range-reconciled",
    "gap-to-end",
    "gap-ended",
    "twin-removed",
    "generation-superseded",
    "followed-anew",
    "mode-switched",
];
/// Those of a missing lease.
const HOLES: usize = 6;

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
    let world = prepared(ALL_VERSIONS, RANGES).await;
    for (round, point) in POINTS[..HOLES].iter().enumerate() {
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
    let world = prepared(ALL_VERSIONS, RANGES).await;
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
    let world = prepared(ALL_VERSIONS, RANGES).await;
    change_all(&world, 1).await;
    let mut lease = leases(&world).await.remove(1);
    // Positions count within their range.
    let history = world.history("orders").await;
    let of_range = history.iter().filter(|change| lease["LeaseToken"] == change.range.as_str());
    let newest = of_range.map(|change| change.lsn).max().unwrap();
    lease["ContinuationToken"] = Value::from(format!("\"{newest}\""));
    world.source("leases").put(&json!([lease["id"]]).to_string(), &lease.to_string()).await;
    change_all(&world, 2).await;
    die_at(&world, "gap-recorded", &["run"]).await;
    assert_repaired(&world, 1).await;
}

#[tokio::test]
async fn a_container_that_was_created_again_is_one_gap_wherever_its_record_dies() {
    let world = prepared(ALL_VERSIONS, RANGES).await;
    for (round, point) in ["gap-recorded", "generation-superseded"].into_iter().enumerate() {
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

#[tokio::test]
async fn a_feed_that_went_on_without_the_mirror_is_one_gap_wherever_its_repair_dies() {
    // In the order of the repair: what was saved before one is not done again.
    let points = [
        "gap-recorded",
        "followed-anew",
        "backfill-page-durable",
        "backfill-ended",
        "lease-renewed",
        "repair-put:2",
        "range-reconciled",
        "gap-to-end",
    ];
    let world = prepared(ALL_VERSIONS, 1).await;
    change_all(&world, 1).await;
    delete_some(&world).await;
    retention(&world, 60).await;
    world.emulator.advance(600).await;
    for point in points {
        println!("{point}");
        die_at(&world, point, &["run"]).await;
    }
    world.catch_up().await;
    let (gap, from, until) = the_gap(&world).await;
    assert!(gap["reason"].as_str().unwrap().contains("no longer goes back"), "{gap}");
    assert_equals_the_source(&world, from).await;
    assert!(can_restore(&world, from - 1).await);
    assert!(!can_restore(&world, until - 1).await);
    assert!(can_restore(&world, until).await);
    change_all(&world, 2).await;
    world.catch_up().await;
    assert_all_stored(&world).await;
    assert_eq!(gaps(&world).await.len(), 1);
}

async fn a_switch_of_mode_dies(from: &str, to: &str) {
    let mut world = prepared(from, 1).await;
    change_all(&world, 1).await;
    delete_some(&world).await;
    world.set("CONTAINERS__0__FEED", to);
    world.emulator.advance(40).await;
    for point in
        ["container-described", "gap-recorded", "mode-switched", "lease-renewed", "range-reconciled", "gap-ended"]
    {
        println!("{point}");
        die_at(&world, point, &["run"]).await;
    }
    world.catch_up().await;
    let (gap, _, until) = the_gap(&world).await;
    assert!(gap["reason"].as_str().unwrap().contains("other feed mode"), "{gap}");
    assert_all_stored(&world).await;
    let (history, mirror) = (world.history("orders").await, world.mirror().await);
    let stored = stored(&mirror, "orders");
    for (name, changes) in by_document(&history) {
        let exists = changes.last().unwrap().document.is_some();
        assert_eq!(stored[&name].last().unwrap().field("etag").is_some(), exists, "{name:?}");
    }
    assert!(!can_restore(&world, until - 1).await);
    world.emulator.advance(20).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    assert!(can_restore(&world, until).await);
}

#[tokio::test]
async fn a_switch_to_the_feed_of_latest_versions_is_one_gap_wherever_it_dies() {
    a_switch_of_mode_dies(ALL_VERSIONS, LATEST_VERSION).await;
}

#[tokio::test]
async fn a_switch_to_the_feed_of_all_versions_is_one_gap_wherever_it_dies() {
    a_switch_of_mode_dies(LATEST_VERSION, ALL_VERSIONS).await;
}
