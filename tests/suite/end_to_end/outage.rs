//! The target is gone for two minutes while the source goes on: nothing is lost, memory stays within its budget, health and metrics tell
//! of it, and it is caught up afterwards.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::cosmos::DATABASE;
use super::observer::{admins, metrics, value};
use super::oracle::assert_every_change_once;
use super::world::{ALL_VERSIONS, Running, Target, World};
use super::{LIMIT, eventually};

const OUTAGE: Duration = Duration::from_mins(2);
/// Five times in a second a hundred changes.
const TICK: Duration = Duration::from_millis(200);
const CHANGES: usize = 100;
/// So many in all; more would prove nothing more, and take an unoptimised build minutes to store.
const CHANGES_MAX: usize = 25_000;
const KEYS: usize = 5;
const RANGES: usize = 2;
const DOCUMENT_BYTES: usize = 700;
/// The least that can be configured.
const BUDGET: &str = "16MiB";
const BUDGET_KIB: u64 = 16 * 1024;
/// Changes that the daemon stores before its memory is looked at first, so that all that it allocates once is allocated.
const BEFORE: f64 = 2_000.0;
/// What the metrics must show during the outage.
const LAG_SECONDS: f64 = 60.0;

/// Changes a hundred documents of one key at each tick, in one transaction.
async fn traffic(world: &World) {
    let source = world.source("orders");
    let filler = "x".repeat(DOCUMENT_BYTES);
    let mut ticks = tokio::time::interval(TICK);
    for step in 0..CHANGES_MAX / CHANGES {
        ticks.tick().await;
        let pk = format!("p{}", step % KEYS);
        let operations = (0..CHANGES).map(|number| {
            let document = json!({ "id": format!("d{number}"), "pk": pk, "step": step, "filler": filler });
            json!({ "operationType": "Upsert", "resourceBody": document }).to_string()
        });
        source.batch(&json!([pk]).to_string(), &operations.collect::<Vec<_>>()).await;
    }
}

/// The most memory that a process has held so far, in KiB.
fn peak_memory(daemon: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn metric(world: &World, admin: &str, name: &str) -> f64 {
    value(&metrics(world, admin).await, name, None).unwrap()
}

/// The target answers nothing well from now on: it hangs, breaks off, or says that it cannot.
async fn go_away(world: &World) {
    let rules = [
        json!({ "service": "blob", "action": "hang", "probability": 0.2 }),
        json!({ "service": "blob", "action": "reset", "probability": 0.5 }),
        json!({ "service": "blob", "status": 503 }),
    ];
    world.emulator.control("faults", &json!({ "rules": rules })).await;
}

/// Health says that the container is too far behind, and metrics since when and how often it was tried.
async fn assert_told(world: &World, admin: &str) {
    let shown = metrics(world, admin).await;
    let lag = value(&shown, "lag_seconds", None).unwrap();
    assert!(lag > LAG_SECONDS, "{lag}");
    assert!(value(&shown, "pending_changes", None).unwrap() > 0.0);
    let failures: Vec<f64> =
        shown.iter().filter(|(name, _)| name.starts_with("range_failures{")).map(|(_, count)| *count).collect();
    assert!(failures.len() == RANGES && failures.iter().all(|count| *count > 0.0), "{failures:?}");
    let health = world.emulator.http.get(format!("http://{admin}/healthz?max_lag=30s")).send().await.unwrap();
    assert_eq!(health.status(), 503);
    let text = health.text().await.unwrap();
    assert!(text.contains("shop/orders"), "{text}");
    // Whoever waits for a service lives; starting it again would help nobody.
    let alive = world.emulator.http.get(format!("http://{admin}/livez")).send().await.unwrap();
    assert_eq!(alive.status(), 200, "{}", alive.text().await.unwrap());
    assert!(shown["watchdog_age_seconds"] < 10.0);
    assert!(shown["requests_total{service=\"target\",code=\"503\"}"] > 0.0);
    assert!(shown["requests_total{service=\"target\",code=\"error\"}"] > 0.0);
}

/// Waits for the end of the work, however long it takes, as long as it goes on.
async fn caught_up(world: &World, admin: &str) {
    const STRIDE: f64 = 500.0;
    loop {
        let written = metric(world, admin, "versions_written_total").await;
        let done = eventually("more is stored", async || {
            let shown = metrics(world, admin).await;
            let done = value(&shown, "pending_changes", None)? == 0.0;
            let more = value(&shown, "versions_written_total", None)? >= written + STRIDE;
            (done || more).then_some(done)
        })
        .await;
        if done {
            return;
        }
    }
}

#[tokio::test]
async fn a_target_that_is_gone_for_two_minutes_costs_neither_a_change_nor_more_memory_than_budgeted() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("LIMITS__BYTES_IN_FLIGHT_MAX", BUDGET);
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    let outage = async {
        eventually("it is at work", async || {
            (metric(&world, &admin, "versions_written_total").await > BEFORE).then_some(())
        })
        .await;
        let before = peak_memory(&daemon);
        go_away(&world).await;
        tokio::time::sleep_until(Instant::now() + OUTAGE).await;
        assert_told(&world, &admin).await;
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        before
    };
    let (before, ()) = tokio::join!(outage, traffic(&world));
    let during = peak_memory(&daemon);
    tokio::time::timeout(3 * LIMIT, caught_up(&world, &admin)).await.unwrap();
    let after = peak_memory(&daemon);
    println!("peak memory in KiB: {before} before, {during} during, {after} after");
    let most = before + BUDGET_KIB * 6 / 5;
    assert!(after <= most, "{before} KiB before the outage, {after} KiB after it, budget {BUDGET}");
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
    let history = world.history("orders").await;
    assert_eq!(history.len(), CHANGES_MAX);
    assert_every_change_once(&history, 0, &world.mirror().await, "orders");
}
