//! Exports that are damaged, or do not go together: the file and the line are told, and nothing is written.

use std::path::{Path, PathBuf};

use super::import;
use crate::suite::end_to_end::documents::random;
use crate::suite::end_to_end::export::{export, mirrored, until, write};
use crate::suite::end_to_end::world::{Target, World};

/// Two exports of a chain in small files, and a container to import into.
async fn chain() -> World {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    export(&world, until(&world, "orders").await, "full", &["--file-size", "4KiB"]).await;
    world.emulator.advance(2).await;
    write(&world, &mut random, "orders", 30, &mut 1_000).await;
    export(&world, until(&world, "orders").await, "more", &["--since", "full", "--file-size", "4KiB"]).await;
    world.source("copy").make(&["/pk"]).await;
    world.source("other").make(&["/other"]).await;
    world
}

async fn refused(world: &World, paths: &[&str], code: i32, words: &[&str]) {
    let finished = import(world, &[paths, &["--into", "shop/copy"]].concat()).await;
    assert_eq!(finished.code, Some(code), "{paths:?}: {finished:?}");
    for word in words {
        assert!(finished.err.contains(word), "{paths:?}: {word}: {}", finished.err);
    }
    assert!(finished.err.contains(r#""remedy":"#), "{}", finished.err);
    assert!(world.history("copy").await.is_empty(), "{paths:?}");
}

fn alter(file: &Path, alter: impl FnOnce(&mut Vec<u8>)) -> Box<dyn FnOnce()> {
    let before = std::fs::read(file).unwrap();
    let mut bytes = before.clone();
    alter(&mut bytes);
    std::fs::write(file, bytes).unwrap();
    let file: PathBuf = file.to_owned();
    Box::new(move || std::fs::write(file, before).unwrap())
}

#[tokio::test]
async fn a_damaged_export_is_refused_with_the_file_and_the_line_before_anything_is_written() {
    let world = chain().await;
    let (full, more) = (world.folder().join("full"), world.folder().join("more"));
    let both = ["full", "more"];
    let second = full.join("1-000002.ndjson");

    let aside = full.join("aside");
    std::fs::rename(&second, &aside).unwrap();
    refused(&world, &both, 6, &["1-000002.ndjson is missing"]).await;
    std::fs::rename(&aside, &second).unwrap();

    // The first byte of its last line.
    let mut number = 0;
    let undo = alter(&second, |bytes| {
        number = bytes.iter().filter(|byte| **byte == b'\n').count();
        let at = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes[at] ^= 1;
    });
    let line = format!("its line {number} is not JSON");
    refused(&world, &both, 6, &["1-000002.ndjson does not have the bytes", &line]).await;
    undo();

    // A digit: still JSON.
    let undo = alter(&second, |bytes| {
        let at = bytes.windows(5).position(|window| window == b"\"ts\":").unwrap() + 5;
        bytes[at] ^= 1;
    });
    refused(&world, &both, 6, &["1-000002.ndjson does not have the bytes"]).await;
    undo();

    let undo = alter(&second, |bytes| bytes.truncate(bytes.len() - 7));
    refused(&world, &both, 6, &["1-000002.ndjson", "cannot be read: it is cut off"]).await;
    undo();

    let undo = alter(&full.join("manifest.json"), |bytes| {
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
    });
    refused(&world, &both, 6, &["full/manifest.json cannot be used"]).await;
    undo();

    // Sealed anew as a forger would, but not the one that the next export names.
    let undo = alter(&full.join("manifest.json"), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let mut manifest = cosmirror_formats::export::Manifest::of_text(&text).unwrap();
        manifest.containers[0].files.pop();
        *bytes = manifest.to_text().unwrap().into_bytes();
    });
    refused(&world, &both, 6, &["full is not the one that the export in more was built on"]).await;
    undo();

    std::fs::rename(more.join("manifest.json"), more.join("manifest.partial.json")).unwrap();
    refused(&world, &both, 6, &["more is not whole"]).await;
}

#[tokio::test]
async fn exports_that_do_not_go_together_or_into_the_container_are_refused() {
    let world = chain().await;
    refused(&world, &["more"], 2, &["builds on another one", "the full export first"]).await;
    refused(&world, &["more", "full"], 2, &["builds on another one"]).await;
    refused(&world, &["full", "full"], 2, &["is a full one, and builds on none"]).await;
    refused(&world, &["full", "more", "more"], 2, &["builds on", "in their order"]).await;
    refused(&world, &["full", "full/1-000001.ndjson"], 2, &["is no folder of an export"]).await;
    refused(&world, &["full", "--source", "shop/customers"], 2, &["choose one of shop/orders"]).await;
    refused(&world, &["full/1-000001.ndjson"], 2, &["is a file of an export"]).await;
    refused(&world, &["."], 10, &["there is no export"]).await;
    refused(&world, &["nothing"], 10, &["cannot read nothing"]).await;
    let other = import(&world, &["full", "--into", "shop/other"]).await;
    assert!(other.code == Some(2) && other.err.contains("partition key /other"), "{}", other.err);
    assert!(world.history("other").await.is_empty());
    let missing = import(&world, &["full", "--into", "shop/missing"]).await;
    assert!(missing.code == Some(10) && missing.err.contains("--create"), "{}", missing.err);
}
