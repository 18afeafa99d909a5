//! Several changes of one document in one transaction share their place in the log.

use super::oracle::assert_every_change_once;
use super::traffic::{create, delete, replace};
use super::world::{ALL_VERSIONS, Target, World};

/// Longest transaction.
const CHANGES_MAX: usize = 4;

/// Every possible sequence of changes of a document that exists or not: `c`, `r` and `d`.
fn sequences(exists: bool, length: usize) -> Vec<String> {
    if length == 0 {
        return vec![String::new()];
    }
    let steps: &[(char, bool)] = if exists { &[('r', true), ('d', false)] } else { &[('c', true)] };
    let longer = steps
        .iter()
        .flat_map(|(step, leaves)| sequences(*leaves, length - 1).into_iter().map(move |rest| format!("{step}{rest}")));
    longer.collect()
}

#[tokio::test]
async fn every_sequence_of_changes_in_one_transaction_is_stored_once_and_in_order() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    world.catch_up().await;
    let (key, mut step) = (r#"["p"]"#, 0);
    let mut text = |id: &str| {
        step += 1;
        format!("{{\"id\":\"{id}\",\"pk\":\"p\",\"step\":{step}}}")
    };
    for exists in [false, true] {
        for sequence in (2..=CHANGES_MAX).flat_map(|length| sequences(exists, length)) {
            let id = format!("{exists}-{sequence}");
            if exists {
                source.put(key, &text(&id)).await;
            }
            let operation = |step| match step {
                'c' => create(&text(&id)),
                'r' => replace(&id, &text(&id)),
                _ => delete(&id),
            };
            source.batch(key, &sequence.chars().map(operation).collect::<Vec<_>>()).await;
        }
    }
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}
