//! What a daemon tells of itself: its metrics are held to what was done to it, and its log to its form.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::cosmos::DATABASE;
use super::eventually;
use super::observer::{admins, metrics, value};
use super::world::{ALL_VERSIONS, Target, World, cosmirror};

/// Changes of each kind, after what the backfill finds.
const BACKFILLED: usize = 3;
const CREATED: usize = 5;
const REPLACED: usize = 4;
const DELETED: usize = 2;

async fn world() -> World {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": BACKFILLED, "partitions": 2 });
    world.emulator.control("seed", &seed).await;
    world
}

fn operation(metrics: &BTreeMap<String, f64>, operation: &str) -> f64 {
    metrics[&format!(
        "changes_by_operation_total{{database=\"{DATABASE}\",container=\"orders\",operation=\"{operation}\"}}"
    )]
}

fn requests(metrics: &BTreeMap<String, f64>, service: &str, code: &str) -> f64 {
    metrics[&format!("requests_total{{service=\"{service}\",code=\"{code}\"}}")]
}

#[tokio::test]
async fn the_metrics_count_what_was_done() {
    let world = world().await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    eventually("the backfill has ended", async || {
        (value(&metrics(&world, &admin).await, "restorable_from_timestamp_seconds", None)? > 0.0).then_some(())
    })
    .await;
    let source = world.source("orders");
    let id = |n: usize| format!("new{n}");
    for n in 0..CREATED {
        source.put("[\"p\"]", &json!({ "id": id(n), "pk": "p" }).to_string()).await;
    }
    for n in 0..REPLACED {
        source.put("[\"p\"]", &json!({ "id": id(n), "pk": "p", "again": true }).to_string()).await;
    }
    for n in 0..DELETED {
        source.delete("[\"p\"]", &id(n)).await;
    }
    let all = (BACKFILLED + CREATED + REPLACED + DELETED) as f64;
    let shown = eventually("all is stored", async || {
        let shown = metrics(&world, &admin).await;
        (value(&shown, "versions_written_total", None)? >= all).then_some(shown)
    })
    .await;
    let counted =
        ["backfill", "create", "replace", "delete", "expire", "reconcile"].map(|name| operation(&shown, name));
    let done = [BACKFILLED, CREATED, REPLACED, DELETED, 0, 0].map(|count| count as f64);
    assert_eq!(counted, done);
    let bodies: usize = world.mirror().await.values().flatten().map(|version| version.body.len()).sum();
    let written = value(&shown, "bytes_written_total", None).unwrap();
    assert!(written > 0.0 && written <= bodies as f64, "{written} of {bodies}");
    assert!(value(&shown, "bytes_read_total", None).unwrap() > written, "an entry holds more than its document");

    // The emulator counts for itself what it answered.
    let answered = world.emulator.requests("blob", "put", "201").await as f64;
    let counted = requests(&metrics(&world, &admin).await, "target", "201");
    assert!(counted >= all && counted >= answered, "{counted} of {answered}");
    assert!(requests(&shown, "source", "304") > 0.0 && requests(&shown, "source", "200") > 0.0);
    assert!(shown["request_duration_seconds_count{service=\"source\"}"] > 0.0);
    assert_eq!((shown["target_protection_known"], shown["target_soft_delete"]), (1.0, 1.0));
    assert!(value(&shown, "checkpoint_age_seconds", None).unwrap() < 30.0);
    let text = world.emulator.http.get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
        assert!(text.contains(&format!("\nprocess_{name} ")), "{name}");
    }
    assert_eq!(daemon.terminate().await, Some(0));
}

#[tokio::test]
async fn positions_that_are_not_saved_grow_old_and_protection_that_cannot_be_read_is_not_claimed() {
    let world = world().await;
    world.emulator.control("storage", &json!({ "versioning": true, "softDeleteDays": 0 })).await;
    world.catch_up().await;
    let rule = json!({ "service": "blob", "operation": "account", "status": 403 });
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    eventually("it follows", async || {
        (value(&metrics(&world, &admin).await, "leases_owned", None)? > 0.0).then_some(())
    })
    .await;
    let shown = metrics(&world, &admin).await;
    assert_eq!((shown["target_soft_delete"], shown["target_protection_known"]), (0.0, 0.0));
    let rule = json!({ "service": "cosmos", "operation": "item-write", "status": 503 });
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
    eventually("the age grows", async || {
        (value(&metrics(&world, &admin).await, "checkpoint_age_seconds", None)? > 4.0).then_some(())
    })
    .await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    eventually("it is saved again", async || {
        (value(&metrics(&world, &admin).await, "checkpoint_age_seconds", None)? < 3.0).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
}

#[tokio::test]
async fn a_daemon_tells_of_restores_that_others_did() {
    let world = world().await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    let source = world.source("orders");
    let history = world.history("orders").await;
    for change in &history {
        source.delete(&change.key, &change.id).await;
    }
    world.catch_up().await;
    world.succeed(&["restore", "--all", "--at", &at, "--yes"]).await;
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    let shown = eventually("the restore is seen", async || {
        let shown = metrics(&world, &admin).await;
        (value(&shown, "restores", None)? > 0.0).then_some(shown)
    })
    .await;
    let documents = |result: &str| {
        shown[&format!("restore_documents{{database=\"{DATABASE}\",container=\"orders\",result=\"{result}\"}}")]
    };
    assert_eq!((documents("written"), documents("deleted")), (BACKFILLED as f64, 0.0));
    assert!(value(&shown, "restore_timestamp_seconds", None).unwrap() > 1_700_000_000.0);
    assert_eq!(daemon.terminate().await, Some(0));
}

#[tokio::test]
async fn the_log_of_a_daemon_without_a_terminal_is_json_line_by_line() {
    let world = world().await;
    let file = world.folder().join("cosmirror.toml");
    let mut daemon = cosmirror();
    daemon.arg("-c").arg(file).arg("run").stderr(Stdio::piped());
    let mut daemon = daemon.spawn().unwrap();
    let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    loop {
        let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert!(line["level"].is_string() && line["target"].is_string() && line["timestamp"].is_string(), "{line}");
        if line["message"] == "following" {
            assert!(line["range"].is_string(), "{line}");
            break;
        }
    }
    daemon.kill().await.unwrap();
}
