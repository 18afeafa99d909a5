//! `cosmirror check` against an emulator in which one thing at a time is not as it should be.

use serde_json::{Value, json};

use super::world::{ALL_VERSIONS, Target, World};

mod mirrors;
mod silence;
mod source;
mod target;

/// A base64 text that is nobody's key.
const WRONG_KEY: &str = "bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50LCBvciBvZiBhbnkgb3RoZXI=";

/// What a check said.
struct Checked {
    code: i32,
    checks: Vec<Value>,
}

impl Checked {
    async fn of(world: &World) -> Self {
        Self::with(world, &["--sample", "0s"]).await
    }

    async fn with(world: &World, arguments: &[&str]) -> Self {
        let finished = world.run(&[&["-q", "-o", "json", "check"], arguments].concat()).await;
        let told = String::from_utf8(finished.out).unwrap();
        assert!(finished.err.is_empty() && !told.contains(WRONG_KEY), "{} {told}", finished.err);
        let report: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
        let checks = report["checks"].as_array().unwrap().clone();
        for check in &checks {
            let remedy = check["remedy"].as_str().unwrap();
            assert_eq!(remedy.is_empty(), check["status"] == "ok", "{check}");
            assert!(!check["detail"].as_str().unwrap().is_empty() && !check["name"].as_str().unwrap().is_empty());
        }
        let failed = checks.iter().any(|check| check["status"] == "fail");
        assert_eq!(finished.code, Some(i32::from(failed)), "{checks:?}");
        Self { code: finished.code.unwrap(), checks }
    }

    fn get(&self, name: &str) -> &Value {
        let found = self.checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {:?}", self.checks))
    }

    /// That this check stands so, and says this.
    fn says(&self, name: &str, status: &str, detail: &str) -> &Self {
        let check = self.get(name);
        assert_eq!(check["status"], status, "{check}");
        assert!(check["detail"].as_str().unwrap().contains(detail), "{check}");
        self
    }

    /// That its remedy says this.
    fn remedies(&self, name: &str, remedy: &str) -> &Self {
        let check = self.get(name);
        assert!(check["remedy"].as_str().unwrap().contains(remedy), "{check}");
        self
    }

    /// The names of all that stand so, without repetition.
    fn names(&self, status: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for check in self.checks.iter().filter(|check| check["status"] == status) {
            let name = check["name"].as_str().unwrap();
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// A world with a container and documents, in which nothing is to be found.
async fn world() -> World {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set("SOURCE__POLL_INTERVAL", "1s");
    world.set("SOURCE__POLL_INTERVAL_IDLE_MAX", "30s");
    world.source("orders").make(&["/pk"]).await;
    for id in ["a", "b"] {
        world.source("orders").put(r#"["p"]"#, &format!(r#"{{"id":"{id}","pk":"p"}}"#)).await;
    }
    storage(&world, json!({ "sku": "Standard_GZRS", "deleteAllowed": false })).await;
    world
}

/// The same, which was mirrored before, so that its containers exist.
async fn mirrored() -> World {
    let world = world().await;
    world.catch_up().await;
    world
}

async fn storage(world: &World, settings: Value) {
    world.emulator.control("storage", &settings).await;
}

async fn faults(world: &World, rules: Value) {
    world.emulator.control("faults", &json!({ "rules": rules })).await;
}

#[tokio::test]
async fn before_the_first_write_everything_is_well_and_nothing_is_made() {
    let world = world().await;
    let writes = world.emulator.requests("cosmos", "item-write", "*").await;
    let checked = Checked::of(&world).await;
    assert_eq!((checked.code, checked.names("fail")), (0, Vec::new()));
    // What cannot be looked at yet is no praise.
    let later = ["leases.permissions", "target.list", "target.write", "target.read", "target.versioning"];
    assert_eq!(checked.names("warn"), [&later[..], &["target.immutability", "target.delete-permission"]].concat());
    checked
        .says("leases.container", "ok", "the daemon will create it")
        .says("target.container", "ok", "the daemon will create it")
        .says("target.versioning", "warn", "not checked: the container \"mirror\" does not exist yet")
        .remedies("target.versioning", "start the daemon once")
        .says("container.mirror", "ok", "nothing of it yet")
        .says("container.exists", "ok", "partition key /pk; 1 range")
        .says("source.account", "ok", "consistency Session");
    assert_eq!(world.emulator.history("shop", "leases").await, None);
    assert_eq!(world.emulator.requests("cosmos", "item-write", "*").await, writes);
    assert_eq!(world.emulator.requests("blob", "put", "*").await, 0);
    assert!(world.mirror().await.is_empty());
}

#[tokio::test]
async fn a_mirror_that_works_is_well_and_keeps_no_trace_of_the_check() {
    let world = mirrored().await;
    let before = (world.mirror().await, world.history("leases").await.len());
    let checked = Checked::with(&world, &["--sample", "1s"]).await;
    assert_eq!((checked.code, checked.names("fail"), checked.names("warn")), (0, Vec::new(), Vec::new()));
    checked
        .says("container.mirror", "ok", "continues the mirror of 127.0.0.1")
        .says("container.change-rate", "ok", "nothing changed")
        .says("container.cost", "ok", "request units a month when idle")
        .says("target.soft-delete", "ok", "7 days")
        .says("target.redundancy", "ok", "two regions")
        .says("target.delete-permission", "ok", "cannot delete");
    let mut after = world.mirror().await;
    after.retain(|name, versions| {
        let probe = name.ends_with("_cosmirror-probe");
        assert!(!probe || versions.len() == 2, "one version of a start and one of the check");
        !probe
    });
    let mut stored = before.0;
    stored.retain(|name, _| !name.ends_with("_cosmirror-probe"));
    assert_eq!(after, stored);
    let probe = &world.history("leases").await[before.1..];
    let ops: Vec<&str> = probe.iter().map(|change| change.op.as_str()).collect();
    assert_eq!(ops, ["create", "replace", "delete"]);
    assert!(probe.iter().all(|change| change.id.starts_with("cosmirror-check-")), "{probe:?}");
    assert!(probe[0].document.as_ref().unwrap().contains("\"ttl\":60"));
    assert_eq!(world.emulator.requests("blob", "delete", "202").await, 0);
}

#[tokio::test]
async fn for_people_each_check_is_a_line_and_the_last_one_counts() {
    let world = mirrored().await;
    storage(&world, json!({ "softDeleteDays": 0 })).await;
    let text = String::from_utf8(world.succeed(&["check", "--sample", "0s"]).await).unwrap();
    let warned = text.lines().position(|line| line.starts_with("warn  target.soft-delete")).unwrap();
    assert!(text.lines().nth(warned + 1).unwrap().trim().starts_with("-> az storage account"), "{text}");
    assert!(text.lines().last().unwrap().ends_with(" ok, 1 warning, 0 failed"), "{text}");
}

#[tokio::test]
async fn offline_no_request_is_made() {
    let mut world = world().await;
    let before = world.emulator.requests("*", "*", "*").await;
    let checked = Checked::with(&world, &["--offline"]).await;
    assert_eq!(checked.names("ok"), ["configuration", "configuration.encryption", "configuration.secrets"]);
    world.set("SOURCE__AUTH", "key");
    let checked = Checked::with(&world, &["--offline"]).await;
    checked.says("configuration.secrets", "fail", "COSMIRROR_SOURCE_KEY is not set");
    world.set("ADMIN__LISTEN", "0.0.0.0:9464");
    world.set("SOURCE__POLL_INTERVAL", "50ms");
    let checked = Checked::with(&world, &["--offline"]).await;
    assert_eq!(checked.checks.iter().filter(|check| check["status"] == "warn").count(), 2);
    assert_eq!(checked.get("configuration")["subject"], "admin.listen");
    assert_eq!(world.emulator.requests("*", "*", "*").await, before);
}
