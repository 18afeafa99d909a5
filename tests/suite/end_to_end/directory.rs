//! The main job with a directory as target, and whatever else is no versions of blobs; daemons that die while they write into one, and
//! those that must not write into the same.

use std::path::Path;
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::crash::leases_are_there;
use super::crash_points::{assert_goes_on, changes, die_at};
use super::documents::{Document, document, random};
use super::mirror::of_directory;
use super::observer::admins;
use super::oracle::{assert_every_change_once, live, live_as_sent};
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, Target, World};
use super::{eventually, hostile_names};

/// Around the moment in which a version is there.
pub(super) const POINTS: [&str; 2] = ["version-staged", "version-linked"];
/// How often a point is passed before it counts: records at the start, then first and later versions of documents.
const PASSES: [usize; 4] = [1, 2, 7, 12];
const DOCUMENTS: usize = 40;
const SEEDED: u64 = 300;
const RANGES: usize = 3;
const KILLS: usize = 6;

#[tokio::test]
async fn a_directory_holds_every_version_and_gives_it_back() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    held_and_given_back(&world).await;
    assert_eq!(world.emulator.requests("blob", "*", "*").await, 0);
    world.catch_up().await;
    // A copy, as the manual makes it, is a mirror too.
    let (mirror, copy) = (world.folder().join("mirror"), world.folder().join("copy"));
    std::fs::create_dir(&copy).unwrap();
    let tar = world.folder().join("mirror.tar.gz");
    let run = |arguments: &[&str], place: &Path| {
        assert!(
            Command::new("tar").args(arguments).arg(&tar).arg("-C").arg(place).arg(".").status().unwrap().success()
        );
    };
    run(&["--sort=name", "--exclude=./.staging", "--exclude=+lock", "-czf"], &mirror);
    run(&["-xzf"], &copy);
    assert_eq!(of_directory(&copy), of_directory(&mirror));
    assert!(!copy.join(".staging").exists() && !copy.join("shop/orders/+lock").exists());
    world.set("TARGET__PATH", copy.to_str().unwrap());
    world.succeed(&["verify", "--mode", "full"]).await;
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

#[tokio::test]
async fn a_daemon_that_dies_around_the_moment_a_file_gets_its_place_is_followed_by_one_that_loses_nothing() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    let points = POINTS.into_iter().flat_map(|point| PASSES.map(|pass| format!("{point}:{pass}")));
    for (round, point) in points.enumerate() {
        println!("{point}");
        changes(&world, round).await;
        die_at(&world, &point, &["run"]).await;
        assert_goes_on(&world, 0).await;
    }
}

/// How many versions of documents there are; none of them is half of one.
async fn versions(world: &World) -> usize {
    world
        .mirror()
        .await
        .iter()
        .filter(|(name, _)| name.contains("/documents/"))
        .map(|(_, versions)| versions.len())
        .sum()
}

#[tokio::test]
async fn a_daemon_killed_at_any_moment_leaves_no_half_version_and_is_followed_by_one_that_loses_nothing() {
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let seed =
        json!({ "database": DATABASE, "container": "orders", "count": SEEDED, "keys": 40, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    let daemon = world.start(&["run"]);
    leases_are_there(&world).await;
    daemon.kill().await;
    world.emulator.advance(40).await;
    let stop = CancellationToken::new();
    let mut traffic_random = StdRng::from_rng(&mut random);
    let source = world.source("orders");
    let killing = async {
        for _ in 0..KILLS {
            let wanted = versions(&world).await + random.random_range(1..60);
            let daemon = world.start(&["run"]);
            eventually("more is stored", async || (versions(&world).await >= wanted).then_some(())).await;
            daemon.kill().await;
            world.emulator.advance(40).await;
        }
        stop.cancel();
    };
    tokio::join!(killing, traffic(&source, &mut traffic_random, &stop));
    assert_goes_on(&world, SEEDED).await;
}

/// Replicas of one daemon share a mirror; another daemon is refused, with the name of the one that has it, until that is gone.
#[tokio::test]
async fn two_daemons_that_do_not_share_their_work_do_not_write_one_mirror() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    let replicas = [world.start(&["run"]), world.start(&["run"])];
    for admin in admins(&replicas[0], replicas.len()).await {
        eventually("it follows", async || {
            let ready = world.emulator.http.get(format!("http://{admin}/readyz")).send().await.ok()?;
            ready.status().is_success().then_some(())
        })
        .await;
    }
    world.set("LEASES__PROCESSOR", "stranger");
    for replica in replicas {
        let held = world.mirror().await;
        let refused = world.run(&["-o", "json", "run", "--once"]).await;
        assert_eq!(refused.code, Some(11), "{}", refused.err);
        let said = refused.err.lines().find(|line| line.contains("\"error\"")).unwrap();
        assert!(said.contains("processor \\\"cosmirror\\\"") && said.contains("/shop/orders/+lock"), "{said}");
        assert!(said.contains("fuser"), "{said}");
        assert_eq!(world.mirror().await.len(), held.len(), "the stranger has written");
        // Reading is for everybody.
        world.succeed(&["gaps", "list"]).await;
        replica.kill().await;
    }
    world.catch_up().await;
}
