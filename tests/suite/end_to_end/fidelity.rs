//! Any JSON text comes back from the mirror, and from a restore, as the client sent it.

use std::collections::BTreeMap;

use rand::RngExt as _;

use super::documents::random;
use super::oracle::{Name, assert_every_change_once, assert_latest_versions, live, live_as_sent};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

#[path = "../../../crates/formats/tests/support/raw_json.rs"]
mod raw_json;

const CONTAINERS: [(&str, &str); 2] = [("orders", ALL_VERSIONS), ("carts", LATEST_VERSION)];
const DOCUMENTS: usize = 150;

/// A container's documents by name, each without its last brace.
type Sent = BTreeMap<Name, String>;

async fn fill(world: &World, container: &str, pick: &mut dyn FnMut(usize) -> usize) -> Sent {
    let source = world.source(container);
    source.make(&["/pk"]).await;
    let mut sent = Sent::new();
    for number in 0..DOCUMENTS {
        let (id, key) = (format!("d{number}"), format!("[\"p{}\"]", number % 5));
        let (raw_id, raw_key) = (format!("\"\\u0064{number}\""), format!("\"p{}\"", number % 5));
        let text = acceptable(pick, &[("id", &raw_id), ("pk", &raw_key)]);
        source.put(&key, &text).await;
        sent.insert((key, id), text.strip_suffix('}').unwrap().to_owned());
    }
    sent
}

/// The emulator takes a document with half of a surrogate pair in a name for one without a partition key.
fn acceptable(pick: &mut dyn FnMut(usize) -> usize, fixed: &[(&str, &str)]) -> String {
    loop {
        let text = raw_json::document(pick, fixed);
        if !text.contains(r#""\udfff""#) && !text.contains(r#""\ud800""#) {
            return text;
        }
    }
}

#[tokio::test]
async fn any_json_text_is_stored_and_restored_as_it_was_sent() {
    let mut random = random();
    let mut pick = |below: usize| random.random_range(0..below.max(1));
    let world = World::new(&CONTAINERS, Target::Blobs).await;
    let mut sent = Vec::new();
    for (container, _) in CONTAINERS {
        sent.push(fill(&world, container, &mut pick).await);
    }
    world.catch_up().await;
    let mirror = world.mirror().await;
    let (orders, carts) = (world.history("orders").await, world.history("carts").await);
    assert_every_change_once(&orders, orders.len() as u64, &mirror, "orders");
    assert_latest_versions(&carts, &mirror, "carts");
    let ats = [world.complete_until("orders").await, world.complete_until("carts").await];

    world.emulator.advance(5).await;
    for (((container, _), sent), at) in CONTAINERS.iter().zip(&sent).zip(&ats) {
        // What stands in the mirror is the source's history to the byte, and that begins with what was sent.
        assert_eq!(live_as_sent(&world.history(container).await), *sent);
        for (key, id) in sent.keys() {
            world.source(container).delete(key, id).await;
        }
        assert!(live(&world.history(container).await).is_empty());
        let source = format!("shop/{container}");
        let restore = ["restore", "--all", "--yes", "--at", at, "--source", &source];
        // The latest-version feed told of no delete, so what is gone counts as uncertain.
        world.succeed(&restore).await;
        if *container == "orders" {
            assert_eq!(live_as_sent(&world.history(container).await), *sent);
        }
    }
}
