//! Targets beside the first: a required one holds whatever is checkpointed, an optional one is followed for on its own and holds up nobody.

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::crash_points::{assert_goes_on, changes, die_at};
use super::eventually;
use super::mirror::{self, Mirror};
use super::observer::{admins, metrics, value};
use super::oracle::{assert_every_change_once, live, live_as_sent};
use super::world::{ALL_VERSIONS, Target, World};

/// Between the first target and the others.
pub(super) const POINTS: [&str; 1] = ["replica-to-put"];
/// The steps around it.
const AROUND: [&str; 3] = ["version-to-put", "version-put", "page-durable"];
/// How often a point is passed before it counts: early, when records are written, and later, for documents.
const PASSES: [usize; 3] = [1, 6, 17];
const RANGES: usize = 2;
/// The blob container of the other target, and what names begin with there.
const SOUTH: &str = "south";
const PREFIX: &str = "kept/copy";

/// An empty container that is followed, and with it the other target, where there is one: whether it is required.
async fn world(south: Option<bool>) -> World {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    if let Some(required) = south {
        add_south(&mut world, required);
    }
    world.catch_up().await;
    world
}

/// Another container of the same account as a target from now on.
fn add_south(world: &mut World, required: bool) {
    world.set("TARGETS__0__NAME", SOUTH);
    world.set("TARGETS__0__REQUIRED", &required.to_string());
    world.set("TARGETS__0__ENDPOINT", &world.emulator.blob_endpoint());
    world.set("TARGETS__0__CONTAINER", SOUTH);
    world.set("TARGETS__0__PREFIX", PREFIX);
}

/// What the other target holds, by the names of the first one.
async fn south(world: &World) -> Mirror {
    let held = mirror::of_container(&world.emulator, SOUTH).await.into_iter();
    held.filter_map(|(name, versions)| Some((name.strip_prefix(&format!("{PREFIX}/"))?.to_owned(), versions))).collect()
}

/// Requests to one of the blob containers are answered so.
async fn faults(world: &World, container: &str, outcomes: &[Value]) {
    let rule = |outcome: &Value| {
        let mut rule = json!({ "service": "blob", "container": container });
        rule.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
        rule
    };
    let rules: Vec<Value> = outcomes.iter().map(rule).collect();
    world.emulator.control("faults", &json!({ "rules": rules })).await;
}

/// Every change is in both targets once and in order, and what the mirrors say of themselves is the same in both.
async fn assert_both_hold_all(world: &World) {
    let history = world.history("orders").await;
    let (first, south) = (world.mirror().await, south(world).await);
    for held in [&first, &south] {
        assert_every_change_once(&history, 0, held, "orders");
    }
    let last = |mirror: &Mirror| -> Vec<(String, Vec<u8>)> {
        let records = mirror.iter().filter(|(name, _)| name.contains("/_mirror/"));
        records.map(|(name, versions)| (name.clone(), versions.last().unwrap().body.clone())).collect()
    };
    assert_eq!(last(&first), last(&south));
}

#[tokio::test]
async fn a_required_target_holds_every_change_through_faults_of_either() {
    let world = world(Some(true)).await;
    let flaky = [
        json!({ "status": 503, "probability": 0.2 }),
        json!({ "operation": "put", "action": "respond-then-reset", "probability": 0.2 }),
    ];
    for (round, container) in [SOUTH, "mirror", SOUTH].into_iter().enumerate() {
        changes(&world, round).await;
        faults(&world, container, &flaky).await;
        world.catch_up().await;
        faults(&world, container, &[]).await;
        world.catch_up().await;
        assert_both_hold_all(&world).await;
    }
}

#[tokio::test]
async fn nothing_is_checkpointed_while_a_required_target_is_gone() {
    let world = world(Some(true)).await;
    changes(&world, 0).await;
    world.catch_up().await;
    let until = world.complete_until("orders").await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    // What it follows, it stores in both.
    changes(&world, 9).await;
    eventually("every range is followed", async || {
        let stored = south(&world).await.into_iter().filter(|(name, _)| name.contains("/documents/"));
        let count: usize = stored.map(|(_, versions)| versions.len()).sum();
        (count == world.history("orders").await.len()).then_some(())
    })
    .await;
    faults(&world, SOUTH, &[json!({ "status": 503 })]).await;
    world.emulator.advance(30).await;
    changes(&world, 1).await;
    eventually("the other target refuses writes", async || {
        let shown = metrics(&world, &admin).await;
        let failures = shown.iter().filter(|(name, _)| name.starts_with("write_failures_total"));
        (failures.map(|(_, count)| count).sum::<f64>() >= 5.0).then_some(())
    })
    .await;
    let ranges = world.json(&["status"]).await["containers"][0]["ranges"].take();
    let watermarks: Vec<&str> = ranges.as_array().unwrap().iter().filter_map(|r| r["watermark"].as_str()).collect();
    let before: jiff::Timestamp = until.parse().unwrap();
    let waits =
        watermarks.iter().filter(|at| at.parse::<jiff::Timestamp>().unwrap() < before + jiff::Span::new().seconds(30));
    assert!(waits.count() > 0, "{watermarks:?} {until}");
    assert!(daemon.log().contains("target \"south\""), "{}", daemon.log());
    daemon.kill().await;
    faults(&world, SOUTH, &[]).await;
    world.emulator.advance(40).await;
    world.catch_up().await;
    assert_both_hold_all(&world).await;
}

#[tokio::test]
async fn a_new_required_target_is_filled_first_and_again_after_it_was_left_out() {
    let mut world = world(None).await;
    changes(&world, 0).await;
    world.catch_up().await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    let held = live_as_sent(&world.history("orders").await);
    world.emulator.advance(5).await;
    add_south(&mut world, true);
    for round in 1..4 {
        changes(&world, round).await;
        world.catch_up().await;
        assert_both_hold_all(&world).await;
        world.unset("COSMIRROR__TARGETS__0");
        changes(&world, round + 10).await;
        world.catch_up().await;
        assert!(south(&world).await != world.mirror().await);
        add_south(&mut world, true);
    }
    world.catch_up().await;
    assert_both_hold_all(&world).await;
    // It alone is a mirror: documents are looked at and restored from it, with the first one gone.
    faults(&world, "mirror", &[json!({ "status": 503 })]).await;
    for ((key, id), text) in live(&world.history("orders").await).iter().step_by(7) {
        let shown = world.succeed(&["show", "--target", SOUTH, "--raw", "--pk-json", key, "--", id]).await;
        assert_eq!(String::from_utf8_lossy(&shown), *text);
    }
    let restore = ["restore", "--target", SOUTH, "--all", "--at", &at, "--delete-extra", "--yes"];
    world.succeed(&restore).await;
    assert_eq!(live_as_sent(&world.history("orders").await), held);
}

#[tokio::test]
async fn a_daemon_that_dies_between_two_targets_is_followed_by_one_that_loses_nothing() {
    let world = world(Some(true)).await;
    let points = POINTS.into_iter().chain(AROUND).flat_map(|point| PASSES.map(|pass| format!("{point}:{pass}")));
    for (round, point) in points.enumerate() {
        println!("{point}");
        changes(&world, round).await;
        die_at(&world, &point, &["run"]).await;
        assert_goes_on(&world, 0).await;
        assert_both_hold_all(&world).await;
    }
}

#[tokio::test]
async fn an_encrypted_mirror_has_an_encrypted_copy_that_the_same_key_opens() {
    let mut world = World::encrypted(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 30, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    add_south(&mut world, true);
    let other = world.run(&["run", "--once"]).await;
    assert!(other.code == Some(2) && other.err.contains("targets[0].recipients: must be those of"), "{}", other.err);
    let key = world.variable_of("COSMIRROR__TARGET__RECIPIENTS__0");
    world.set("TARGETS__0__RECIPIENTS__0", &key);
    // What was there is copied as it is stored; no key is needed for that.
    changes(&world, 0).await;
    world.catch_up().await;
    for versions in south(&world).await.values().filter(|versions| versions[0].field("op").is_some()) {
        assert!(
            versions.iter().all(|stored| stored.body.is_empty() || stored.body.starts_with(b"age-encryption.org/v1"))
        );
    }
    world.succeed(&["verify", "--target", SOUTH, "--mode", "full"]).await;
    world.succeed(&["verify", "--against", SOUTH, "--mode", "full"]).await;
    for ((key, id), text) in live(&world.history("orders").await).iter().step_by(5) {
        let shown = world.succeed(&["show", "--target", SOUTH, "--raw", "--pk-json", key, "--", id]).await;
        assert_eq!(String::from_utf8_lossy(&shown), *text);
    }
}

#[tokio::test]
async fn an_optional_target_that_is_gone_holds_up_nobody_and_catches_up_later() {
    let world = world(Some(false)).await;
    changes(&world, 0).await;
    world.catch_up().await;
    let (first, other) = (world.mirror().await, south(&world).await);
    for held in [&first, &other] {
        assert_every_change_once(&world.history("orders").await, 0, held, "orders");
    }

    faults(&world, SOUTH, &[json!({ "status": 503 })]).await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    changes(&world, 1).await;
    let count = world.history("orders").await.len();
    eventually("the first target holds everything", async || {
        let stored = world
            .mirror()
            .await
            .iter()
            .filter(|(name, _)| name.contains("/documents/"))
            .map(|(_, v)| v.len())
            .sum::<usize>();
        (stored == count).then_some(())
    })
    .await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
    let ready = world.emulator.http.get(format!("http://{admin}/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let told = eventually("it is told that the other target is not followed for", async || {
        let answer = world.emulator.http.get(format!("http://{admin}/status")).send().await.unwrap();
        let status: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (status["targets"][0]["ready"] == false).then(|| status["targets"][0].clone())
    })
    .await;
    assert_eq!((&told["name"], &told["required"]), (&json!(SOUTH), &json!(false)), "{told}");
    let shown = metrics(&world, &admin).await;
    assert_eq!(shown["further_target_ready{target=\"south\"}"], 0.0);
    assert!(value(&shown, "write_failures_total", None).is_none_or(|count| count == 0.0));

    faults(&world, SOUTH, &[]).await;
    eventually("the other target has caught up", async || {
        let stored = south(&world)
            .await
            .iter()
            .filter(|(name, _)| name.contains("/documents/"))
            .map(|(_, v)| v.len())
            .sum::<usize>();
        (stored == count).then_some(())
    })
    .await;
    let labels = format!("{{target=\"south\",database={DATABASE:?},container=\"orders\"}}");
    eventually("it is told that it has", async || {
        let shown = metrics(&world, &admin).await;
        let is_ready = shown["further_target_ready{target=\"south\"}"] == 1.0;
        (is_ready && shown[&format!("further_target_versions_written_total{labels}")] > 0.0).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    assert_every_change_once(&world.history("orders").await, 0, &south(&world).await, "orders");
    let alone = world.json(&["status", "--target", SOUTH]).await;
    assert!(alone["containers"][0]["restorable_until"].is_string(), "{alone}");
}

#[tokio::test]
async fn a_run_to_the_end_without_an_optional_target_brings_the_first_one_up_to_date_and_is_partial() {
    let world = world(Some(false)).await;
    changes(&world, 0).await;
    faults(&world, SOUTH, &[json!({ "status": 403 })]).await;
    let finished = world.run(&["run", "--once"]).await;
    assert_eq!(finished.code, Some(3), "{}", finished.err);
    assert!(finished.err.contains("\"south\""), "{}", finished.err);
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}

#[tokio::test]
async fn every_target_is_audited_and_each_finding_tells_whose_it_is() {
    let world = world(Some(true)).await;
    let all = world.json(&["check", "--sample", "0s"]).await;
    let found = |name: &str, subject: Value| {
        let checks = all["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["name"] == name && check["subject"] == subject).count()
    };
    for (name, of_first, of_south) in [
        ("target.versioning", Value::Null, json!("south")),
        ("target.write", Value::Null, json!("south")),
        ("container.mirror", json!("shop/orders"), json!("shop/orders in south")),
    ] {
        assert_eq!((found(name, of_first), found(name, of_south)), (1, 1), "{name}: {all}");
    }
}

#[tokio::test]
async fn two_mirrors_are_held_against_each_other() {
    let mut world = world(None).await;
    changes(&world, 0).await;
    world.catch_up().await;
    add_south(&mut world, false);
    world.catch_up().await;
    world.emulator.advance(10).await;
    changes(&world, 1).await;
    world.catch_up().await;
    world.emulator.advance(10).await;
    world.catch_up().await;
    for mode in ["presence", "hash", "full"] {
        let verified = world.json(&["verify", "--against", SOUTH, "--mode", mode]).await;
        assert!(
            verified["documents"].as_u64().unwrap() > 8 && verified["equal"] == verified["documents"],
            "{mode}: {verified}"
        );
    }
    // The other one stays behind, and both are compared as of the last instant that it covers.
    faults(&world, SOUTH, &[json!({ "status": 503 })]).await;
    world.emulator.advance(10).await;
    changes(&world, 2).await;
    assert_eq!(world.run(&["run", "--once"]).await.code, Some(3));
    faults(&world, SOUTH, &[]).await;
    world.succeed(&["verify", "--against", SOUTH, "--mode", "full"]).await;
    world.catch_up().await;
    let unknown = world.run(&["verify", "--against", "north"]).await;
    assert!(unknown.code == Some(2) && unknown.err.contains("there are first, south"), "{}", unknown.err);
}
