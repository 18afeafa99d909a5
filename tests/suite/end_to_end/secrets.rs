//! What must never be told is looked for in everything that a daemon says, while everything fails that can fail.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::eventually;
use super::observer::{admins, metrics, value};
use super::world::{ALL_VERSIONS, Target, World};

/// In the content of documents and in nothing else.
const CONTENT: &str = "planted-content";
/// In ids and partition keys.
const ID: &str = "planted-id";
const KEY: &str = "planted-key";
const URL: &str = "planted-heartbeat-url";
const TOKEN: &str = "planted-admin-token";
/// What the emulators' public keys begin with; they stand for real ones here.
const SOURCE_KEY: &str = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM";
const TARGET_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzF";

#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

/// A service for heartbeats, and how often it was called.
async fn heartbeat_service() -> (String, Calls) {
    let calls = Calls::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{URL}?{URL}", listener.local_addr().unwrap());
    let called = async |State(calls): State<Calls>| {
        calls.0.fetch_add(1, Ordering::Relaxed);
    };
    let router = axum::Router::new().fallback(called).with_state(calls.clone());
    #[expect(clippy::disallowed_methods, reason = "a test's server has no owner")]
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, calls)
}

/// Changes documents that hold what must not be told; every id and key as well.
async fn change(world: &World, round: usize) {
    let source = world.source("orders");
    for n in 0..20 {
        let document =
            json!({ "id": format!("{ID}{n}"), "pk": format!("{KEY}{}", n % 3), "round": round, "text": CONTENT });
        source.put(&format!("[\"{KEY}{}\"]", n % 3), &document.to_string()).await;
    }
}

/// Waits until requests have met all the faults, while `meanwhile` gives the daemon work.
async fn are_met(world: &World, faults: &[Value], meanwhile: impl AsyncFn()) {
    eventually(&format!("requests meet {faults:?}"), async || {
        meanwhile().await;
        world.emulator.faults_are_met().await.then_some(())
    })
    .await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
}

/// Every kind of fault once, each until the daemon has met it.
async fn everything_fails(world: &World, admin: &str) {
    let rules = [
        json!({ "service": "blob", "operation": "put", "path": "/documents/", "status": 503, "probability": 0.5 }),
        json!({ "service": "blob", "operation": "put", "path": "/documents/", "status": 403, "count": 1 }),
        // The document is refused for good and becomes a dead letter.
        json!({ "service": "blob", "operation": "put", "path": "/documents/", "status": 400, "count": 1 }),
        json!({ "service": "blob", "operation": "put", "path": "/documents/", "action": "respond-then-reset", "probability": 0.5, "count": 20 }),
        json!({ "service": "cosmos", "operation": "feed", "status": 429, "count": 3 }),
        json!({ "service": "cosmos", "operation": "feed", "action": "truncate", "count": 3 }),
        json!({ "service": "cosmos", "operation": "feed", "status": 401, "count": 1 }),
        json!({ "service": "cosmos", "operation": "item-write", "container": "leases", "status": 503, "count": 4 }),
        json!({ "service": "cosmos", "operation": "query", "container": "leases", "status": 403, "count": 1 }),
        json!({ "service": "cosmos", "operation": "feed", "action": "reset", "count": 10 }),
        json!({ "service": "cosmos", "operation": "*", "container": "leases", "action": "reset", "count": 10 }),
    ];
    for (round, rule) in rules.chunks(1).enumerate() {
        world.emulator.control("faults", &json!({ "rules": rule })).await;
        are_met(world, rule, async || change(world, round).await).await;
        eventually("more is stored", async || {
            let stored = value(&metrics(world, admin).await, "lag_seconds", None)?;
            (stored < 5.0).then_some(())
        })
        .await;
    }
}

fn assert_tells_nothing(what: &str, text: &str, forbidden: &[&str]) {
    for secret in forbidden {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} tells {secret}");
    }
}

/// Runs a daemon through all faults and gives its log and what it served.
async fn tell(arguments: &[&str], library_level: Option<&str>) -> (String, String) {
    let (url, calls) = heartbeat_service().await;
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let planted = |name: &str, text: &str| {
        let path = world.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (url, token) = (planted("url", &url), planted("token", TOKEN));
    world.set("ADMIN__HEARTBEAT_URL_FILE", &url);
    world.set("ADMIN__HEARTBEAT_INTERVAL", "1s");
    world.set("ADMIN__TOKEN_FILE", &token);
    world.set("ADMIN__JOBS", "true");
    if let Some(level) = library_level {
        world.variable("COSMIRROR_LOG", level);
    }
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 0, "partitions": 2 });
    world.emulator.control("seed", &seed).await;
    // What is stored is looked at when a daemon starts, and hardly again.
    let looks = [
        json!({ "service": "blob", "operation": "list", "action": "truncate", "count": 2 }),
        json!({ "service": "blob", "operation": "head", "status": 500, "count": 2 }),
    ];
    world.emulator.control("faults", &json!({ "rules": looks })).await;
    let daemon = world.start(&[arguments, &["run"]].concat());
    are_met(&world, &looks, async || ()).await;
    let admin = admins(&daemon, 1).await.remove(0);
    change(&world, 0).await;
    eventually("the heartbeat is called", async || (calls.0.load(Ordering::Relaxed) > 0).then_some(())).await;
    everything_fails(&world, &admin).await;
    let mut served = String::new();
    for path in ["livez", "startupz", "readyz", "healthz?max_lag=1s", "metrics", "status", ""] {
        let answer = world.emulator.http.get(format!("http://{admin}/{path}")).send().await.unwrap();
        writeln!(served, "{path}\n{}", answer.text().await.unwrap()).unwrap();
    }
    let log = daemon.log();
    assert!(served.contains("cosmirror_dead_letters{database=\"shop\",container=\"orders\"}"), "{served}");
    assert_eq!(daemon.terminate().await, Some(0));
    (log, served)
}

const SECRETS: [&str; 5] = [CONTENT, URL, TOKEN, SOURCE_KEY, TARGET_KEY];

#[tokio::test]
async fn no_secret_no_content_and_no_id_is_in_the_log_or_on_the_admin_port_whatever_fails() {
    let (log, served) = tell(&[], None).await;
    assert!(log.contains("the target did not take a request"), "{log}");
    assert_tells_nothing("the log", &log, &SECRETS);
    assert_tells_nothing("the log", &log, &[ID, KEY]);
    assert_tells_nothing("the admin port", &served, &SECRETS);
    assert_tells_nothing("the admin port", &served, &[ID, KEY]);
}

#[tokio::test]
async fn no_secret_and_no_content_is_in_the_log_at_any_level_whatever_fails() {
    let (log, _) = tell(&["-vv"], None).await;
    assert!(log.contains("a page was read") && log.contains(ID), "documents are named there");
    assert_tells_nothing("the log", &log, &SECRETS);
    // Whatever is asked for, libraries do not get to tell of URLs and headers.
    let (log, _) = tell(&[], Some("trace")).await;
    assert_tells_nothing("the log", &log, &SECRETS);
    assert_tells_nothing("the log", &log, &["authorization:", "authorization\":", "SharedKey ", "sig="]);
}
