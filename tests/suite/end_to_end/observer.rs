//! How far behind each range is, as it is seen from outside the loops that do the work: `status` and the observer's metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::documents::random;
use super::eventually;
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Running, Target, World};

/// Within this time a range that stalls is seen to stall.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// Waits until so many daemons have logged where they serve, and gives the addresses in that order.
pub(super) async fn admins(daemon: &Running, count: usize) -> Vec<String> {
    eventually("the daemon serves its metrics", async || {
        let log = daemon.log();
        let served = log.lines().filter(|line| line.contains("health and metrics are served"));
        let found: Vec<String> =
            served.filter_map(|line| Some(line.split_once("address=")?.1.trim().to_owned())).collect();
        (found.len() == count).then_some(found)
    })
    .await
}

/// The metrics of a daemon: `name{labels}` → value, without the prefix.
pub(super) async fn metrics(world: &World, admin: &str) -> BTreeMap<String, f64> {
    let answer = world.emulator.http.get(format!("http://{admin}/metrics")).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let metric = |line: &str| {
        let (name, value) = line.strip_prefix("cosmirror_")?.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(metric).collect()
}

/// A metric of the container `orders`, or of a range of it.
pub(super) fn value(metrics: &BTreeMap<String, f64>, name: &str, range: Option<&str>) -> Option<f64> {
    let range = range.map(|range| format!(",range=\"{range}\"")).unwrap_or_default();
    metrics.get(&format!("{name}{{database=\"{DATABASE}\",container=\"orders\"{range}}}")).copied()
}

/// The only container of a status.
async fn status(world: &World) -> Value {
    world.json(&["status"]).await["containers"][0].take()
}

/// The ranges of a status by the number of their physical range.
fn ranges(status: &Value) -> BTreeMap<String, Value> {
    let id = |range: &Value| range["lease"].as_str().unwrap().rsplit_once("..").unwrap().1.to_owned();
    status["ranges"].as_array().unwrap().iter().map(|range| (id(range), range.clone())).collect()
}

fn label(range: &Value) -> String {
    format!("{}-{}", range["min"].as_str().unwrap(), range["max"].as_str().unwrap())
}

async fn seeded(containers: &[(&str, &str)]) -> World {
    let world = World::new(containers, Target::Blobs).await;
    for (container, _) in containers {
        let seed = json!({ "database": DATABASE, "container": container, "count": 30, "partitions": 3 });
        world.emulator.control("seed", &seed).await;
    }
    world
}

/// Waits until the range stands still, shows it, and the others go on.
async fn seen_to_stall(world: &World, admin: &str, fault: &Value) {
    let before = ranges(&status(world).await);
    let mut rule = json!({ "service": "cosmos", "operation": "feed", "range": "1" });
    rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
    let begun = Instant::now();
    let stalled = label(&before["1"]);
    let first = eventually("the metrics tell of failures", async || {
        let metrics = metrics(world, admin).await;
        let failures = value(&metrics, "range_failures", Some(&stalled))?;
        (failures >= 2.0).then(|| value(&metrics, "range_lag_seconds", Some(&stalled))).flatten()
    })
    .await;
    eventually("its lag grows in the metrics", async || {
        let metrics = metrics(world, admin).await;
        let lag = value(&metrics, "range_lag_seconds", Some(&stalled))?;
        let others =
            metrics.iter().filter(|(name, _)| name.starts_with("range_lag_seconds") && !name.contains(&stalled));
        let others: Vec<f64> = others.map(|(_, lag)| *lag).collect();
        assert!(value(&metrics, "lag_seconds", None)? >= lag);
        (lag > first + 3.0 && others.len() == 2 && others.iter().all(|other| *other < lag - 3.0)).then_some(())
    })
    .await;
    eventually("status tells of it", async || {
        let now = ranges(&status(world).await);
        let number = |ranges: &BTreeMap<String, Value>, id: &str, field: &str| ranges[id][field].as_i64();
        let others_go_on =
            ["0", "2"].iter().all(|id| now[*id]["watermark"].as_str() > before[*id]["watermark"].as_str());
        let stalls = number(&now, "1", "lag_seconds")? > number(&before, "1", "lag_seconds")? + 3;
        let failures = number(&now, "1", "failures")? > 0 && now["1"]["feed_failure"] == "transient";
        (others_go_on && stalls && failures && now["1"]["pending_changes"].is_null()).then_some(())
    })
    .await;
    assert!(begun.elapsed() < SEEN_WITHIN, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_range_whose_reads_fail_shows_in_the_metrics_and_in_status_while_the_others_go_on() {
    a_range_stalls(&json!({ "status": 503 })).await;
}

#[tokio::test]
async fn a_range_whose_reads_hang_shows_in_the_metrics_and_in_status_while_the_others_go_on() {
    a_range_stalls(&json!({ "action": "hang" })).await;
}

async fn a_range_stalls(fault: &Value) {
    let mut random = random();
    let world = seeded(&[("orders", ALL_VERSIONS)]).await;
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let watching = async {
        let daemon = world.start(&["run"]);
        let admin = admins(&daemon, 1).await.remove(0);
        eventually("every range is observed", async || {
            let metrics = metrics(&world, &admin).await;
            let observed = metrics.keys().filter(|name| name.starts_with("range_lag_seconds")).count();
            (observed == 3 && value(&metrics, "observer_active", None) == Some(1.0)).then_some(())
        })
        .await;
        seen_to_stall(&world, &admin, fault).await;
        let limited = world.run(&["status", "--max-lag", "3s"]).await;
        assert_eq!(limited.code, Some(4), "{}", limited.err);
        let stalled = ranges(&status(&world).await)["1"].clone();
        let named = format!(
            "shop/orders: range [{},{}) is ",
            stalled["min"].as_str().unwrap(),
            stalled["max"].as_str().unwrap()
        );
        assert!(limited.err.contains(&named), "{named} {}", limited.err);
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        stop.cancel();
        eventually("it recovers", async || {
            let now = status(&world).await;
            let metrics = metrics(&world, &admin).await;
            let well = value(&metrics, "range_failures", Some(&label(&stalled))) == Some(0.0);
            let caught_up = value(&metrics, "pending_changes", None) == Some(0.0) && now["pending_changes"] == 0;
            (well && caught_up && now["lag_seconds"].as_i64()? < 10).then_some(())
        })
        .await;
        assert_eq!(daemon.terminate().await, Some(0));
    };
    tokio::join!(watching, traffic(&source, &mut traffic_random, &stop));
}

#[tokio::test]
async fn a_replica_takes_the_observers_place_over_from_one_that_was_killed() {
    let world = seeded(&[("orders", ALL_VERSIONS)]).await;
    let observes = async |admin: &str, whether: bool| {
        eventually("the observer is known", async || {
            let metrics = metrics(&world, admin).await;
            let of_ranges = metrics.keys().filter(|name| name.starts_with("range_lag_seconds")).count();
            let shown = if whether { 3 } else { 0 };
            let active = value(&metrics, "observer_active", None) == Some(f64::from(u8::from(whether)));
            (active && of_ranges == shown).then_some(())
        })
        .await;
    };
    let first = world.start(&["run", "--instance", "pod"]);
    let admin = admins(&first, 1).await.remove(0);
    observes(&admin, true).await;
    let second = world.start(&["run", "--instance", "other"]);
    let heir = admins(&second, 2).await.remove(1);
    world.more_requests("cosmos", "item-write", 10).await;
    observes(&heir, false).await;
    observes(&admin, true).await;
    // Each follows a part of the ranges, and both know from when to when the whole container can be restored.
    for replica in [&admin, &heir] {
        eventually("the window of the whole container", async || {
            let metrics = metrics(&world, replica).await;
            let shown = |name: &str| value(&metrics, name, None).filter(|shown| *shown > 0.0);
            let owned = shown("leases_owned")?;
            let from = shown("restorable_from_timestamp_seconds")?;
            (owned < 3.0 && shown("restorable_until_timestamp_seconds")? >= from).then_some(())
        })
        .await;
    }
    // Asleep for longer than its document lives, and awake again.
    first.signal("STOP").await;
    observes(&heir, true).await;
    first.signal("CONT").await;
    observes(&admin, false).await;
    second.kill().await;
    observes(&admin, true).await;
    // One that ends in order leaves the place at once, and marks it so.
    assert_eq!(first.terminate().await, Some(0));
    let leases = world.history("leases").await;
    let last = leases.iter().rfind(|change| change.id.ends_with(".observer")).unwrap();
    let last: Value = serde_json::from_str(last.document.as_deref().unwrap()).unwrap();
    assert_eq!(last["owner"], Value::Null, "{last}");
}

#[tokio::test]
async fn a_range_that_was_split_disappears_from_the_metrics() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 30, "keys": 10 });
    world.emulator.control("seed", &seed).await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    let shown = async |expected: usize| {
        eventually("exactly the present ranges are shown", async || {
            let metrics = metrics(&world, &admin).await;
            let families = ["range_lag_seconds", "range_failures", "range_pending_changes"];
            let whole = families.iter().all(|name| {
                let ranges = metrics.keys().filter(|metric| metric.starts_with(&format!("{name}{{")));
                ranges.count() == expected
            });
            (whole && value(&metrics, "lease_holes", None) == Some(0.0)).then_some(())
        })
        .await;
    };
    shown(1).await;
    world.emulator.control("split", &json!({ "database": DATABASE, "container": "orders", "range": "0" })).await;
    shown(2).await;
    let status = status(&world).await;
    assert_eq!((status["ranges"].as_array().unwrap().len(), &status["holes"]), (2, &json!([])), "{status}");
    assert_eq!(daemon.terminate().await, Some(0));
}

#[tokio::test]
async fn status_counts_what_is_pending_without_a_daemon() {
    let world = seeded(&[("orders", ALL_VERSIONS), ("users", LATEST_VERSION)]).await;
    let nothing = world.json(&["status"]).await;
    assert_eq!(nothing["containers"][0]["ranges"], json!([]));
    let text = String::from_utf8(world.succeed(&["status"]).await).unwrap();
    assert!(text.contains("no leases yet: the container shop/leases is missing"), "{text}");
    assert_eq!(world.run(&["status", "--max-lag", "1h"]).await.code, Some(4));
    world.catch_up().await;
    let caught_up = world.json(&["status"]).await;
    for container in caught_up["containers"].as_array().unwrap() {
        assert_eq!((&container["pending_changes"], &container["gaps"]), (&json!(0), &json!(0)), "{container}");
        assert!(container["restorable_from"].is_string() && container["restorable_until"].is_string(), "{container}");
        assert_eq!(container["ranges"].as_array().unwrap().len(), 3);
    }
    for container in ["orders", "users"] {
        let before = world.history(container).await.len();
        let source = world.source(container);
        for number in 0..40 {
            let (key, id) = (format!("[\"p{}\"]", number % 7), format!("later{number}"));
            source.put(&key, &format!("{{\"id\":\"{id}\",\"pk\":\"p{}\"}}", number % 7)).await;
        }
        if container == "orders" {
            source.delete("[\"p0\"]", "later0").await;
        }
        let mut expected: BTreeMap<String, i64> = ["0", "1", "2"].map(|range| (range.to_owned(), 0)).into();
        for change in &world.history(container).await[before..] {
            *expected.get_mut(&change.range).unwrap() += 1;
        }
        let status = world.json(&["status", "--source", &format!("{DATABASE}/{container}")]).await;
        let [status] = &status["containers"].as_array().unwrap()[..] else { panic!("{status}") };
        let pending = ranges(status).into_iter().map(|(id, range)| (id, range["pending_changes"].as_i64().unwrap()));
        assert_eq!(pending.collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(status["pending_changes"], expected.values().sum::<i64>());
        assert!(ranges(status).values().all(|range| range["state"] == "free" && range["owner"].is_null()), "{status}");
    }
    world.emulator.advance(100).await;
    assert_eq!(world.run(&["-q", "status", "--max-lag", "1h"]).await.code, Some(0));
    let over = world.run(&["-q", "status", "--max-lag", "50s"]).await;
    assert_eq!((over.code, over.err.lines().count()), (Some(4), 2), "{}", over.err);
    assert!(
        over.err.starts_with("error: shop/orders: range [") && over.err.contains("\nerror: shop/users: range ["),
        "{}",
        over.err
    );
}

#[tokio::test]
async fn a_watched_status_is_one_object_a_line_until_it_is_interrupted() {
    let world = seeded(&[("orders", ALL_VERSIONS)]).await;
    world.catch_up().await;
    let mut watching = world.start(&["-o", "json", "status", "--watch"]);
    let mut lines = BufReader::new(watching.process.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next_line().await.unwrap().unwrap();
        let status: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(status["containers"][0]["ranges"].as_array().unwrap().len(), 3);
    }
    watching.signal("INT").await;
    assert_eq!(watching.ended().await, None);
}
