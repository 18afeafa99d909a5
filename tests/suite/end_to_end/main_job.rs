//! The product's main job: mirror two containers, one in each feed mode, look, and bring everything back.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::cosmos::Source;
use super::documents::{Document, document, random};
use super::emulator::Change;
use super::mirror::Mirror;
use super::oracle::{Name, assert_every_change_once, assert_latest_versions, live, live_as_sent, stored};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

const CONTAINERS: [(&str, &str); 2] = [("orders", ALL_VERSIONS), ("carts", LATEST_VERSION)];
/// Documents of each container.
const DOCUMENTS: usize = 180;
/// Documents of each container that are read with a command.
const SAMPLE: usize = 12;

/// Creates documents; some are written again and some deleted before anything is mirrored.
async fn first_state(source: &Source<'_>, random: &mut StdRng) {
    for number in 0..DOCUMENTS {
        for generation in 0..1 + number % 2 {
            let Document { key, text, .. } = document(random, number, generation);
            source.put(&key, &text).await;
        }
        if number % 11 == 0 {
            let Document { key, id, .. } = document(random, number, 0);
            source.delete(&key, &id).await;
        }
    }
}

/// Changes, deletes, re-creates and adds documents.
async fn changes(source: &Source<'_>, random: &mut StdRng) {
    for number in 0..DOCUMENTS + 40 {
        let Document { key, id, text } = document(random, number, 2);
        let exists = number < DOCUMENTS && number % 11 != 0;
        match number % 6 {
            0 if exists => source.delete(&key, &id).await,
            1 if exists => {
                source.delete(&key, &id).await;
                source.put(&key, &text).await;
            }
            2 | 3 => {
                for generation in 2..random.random_range(3..6) {
                    source.put(&key, &document(random, number, generation).text).await;
                }
            }
            4 if exists => {}
            _ => source.put(&key, &text).await,
        }
    }
}

async fn shown_as_it_is(world: &World, container: &str) {
    let source = format!("shop/{container}");
    let live = live(&world.history(container).await);
    for ((key, id), text) in live.iter().step_by(live.len() / SAMPLE) {
        let shown = world.succeed(&["show", "--raw", "--source", &source, "--pk-json", key, "--", id]).await;
        assert_eq!(String::from_utf8_lossy(&shown), *text);
    }
}

#[tokio::test]
async fn what_the_source_held_at_an_instant_comes_back_byte_for_byte() {
    let mut random = random();
    let world = World::new(&CONTAINERS, Target::Blobs).await;
    let mut held = Vec::new();
    for (container, _) in CONTAINERS {
        world.source(container).make(&["/pk"]).await;
        first_state(&world.source(container), &mut random).await;
        held.push(world.history(container).await);
    }
    world.catch_up().await;
    let (at, at_of_carts) = (world.complete_until("orders").await, world.complete_until("carts").await);
    world.emulator.advance(5).await;
    for (container, _) in CONTAINERS {
        changes(&world.source(container), &mut random).await;
    }
    world.catch_up().await;

    let (mirror, before) = (world.mirror().await, held[0].len() as u64);
    assert_every_change_once(&world.history("orders").await, before, &mirror, "orders");
    assert_latest_versions(&world.history("carts").await, &mirror, "carts");
    for (container, _) in CONTAINERS {
        shown_as_it_is(&world, container).await;
    }

    let restore = ["restore", "--all", "--at", &at, "--delete-extra"];
    world.succeed(&[&restore[..], &["--yes", "--source", "shop/orders"]].concat()).await;
    assert_eq!(live_as_sent(&world.history("orders").await), live_as_sent(&held[0]), "{at}");
    let again = world.json(&[&restore[..], &["--dry-run", "--source", "shop/orders"]].concat()).await;
    let plan = &again["plan"];
    assert_eq!([&plan["create"], &plan["replace"], &plan["delete"]], [0, 0, 0], "{again}");
    assert_eq!(plan["unchanged"], live(&held[0]).len(), "{again}");

    // This feed does not tell of deletes: what is gone stays gone, unless a version of it is asked for.
    let gone = gone(&world.history("carts").await, &mirror);
    let restore = ["restore", "--all", "--at", &at_of_carts, "--delete-extra", "--yes", "--source", "shop/carts"];
    let restored = world.run(&restore).await;
    assert_eq!(restored.code, Some(5), "{}", restored.err);
    let mut expected = live_as_sent(&held[1]);
    expected.retain(|name, _| !gone.contains(name));
    assert_eq!(live_as_sent(&world.history("carts").await), expected, "{at_of_carts}");
    let (key, id) = gone.first().unwrap();
    let document = ["--source", "shop/carts", "--pk-json", key];
    let history = world.json(&[&["history"], &document[..], &["--", id]].concat()).await;
    let version = history["versions"].as_array().unwrap().last().unwrap()["version"].as_str().unwrap();
    world.succeed(&[&["restore", "--yes", "--version", version, "--id", id], &document[..]].concat()).await;
    let back = live_as_sent(&world.history("carts").await).remove(&gone[0]);
    assert_eq!(back, live_as_sent(&held[1]).remove(&gone[0]));
}

/// Documents that were mirrored and do not exist any more.
fn gone(history: &[Change], mirror: &Mirror) -> Vec<Name> {
    let live = live(history);
    stored(mirror, "carts").into_keys().filter(|name| !live.contains_key(name)).collect()
}
