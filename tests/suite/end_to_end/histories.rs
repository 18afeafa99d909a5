//! Random histories under random faults: documents are created, changed, deleted, created again, written in batches and expire, ranges
//! split and merge, both services fail in every way that the emulator knows, and the daemons are killed or die at crash points. In the
//! end the mirror holds the source's history.
//!
//! The seed of the choices is printed; `COSMIRROR_TEST_SEED` makes the same choices again. What the processes make of them differs from run
//! to run, because they run in real time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cosmos::DATABASE;
use super::crash::leases_are_there;
use super::documents::random;
use super::oracle::{Name, assert_every_change_once, assert_latest_versions, assert_tombstones, by_document};
use super::ranges::{assert_leases_tile, disturb};
use super::traffic::{create, delete, replace};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Running, Target, World};

const HISTORIES: usize = 2;
/// Disturbances of one history.
const STEPS: usize = 8;
const DAEMONS_MAX: usize = 2;
/// Documents that exist before following begins, and as many keys that more are written to.
const SEEDED: u64 = 60;
const KEYS: u32 = 9;
/// Documents that the application makes besides.
const DOCUMENTS: u32 = 40;
/// Time between two writes at least; the rest of the machine needs some as well.
const PACE: Duration = Duration::from_millis(8);

/// Where daemons die, if they are not killed before.
const CRASHES: [&str; 14] = [
    "lease-taken",
    "version-to-put",
    "version-put",
    // These two are passed in a directory only.
    "version-staged",
    "version-linked",
    "page-durable",
    "position-moved",
    "lease-to-renew",
    "lease-renewed",
    "backfill-ended",
    "split-part-created",
    "split-part-state-put",
    "split-superseded",
    "split-lease-deleted",
];

/// Which requests fail: service, operation, and the container of the source where only one's are meant. The application's own are not
/// among them.
const REQUESTS: [(&str, &str, Option<&str>); 10] = [
    ("cosmos", "feed", Some("orders")),
    ("cosmos", "feed", Some("orders")),
    ("cosmos", "pkranges", None),
    ("cosmos", "item-write", Some("leases")),
    ("cosmos", "item-read", Some("leases")),
    ("cosmos", "query", Some("leases")),
    ("blob", "put", None),
    ("blob", "put", None),
    ("blob", "head", None),
    ("blob", "list", None),
];

/// One way to fail for some requests of one kind.
fn fault(random: &mut StdRng) -> Value {
    let (service, operation, container) = REQUESTS.choose(random).unwrap();
    let mut rule = match random.random_range(0..8) {
        0 => json!({ "status": 429, "retryAfterMs": random.random_range(1..400) }),
        1 => json!({ "status": 500 }),
        2 => json!({ "status": 503 }),
        3 => json!({ "action": "reset" }),
        4 => json!({ "action": "respond-then-reset" }),
        5 => json!({ "action": "truncate" }),
        6 => json!({ "delayMs": random.random_range(20..200) }),
        // Who hangs may wait for minutes.
        _ => json!({ "action": "hang", "count": 2 }),
    };
    rule["service"] = (*service).into();
    rule["operation"] = (*operation).into();
    rule["probability"] = random.random_range(0.05..0.4).into();
    if let Some(container) = container {
        rule["container"] = (*container).into();
    }
    rule
}

fn start(world: &World, random: &mut StdRng) -> Running {
    match random.random_bool(0.5) {
        true => world.start(&["run"]),
        false => {
            let point = format!("{}:{}", CRASHES.choose(random).unwrap(), random.random_range(1..8));
            world.start_to_die(&point, &["run"])
        }
    }
}

/// Kills every daemon, and lets their leases and locks run out.
async fn kill_all(world: &World, daemons: &mut Vec<Running>) {
    for daemon in daemons.drain(..) {
        daemon.end().await;
    }
    world.emulator.advance(40).await;
}

async fn disturbances(world: &World, random: &mut StdRng) {
    let (mut ranges, mut next) = (vec!["0".to_owned()], 1);
    let mut daemons: Vec<Running> = Vec::new();
    for _ in 0..STEPS {
        let faults: Vec<Value> = (0..random.random_range(0..5)).map(|_| fault(random)).collect();
        world.emulator.control("faults", &json!({ "rules": faults })).await;
        if random.random_bool(0.4) {
            disturb(world, random, &mut ranges, &mut next).await;
        }
        let wanted = random.random_range(1..=DAEMONS_MAX);
        while daemons.len() < wanted {
            daemons.push(start(world, random));
        }
        // The application's are among them, so this comes to an end whatever the daemons do.
        world.more_requests("*", "*", random.random_range(100..700)).await;
        daemons.retain_mut(|daemon| !daemon.has_died());
        match random.random_range(0..4) {
            0 => {}
            1 | 2 => {
                if let Some(daemon) = daemons.pop() {
                    daemon.end().await;
                }
            }
            _ => kill_all(world, &mut daemons).await,
        }
    }
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    kill_all(world, &mut daemons).await;
}

/// The application: writes, until told to stop, what is possible for a document that it knows to exist or not.
async fn application(world: &World, random: &mut StdRng, stop: &CancellationToken) {
    let source = world.source("orders");
    let history = world.history("orders").await;
    let mut names: Vec<Name> = by_document(&history).into_keys().collect();
    let mut existing: BTreeSet<usize> = (0..names.len()).collect();
    names.extend((0..DOCUMENTS).map(|number| (format!("[\"k{}\"]", number % KEYS), format!("t{number}"))));
    let mut step = 0;
    let mut pace = tokio::time::interval(PACE);
    while !stop.is_cancelled() {
        pace.tick().await;
        let place = random.random_range(0..names.len());
        let (key, id) = &names[place];
        let pk: Value = serde_json::from_str::<Vec<Value>>(key).unwrap().remove(0);
        let mut text = || {
            step += 1;
            json!({ "id": id, "pk": pk, "step": step }).to_string()
        };
        let exists = existing.contains(&place);
        let exists = match (random.random_range(0..12), exists) {
            (0 | 1, true) => {
                source.delete(key, id).await;
                false
            }
            (2, true) => {
                source.batch(key, &[delete(id), create(&text())]).await;
                true
            }
            (3, true) => {
                source.batch(key, &[replace(id, &text()), replace(id, &text()), delete(id)]).await;
                false
            }
            (2, false) => {
                source.batch(key, &[create(&text()), delete(id), create(&text()), replace(id, &text())]).await;
                true
            }
            (3, false) => {
                source.batch(key, &[create(&text()), replace(id, &text()), delete(id)]).await;
                false
            }
            (4, exists) => {
                // Of documents that expire nobody knows whether they exist; they are only put.
                let brief = json!({ "id": format!("{id}-brief"), "pk": pk, "ttl": random.random_range(1..4) });
                source.put(key, &brief.to_string()).await;
                exists
            }
            _ => {
                source.put(key, &text()).await;
                true
            }
        };
        match exists {
            true => existing.insert(place),
            false => existing.remove(&place),
        };
    }
}

async fn history_under_faults(feed: &str, target: Target, mut random: StdRng) {
    let world = World::new(&[("orders", feed)], target).await;
    let ttl = json!({ "defaultTtl": -1 });
    world.source("orders").make_with(&["/pk"], ttl.as_object().unwrap().clone()).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": SEEDED, "keys": KEYS });
    world.emulator.control("seed", &seed).await;
    // What was committed before the leases are there is not promised, so the application waits for them.
    let daemon = world.start(&["run"]);
    leases_are_there(&world).await;
    daemon.end().await;
    world.emulator.advance(40).await;
    let stop = CancellationToken::new();
    let mut of_application = StdRng::from_rng(&mut random);
    let disturbing = async {
        disturbances(&world, &mut random).await;
        stop.cancel();
    };
    tokio::join!(disturbing, application(&world, &mut of_application, &stop));
    // Whatever expires has done so before it is compared.
    world.emulator.advance(20).await;
    world.catch_up().await;
    let (history, mirror) = (world.history("orders").await, world.mirror().await);
    let mut operations: BTreeMap<&str, usize> = BTreeMap::new();
    for change in &history {
        *operations.entry(&change.op).or_default() += 1;
    }
    println!("{operations:?}");
    assert!(["create", "replace", "delete", "expire"].iter().all(|op| operations.contains_key(op)), "{operations:?}");
    assert_leases_tile(&world).await;
    if feed == ALL_VERSIONS {
        return assert_every_change_once(&history, SEEDED, &mirror, "orders");
    }
    assert_latest_versions(&history, &mirror, "orders");
    world.succeed(&["run", "--once", "--reconcile"]).await;
    assert_tombstones(&history, &mirror, &world.mirror().await, "orders");
}

async fn histories_under_faults(feed: &str) {
    let mut random = random();
    for _ in 0..HISTORIES {
        history_under_faults(feed, Target::Blobs, StdRng::from_rng(&mut random)).await;
    }
}

#[tokio::test]
async fn every_version_of_random_histories_is_mirrored_once_and_in_order_whatever_fails() {
    histories_under_faults(ALL_VERSIONS).await;
}

#[tokio::test]
async fn the_latest_version_of_random_histories_is_mirrored_and_what_is_gone_gets_its_tombstone_whatever_fails() {
    histories_under_faults(LATEST_VERSION).await;
}

#[tokio::test]
async fn every_version_of_a_random_history_is_in_snapshots_once_and_in_order_whatever_fails() {
    history_under_faults(ALL_VERSIONS, Target::Snapshots, random()).await;
}

#[tokio::test]
async fn every_version_of_a_random_history_is_in_a_directory_once_and_in_order_whatever_fails() {
    history_under_faults(ALL_VERSIONS, Target::Directory, random()).await;
}
