//! The main job with a directory as target, and whatever else is no versions of blobs.

use super::documents::{Document, document, random};
use super::hostile_names;
use super::oracle::{assert_every_change_once, live, live_as_sent};
use super::world::{ALL_VERSIONS, Target, World};

const DOCUMENTS: usize = 40;

#[tokio::test]
async fn a_directory_holds_every_version_and_gives_it_back() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    held_and_given_back(&world).await;
    assert_eq!(world.emulator.requests("blob", "*", "*").await, 0);
}

/// Documents of every kind are written and changed, looked at and restored.
pub(super) async fn held_and_given_back(world: &World) {
    let mut random = random();
    let source = world.source("orders");
    source.make(&["/pk"]).await;
    let mut documents: Vec<Document> = (0..DOCUMENTS).map(|number| document(&mut random, number, 0)).collect();
    documents.extend(hostile_names::documents().0);
    for Document { key, text, .. } in &documents {
        source.put(key, text).await;
    }
    let held = world.history("orders").await;
    world.catch_up().await;
    let at = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    for (place, Document { key, id, text }) in documents.iter().enumerate() {
        match place % 3 {
            0 => source.delete(key, id).await,
            1 => source.put(key, &text.replacen('{', "{\"changed\":1e5,", 1)).await,
            _ => {}
        }
    }
    let added = document(&mut random, DOCUMENTS, 0);
    source.put(&added.key, &added.text).await;
    world.catch_up().await;

    assert_every_change_once(&world.history("orders").await, held.len() as u64, &world.mirror().await, "orders");
    for ((key, id), text) in live(&world.history("orders").await).iter().step_by(9) {
        let shown = world.succeed(&["show", "--raw", "--pk-json", key, "--", id]).await;
        assert_eq!(String::from_utf8_lossy(&shown), *text);
    }
    world.succeed(&["restore", "--all", "--at", &at, "--delete-extra", "--yes"]).await;
    assert_eq!(live_as_sent(&world.history("orders").await), live_as_sent(&held));
}
