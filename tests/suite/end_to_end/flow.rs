//! What is in flight stays bounded: by bytes where the target is slow or dead, and for others where one document is slow.

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::eventually;
use super::oracle::{assert_every_change_once, stored};
use super::traffic::{create, replace};
use super::world::{ALL_VERSIONS, Running, Target, World};

/// More than pages fit into the budget.
const RANGES: usize = 6;
/// The least budget there is.
const BUDGET_KIB: u64 = 16 * 1024;
/// What a run with a full budget needs besides, over a run that has nothing to do: buffers of requests and answers, whose number is
/// bounded as well, and code that an idle run does not touch. Measured: 30 MiB in a debug build.
const ALLOWANCE_KIB: u64 = 48 * 1024;
const DOCUMENTS: usize = 1_800;
const DOCUMENT_BYTES: usize = 64 * 1024;
/// Documents of that size in one transaction, which may have 4 MiB.
const BATCH: usize = 60;

async fn world_of_ranges(ranges: usize) -> World {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("LIMITS__BYTES_IN_FLIGHT_MAX", "16MiB");
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": ranges });
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    world
}

async fn faults(world: &World, rules: &[Value]) {
    world.emulator.control("faults", &json!({ "rules": rules })).await;
}

/// So many failures of requests to the target in the log.
async fn failures(running: &Running, count: usize) {
    eventually("the target fails", async || {
        (running.log().matches("the target did not take a request").count() >= count).then_some(())
    })
    .await;
}

/// A long outage of the target used to be answered by reading on, page by page, until the count of pages was used up.
#[tokio::test]
async fn memory_stays_within_the_budget_while_the_target_is_slow_or_dead_and_nothing_is_lost() {
    let mut world = world_of_ranges(RANGES).await;
    // What the allocator keeps of freed memory for later would hide what is in use.
    world.variable("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
    let idle = world.start(&["run"]);
    world.more_requests("cosmos", "feed", 100).await;
    let idle_kib = idle.peak_kib();
    assert_eq!(idle.terminate().await, Some(0));

    for batch in 0..DOCUMENTS / BATCH {
        let text = |n: usize| {
            let filling = "x".repeat(DOCUMENT_BYTES);
            create(&format!("{{\"id\":\"d{n}\",\"pk\":\"p{batch}\",\"filling\":\"{filling}\"}}"))
        };
        let operations: Vec<String> = (batch * BATCH..(batch + 1) * BATCH).map(text).collect();
        world.source("orders").batch(&format!("[\"p{batch}\"]"), &operations).await;
    }
    faults(&world, &[json!({ "service": "blob", "operation": "put", "delayMs": 300 })]).await;
    // With -v every failure is told, also one that repeats itself.
    let running = world.start(&["-v", "run"]);
    world.more_requests("blob", "put", 100).await;
    faults(&world, &[json!({ "service": "blob", "action": "hang" })]).await;
    failures(&running, 30).await;
    faults(&world, &[json!({ "service": "blob", "status": 503 })]).await;
    failures(&running, 90).await;
    faults(&world, &[]).await;
    eventually("everything is stored", async || {
        (world.emulator.requests("blob", "put", "201").await >= DOCUMENTS as u64).then_some(())
    })
    .await;
    let peak_kib = running.peak_kib();
    assert_eq!(running.terminate().await, Some(0));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
    let most_kib = idle_kib + BUDGET_KIB + ALLOWANCE_KIB;
    println!("idle {idle_kib} KiB, peak {peak_kib} KiB, at most {most_kib} KiB");
    assert!(peak_kib <= most_kib, "idle {idle_kib} KiB, peak {peak_kib} KiB, at most {most_kib} KiB");
}

/// A counter that changes all the time, and whose puts are slow.
#[tokio::test]
async fn a_hot_document_holds_up_no_other() {
    const VERSIONS: usize = 60;
    /// With the hot one's versions more than a page.
    const OTHERS: usize = 1_300;
    let world = world_of_ranges(1).await;
    let source = world.source("orders");
    source.put("[\"hot\"]", r#"{"id":"hot","pk":"hot","n":0}"#).await;
    for n in 1..VERSIONS {
        source.put("[\"hot\"]", &format!("{{\"id\":\"hot\",\"pk\":\"hot\",\"n\":{n}}}")).await;
    }
    for batch in 0..OTHERS / 100 {
        let text = |n: usize| create(&format!("{{\"id\":\"d{n}\",\"pk\":\"p{batch}\"}}"));
        let operations: Vec<String> = (batch * 100..(batch + 1) * 100).map(text).collect();
        source.batch(&format!("[\"p{batch}\"]"), &operations).await;
    }
    faults(&world, &[json!({ "service": "blob", "operation": "put", "path": "hot", "delayMs": 900 })]).await;
    let running = world.start(&["run"]);
    let stored_now = async || {
        let mirror = world.mirror().await;
        let stored = stored(&mirror, "orders");
        let hot = stored.iter().filter(|((_, id), _)| id == "hot").map(|(_, versions)| versions.len()).sum::<usize>();
        (hot, stored.len() - usize::from(hot > 0))
    };
    let hot = eventually("the others are stored", async || {
        let (hot, others) = stored_now().await;
        (others == OTHERS).then_some(hot)
    })
    .await;
    assert!(hot < VERSIONS, "the hot one was not slow");
    faults(&world, &[]).await;
    eventually("the hot one is stored", async || (stored_now().await.0 == VERSIONS).then_some(())).await;
    assert_eq!(running.terminate().await, Some(0));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}

/// A transaction is never divided, so patches of a few bytes can make a page of many times its usual size, beyond the whole budget.
#[tokio::test]
async fn transactions_of_documents_of_just_under_2_mb_are_mirrored_byte_for_byte() {
    const LARGE: usize = 10;
    const FILLING: usize = (2 << 20) - 1024;
    let world = world_of_ranges(2).await;
    let (source, key) = (world.source("orders"), "[\"p\"]");
    let text = |n: usize, filling: char| {
        format!("{{\"id\":\"d{n}\",\"pk\":\"p\",\"filling\":\"{}\"}}", filling.to_string().repeat(FILLING))
    };
    for n in 0..LARGE {
        source.put(key, &text(n, 'a')).await;
    }
    source.batch(key, &[replace("d0", &text(0, 'b'))]).await;
    let patch = |n: usize| {
        format!(
            "{{\"operationType\":\"Patch\",\"id\":\"d{n}\",\"resourceBody\":{{\"operations\":[{{\"op\":\"set\",\"path\":\"/n\",\"value\":{n}.50}}]}}}}"
        )
    };
    source.batch(key, &(0..LARGE).map(patch).collect::<Vec<_>>()).await;
    // The same document twice in one transaction, and others beside it.
    source.batch(key, &[patch(0), patch(1), patch(0)]).await;
    world.catch_up().await;
    let history = world.history("orders").await;
    assert_eq!(history.len(), LARGE + 1 + LARGE + 3);
    assert_every_change_once(&history, 0, &world.mirror().await, "orders");
}

/// The operator keeps fewer versions of what changes all the time, and every version of everything else.
#[tokio::test]
async fn versions_of_a_hot_document_are_left_out_where_the_operator_wants_that_and_say_so() {
    const VERSIONS: usize = 40;
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("CONTAINERS__0__VERSIONS_PER_MINUTE_MAX", "5");
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    let source = world.source("orders");
    for n in 0..VERSIONS {
        source.put("[\"hot\"]", &format!("{{\"id\":\"hot\",\"pk\":\"hot\",\"n\":{n}}}")).await;
        if n % 10 == 0 {
            source.put("[\"p\"]", &format!("{{\"id\":\"calm\",\"pk\":\"p\",\"n\":{n}}}")).await;
        }
    }
    world.catch_up().await;
    let (history, mirror) = (world.history("orders").await, world.mirror().await);
    let stored = stored(&mirror, "orders");
    let of = |wanted: &str| stored.iter().find(|((_, id), _)| id == wanted).map(|(_, versions)| *versions).unwrap();
    assert_eq!(of("calm").len(), VERSIONS / 10);
    let hot = of("hot");
    let omitted: usize = hot.iter().filter_map(|version| version.field("omitted")?.parse::<usize>().ok()).sum();
    assert_eq!(hot.len() + omitted, VERSIONS);
    assert!(hot.len() < VERSIONS);
    let last = history.iter().rfind(|change| change.id == "hot").unwrap();
    assert_eq!(hot.last().unwrap().field("etag"), Some(last.etag.as_str()));
    let shown = world.json(&["history", "hot"]).await;
    let told: u64 =
        shown["versions"].as_array().unwrap().iter().filter_map(|version| version["omitted"].as_u64()).sum();
    assert_eq!(usize::try_from(told).unwrap(), omitted);
}
