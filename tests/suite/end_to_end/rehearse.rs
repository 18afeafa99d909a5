//! Rehearsals: what is restored into a scratch container is what the mirror holds, what is not shows, and nothing is deleted that no
//! rehearsal wrote, however one ends.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::documents::{document, random};
use super::eventually;
use super::observer::{admins, metrics, value};
use super::oracle::live_as_sent;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

/// The points at which a rehearsal dies besides those of a restore.
pub(super) const POINTS: [&str; 4] =
    ["rehearsal-claimed", "rehearsal-created", "rehearsal-restored", "rehearsal-emptied"];

const DOCUMENTS: usize = 60;
/// Seconds after which a rehearsal that gives no sign of life counts as dead, and more.
const DEAD: u32 = 100;
const REHEARSE: [&str; 4] = ["rehearse", "--into", "rehearsals/orders", "--clean"];

async fn mirrored(target: Target, feed: &str) -> World {
    let world = World::new(&[("orders", feed)], target).await;
    filled(&world).await;
    world
}

/// Documents with a short time to live by default, which the scratch container must not have.
async fn filled(world: &World) {
    let source = world.source("orders");
    source.make_with(&["/pk"], json!({ "defaultTtl": 100_000 }).as_object().unwrap().clone()).await;
    let mut random = random();
    for number in 0..DOCUMENTS {
        let document = document(&mut random, number, 0);
        source.put(&document.key, &document.text).await;
        if number % 6 == 0 {
            source.delete(&document.key, &document.id).await;
        }
    }
    world.emulator.advance(5).await;
    world.catch_up().await;
}

/// What the scratch container holds; none where it is not there.
async fn scratch(world: &World) -> Option<usize> {
    let history = world.emulator.history("rehearsals", "orders").await?;
    Some(live_as_sent(&history).len())
}

/// The last rehearsal, as the mirror says.
async fn record(world: &World) -> Value {
    let mirror = world.closed_mirror().await;
    serde_json::from_slice(&mirror["shop/orders/_mirror/rehearsals/last.json"].last().unwrap().body).unwrap()
}

async fn assert_all_equal(world: &World, rehearsal: &Value) {
    let held = live_as_sent(&world.history("orders").await).len();
    let counts = &rehearsal["counts"];
    assert_eq!([&rehearsal["state"], &rehearsal["cleaned"]], [&json!("equal"), &json!(true)], "{rehearsal}");
    assert_eq!([&counts["documents"], &counts["equal"], &counts["all"]], [held, held, held], "{rehearsal}");
    assert!(rehearsal["took"]["rto_seconds"].as_f64().unwrap() > 0.0, "{rehearsal}");
    assert!(rehearsal["took"]["rto_seconds_all"] == rehearsal["took"]["rto_seconds"], "{rehearsal}");
    assert_eq!(scratch(world).await, None, "what it created is gone");
}

#[tokio::test]
async fn everything_is_restored_compared_and_removed_again() {
    for target in [Target::Blobs, Target::Directory, Target::Snapshots] {
        let world = mirrored(target, ALL_VERSIONS).await;
        let before = world.history("orders").await;
        let rehearsal = world.json(&REHEARSE).await;
        assert_all_equal(&world, &rehearsal).await;
        assert_eq!(record(&world).await, rehearsal);
        assert_eq!(world.history("orders").await, before, "the source is not touched");
        let text = String::from_utf8(world.succeed(&REHEARSE).await).unwrap();
        assert!(text.contains("recovery time") && text.contains("removed again"), "{text}");
    }
}

#[tokio::test]
async fn a_sample_is_another_one_each_time_and_says_how_long_all_would_take() {
    let world = mirrored(Target::Blobs, LATEST_VERSION).await;
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let held = u64::try_from(live_as_sent(&world.history("orders").await).len()).unwrap();
    let mut samples = Vec::new();
    for _ in 0..2 {
        let sample = ["rehearse", "--into", "rehearsals/orders", "--sample", "40%"];
        let rehearsal = world.json(&sample).await;
        let counts = &rehearsal["counts"];
        let documents = counts["documents"].as_u64().unwrap();
        assert!((1..held).contains(&documents) && counts["equal"] == documents && counts["all"] == held, "{rehearsal}");
        let took = |name: &str| rehearsal["took"][name].as_f64().unwrap();
        assert!(took("rto_seconds_all") > took("rto_seconds"), "{rehearsal}");
        assert_eq!(rehearsal["cleaned"], false);
        let restored = live_as_sent(&world.emulator.history("rehearsals", "orders").await.unwrap());
        assert_eq!(u64::try_from(restored.len()).unwrap(), documents);
        samples.push(restored.into_keys().collect::<Vec<_>>());
        // Without leave nothing of an earlier one is removed.
        let refused = world.run(&sample).await;
        assert!(refused.code == Some(2) && refused.err.contains("--clean"), "{}", refused.err);
        assert_eq!(scratch(&world).await, Some(samples.last().unwrap().len()));
        world.succeed(&REHEARSE).await;
        assert_eq!(scratch(&world).await, None);
    }
    assert_ne!(samples[0], samples[1]);
}

#[tokio::test]
async fn an_encrypted_mirror_is_rehearsed_with_its_key() {
    let mut world = World::encrypted(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    filled(&world).await;
    let rehearsal = world.json(&REHEARSE).await;
    assert_all_equal(&world, &rehearsal).await;
    world.unset("COSMIRROR_IDENTITY");
    let refused = world.run(&REHEARSE).await;
    assert!(refused.code == Some(12) && refused.err.contains("identity"), "{:?} {}", refused.code, refused.err);
    assert_eq!(scratch(&world).await, None);
}

fn versions_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { versions_in(&path, found) } else { found.push(path) }
    }
}

#[tokio::test]
async fn a_damaged_version_shows_and_hides_nothing_else() {
    let world = mirrored(Target::Directory, ALL_VERSIONS).await;
    let mut versions = Vec::new();
    versions_in(&world.folder().join("mirror/shop/orders/documents"), &mut versions);
    versions.sort();
    // The last byte of a version with content is its document's last brace.
    let (path, mut bytes) = versions
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .rfind(|(_, bytes)| bytes.ends_with(b"}") && bytes.windows(4).any(|part| part == b"_rid"))
        .unwrap();
    *bytes.last_mut().unwrap() = b'!';
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let rehearsed = world.run(&[&["-o", "json"], &REHEARSE[..]].concat()).await;
    assert_eq!(rehearsed.code, Some(6), "{}", rehearsed.err);
    let rehearsal: Value = serde_json::from_slice(&rehearsed.out).unwrap();
    let held = u64::try_from(live_as_sent(&world.history("orders").await).len()).unwrap();
    let counts = &rehearsal["counts"];
    assert_eq!([&counts["damaged"], &counts["equal"]], [&json!(1), &json!(held - 1)], "{rehearsal}");
    assert_eq!([&rehearsal["state"], &rehearsal["succeeded"]], [&json!("differs"), &Value::Null], "{rehearsal}");
    assert_eq!(scratch(&world).await, None);
}

/// Somebody else's documents are never deleted, whoever's name the container has.
#[tokio::test]
async fn what_no_rehearsal_wrote_is_never_deleted() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let seed = json!({ "database": "rehearsals", "container": "orders", "partitionKey": "/pk", "count": 3 });
    world.emulator.control("seed", &seed).await;
    let refused = world.run(&REHEARSE).await;
    assert!(refused.code == Some(2) && refused.err.contains("never a rehearsal's"), "{}", refused.err);
    assert_eq!(scratch(&world).await, Some(3));
    for (into, part) in [("shop/orders", "followed"), ("shop/leases", "leases")] {
        let refused = world.run(&["rehearse", "--into", into, "--clean"]).await;
        assert!(refused.code == Some(2) && refused.err.contains(part), "{}", refused.err);
    }
    // In a container of a rehearsal, too: one foreign document among its own, and nothing goes.
    world.succeed(&["rehearse", "--into", "rehearsals/other"]).await;
    let own = live_as_sent(&world.emulator.history("rehearsals", "other").await.unwrap()).len();
    let foreign = json!({ "database": "rehearsals", "container": "other", "partitionKey": "/pk", "count": 1 });
    world.emulator.control("seed", &foreign).await;
    let refused = world.run(&["rehearse", "--into", "rehearsals/other", "--clean"]).await;
    assert!(
        refused.code == Some(2) && refused.err.contains("no rehearsal wrote"),
        "{:?} {}",
        refused.code,
        refused.err
    );
    let held = live_as_sent(&world.emulator.history("rehearsals", "other").await.unwrap()).len();
    assert_eq!(held, own + 1, "nothing was deleted");
    assert_eq!(record(&world).await["state"], "failed");
}

/// A container of the same name is another one.
#[tokio::test]
async fn a_scratch_container_that_somebody_created_anew_is_not_a_rehearsals_any_more() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    world.succeed(&["rehearse", "--into", "rehearsals/orders"]).await;
    let left = record(&world).await;
    assert!(left["scratch"]["rid"].is_string() && left["scratch"]["created"] == true, "{left}");
    world.source("orders").remove_from("rehearsals").await;
    let seed = json!({ "database": "rehearsals", "container": "orders", "partitionKey": "/pk", "count": 2 });
    world.emulator.control("seed", &seed).await;
    let refused = world.run(&REHEARSE).await;
    assert!(refused.code == Some(2) && refused.err.contains("never a rehearsal's"), "{}", refused.err);
    assert_eq!(scratch(&world).await, Some(2));
    assert_eq!(record(&world).await, left, "nothing was claimed");
}

/// A container that was there stays, with its other settings; only what was written goes.
#[tokio::test]
async fn a_scratch_container_that_was_there_stays() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let seed = json!({ "database": "rehearsals", "container": "orders", "partitionKey": "/pk", "count": 0 });
    world.emulator.control("seed", &seed).await;
    for _ in 0..2 {
        assert_eq!(world.json(&REHEARSE).await["state"], "equal");
        assert_eq!(scratch(&world).await, Some(0));
    }
    let seed = json!({ "database": "rehearsals", "container": "key", "partitionKey": "/other", "count": 0 });
    world.emulator.control("seed", &seed).await;
    let refused = world.run(&["rehearse", "--into", "rehearsals/key"]).await;
    assert!(refused.code == Some(2) && refused.err.contains("partition key"), "{}", refused.err);
}

#[tokio::test]
async fn one_that_was_killed_is_cleaned_up_by_the_next_one() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    for point in POINTS.into_iter().chain(["document-restored:7", "rehearsal-claimed"]) {
        println!("{point}");
        world.start_to_die(point, &REHEARSE).died().await;
        assert_eq!(record(&world).await["state"], "running");
        // Until it counts as dead nobody takes its place.
        let held = world.run(&REHEARSE).await;
        assert!(held.code == Some(11) && held.err.contains("died less than"), "{:?} {}", held.code, held.err);
        world.emulator.advance(DEAD).await;
        let rehearsal = world.json(&REHEARSE).await;
        assert_eq!([&rehearsal["state"], &rehearsal["cleaned"]], [&json!("equal"), &json!(true)], "{rehearsal}");
        // A container of which nobody had written down that it was created stays, empty.
        let left = if point == "rehearsal-created" { Some(0) } else { None };
        assert_eq!(scratch(&world).await, left, "{point}");
        if left.is_some() {
            world.source("orders").remove_from("rehearsals").await;
        }
    }
}

#[tokio::test]
async fn an_instant_that_is_not_covered_is_refused_and_recorded() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let refused = world.run(&[&REHEARSE[..], &["--at", "2001-01-01T00:00:00Z"]].concat()).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    let rehearsal = record(&world).await;
    assert_eq!([&rehearsal["state"], &rehearsal["error"]["code"]], ["failed", "not-covered"], "{rehearsal}");
    assert_eq!(scratch(&world).await, None, "what it had created is gone");
}

/// Two replicas with a schedule rehearse once in each interval, and every one of them tells of it.
#[tokio::test]
async fn a_schedule_rehearses_once_in_each_interval_over_all_replicas() {
    let mut world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    world.set("REHEARSAL__INTERVAL", "2m");
    world.set("REHEARSAL__INTO", "rehearsals/{container}");
    world.set("REHEARSAL__SAMPLE", "100%");
    let replicas = [world.start(&["run"]), world.start(&["run"])];
    let addresses = admins(&replicas[0], replicas.len()).await;
    let rehearsed = async |world: &World| {
        let mirror = world.closed_mirror().await;
        let versions = mirror.get("shop/orders/_mirror/rehearsals/last.json").map(Vec::as_slice).unwrap_or_default();
        let records = versions.iter().map(|stored| serde_json::from_slice::<Value>(&stored.body).unwrap());
        records.filter(|record| record["ended"].is_i64()).collect::<Vec<_>>()
    };
    for round in 1..=2 {
        eventually("it was rehearsed", async || (rehearsed(&world).await.len() >= round).then_some(())).await;
        for address in &addresses {
            eventually("each replica tells of it", async || {
                let text = metrics(&world, address).await;
                let state = r#"rehearsal_documents{database="shop",container="orders",state="equal"}"#;
                let equal = *text.get(state)?;
                (equal > 1.0 && value(&text, "rehearsal_failed", None)? == 0.0).then_some(())
            })
            .await;
        }
        let records = rehearsed(&world).await;
        assert_eq!(records.len(), round, "{records:?}");
        let last = records.last().unwrap();
        assert_eq!(
            [&last["state"], &last["by"], &last["cleaned"]],
            [&json!("equal"), &json!("schedule"), &json!(true)]
        );
        assert_eq!(scratch(&world).await, None);
        world.emulator.advance(121).await;
    }
    let status = world.json(&["status"]).await["containers"][0]["rehearsal"].clone();
    assert_eq!([&status["state"], &status["by"], &status["wrong"]], [&json!("equal"), &json!("schedule"), &json!(0)]);
    let text = String::from_utf8(world.succeed(&["status"]).await).unwrap();
    assert!(text.contains("rehearsal        equal at"), "{text}");
    for replica in replicas {
        assert_eq!(replica.terminate().await, Some(0));
    }
}

/// One that cannot begin is told by log and metric, and touches nothing.
#[tokio::test]
async fn a_schedule_whose_scratch_container_is_somebody_elses_says_so_and_touches_nothing() {
    let mut world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let seed = json!({ "database": "rehearsals", "container": "orders", "partitionKey": "/pk", "count": 3 });
    world.emulator.control("seed", &seed).await;
    world.set("REHEARSAL__INTERVAL", "1m");
    world.set("REHEARSAL__INTO", "rehearsals/orders");
    let daemon = world.start(&["run"]);
    let address = admins(&daemon, 1).await.remove(0);
    eventually("it is told", async || {
        let failures = value(&metrics(&world, &address).await, "rehearsal_failures_total", None)?;
        (failures >= 1.0).then_some(())
    })
    .await;
    assert_eq!(scratch(&world).await, Some(3));
    assert!(daemon.log().contains("never a rehearsal's"), "{}", daemon.log());
    assert_eq!(daemon.terminate().await, Some(0));
}

#[tokio::test]
async fn documents_that_could_not_be_written_are_told_and_throttling_and_lost_answers_are_not() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let rules = |rules: Value| json!({ "rules": rules });
    let of_writes = |more: Value| {
        let mut rule = json!({ "service": "cosmos", "operation": "item-write", "container": "orders" });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let refused = of_writes(json!({ "status": 400, "count": 2 }));
    world.emulator.control("faults", &rules(json!([refused]))).await;
    let rehearsed = world.run(&[&["-o", "json"], &REHEARSE[..]].concat()).await;
    assert_eq!(rehearsed.code, Some(3), "{}", rehearsed.err);
    let counts = serde_json::from_slice::<Value>(&rehearsed.out).unwrap()["counts"].clone();
    assert_eq!([&counts["failed"], &counts["missing"], &counts["different"]], [2, 2, 0], "{counts}");
    let busy = of_writes(json!({ "status": 429, "retryAfterMs": 5, "probability": 0.3, "count": 30 }));
    let lost = of_writes(json!({ "action": "respond-then-reset", "probability": 0.3, "count": 10 }));
    world.emulator.control("faults", &rules(json!([busy, lost]))).await;
    let rehearsal = world.json(&REHEARSE).await;
    assert_all_equal(&world, &rehearsal).await;
}

#[tokio::test]
async fn one_that_is_cancelled_says_so_and_the_next_one_removes_what_it_left() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let slow = json!({ "service": "cosmos", "operation": "item-write", "container": "orders", "delayMs": 200 });
    world.emulator.control("faults", &json!({ "rules": [slow] })).await;
    let rehearsing = world.start(&[&REHEARSE[..], &["--concurrency", "1"]].concat());
    eventually("some documents are written", async || (scratch(&world).await? >= 3).then_some(())).await;
    rehearsing.signal("TERM").await;
    assert_eq!(rehearsing.ended().await, Some(130));
    let record = record(&world).await;
    assert_eq!([&record["state"], &record["cleaned"]], [&json!("cancelled"), &json!(false)], "{record}");
    assert!(scratch(&world).await.unwrap() >= 3);
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    let rehearsal = world.json(&REHEARSE).await;
    assert_all_equal(&world, &rehearsal).await;
}

/// What is left must stay provably a rehearsal's, whichever removal was cut off: that of an earlier one's documents, or the final one.
#[tokio::test]
async fn one_that_is_cancelled_while_it_removes_documents_leaves_the_proof_of_whose_they_are() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let held = live_as_sent(&world.history("orders").await).len();
    for left_before in [true, false] {
        if left_before {
            world.succeed(&["rehearse", "--into", "rehearsals/orders"]).await;
        }
        let slow = json!({ "service": "cosmos", "operation": "item-write", "container": "orders", "delayMs": 400 });
        world.emulator.control("faults", &json!({ "rules": [slow] })).await;
        let rehearsing = world.start(&REHEARSE);
        if !left_before {
            eventually("all is written", async || (scratch(&world).await? == held).then_some(())).await;
        }
        eventually("some documents are removed", async || (scratch(&world).await? < held).then_some(())).await;
        rehearsing.signal("TERM").await;
        assert_eq!(rehearsing.ended().await, Some(130), "{left_before}");
        let record = record(&world).await;
        assert_eq!([&record["state"], &record["cleaned"]], [&json!("cancelled"), &json!(false)], "{record}");
        assert_eq!(record["traces"].as_array().unwrap().len(), if left_before { 2 } else { 1 }, "{record}");
        assert!(scratch(&world).await.unwrap() > 0, "{left_before}");
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        let rehearsal = world.json(&REHEARSE).await;
        assert_all_equal(&world, &rehearsal).await;
    }
}

/// In latest-version mode nothing can be held against the mirror before somebody has looked for deletes: that used to count as equal.
#[tokio::test]
async fn what_the_mirror_does_not_know_is_never_equal_and_the_way_to_know_it_is_told() {
    let world = mirrored(Target::Blobs, LATEST_VERSION).await;
    let held = live_as_sent(&world.history("orders").await).len();
    let refused = world.run(&REHEARSE).await;
    assert!(refused.code == Some(5) && refused.err.contains("run --once --reconcile"), "{}", refused.err);
    assert_eq!(scratch(&world).await, None);
    let until = world.json(&["status"]).await["containers"][0]["restorable_until"].clone();
    let at = [&["-o", "json"], &REHEARSE[..], &["--at", until.as_str().unwrap()]].concat();
    let unknown = world.run(&at).await;
    assert!(unknown.code == Some(5) && unknown.err.contains("were not compared"), "{:?} {}", unknown.code, unknown.err);
    assert!(unknown.err.contains("no reconciliation has looked for deletes"), "which and why: {}", unknown.err);
    let rehearsal: Value = serde_json::from_slice(&unknown.out).unwrap();
    assert_eq!([&rehearsal["state"], &rehearsal["cleaned"]], [&json!("failed"), &json!(true)], "{rehearsal}");
    assert_eq!([&rehearsal["counts"]["unknown"], &rehearsal["succeeded"]], [&json!(held), &Value::Null], "{rehearsal}");
    assert_eq!(record(&world).await, rehearsal);
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let rehearsal = world.json(&REHEARSE).await;
    assert_all_equal(&world, &rehearsal).await;
}

/// What one that was killed or cut off had sent may arrive when its successor has removed everything and is done.
#[tokio::test]
async fn a_write_of_a_dead_rehearsal_that_comes_late_is_still_known_to_be_its_own() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let seed = json!({ "database": "rehearsals", "container": "orders", "partitionKey": "/pk", "count": 0 });
    world.emulator.control("seed", &seed).await;
    world.start_to_die("rehearsal-restored", &REHEARSE).died().await;
    let dead = record(&world).await["traces"].clone();
    world.emulator.advance(DEAD).await;
    let successor = world.json(&REHEARSE).await;
    assert_eq!([&successor["state"], &successor["cleaned"]], [&json!("equal"), &json!(true)], "{successor}");
    assert_eq!([&successor["traces"], &successor["traces"][0]["id"]], [&dead, &dead[0]["id"]], "{successor}");
    let late = document(&mut random(), 1, 0);
    world.source("orders").put_into("rehearsals", &late.key, &late.text).await;
    let next = world.json(&REHEARSE).await;
    assert_eq!([&next["state"], &next["traces"]], [&json!("equal"), &json!([])], "{next}");
    assert_eq!(scratch(&world).await, Some(0));
}

/// It was not there when the rehearsal looked, and is somebody else's when the rehearsal creates it.
#[tokio::test]
async fn a_scratch_container_that_somebody_else_created_meanwhile_stays() {
    let world = mirrored(Target::Blobs, ALL_VERSIONS).await;
    let slow =
        json!({ "service": "cosmos", "operation": "container", "path": "/dbs/rehearsals/colls", "delayMs": 4_000 });
    world.emulator.control("faults", &json!({ "rules": [slow] })).await;
    let rehearsing = world.start(&REHEARSE);
    eventually("it has looked", async || {
        world.closed_mirror().await.contains_key("shop/orders/_mirror/rehearsals/last.json").then_some(())
    })
    .await;
    let seed = json!({ "database": "rehearsals", "container": "orders", "partitionKey": "/pk", "count": 0 });
    world.emulator.control("seed", &seed).await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    assert_eq!(rehearsing.ended().await, Some(0));
    let record = record(&world).await;
    assert_eq!([&record["state"], &record["scratch"]["created"]], [&json!("equal"), &json!(false)], "{record}");
    assert_eq!(scratch(&world).await, Some(0));
}
