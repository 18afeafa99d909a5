//! What is asked for and cannot be exported is refused before anything is written.

use std::path::Path;

use super::files::file_names;
use super::{export, instant, mirrored, until};
use crate::suite::end_to_end::documents::random;
use crate::suite::end_to_end::world::{ALL_VERSIONS, Target, World};

async fn refused(world: &World, arguments: &[&str], code: i32, word: &str) {
    let before = file_names(world.folder());
    let finished = world.run(&[&["export"], arguments].concat()).await;
    assert!(finished.code == Some(code) && finished.err.contains(word), "{arguments:?}: {finished:?}");
    assert!(finished.err.contains("remedy: "), "{}", finished.err);
    assert_eq!(file_names(world.folder()), before, "{arguments:?}");
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn instants_that_are_not_covered_places_that_are_taken_and_bases_that_do_not_fit_are_refused() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Directory).await;
    let last = until(&world, "orders").await;
    let (at, beyond, early) = (instant(last - 1), instant(last + 1), instant(last - 100_000));
    refused(&world, &["--at", &beyond, "--out", "out"], 5, "is not covered").await;
    refused(&world, &["--at", &early, "--out", "out"], 5, "is not covered").await;
    refused(&world, &["--at", &at, "--out", "out", "--source", "shop/nothing"], 2, "no such container").await;
    refused(&world, &["--at", &at, "--out", "."], 2, "holds no export").await;
    refused(&world, &["--at", &at, "--out", "cosmirror.toml"], 2, "name a directory").await;
    refused(&world, &["--at", &at, "--out", "out", "--since", "nowhere"], 10, "there is no export").await;

    export(&world, last - 1, "base", &["--file-size", "8KiB"]).await;
    refused(&world, &["--at", &instant(last), "--out", "base"], 2, "holds another export").await;
    refused(&world, &["--at", &at, "--out", "out", "--since", "base"], 2, "is not before").await;
    let onto = ["--at", &instant(last), "--out", "out", "--since", "base"];
    let folder = world.folder().join("base");
    let first = folder.join("1-000001.ndjson");
    std::fs::rename(&first, folder.join("aside")).unwrap();
    refused(&world, &onto, 6, "1-000001.ndjson is missing").await;
    std::fs::rename(folder.join("aside"), &first).unwrap();
    flip(&folder.join("manifest.json"));
    refused(&world, &onto, 6, "manifest.json cannot be used").await;
    std::fs::rename(folder.join("manifest.json"), folder.join("manifest.partial.json")).unwrap();
    refused(&world, &onto, 6, "is not whole").await;
}

#[tokio::test]
async fn an_export_of_another_mirror_or_of_another_partition_key_is_no_base() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    export(&world, until(&world, "orders").await, "base", &[]).await;
    let base = world.folder().join("base");
    let base = base.to_str().unwrap();
    for (key, word) in [("/pk", "is another one"), ("/id", "is another one")] {
        let other = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
        other.source("orders").make(&[key]).await;
        other.catch_up().await;
        other.emulator.advance(100_000).await;
        other.catch_up().await;
        let at = instant(until(&other, "orders").await);
        let finished = other.run(&["export", "--at", &at, "--out", "out", "--since", base]).await;
        let account = finished.err.contains("was of the account");
        assert!(finished.code == Some(2) && (account || finished.err.contains(word)), "{}", finished.err);
        assert!(!other.folder().join("out").exists());
    }
}

#[tokio::test]
async fn an_encrypted_mirror_is_exported_in_plain_text_with_the_key_and_without_it_nothing_is_written() {
    let mut world = World::encrypted(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    world.emulator.advance(10).await;
    super::write(&world, &mut random(), "orders", 30, &mut 0).await;
    let at = until(&world, "orders").await;
    let (_, exported) = export(&world, at, "export", &[]).await;
    assert_eq!(exported.documents(0), super::held(&world.history("orders").await, at));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for name in ["export", "export/manifest.json", "export/1-000001.ndjson"] {
            let mode = std::fs::metadata(world.folder().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} is readable for others");
        }
    }
    let key = world.variable_of("COSMIRROR_IDENTITY");
    world.unset("COSMIRROR_IDENTITY");
    refused(&world, &["--at", &instant(at), "--out", "out"], 12, "--identity").await;
    world.succeed(&["export", "--at", &instant(at), "--out", "out", "--identity", &key]).await;
}
