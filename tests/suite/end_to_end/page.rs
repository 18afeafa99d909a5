//! `/status` and the looking at documents of a daemon that mirrors: the same values as the commands', and any id as it is.

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::eventually;
use super::hostile_names;
use super::observer::admins;
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

async fn get(world: &World, admin: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let url = reqwest::Url::parse_with_params(&format!("http://{admin}/{path}"), parameters).unwrap();
    let answer = world.emulator.http.get(url).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn found(world: &World, admin: &str, path: &str, parameters: &[(&str, &str)]) -> Value {
    let (status, body) = get(world, admin, path, parameters).await;
    assert_eq!(status, 200, "{path} {parameters:?}: {body}");
    body
}

/// A status without what depends on the instant at which it was asked for.
fn lasting(mut container: Value) -> Value {
    let fields = container.as_object_mut().unwrap();
    fields.retain(|name, _| {
        [
            "database",
            "container",
            "feed",
            "restorable_from",
            "pending_changes",
            "gaps",
            "dead_letters",
            "ranges",
            "holes",
        ]
        .contains(&name.as_str())
    });
    for range in fields["ranges"].as_array_mut().unwrap() {
        for name in ["watermark", "lag_seconds", "last_progress"] {
            assert!(range.as_object_mut().unwrap().remove(name).is_some_and(|value| !value.is_null()), "{name}");
        }
    }
    container
}

#[tokio::test]
async fn the_daemon_tells_the_status_that_the_command_tells() {
    let world = World::new(&[("orders", ALL_VERSIONS), ("users", LATEST_VERSION)], Target::Blobs).await;
    for (container, partitions) in [("orders", 3), ("users", 1)] {
        let seed = json!({ "database": DATABASE, "container": container, "count": 30, "partitions": partitions });
        world.emulator.control("seed", &seed).await;
    }
    let daemon = world.start(&["run", "--instance", "one"]);
    let admin = admins(&daemon, 1).await.remove(0);
    eventually("both tell the same", async || {
        let (_, of_daemon) = get(&world, &admin, "status", &[]).await;
        let observed = of_daemon["containers"].as_array()?.iter().all(|container| {
            container["observed"] == true
                && container["restorable_from"].is_string()
                && container["ranges"].as_array().unwrap().iter().all(|range| range["last_progress"].is_string())
        });
        if !observed || of_daemon["ready"] != true || of_daemon["instance"] != "one" {
            return None;
        }
        let of_command = world.json(&["status"]).await;
        let told = |status: &Value| -> Vec<Value> {
            status["containers"].as_array().unwrap().iter().cloned().map(lasting).collect()
        };
        (told(&of_daemon) == told(&of_command)).then_some(())
    })
    .await;
    let (_, samples) = get(&world, &admin, "samples", &[]).await;
    assert_eq!(samples["containers"].as_array().unwrap().len(), 2, "{samples}");
    assert_eq!(daemon.terminate().await, Some(0));
}

#[tokio::test]
async fn a_replica_without_ranges_does_not_call_well_what_another_suffers() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    let seed = json!({ "database": DATABASE, "container": "orders", "count": 5, "partitions": 1 });
    world.emulator.control("seed", &seed).await;
    let (one, other) = (world.start(&["run", "--instance", "one"]), world.start(&["run", "--instance", "other"]));
    // Both write into one log.
    let admins = admins(&one, 2).await;
    let both = async |holds: &dyn Fn(&Value) -> bool| {
        for admin in &admins {
            let (_, status) = get(&world, admin, "status", &[]).await;
            if !holds(&status["containers"][0]) {
                return None;
            }
        }
        Some(())
    };
    let lag = |container: &Value| container["lag_seconds"].as_i64();
    eventually("both tell of the mirrored container", async || {
        both(&|container| {
            lag(container).is_some_and(|lag| lag < 10)
                && container["restorable_from"].is_string()
                && container["dead_letters"] == 0
        })
        .await
    })
    .await;
    let rule = json!({ "service": "blob", "operation": "put", "status": 503 });
    world.emulator.control("faults", &json!({ "rules": [rule] })).await;
    world.source("orders").put(r#"["p"]"#, r#"{"id":"waits","pk":"p"}"#).await;
    eventually("both tell that it is behind", async || {
        both(&|container| lag(container).is_some_and(|lag| lag >= 12)).await
    })
    .await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    assert_eq!(other.terminate().await, Some(0));
    assert_eq!(one.terminate().await, Some(0));
}

#[tokio::test]
async fn documents_of_any_name_are_found_and_shown_as_the_commands_show_them() {
    let mut world = World::new(&[("plain", ALL_VERSIONS)], Target::Blobs).await;
    world.set("ADMIN__BROWSE", "true");
    world.source("plain").make(&["/pk"]).await;
    let (documents, _) = hostile_names::documents();
    for n in ["1.10", "2.00"] {
        for document in &documents {
            world.source("plain").put(&document.key, &document.text.replace("1.10", n)).await;
        }
        world.catch_up().await;
    }
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    let container = format!("{DATABASE}/plain");
    for document in &documents {
        let named = [("container", container.as_str()), ("id", &document.id), ("pk", &document.key)];
        let listed = found(&world, &admin, "browse/search", &named).await;
        let is_listed = listed["documents"].as_array().unwrap().iter().filter(|found| found["id"] == *document.id);
        assert_eq!(is_listed.count(), 1, "{} {}: {listed}", document.key, document.id);
        let history = found(&world, &admin, "browse/history", &named).await;
        let versions = history["versions"].as_array().unwrap();
        assert!(versions.len() >= 2 && history["id"] == *document.id, "{history}");
        let [before, last] = [&versions[versions.len() - 2], &versions[versions.len() - 1]];
        let [before, last] = [before, last].map(|version| version["version"].as_str().unwrap());
        let one = [&named[..], &[("version", last)]].concat();
        let shown = found(&world, &admin, "browse/version", &one).await;
        assert!(shown["text"].as_str().unwrap().contains("\"n\": 2.00"), "{shown}");
        assert!(shown["restore"].as_str().unwrap().starts_with("cosmirror restore --source="), "{shown}");
        let two = [&named[..], &[("from", before), ("to", last)]].concat();
        let changed = found(&world, &admin, "browse/diff", &two).await;
        let expected = json!([{"op": "replace", "path": "/n", "path_from": null, "from": "1.10", "to": "2.00"}]);
        assert_eq!(changed["changes"], expected, "{changed}");
    }
    every_page(&world, &admin, &container, documents.len()).await;
    the_command_restores(&world, &admin, &container).await;
    assert_eq!(daemon.terminate().await, Some(0));
}

/// Going on page by page gives every document once.
async fn every_page(world: &World, admin: &str, container: &str, count: usize) {
    let (mut told, mut next) = (std::collections::BTreeSet::new(), None::<String>);
    loop {
        let mut asked = vec![("container", container), ("limit", "7")];
        asked.extend(next.as_deref().map(|next| ("next", next)));
        let page = found(world, admin, "browse/search", &asked).await;
        for document in page["documents"].as_array().unwrap() {
            let new = told.insert((document["id"].to_string(), document["partition_key"].to_string()));
            assert!(new, "{document}");
        }
        match page["next"].as_str() {
            Some(token) => next = Some(token.to_owned()),
            None => break,
        }
    }
    assert_eq!(told.len(), count);
}

/// The command that the page shows, run by a shell, brings that version back.
async fn the_command_restores(world: &World, admin: &str, container: &str) {
    let named = [("container", container), ("id", "`$(x)`"), ("pk", r#"["p"]"#)];
    let history = found(world, admin, "browse/history", &named).await;
    let first = history["versions"][0]["version"].as_str().unwrap();
    let shown = found(world, admin, "browse/version", &[&named[..], &[("version", first)]].concat()).await;
    let script = format!("printf '%s\\n' {}", shown["restore"].as_str().unwrap());
    let output = tokio::process::Command::new("bash").args(["--norc", "-c", &script]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let arguments: Vec<&str> = text.lines().skip(1).chain(["--yes"]).collect();
    world.succeed(&arguments).await;
    let changes = world.history("plain").await;
    let last = changes.iter().rfind(|change| change.id == "`$(x)`").unwrap();
    assert!(last.document.as_deref().unwrap().contains("\"n\":1.10"), "{last:?}");
}
