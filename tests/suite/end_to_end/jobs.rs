//! Jobs over HTTP: begun, told, ended, taken over by another process, and what they find and put right.

use reqwest::Method;
use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::eventually;
use super::oracle::assert_every_change_once;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Running, Target, World};

mod export;
mod rehearse;

const TOKEN: &str = "0123456789abcdef-of-a-test";

/// A daemon's admin port.
struct Admin {
    base: String,
    http: reqwest::Client,
}

impl Admin {
    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let request = body
            .into_iter()
            .fold(request, |request, body| request.header("content-type", "application/json").body(body.to_string()));
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        self.send(Method::POST, "/jobs", Some(TOKEN), Some(body)).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, Some(TOKEN), None).await
    }

    async fn delete(&self, id: &str) -> (u16, Value) {
        self.send(Method::DELETE, &format!("/jobs/{id}"), Some(TOKEN), None).await
    }

    /// Begins a job that must be taken, and gives its id.
    async fn begin(&self, kind: &str, container: &str, more: Value) -> String {
        let mut body = json!({ "kind": kind, "database": DATABASE, "container": container });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, job) = self.post(&body).await;
        assert_eq!(status, 202, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a job looks as it should, and gives it.
    async fn until(&self, id: &str, what: &str, looks: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let (status, job) = self.get(&format!("/jobs/{id}")).await;
            assert!(matches!(status, 200 | 503 | 504), "{status} {job}");
            (status == 200 && looks(&job)).then_some(job)
        })
        .await
    }

    /// Waits for the end of a job.
    async fn ended(&self, id: &str) -> Value {
        self.until(id, "the job has ended", |job| !job["ended"].is_null()).await
    }
}

/// A world whose daemons have jobs, and whose containers are followed and empty.
async fn world(containers: &[(&str, &str)], target: Target) -> World {
    let mut world = World::new(containers, target).await;
    for (container, _) in containers {
        let seed =
            json!({ "database": DATABASE, "container": container, "partitionKey": "/pk", "count": 0, "partitions": 3 });
        world.emulator.control("seed", &seed).await;
    }
    world.set("ADMIN__JOBS", "true");
    world.variable("COSMIRROR_ADMIN_TOKEN", TOKEN);
    // So that every change from now on comes by the feed.
    world.catch_up().await;
    world
}

/// Starts a daemon and waits until jobs can be asked for.
async fn daemon(world: &World, name: &str) -> (Running, Admin) {
    let before = std::fs::read_to_string(world.folder().join("log")).unwrap_or_default().len();
    let running = world.start(&["--log-format", "json", "run", "--instance", name]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let base = eventually("the admin port", async || {
        let log = running.log();
        let lines = log.get(before..)?.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut addresses = lines.filter_map(|line| line.get("address")?.as_str().map(str::to_owned));
        addresses.next().map(|address| format!("http://{address}"))
    })
    .await;
    let admin = Admin { base, http };
    eventually("jobs", async || (admin.get("/jobs").await.0 == 200).then_some(())).await;
    (running, admin)
}

async fn put(world: &World, container: &str, count: usize, round: u32) {
    let source = world.source(container);
    for number in 0..count {
        let (key, id) = (format!("[\"p{}\"]", number % 7), format!("d{number}"));
        source.put(&key, &format!("{{\"id\":\"{id}\",\"pk\":\"p{}\",\"round\":{round}}}", number % 7)).await;
    }
}

/// Where the directory target keeps a document's versions.
fn folder(world: &World, container: &str, number: usize) -> std::path::PathBuf {
    world.folder().join(format!("mirror/{DATABASE}/{container}/documents/p{}/d{number}.json", number % 7))
}

fn counts(job: &Value) -> [i64; 7] {
    let count = |name: &str| job["counts"][name].as_i64().unwrap_or_else(|| panic!("{job}"));
    ["documents", "missing", "stale", "extra", "different", "pending", "repaired"].map(count)
}

/// Slows down what a job reads, so that something can happen meanwhile.
async fn slow(world: &World, milliseconds: u32) {
    let rule = json!({ "service": "cosmos", "operation": "pkranges", "delayMs": milliseconds });
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
}

async fn no_faults(world: &World) {
    world.emulator.control("faults", &json!({ "rules": [] })).await;
}

#[tokio::test]
async fn both_kinds_find_what_differs_and_put_it_right_as_far_as_they_may() {
    let containers = [("orders", ALL_VERSIONS), ("carts", LATEST_VERSION)];
    let mut world = world(&containers, Target::Directory).await;
    // No scheduled comparison shall be faster.
    world.set("RECONCILE__INTERVAL", "0s");
    // Two versions of the first ones.
    for (count, round) in [(40, 1), (8, 2)] {
        for (container, _) in containers {
            put(&world, container, count, round).await;
        }
        world.emulator.advance(10).await;
        world.catch_up().await;
    }
    let (running, admin) = daemon(&world, "a").await;
    for (container, feed) in containers {
        for lost in 0..5 {
            std::fs::remove_dir_all(folder(&world, container, lost)).unwrap();
        }
        let versions = std::fs::read_dir(folder(&world, container, 5)).unwrap().map(|entry| entry.unwrap().path());
        std::fs::remove_file(versions.max().unwrap()).unwrap();
        // The other feed shows deletes.
        let extra = i64::from(feed == LATEST_VERSION);
        if extra == 1 {
            world.source(container).delete("[\"p2\"]", "d9").await;
        }
        for (kind, more, expected) in [
            ("verify", json!({ "mode": "full" }), [40, 5, 1, extra, 0, 0, 0]),
            ("backfill", json!({}), [40, 5, 1, extra, 0, 0, 6]),
            ("verify", json!({ "repair": true }), [40, 0, 0, extra, 0, 0, extra]),
            ("verify", json!({ "mode": "full" }), [40 - extra, 0, 0, 0, 0, 0, 0]),
        ] {
            let id = admin.begin(kind, container, more).await;
            let job = admin.ended(&id).await;
            assert_eq!((&job["state"], counts(&job)), (&json!("succeeded"), expected), "{job}");
            assert_eq!(job["drift"], expected[1] + expected[2] + expected[3] - expected[6], "{job}");
            assert_eq!(
                (&job["progress"]["done"], &job["progress"]["parts_done"]),
                (&json!(expected[0]), &json!(3)),
                "{job}"
            );
        }
        let of = format!("{{database=\"{DATABASE}\",container=\"{container}\"");
        for line in [
            format!("cosmirror_jobs_total{of},kind=\"verify\",result=\"succeeded\"}} 3"),
            format!("cosmirror_jobs_total{of},kind=\"backfill\",result=\"succeeded\"}} 1"),
            format!("cosmirror_jobs_running{of}}} 0"),
            format!("cosmirror_verify_documents{of},state=\"equal\"}} {}", 40 - extra),
        ] {
            eventually(&line, async || {
                let url = format!("{}/metrics", admin.base);
                let metrics = admin.http.get(url).send().await.unwrap().text().await.unwrap();
                metrics.contains(&line).then_some(())
            })
            .await;
        }
    }
    let (_, all) = admin.get("/jobs").await;
    let ids: Vec<&str> = all["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert!(ids.len() == 8 && ids.is_sorted_by(|one, next| one > next), "{ids:?}");
    assert_eq!(running.terminate().await, Some(0));
    let stored = world.mirror().await;
    let last = &stored[&format!("{DATABASE}/carts/documents/p2/d9.json")].last().unwrap();
    assert_eq!(last.field("op"), Some("delete"));
    for (container, _) in containers {
        let prefix = format!("{DATABASE}/{container}/documents/");
        assert_eq!(stored.keys().filter(|name| name.starts_with(&prefix)).count(), 40);
    }
}

#[tokio::test]
async fn only_whoever_has_the_token_may_and_what_is_wrong_is_told() {
    let world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let (running, admin) = daemon(&world, "a").await;
    let right = json!({ "kind": "verify", "database": DATABASE, "container": "orders" });
    for (method, path) in
        [(Method::GET, "/jobs"), (Method::POST, "/jobs"), (Method::DELETE, "/jobs/x"), (Method::GET, "/jobs/x")]
    {
        for token in [None, Some("0123456789abcdef-of-a-tesT"), Some("")] {
            let (status, answer) = admin.send(method.clone(), path, token, Some(&right)).await;
            assert_eq!((status, &answer["error"]["code"]), (401, &json!("token")), "{path}");
        }
    }
    for (body, status, code) in [
        (json!({ "kind": "import", "database": DATABASE, "container": "orders" }), 400, "request"),
        (json!({ "kind": "verify", "database": DATABASE, "container": "orders", "deep": true }), 400, "request"),
        (json!({ "kind": "verify", "database": DATABASE, "container": "../orders" }), 404, "container_not_found"),
        (json!("x".repeat(20_000)), 413, "body"),
    ] {
        let (found, answer) = admin.post(&body).await;
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{answer}");
        assert!(!answer["error"]["remedy"].as_str().unwrap().is_empty(), "{answer}");
    }
    let plain = admin.http.post(format!("{}/jobs", admin.base)).bearer_auth(TOKEN).body(right.to_string());
    assert_eq!(plain.send().await.unwrap().status(), 415);
    for id in ["20231114T221320Z-00c0ffee", "current", "..%2f..%2fcontainer", "%00"] {
        assert_eq!(admin.get(&format!("/jobs/{id}")).await.0, 404, "{id}");
        assert_eq!(admin.delete(id).await.0, 404, "{id}");
    }
    let answer = admin.http.post(format!("{}/jobs", admin.base)).bearer_auth(TOKEN);
    let answer =
        answer.header("content-type", "application/json; charset=utf-8").body(right.to_string()).send().await.unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(admin.get(&location).await.0, 200);
    let id = location.rsplit('/').next().unwrap();
    assert_eq!(admin.ended(id).await["state"], "succeeded");
    let (status, answer) = admin.delete(id).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("ended")));
    assert!(!running.log().contains(TOKEN), "the token is in the log");
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test]
async fn without_the_setting_there_are_no_jobs() {
    let mut world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("ADMIN__JOBS", "false");
    world.set("ADMIN__LISTEN", "127.0.0.1:0");
    let running = world.start(&["--log-format", "json", "run"]);
    let base = eventually("the admin port", async || {
        let lines = running.log();
        let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find_map(|line| line.get("address")?.as_str().map(str::to_owned))
    })
    .await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let admin = Admin { base: format!("http://{base}"), http };
    let (status, answer) = admin.get("/jobs").await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("jobs_off")));
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test]
async fn one_job_at_a_time_over_all_replicas_and_any_of_them_ends_it() {
    let world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    put(&world, "orders", 20, 1).await;
    world.catch_up().await;
    let ((one, first), (other, second)) = (daemon(&world, "one").await, daemon(&world, "other").await);
    slow(&world, 1_000).await;
    let id = first.begin("verify", "orders", json!({})).await;
    for admin in [&first, &second] {
        let (status, answer) =
            admin.post(&json!({ "kind": "backfill", "database": DATABASE, "container": "orders" })).await;
        assert_eq!((status, &answer["error"]["job"]), (409, &json!(id)), "{answer}");
    }
    second.until(&id, "it runs", |job| job["state"] == "running").await;
    let (status, job) = second.delete(&id).await;
    assert_eq!((status, &job["ending"]), (202, &json!(true)), "{job}");
    assert_eq!(second.delete(&id).await.0, 202);
    let job = second.ended(&id).await;
    assert_eq!((&job["state"], second.delete(&id).await.0), (&json!("cancelled"), 202), "{job}");
    no_faults(&world).await;
    assert_eq!(first.ended(&id).await["state"], "cancelled");
    let id = second.begin("backfill", "orders", json!({})).await;
    assert_eq!(first.ended(&id).await["state"], "succeeded");
    for daemon in [one, other] {
        assert_eq!(daemon.terminate().await, Some(0));
    }
    let stored = world.mirror().await;
    assert_every_change_once(&world.history("orders").await, 0, &stored, "orders");
}

#[tokio::test]
async fn a_job_outlives_its_process_at_the_same_replica_and_at_another() {
    let world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    put(&world, "orders", 30, 1).await;
    world.catch_up().await;
    let (one, first) = daemon(&world, "one").await;
    slow(&world, 500).await;
    let id = first.begin("verify", "orders", json!({ "mode": "hash" })).await;
    first.until(&id, "a part is done", |job| job["progress"]["parts_done"].as_u64() >= Some(1)).await;
    one.kill().await;
    // The same name, another process.
    let (one, first) = daemon(&world, "one").await;
    let job = first.until(&id, "it goes on", |job| job["attempts"] == 2).await;
    assert!(job["progress"]["parts_done"].as_u64() >= Some(1), "{job}");
    one.kill().await;
    no_faults(&world).await;
    let (other, second) = daemon(&world, "other").await;
    let job = second.ended(&id).await;
    assert_eq!((&job["state"], counts(&job)), (&json!("succeeded"), [30, 0, 0, 0, 0, 0, 0]), "{job}");
    assert!(job["attempts"].as_u64() >= Some(2), "{job}");
    assert_eq!(other.terminate().await, Some(0));
}

/// It once took the other's marks for its own, and worked on beside it.
#[tokio::test]
async fn a_process_that_was_paused_gives_way_to_the_one_that_took_its_job() {
    let world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    put(&world, "orders", 20, 1).await;
    world.catch_up().await;
    let (one, other) = (daemon(&world, "one").await, daemon(&world, "other").await);
    slow(&world, 15_000).await;
    let id = one.1.begin("verify", "orders", json!({})).await;
    let job = one.1.until(&id, "it runs", |job| job["state"] == "running").await;
    let ((paused, asleep), (awake, second)) = if job["owner"] == "one" { (one, other) } else { (other, one) };
    paused.signal("STOP").await;
    second.until(&id, "it is taken over", |job| job["attempts"] == 2).await;
    paused.signal("CONT").await;
    eventually("it gives way", async || {
        let metrics = asleep.http.get(format!("{}/metrics", asleep.base)).send().await.unwrap().text().await.unwrap();
        let runs = format!("cosmirror_jobs_running{{database=\"{DATABASE}\",container=\"orders\"}} 0");
        metrics.lines().any(|line| line == runs).then_some(())
    })
    .await;
    assert_eq!(second.get(&format!("/jobs/{id}")).await.1["state"], "running", "it gave way before the end");
    no_faults(&world).await;
    let job = second.ended(&id).await;
    assert_eq!((&job["state"], counts(&job)), (&json!("succeeded"), [20, 0, 0, 0, 0, 0, 0]), "{job}");
    for daemon in [paused, awake] {
        assert_eq!(daemon.terminate().await, Some(0));
    }
}

#[tokio::test]
async fn a_process_that_ends_leaves_its_job_to_the_next_at_once_and_a_cancelled_one_stays_cancelled() {
    let world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    put(&world, "orders", 20, 1).await;
    world.catch_up().await;
    let (one, first) = daemon(&world, "one").await;
    slow(&world, 1_000).await;
    let id = first.begin("verify", "orders", json!({})).await;
    first.until(&id, "it runs", |job| job["state"] == "running").await;
    assert_eq!(one.terminate().await, Some(0));
    let record =
        world.mirror().await[&format!("{DATABASE}/orders/_mirror/jobs/current.json")].last().unwrap().body.clone();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!((&record["state"], &record["owner"]), (&json!("queued"), &Value::Null), "{record}");
    let (other, second) = daemon(&world, "other").await;
    second.until(&id, "it goes on", |job| job["attempts"] == 2).await;
    other.kill().await;
    let (one, first) = daemon(&world, "one").await;
    assert_eq!(first.delete(&id).await.0, 202);
    let job = first.ended(&id).await;
    assert_eq!(job["state"], "cancelled", "{job}");
    no_faults(&world).await;
    assert_eq!(one.terminate().await, Some(0));
    let (one, first) = daemon(&world, "one").await;
    assert_eq!(first.ended(&id).await["state"], "cancelled");
    assert_eq!(one.terminate().await, Some(0));
}

#[tokio::test]
async fn a_job_outlives_faults_and_a_split() {
    let world = world(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    put(&world, "orders", 60, 1).await;
    world.catch_up().await;
    let (running, admin) = daemon(&world, "a").await;
    let rules = json!({ "rules": [
        { "service": "cosmos", "operation": "feed", "status": 429, "retryAfterMs": 20, "probability": 0.2 },
        { "service": "cosmos", "operation": "pkranges", "delayMs": 300 },
        { "service": "blob", "operation": "list", "action": "hang", "count": 1 },
        { "service": "blob", "operation": "put", "status": 503, "probability": 0.2 },
        { "service": "blob", "operation": "list", "status": 503, "probability": 0.3 },
        { "service": "blob", "operation": "get", "action": "reset", "probability": 0.2 },
        { "service": "blob", "operation": "put", "action": "respond-then-reset", "probability": 0.2 },
    ] });
    world.emulator.control("faults", &rules).await;
    let id = eventually("the job is taken", async || {
        let body =
            json!({ "kind": "verify", "database": DATABASE, "container": "orders", "mode": "full", "repair": true });
        let (status, answer) = admin.post(&body).await;
        match status {
            202 => answer["id"].as_str().map(str::to_owned),
            // Its answer was lost and it is there.
            409 => answer["error"]["job"].as_str().map(str::to_owned),
            _ => None,
        }
    })
    .await;
    world.emulator.control("split", &json!({ "database": DATABASE, "container": "orders", "range": "0" })).await;
    put(&world, "orders", 20, 2).await;
    let job = admin.ended(&id).await;
    no_faults(&world).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["drift"], 0, "{job}");
    assert_eq!(running.terminate().await, Some(0));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}
