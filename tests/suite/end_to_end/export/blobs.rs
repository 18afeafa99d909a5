//! Exports in blobs: the same files as in a directory, whatever fails, and a chain may have both.

use serde_json::json;

use super::files::{Exported, read};
use super::{export, held, instant, mirrored, until, write};
use crate::suite::end_to_end::documents::random;
use crate::suite::end_to_end::mirror::{self, CONTAINER};
use crate::suite::end_to_end::oracle::live_as_sent;
use crate::suite::end_to_end::world::{Target, World};

const SMALL_FILES: [&str; 2] = ["--file-size", "8KiB"];

fn url(world: &World, prefix: &str) -> String {
    format!("{}/{CONTAINER}/exports/{prefix}", world.emulator.blob_endpoint())
}

/// What lies beneath a prefix, read by a lister that is not the program's.
async fn fetched(world: &World, prefix: &str) -> Exported {
    let folder = world.folder().join(format!("fetched-{prefix}"));
    std::fs::create_dir(&folder).unwrap();
    let beneath = format!("exports/{prefix}/");
    for (path, versions) in mirror::of_blobs(&world.emulator).await {
        // Nothing is deleted, so the manifest of the time when it was unfinished remains.
        if let Some(name) = path.strip_prefix(&beneath).filter(|name| *name != "manifest.partial.json") {
            std::fs::write(folder.join(name), &versions.last().unwrap().body).unwrap();
        }
    }
    let exported = read(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    exported
}

#[tokio::test]
async fn an_export_in_blobs_is_that_in_a_directory_also_when_it_was_interrupted() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let at = until(&world, "orders").await;
    let (_, directory) = export(&world, at, "directory", &SMALL_FILES).await;
    let same = |exported: &Exported| {
        assert_eq!((exported.comparable(), &exported.lines), (directory.comparable(), &directory.lines));
    };
    let (at, whole) = (instant(at), url(&world, "whole"));
    world.succeed(&[&["export", "--at", &at, "--out", &whole][..], &SMALL_FILES].concat()).await;
    same(&fetched(&world, "whole").await);
    for (number, point) in ["export-file-kept:2", "export-file-finished", "export-to-manifest", "export-manifest-kept"]
        .into_iter()
        .enumerate()
    {
        let prefix = format!("died{number}");
        let out = url(&world, &prefix);
        let asked = [&["export", "--at", &at, "--out", &out][..], &SMALL_FILES].concat();
        world.start_to_die(point, &asked).died().await;
        let lost = json!({ "service": "blob", "operation": "put", "action": "respond-then-reset", "probability": 0.4 });
        let busy = json!({ "service": "blob", "operation": "put", "status": 503, "probability": 0.3 });
        world.emulator.control("faults", &json!({ "rules": [lost, busy] })).await;
        world.succeed(&asked).await;
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        same(&fetched(&world, &prefix).await);
    }
    let other = url(&world, "whole");
    let refused = world.run(&["export", "--at", &at, "--out", &other]).await;
    assert!(refused.code == Some(2) && refused.err.contains("holds another export"), "{}", refused.err);
    let nowhere = format!("{}/nowhere/x", world.emulator.blob_endpoint());
    let missing = world.run(&["export", "--at", &at, "--out", &nowhere]).await;
    assert_eq!(missing.code, Some(10), "{}", missing.err);
    let large = world.run(&["export", "--at", &at, "--out", &nowhere, "--file-size", "1GiB"]).await;
    assert_eq!(large.code, Some(2), "{}", large.err);
}

#[tokio::test]
async fn a_chain_lies_in_blobs_and_in_a_directory_and_is_imported_from_both() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let full = url(&world, "full");
    let at = until(&world, "orders").await;
    world.succeed(&["export", "--at", &instant(at), "--out", &full, "--compress", "zstd"]).await;
    world.emulator.advance(2).await;
    write(&world, &mut random, "orders", 30, &mut 1_000).await;
    let later = until(&world, "orders").await;
    let (_, increment) = export(&world, later, "increment", &["--since", &full]).await;
    let mut documents = fetched(&world, "full").await.documents(0);
    increment.applied_to(0, &mut documents);
    let history = world.history("orders").await;
    assert_eq!(documents, held(&history, later));
    world.succeed(&["import", &full, "increment", "--into", "shop/copy", "--create", "--yes"]).await;
    let then: Vec<_> = history.into_iter().filter(|change| change.ts <= later).collect();
    let one_line = |text: String| text.replace(['\r', '\n'], " ");
    let copy: Vec<String> = live_as_sent(&world.history("copy").await).into_values().collect();
    let sent: Vec<String> = live_as_sent(&then).into_values().map(one_line).collect();
    assert_eq!(copy, sent);
}

/// Somebody else who writes to the same prefix is found by the etag of the unfinished manifest.
#[tokio::test]
async fn two_exports_to_one_prefix_do_not_mix() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let (at, out) = (instant(until(&world, "orders").await), url(&world, "both"));
    let asked = [&["export", "--at", &at, "--out", &out][..], &["--file-size", "2KiB"]].concat();
    let slow = json!({ "service": "blob", "operation": "put", "delayMs": 20 });
    world.emulator.control("faults", &json!({ "rules": [slow] })).await;
    let (one, other) = tokio::join!(world.run(&asked), world.run(&asked));
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    let codes = [one.code, other.code];
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 11))) && codes.contains(&Some(0)), "{one:?} {other:?}");
    let exported = fetched(&world, "both").await;
    assert_eq!(exported.documents(0), held(&world.history("orders").await, until(&world, "orders").await));
}
