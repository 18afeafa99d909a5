//! Requests fail on purpose: the run goes on until everything is stored, once and in order.

use serde_json::{Value, json};

use super::oracle::assert_every_change_once;
use super::world::{ALL_VERSIONS, Target, World};

/// Documents of each round, each written three times, and some deleted.
const DOCUMENTS: usize = 30;

/// A rule, and the outcome by which the emulator counts it. Rules go by chance, because start-up would use up a number of faults
/// before the first document is written; the emulator's chance is the same in every run.
struct Fault {
    service: &'static str,
    operation: &'static str,
    outcome: &'static str,
    chance: f64,
    /// How often it must happen at least.
    least: u64,
    more: Value,
}

fn status(service: &'static str, operation: &'static str, code: &'static str, chance: f64, least: u64) -> Fault {
    let status: u16 = code.parse().unwrap();
    let more = json!({ "status": status, "retryAfterMs": if status == 429 { 50 } else { 0 } });
    Fault { service, operation, outcome: code, chance, least, more }
}

fn action(service: &'static str, operation: &'static str, action: &'static str, chance: f64, least: u64) -> Fault {
    Fault { service, operation, outcome: action, chance, least, more: json!({ "action": action }) }
}

/// The same for so many requests only.
fn first(count: u64, mut fault: Fault) -> Fault {
    fault.more["count"] = count.into();
    fault
}

async fn changes(world: &World, round: usize) {
    let source = world.source("orders");
    for number in 0..DOCUMENTS {
        let (key, id) = (format!("[\"p{}\"]", number % 4), format!("r{round}-{number}"));
        for step in 0..3 {
            let text = format!("{{\"id\":\"{id}\",\"pk\":\"p{}\",\"step\":{step}}}", number % 4);
            source.put(&key, &text).await;
        }
        if number % 3 == 0 {
            source.delete(&key, &id).await;
        }
    }
}

/// Mirrors new changes while each of these faults happens as often as its rule says.
async fn outlive(faults: &[Fault]) {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    for (round, fault) in faults.iter().enumerate() {
        changes(&world, round).await;
        let mut rule = json!({ "service": fault.service, "operation": fault.operation, "probability": fault.chance });
        rule.as_object_mut().unwrap().extend(fault.more.as_object().unwrap().clone());
        let before = world.emulator.requests(fault.service, fault.operation, fault.outcome).await;
        world.emulator.control("faults", &json!({ "rules": [rule] })).await;
        world.catch_up().await;
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        let happened = world.emulator.requests(fault.service, fault.operation, fault.outcome).await - before;
        assert!(happened >= fault.least, "{rule} happened {happened} times");
    }
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}

#[tokio::test]
async fn a_target_that_throttles_or_breaks_off_gets_everything_once_and_in_order() {
    outlive(&[
        status("blob", "put", "503", 0.3, 10),
        status("blob", "put", "429", 0.3, 10),
        status("blob", "put", "500", 0.3, 10),
        action("blob", "put", "reset", 0.3, 10),
        action("blob", "put", "respond-then-reset", 0.3, 10),
        status("blob", "*", "503", 0.3, 10),
    ])
    .await;
}

#[tokio::test]
async fn a_source_that_throttles_or_breaks_off_is_read_to_the_end() {
    outlive(&[
        status("cosmos", "feed", "503", 0.6, 1),
        status("cosmos", "feed", "429", 0.6, 1),
        action("cosmos", "feed", "reset", 0.6, 1),
        action("cosmos", "feed", "respond-then-reset", 0.6, 1),
        // Broken off in the middle, and counted as answered.
        Fault { outcome: "200", ..action("cosmos", "feed", "truncate", 0.6, 1) },
        first(2, status("cosmos", "item-write", "503", 1.0, 2)),
        first(2, action("cosmos", "item-write", "respond-then-reset", 1.0, 2)),
        status("cosmos", "*", "503", 0.2, 5),
    ])
    .await;
}
