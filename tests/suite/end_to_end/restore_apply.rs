//! Applying a plan with the real binary: dying at every step, losing answers, being throttled, cancelled or overtaken. Whatever happens, in the
//! end the source is as the plan says, and the undo returns to the start.

use std::collections::BTreeMap;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::documents::random;
use super::oracle::{Name, live_as_sent};
use super::world::{ALL_VERSIONS, Target, World};

/// The points at which an application dies besides those that a repeated restore meets.
pub(super) const POINTS: [&str; 2] = ["undo-durable", "undo-completed"];

/// Documents before and after something went wrong.
const DOCUMENTS: usize = 24;
const APPLY: [&str; 5] = ["restore", "apply", "a.plan", "--yes", "--concurrency"];

/// A container that was spoilt after an instant.
pub(super) struct Spoilt {
    pub(super) world: World,
    pub(super) at: String,
    /// What it held at that instant.
    pub(super) held: BTreeMap<Name, String>,
    /// What it holds since.
    pub(super) begin: BTreeMap<Name, String>,
}

impl Spoilt {
    pub(super) async fn new() -> Self {
        Self::of(World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await).await
    }

    pub(super) async fn of(world: World) -> Self {
        let source = world.source("orders");
        let settings = json!({ "defaultTtl": -1, "indexingPolicy": { "indexingMode": "none", "automatic": false } });
        source.make_with(&["/pk"], settings.as_object().unwrap().clone()).await;
        for number in 0..DOCUMENTS {
            let text = json!({ "id": format!("d{number}"), "pk": format!("p{}", number % 5), "n": number });
            source.put(&json!([text["pk"]]).to_string(), &text.to_string()).await;
        }
        world.emulator.advance(10).await;
        world.catch_up().await;
        let at = world.complete_until("orders").await;
        let held = live_as_sent(&world.history("orders").await);
        world.emulator.advance(5).await;
        for number in 0..DOCUMENTS {
            let (id, pk) = (format!("d{number}"), format!("p{}", number % 5));
            let key = json!([pk]).to_string();
            match number % 3 {
                0 => source.delete(&key, &id).await,
                1 => source.put(&key, &json!({ "id": id, "pk": pk, "spoilt": true }).to_string()).await,
                _ => source.put(&key, &json!({ "id": format!("new{number}"), "pk": pk }).to_string()).await,
            }
        }
        world.catch_up().await;
        let begin = live_as_sent(&world.history("orders").await);
        Self { world, at, held, begin }
    }

    /// Makes the plan `a.plan` and gives its id.
    pub(super) async fn plan(&self, more: &[&str]) -> String {
        let plan = ["restore", "plan", "--all", "--at", &self.at, "--delete-extra", "-f", "a.plan", "--force"];
        self.world.succeed(&[&plan, more].concat()).await;
        let text = std::fs::read_to_string(self.world.folder().join("a.plan")).unwrap();
        let head: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        head["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn state(&self) -> BTreeMap<Name, String> {
        live_as_sent(&self.world.history("orders").await)
    }

    pub(super) async fn faults(&self, rules: Value) {
        self.world.emulator.control("faults", &json!({ "rules": rules })).await;
    }

    /// Applies the plan or what is left of it; all of it is done then.
    pub(super) async fn finish(&self) -> Value {
        let report = self.world.json(&[&APPLY[..], &["4"]].concat()).await;
        assert_eq!(self.state().await, self.held);
        report
    }

    /// Takes all of it back.
    pub(super) async fn undo(&self) {
        self.world.succeed(&["restore", "apply", "a.plan.undo", "--yes"]).await;
        assert_eq!(self.state().await, self.begin);
        for file in ["a.plan.undo", "a.plan.undo.undo"] {
            std::fs::remove_file(self.world.folder().join(file)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_restore_that_dies_anywhere_goes_on_and_its_undo_returns_to_the_start() {
    let spoilt = Spoilt::new().await;
    let points = ["restore-recorded", "undo-durable:3", "document-restored:2", "undo-completed:5"];
    for point in points {
        println!("{point}");
        let id = spoilt.plan(&[]).await;
        spoilt.world.start_to_die(point, &[&APPLY[..], &["4"]].concat()).died().await;
        let report = spoilt.finish().await;
        assert_eq!(report["applied"], json!({ "create": 8, "replace": 8, "delete": 8 }), "{report}");
        spoilt.world.catch_up().await;
        for name in ["d0", "d1", "new2"] {
            let history = spoilt.world.json(&["history", name]).await;
            let last = history["versions"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last["origin"], *id, "{name}: {last}");
        }
        spoilt.undo().await;
        spoilt.world.catch_up().await;
    }
}

#[tokio::test]
async fn a_restore_that_is_killed_again_and_again_is_told_from_the_application_by_the_daemon_that_follows() {
    let mut random = random();
    let spoilt = Spoilt::new().await;
    let daemon = spoilt.world.start(&["run"]);
    let id = spoilt.plan(&[]).await;
    let slowly = ["restore", "apply", "a.plan", "--yes", "--concurrency", "3", "--request-units-per-second", "40"];
    for _ in 0..3 {
        let running = spoilt.world.start(&slowly);
        spoilt.world.more_requests("cosmos", "item-write", random.random_range(1..5)).await;
        running.kill().await;
    }
    let report = spoilt.finish().await;
    assert_eq!(report["applied"], json!({ "create": 8, "replace": 8, "delete": 8 }), "{report}");
    assert_eq!(daemon.terminate().await, Some(0));
    spoilt.world.emulator.advance(40).await;
    spoilt.world.catch_up().await;
    for number in 0..DOCUMENTS {
        let name = if number % 3 == 2 { format!("new{number}") } else { format!("d{number}") };
        let history = spoilt.world.json(&["history", &name]).await;
        let origins: Vec<&str> =
            history["versions"].as_array().unwrap().iter().map(|version| version["origin"].as_str().unwrap()).collect();
        assert_eq!(origins.iter().filter(|origin| **origin == id).count(), 1, "{name}: {origins:?}");
        assert_eq!(*origins.last().unwrap(), id, "{name}: {origins:?}");
    }
    spoilt.undo().await;
}

#[tokio::test]
async fn lost_answers_and_a_busy_service_change_nothing_in_the_result() {
    let spoilt = Spoilt::new().await;
    let item_write = |mut rule: Value| {
        rule["service"] = "cosmos".into();
        rule["operation"] = "item-write".into();
        rule["container"] = "orders".into();
        rule
    };
    let lost = item_write(json!({ "action": "respond-then-reset", "probability": 0.4 }));
    let busy = item_write(json!({ "status": 429, "retryAfterMs": 20, "probability": 0.5 }));
    for rule in [lost, busy] {
        spoilt.plan(&[]).await;
        spoilt.faults(json!([rule])).await;
        spoilt.finish().await;
        spoilt.undo().await;
        spoilt.faults(json!([])).await;
        spoilt.world.catch_up().await;
    }
}

#[tokio::test]
async fn what_others_write_after_the_plan_is_left_alone_unless_it_is_to_be_overwritten_in_any_case() {
    let spoilt = Spoilt::new().await;
    let theirs = json!({ "id": "d1", "pk": "p1", "repaired": true }).to_string();
    spoilt.plan(&[]).await;
    spoilt.world.source("orders").put(r#"["p1"]"#, &theirs).await;
    let finished = spoilt.world.run(&["restore", "apply", "a.plan", "--yes", "-o", "json"]).await;
    assert_eq!(finished.code, Some(7), "{}", finished.err);
    let report: Value = serde_json::from_slice(&finished.out).unwrap();
    assert_eq!((&report["conflicts"], &report["applied"]["replace"]), (&json!(1), &json!(7)));
    let name = (r#"["p1"]"#.to_owned(), "d1".to_owned());
    assert_eq!(spoilt.state().await[&name], *theirs.strip_suffix('}').unwrap());
    spoilt.world.catch_up().await;
    spoilt.plan(&["--overwrite", "always"]).await;
    spoilt.world.source("orders").put(r#"["p1"]"#, &theirs.replace("true", "2")).await;
    let before = spoilt.state().await;
    spoilt.world.succeed(&["restore", "apply", "a.plan", "--yes", "--undo", "b.undo"]).await;
    assert_eq!(spoilt.state().await, spoilt.held);
    spoilt.world.succeed(&["restore", "apply", "b.undo", "--yes"]).await;
    assert_eq!(spoilt.state().await, before);
}

#[tokio::test]
async fn a_cancelled_restore_ends_with_its_code_and_goes_on_when_it_is_applied_again() {
    let spoilt = Spoilt::new().await;
    spoilt.plan(&[]).await;
    let slowly = ["restore", "apply", "a.plan", "--yes", "--concurrency", "1", "--request-units-per-second", "10"];
    let running = spoilt.world.start(&slowly);
    spoilt.world.more_requests("cosmos", "item-write", 3).await;
    running.signal("INT").await;
    assert_eq!(running.ended().await, Some(130));
    assert_ne!(spoilt.state().await, spoilt.held);
    let report = spoilt.finish().await;
    assert!(report["resumed"].as_u64().unwrap() >= 2, "{report}");
    let again = spoilt.world.json(&["restore", "apply", "a.plan", "--yes"]).await;
    assert_eq!(again["already_applied"], true);
    spoilt.undo().await;
}

#[tokio::test]
async fn so_many_failures_end_a_restore_and_the_next_run_does_the_rest() {
    let spoilt = Spoilt::new().await;
    spoilt.plan(&[]).await;
    let refused = json!({ "service": "cosmos", "operation": "item-write", "container": "orders", "status": 400 });
    spoilt.faults(json!([refused])).await;
    let limited = ["restore", "apply", "a.plan", "--yes", "--max-failures", "2", "--concurrency", "1"];
    assert_eq!(spoilt.world.run(&limited).await.code, Some(8));
    let unlimited = spoilt.world.run(&["restore", "apply", "a.plan", "--yes"]).await;
    assert_eq!(unlimited.code, Some(3), "{}", unlimited.err);
    assert_eq!(spoilt.state().await, spoilt.begin);
    spoilt.faults(json!([])).await;
    spoilt.finish().await;
    spoilt.undo().await;
}

#[tokio::test]
async fn a_container_is_created_with_the_mirrored_settings_and_what_is_written_there_is_marked() {
    let spoilt = Spoilt::new().await;
    let into = ["restore", "plan", "--all", "--at", &spoilt.at, "--into", "shop/copy"];
    assert_eq!(spoilt.world.run(&into).await.code, Some(10));
    spoilt.world.succeed(&[&into[..], &["--create", "-f", "copy.plan"]].concat()).await;
    assert!(spoilt.world.emulator.history(DATABASE, "copy").await.is_none());
    let apply = ["restore", "apply", "copy.plan", "--yes", "--mark-field", "restored_by"];
    for wrong in ["id", "pk", "a/b", "_etag"] {
        let refused = [&apply[..5], &[wrong]].concat();
        assert_eq!(spoilt.world.run(&refused).await.code, Some(2), "{wrong}");
    }
    let applied = spoilt.world.run(&[&apply[..], &["-o", "json"]].concat()).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    assert!(applied.err.contains("time to live"), "{}", applied.err);
    let report: Value = serde_json::from_slice(&applied.out).unwrap();
    let (own, copied) = (spoilt.world.source("orders").settings().await, spoilt.world.source("copy").settings().await);
    for setting in ["partitionKey", "indexingPolicy", "defaultTtl", "uniqueKeyPolicy", "conflictResolutionPolicy"] {
        assert_eq!(own[setting], copied[setting], "{setting}");
    }
    let copies = live_as_sent(&spoilt.world.history("copy").await);
    let mark = format!(r#","restored_by":{}"#, report["restore"]);
    let expected: BTreeMap<Name, String> =
        spoilt.held.iter().map(|(name, text)| (name.clone(), format!("{text}{mark}"))).collect();
    assert_eq!(copies, expected);
    assert_eq!(spoilt.state().await, spoilt.begin);
    spoilt.world.succeed(&["restore", "apply", "copy.plan.undo", "--yes"]).await;
    assert!(live_as_sent(&spoilt.world.history("copy").await).is_empty());
}

#[tokio::test]
async fn who_cannot_be_asked_is_told_the_counts_and_what_was_undone_is_not_called_applied() {
    let spoilt = Spoilt::new().await;
    spoilt.plan(&[]).await;
    let refused = spoilt.world.run(&["restore", "apply", "a.plan"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("create 8, replace 8, delete 8; left alone: kept 0, extra 0"), "{}", refused.err);
    assert_eq!(spoilt.state().await, spoilt.begin);
    spoilt.finish().await;
    spoilt.world.succeed(&["restore", "apply", "a.plan.undo", "--yes"]).await;
    let again = spoilt.world.run(&["restore", "apply", "a.plan", "--yes"]).await;
    assert_eq!(again.code, Some(7), "{}", again.err);
    assert!(again.err.contains("--undo"), "{}", again.err);
    assert_eq!(spoilt.state().await, spoilt.begin);
}
