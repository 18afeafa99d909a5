//! The file system of a directory is full, really: a small one in memory, mounted for the test. Nothing is stored by half, it is said what
//! to do, and once there is room everything goes on by itself.
//!
//! Mounting takes root. Where that is missing the tests say so and prove nothing, except where `CI` is set: there they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use super::cosmos::DATABASE;
use super::crash::leases_are_there;
use super::eventually;
use super::mirror::of_directory;
use super::oracle::assert_every_change_once;
use super::world::{ALL_VERSIONS, Running, Target, World};

const DOCUMENTS: usize = 600;
const KEYS: usize = 20;
/// Room for some of the documents, each of which takes a page.
const SMALL: &str = "size=1m";
const LARGE: &str = "size=64m,nr_inodes=100000";
/// Room for the filler alone, which needs an inode as the root does.
const NOT_ONE_FILE: &str = "size=1m,nr_inodes=2";
const NOT_ONE_BYTE: &str = "size=1m,nr_inodes=1000";
const REMEDY: &str = "free space on the target's file system; the mirror goes on by itself";

/// A file system in memory; unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    /// None where that is not allowed.
    fn new(place: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let mounted = mount(options, place);
        if mounted.status.success() {
            return Some(Self(place.to_owned()));
        }
        let why = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
        assert!(std::env::var_os("CI").is_none(), "no file system could be mounted: {why}");
        eprintln!("nothing is proved: no file system could be mounted, which takes root: {why}");
        None
    }

    /// Gives it another size.
    fn resize(&self, options: &str) {
        let resized = mount(&format!("remount,{options}"), &self.0);
        assert!(resized.status.success(), "{}", String::from_utf8_lossy(&resized.stderr));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whatever still has a file open there keeps it until it ends; the name is free.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(options: &str, place: &Path) -> Output {
    Command::new("mount").args(["-t", "tmpfs", "-o", options, "cosmirror-test"]).arg(place).output().unwrap()
}

async fn change(world: &World, step: usize) {
    let source = world.source("orders");
    for key in 0..KEYS {
        let pk = format!("p{key}");
        let operations = (0..DOCUMENTS / KEYS).map(|number| {
            let document = json!({ "id": format!("d{number}"), "pk": pk, "step": step });
            json!({ "operationType": "Upsert", "resourceBody": document }).to_string()
        });
        source.batch(&json!([pk]).to_string(), &operations.collect::<Vec<_>>()).await;
    }
}

/// Waits until the daemon says more often than `before` what to do, and gives how often that is.
async fn says_that_it_is_full(daemon: &Running, before: usize) -> usize {
    eventually("the full disk is told of", async || {
        let log = daemon.log();
        let said = log.lines().filter(|line| line.contains(REMEDY) && line.contains("No space left on device")).count();
        (said > before).then_some(said)
    })
    .await
}

#[tokio::test]
async fn a_full_disk_leaves_no_half_version_and_what_waited_is_stored_once_there_is_room() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let mirror = world.folder().join("mirror");
    let Some(disk) = Mounted::new(&mirror, SMALL) else { return };
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": 2 });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    change(&world, 0).await;
    let mut said = 0;
    // The second one finds the disk full when it starts, and what the first one left.
    for _ in 0..2 {
        let daemon = world.start(&["run"]);
        said = says_that_it_is_full(&daemon, said).await;
        // It reads every file, each of which must be whole.
        let stored = of_directory(&mirror).keys().filter(|name| name.contains("/documents/")).count();
        assert!((1..DOCUMENTS).contains(&stored), "{stored}");
        daemon.kill().await;
        world.emulator.advance(40).await;
    }
    let daemon = world.start(&["run"]);
    says_that_it_is_full(&daemon, said).await;
    disk.resize(LARGE);
    change(&world, 1).await;
    eventually("all is stored", async || {
        let stored: usize = of_directory(&mirror)
            .iter()
            .filter(|(name, _)| name.contains("/documents/"))
            .map(|(_, versions)| versions.len())
            .sum();
        (stored == 2 * DOCUMENTS).then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &of_directory(&mirror), "orders");
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_first_start_is_waited_for_and_a_restore_whose_undo_file_finds_no_room_touches_nothing_it_cannot_undo()
 {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let mirror = world.folder().join("mirror");
    let Some(disk) = Mounted::new(&mirror, NOT_ONE_FILE) else { return };
    world.source("orders").make(&["/pk"]).await;
    let filler = mirror.join("filler");
    let filled = std::fs::write(&filler, vec![0; 2 * 1024 * 1024]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let daemon = world.start(&["run"]);
    let said = says_that_it_is_full(&daemon, 0).await;
    assert_eq!(std::fs::read_dir(&mirror).unwrap().count(), 1, "there is more than the filler");
    // Now the file system takes names and no content, so that the start comes as far as its lock.
    disk.resize(NOT_ONE_BYTE);
    says_that_it_is_full(&daemon, said).await;
    assert!(of_directory(&mirror).is_empty());
    disk.resize(LARGE);
    leases_are_there(&world).await;
    change(&world, 0).await;
    eventually("all is stored", async || (of_directory(&mirror).len() > DOCUMENTS).then_some(())).await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;

    let at = world.complete_until("orders").await;
    world.emulator.advance(5).await;
    change(&world, 1).await;
    world.catch_up().await;
    world.succeed(&["restore", "plan", "--all", "--at", &at, "-f", "back.plan"]).await;
    let Some(small) = Mounted::new(&world.folder().join("undo"), "size=64k") else { return };
    let before = world.history("orders").await;
    let apply = ["restore", "apply", "back.plan", "--undo", "undo/back.undo", "--yes"];
    let finished = world.run(&apply).await;
    assert!(finished.code == Some(1) && finished.err.contains("make room"), "{:?} {}", finished.code, finished.err);
    let touched = world.history("orders").await.len() - before.len();
    // What is done is undoable: no document is touched before its record is on disk.
    let kept = std::fs::read_to_string(world.folder().join("undo/back.undo")).unwrap();
    assert!(touched <= kept.matches("\"before\"").count() && touched < DOCUMENTS, "{touched}");
    small.resize(LARGE);
    world.succeed(&apply).await;
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &of_directory(&mirror), "orders");
}
