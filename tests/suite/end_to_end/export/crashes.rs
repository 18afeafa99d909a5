//! An export that dies or is killed goes on behind its last file and makes what an undisturbed one makes.

use rand::RngExt as _;
use serde_json::json;

use super::files::{file_names, read};
use super::{POINTS, export, instant, mirrored, until, write};
use crate::suite::end_to_end::documents::random;
use crate::suite::end_to_end::world::{Target, World};

/// How an export is asked for.
const SMALL_FILES: [&str; 2] = ["--file-size", "8KiB"];

async fn assert_goes_on(world: &World, asked: &[&str], out: &str, undisturbed: &super::Exported) {
    world.succeed(asked).await;
    let exported = read(&world.folder().join(out));
    assert_eq!((exported.comparable(), &exported.lines), (undisturbed.comparable(), &undisturbed.lines), "{out}");
}

#[tokio::test]
async fn an_export_that_dies_at_any_step_goes_on_to_the_same_files() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let at = until(&world, "orders").await;
    let (_, undisturbed) = export(&world, at, "undisturbed", &SMALL_FILES).await;
    let files = undisturbed.manifest["containers"][0]["files"].as_array().unwrap().len();
    for point in POINTS {
        let point = if point.starts_with("export-file") {
            format!("{point}:{}", random.random_range(1..=files))
        } else {
            point.to_owned()
        };
        println!("{point}");
        let at = instant(at);
        let asked = [&["export", "--at", &at, "--out", &point][..], &SMALL_FILES].concat();
        world.start_to_die(&point, &asked).died().await;
        if !point.starts_with("export-manifest-kept") {
            assert!(!file_names(&world.folder().join(&point)).contains(&"manifest.json".to_owned()));
        }
        assert_goes_on(&world, &asked, &point, &undisturbed).await;
    }
}

#[tokio::test]
async fn an_export_that_is_killed_again_and_again_goes_on_as_of_its_instant_although_the_mirror_does_too() {
    let mut random = random();
    let world = mirrored(&mut random, Target::Blobs).await;
    let mut generation = 1_000;
    let at = until(&world, "orders").await;
    let (_, undisturbed) = export(&world, at, "undisturbed", &SMALL_FILES).await;
    let slow = json!({ "service": "blob", "operation": "get", "delayMs": 15 });
    let relative = ["export", "--out", "killed", "--at", &instant(at)];
    let asked = [&relative[..], &SMALL_FILES].concat();
    let resumed = [&["export", "--resume", "--out", "killed"][..], &SMALL_FILES].concat();
    for round in 0..4 {
        world.emulator.control("faults", &json!({ "rules": [slow] })).await;
        let exporting = world.start(if round == 0 { &asked } else { &resumed });
        world.more_requests("blob", "get", random.random_range(8..30)).await;
        if round == 3 {
            assert_eq!(exporting.terminate().await, Some(130));
        } else {
            exporting.end().await;
        }
        world.emulator.control("faults", &json!({ "rules": [] })).await;
        world.emulator.advance(2).await;
        write(&world, &mut random, "orders", 5, &mut generation).await;
    }
    let other = world.run(&["export", "--at", &instant(at - 1), "--out", "killed"]).await;
    assert!(other.code == Some(2) && other.err.contains("--resume"), "{}", other.err);
    // The window that the manifest tells of has grown; everything else is the same.
    world.succeed(&resumed).await;
    let exported = read(&world.folder().join("killed"));
    assert_eq!(exported.lines, undisturbed.lines);
    assert_eq!(exported.comparable()["containers"], undisturbed.comparable()["containers"]);
    let nothing = world.run(&["export", "--resume", "--out", "elsewhere"]).await;
    assert_eq!(nothing.code, Some(10), "{}", nothing.err);
}
