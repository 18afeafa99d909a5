//! Dying between the two writes of what an operator asked for: asked again, it is done once.

use serde_json::{Value, json};

use super::{changes, die_at, followed};
use crate::suite::end_to_end::dead_letters::{letters, refuse, take_again, without_letters};
use crate::suite::end_to_end::oracle::{assert_every_change_once, live_as_sent, stored};
use crate::suite::end_to_end::world::{LATEST_VERSION, Target, World};

pub(super) const POINTS: [&str; 8] = [
    "letter-to-put",
    "letter-put",
    "replay-put",
    "replay-marked",
    "repair-to-put",
    "repair-put",
    "restore-recorded",
    "document-restored",
];

#[tokio::test]
async fn what_is_refused_is_one_dead_letter_and_later_one_version_wherever_its_keeper_dies() {
    let world = followed(0).await;
    world.catch_up().await;
    refuse(&world, "/documents/").await;
    changes(&world, 0).await;
    for point in ["letter-to-put:2", "letter-put:3"] {
        die_at(&world, point, &["run"]).await;
    }
    world.catch_up().await;
    let history = world.history("orders").await;
    // One for each change, those of one transaction included.
    let mut kept: Vec<(u64, String)> = letters(&world).await.iter().map(name_of).collect();
    let mut refused: Vec<(u64, String)> = history.iter().map(|change| (change.lsn, change.id.clone())).collect();
    kept.sort();
    refused.sort();
    assert_eq!(kept, refused);
    take_again(&world).await;
    for point in ["replay-put:2", "replay-marked:2"] {
        die_at(&world, point, &["dead-letters", "replay", "--all"]).await;
    }
    let replayed = world.json(&["dead-letters", "replay", "--all"]).await;
    assert_eq!(replayed["failed"], 0, "{replayed}");
    assert!(letters(&world).await.iter().all(|letter| letter["resolution"] == "stored"));
    assert_every_change_once(&history, 0, &without_letters(&world).await, "orders");
}

fn name_of(letter: &Value) -> (u64, String) {
    (letter["lsn"].as_u64().unwrap(), letter["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_deleted_document_has_one_tombstone_wherever_its_reconciliation_dies() {
    const DELETED: usize = 4;
    let world = World::new(&[("orders", LATEST_VERSION)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    for number in 0..10 {
        source.put(r#"["p"]"#, &json!({ "id": format!("d{number}"), "pk": "p" }).to_string()).await;
    }
    world.emulator.advance(10).await;
    world.catch_up().await;
    for number in 0..DELETED {
        source.delete(r#"["p"]"#, &format!("d{number}")).await;
    }
    for point in ["repair-to-put:2", "repair-put"] {
        die_at(&world, point, &["run", "--once", "--reconcile"]).await;
    }
    world.succeed(&["run", "--once", "--reconcile"]).await;
    let mirror = world.mirror().await;
    for ((_, id), versions) in stored(&mirror, "orders") {
        let gone = id.trim_start_matches('d').parse::<usize>().unwrap() < DELETED;
        let etags: Vec<bool> = versions.iter().map(|version| version.field("etag").is_some()).collect();
        assert_eq!(etags, if gone { vec![true, false] } else { vec![true] }, "{id}");
    }
}

#[tokio::test]
async fn a_restore_that_died_is_run_again_and_the_source_is_as_it_was() {
    let world = followed(0).await;
    world.catch_up().await;
    changes(&world, 0).await;
    world.catch_up().await;
    let (held, known) = (live_as_sent(&world.history("orders").await), world.history("orders").await.len());
    world.emulator.advance(10).await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    let source = world.source("orders");
    for (number, (key, id)) in held.keys().enumerate() {
        match number % 2 {
            0 => source.delete(key, id).await,
            _ => {
                let pk: Vec<String> = serde_json::from_str(key).unwrap();
                source.put(key, &json!({ "id": id, "pk": pk[0], "spoilt": true }).to_string()).await;
            }
        }
    }
    world.catch_up().await;
    let restore = ["restore", "--all", "--at", &at, "--yes"];
    for point in ["restore-recorded", "document-restored:2"] {
        die_at(&world, point, &restore).await;
        world.catch_up().await;
    }
    world.succeed(&restore).await;
    let history = world.history("orders").await;
    assert!(history.len() > known);
    assert_eq!(live_as_sent(&history), held);
    world.catch_up().await;
    let mut mirror = world.mirror().await;
    let records = mirror.extract_if(.., |name, _| name.contains("/_mirror/restores/")).map(|(_, versions)| versions);
    let finished: Vec<bool> = records
        .map(|versions| {
            let record: Value = serde_json::from_slice(&versions.last().unwrap().body).unwrap();
            record["finished"].is_string()
        })
        .collect();
    // The last one leaves no record where the one that died had asked for everything by then.
    assert_eq!(finished.iter().filter(|finished| !**finished).count(), 2, "{finished:?}");
    assert_every_change_once(&history, 0, &mirror, "orders");
}
