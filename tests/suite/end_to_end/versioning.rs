//! Blob versioning is switched off under running daemons, and on again.

use std::collections::BTreeMap;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::documents::random;
use super::eventually;
use super::mirror::{Mirror, Stored};
use super::observer::{admins, metrics, value};
use super::oracle::{assert_every_change_once, live};
use super::traffic::traffic;
use super::world::{ALL_VERSIONS, Running, Target, World};

const RANGES: usize = 4;
/// A daemon names it once for each range that it gives up.
const GIVEN_UP: &str = "the range was given up for now";
const ALARM: &str = "the target does not keep versions any more";

async fn switch(world: &World, on: bool) {
    world.emulator.control("storage", &json!({ "versioning": on })).await;
}

/// What only exists once: each stored while versioning was off.
fn without_id(mirror: &Mirror) -> BTreeMap<String, Stored> {
    let newest = mirror.iter().filter_map(|(name, versions)| Some((name.clone(), versions.last()?.clone())));
    newest.filter(|(_, version)| version.version.is_empty()).collect()
}

/// Waits until these daemons say of themselves whether they can write.
async fn say(world: &World, admins: &[String], on: bool) {
    for admin in admins {
        eventually(&format!("versioning is seen to be {on}"), async || {
            (metrics(world, admin).await["target_versioning"] == f64::from(u8::from(on))).then_some(())
        })
        .await;
        eventually("readiness says the same", async || {
            let answer = world.emulator.http.get(format!("http://{admin}/readyz")).send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            let off = status == 503 && text.contains("target: blob versioning is off");
            if on { status == 200 } else { off }.then_some(())
        })
        .await;
    }
}

async fn given_up(daemon: &Running, times: usize) {
    eventually(&format!("ranges were given up {times} times"), async || {
        (daemon.log().matches(GIVEN_UP).count() >= times).then_some(())
    })
    .await;
}

/// Puts on each document that exists, and on those without an id among them.
async fn change_everything(world: &World) {
    let source = world.source("orders");
    for ((key, id), text) in live(&world.history("orders").await) {
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        source.put(&key, &format!("{{\"id\":\"{id}\",\"pk\":{},\"last\":true}}", document["pk"])).await;
    }
}

#[tokio::test]
async fn daemons_under_load_stop_writing_while_versioning_is_off_and_go_on_by_themselves_without_loss() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": RANGES });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    // With -v every failure is told, also one that repeats itself.
    let daemons = [world.start(&["-v", "run", "--instance", "one"]), world.start(&["-v", "run", "--instance", "two"])];
    let admins = admins(&daemons[0], 2).await;
    for admin in &admins {
        eventually("both follow ranges", async || {
            (value(&metrics(&world, admin).await, "leases_owned", None)? > 0.0).then_some(())
        })
        .await;
    }
    let stop = CancellationToken::new();
    let mut random = random();
    let source = world.source("orders");
    let switched_off_under_load = async {
        world.more_requests("blob", "put", 50).await;
        switch(&world, false).await;
        say(&world, &admins, false).await;
        given_up(&daemons[0], RANGES).await;
        stop.cancel();
    };
    tokio::join!(switched_off_under_load, traffic(&source, &mut random, &stop));
    let kept = without_id(&world.mirror().await);
    assert!(!kept.is_empty(), "the puts in flight were stored");
    let refused = world.run(&["-q", "run", "--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("--enable-versioning true"), "{}", refused.err);
    // Each range was tried again after its rest, and by whoever took its lease.
    given_up(&daemons[0], 3 * RANGES).await;
    let still = without_id(&world.mirror().await);
    for (name, version) in &kept {
        assert_eq!(still.get(name), Some(version), "{name} was overwritten");
    }

    switch(&world, true).await;
    say(&world, &admins, true).await;
    change_everything(&world).await;
    for admin in &admins {
        eventually("it has caught up", async || {
            (value(&metrics(&world, admin).await, "lag_seconds", None)? < 3.0).then_some(())
        })
        .await;
    }
    let log = daemons[0].log();
    assert_eq!(log.matches(ALARM).count(), 2, "each daemon says it once: {log}");
    assert_eq!(log.matches("blob versioning is on again").count(), 2, "{log}");
    for daemon in daemons {
        assert_eq!(daemon.terminate().await, Some(0));
    }
    world.catch_up().await;
    let mirror = world.mirror().await;
    for (name, version) in &kept {
        let same = |other: &Stored| other.metadata == version.metadata && other.body == version.body;
        assert!(mirror[name].iter().any(same), "{name} was overwritten");
    }
    assert_every_change_once(&world.history("orders").await, 0, &mirror, "orders");
}
