//! Any JSON text comes back from the mirror, and from a restore, as the client sent it.

use std::collections::BTreeMap;

use rand::RngExt as _;

use super::documents::random;
use super::mirror::Mirror;
use super::oracle::{Name, live, stored};
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

/// The newest version of each document, without what the service put at its end. What the emulator tells of its history has no line
/// feeds any more, so it is the blobs that are compared with what was sent.
fn newest(mirror: &Mirror, container: &str) -> Sent {
    let sent = |body: &[u8]| {
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.rsplit_once(r#","_rid":""#).map(|(sent, _)| sent.to_owned()).unwrap()
    };
    let documents = stored(mirror, container).into_iter();
    documents.map(|(name, versions)| (name, sent(&versions.last().unwrap().body))).collect()
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
    for ((container, _), sent) in CONTAINERS.iter().zip(&sent) {
        assert_eq!(newest(&mirror, container), *sent);
    }
    let at = world.complete_until("orders").await;

    world.emulator.advance(5).await;
    for (key, id) in sent[0].keys() {
        world.source("orders").delete(key, id).await;
    }
    assert!(live(&world.history("orders").await).is_empty());
    world.catch_up().await;
    world.succeed(&["restore", "--all", "--yes", "--at", &at, "--source", "shop/orders"]).await;
    world.catch_up().await;
    assert_eq!(newest(&world.mirror().await, "orders"), sent[0]);
}
