//! What an interrupted import leaves to the next run of the same, and to no other.

use serde_json::{Value, json};

use super::{held, held_at, import, imported, report};
use crate::suite::end_to_end::cosmos::DATABASE;
use crate::suite::end_to_end::documents::random;
use crate::suite::end_to_end::emulator::Emulator;
use crate::suite::end_to_end::export::files::file_names;
use crate::suite::end_to_end::export::{export, mirrored, until};
use crate::suite::end_to_end::world::{Target, World};

/// A world with an export of `orders` in `export`, and its instant.
async fn exported() -> (World, i64) {
    let world = mirrored(&mut random(), Target::Blobs).await;
    let at = until(&world, "orders").await;
    export(&world, at, "export", &[]).await;
    (world, at)
}

/// Cancels an import into `copy` when some of its documents are written, and gives the file that says how far it is.
async fn cancelled(world: &World, arguments: &[&str]) -> String {
    let slow = json!({ "service": "cosmos", "operation": "item-write", "container": "copy", "delayMs": 30 });
    world.emulator.control("faults", &json!({ "rules": [slow] })).await;
    let before = file_names(world.folder());
    let importing = world.start(&[&["import", "--yes", "--concurrency", "3"], arguments].concat());
    world.more_requests("cosmos", "item-write", 6).await;
    assert_eq!(importing.terminate().await, Some(130));
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    let left = file_names(world.folder());
    let progress = left.iter().find(|name| name.ends_with(".progress") && !before.contains(name));
    progress.expect("a cancelled import says how far it is").clone()
}

/// Imports all from the first document, which must go well.
async fn imports_all(world: &World, arguments: &[&str], documents: usize) {
    let finished = import(world, arguments).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let told: Value = report(&finished);
    assert_eq!((&told["resumed"], &told["created"]), (&json!(0), &json!(documents)), "{told}");
}

/// The progress used to begin before the container was created: it named none, so that the next run began afresh, and a run into
/// another container of that name went on in its middle and said that all was well.
#[tokio::test]
async fn an_import_into_a_container_that_it_created_goes_on_and_one_into_the_next_of_that_name_begins() {
    let (world, at) = exported().await;
    let expected = held_at(&world, "orders", at).await;
    let asked = ["export", "--into", "shop/copy", "--create"];
    cancelled(&world, &asked).await;
    let told = imported(&world, &asked).await;
    assert!(told["resumed"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(held(&world, "copy").await, expected);
    assert_eq!(world.history("copy").await.len(), expected.len());

    world.source("copy").remove().await;
    cancelled(&world, &asked).await;
    world.source("copy").remove().await;
    imports_all(&world, &asked, expected.len()).await;
    assert_eq!(held(&world, "copy").await, expected);
}

#[tokio::test]
async fn a_progress_that_is_named_belongs_to_the_container_that_was_there() {
    let (world, at) = exported().await;
    let expected = held_at(&world, "orders", at).await;
    let asked = ["export", "--into", "shop/copy", "--create", "--progress", "own.progress"];
    assert_eq!(cancelled(&world, &asked).await, "own.progress");
    let told = imported(&world, &asked).await;
    assert!(told["resumed"].as_u64().unwrap() > 0, "{told}");

    world.source("copy").remove().await;
    cancelled(&world, &asked).await;
    world.source("copy").remove().await;
    let refused = import(&world, &asked).await;
    assert!(refused.code == Some(2) && refused.err.contains("progress of another import"), "{refused:?}");
    assert!(world.emulator.history(DATABASE, "copy").await.is_none(), "nothing is created for what is refused");
    std::fs::remove_file(world.folder().join("own.progress")).unwrap();
    imports_all(&world, &asked, expected.len()).await;
    assert_eq!(held(&world, "copy").await, expected);
}

#[tokio::test]
async fn what_is_settled_in_one_account_is_not_in_another() {
    let (world, at) = exported().await;
    let expected = held_at(&world, "orders", at).await;
    let asked = ["export", "--into", "shop/copy", "--create"];
    cancelled(&world, &asked).await;
    let other = Emulator::start().await;
    let account = format!("http://{}/", other.cosmos);
    imports_all(&world, &[&asked[..], &["--account", &account]].concat(), expected.len()).await;
    assert_eq!(other.history(DATABASE, "copy").await.unwrap().len(), expected.len());
    let told = imported(&world, &asked).await;
    assert!(told["resumed"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(held(&world, "copy").await, expected);
}
