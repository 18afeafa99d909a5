//! What rides with every put: immutability, a legal hold, an encryption scope and tags, and a service that refuses one of them.

use cosmirror_emulator::BLOB_ACCOUNT;
use serde_json::json;

use super::crash_points::changes;
use super::eventually;
use super::mirror::{CONTAINER, list, text};
use super::no_deletes::everything;
use super::observer::{admins, metrics};
use super::oracle::{assert_every_change_once, by_document};
use super::wire::{BLOB_VERSION, account_sas, percent};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

/// Everything at once.
const ALL: [(&str, &str); 5] = [
    ("TARGET__IMMUTABLE_FOR", "30d"),
    ("TARGET__IMMUTABILITY_MODE", "locked"),
    ("TARGET__LEGAL_HOLD", "true"),
    ("TARGET__ENCRYPTION_SCOPE", "shop-2026"),
    ("TARGET__TAGS", "true"),
];

async fn world(settings: &[(&str, &str)]) -> World {
    let mut world = World::new(&[("orders", ALL_VERSIONS), ("carts", LATEST_VERSION)], Target::Blobs).await;
    for (setting, value) in settings {
        world.set(setting, value);
    }
    world
}

/// Asks the blob service with a signature that permits everything but what it names otherwise.
async fn ask(world: &World, method: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let sas = account_sas("sco", "rwdxlacti");
    let url = format!("http://{}/{BLOB_ACCOUNT}/{CONTAINER}{path}?{query}{sas}", world.emulator.blob);
    let request = world.emulator.http.request(method.parse().unwrap(), url).header("x-ms-version", BLOB_VERSION);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn everything_works_over_versions_that_nobody_can_delete() {
    let world = world(&ALL).await;
    everything(&world).await;
    world.catch_up().await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
    let listed = list(&world.emulator, CONTAINER, "versions,metadata,immutabilitypolicy,legalhold,tags").await;
    let (mut kept, mut states, mut tagged) = (Vec::new(), 0, Vec::new());
    for blob in &listed {
        let name = text(blob, "Name");
        assert_eq!(text(blob, "EncryptionScope"), "shop-2026", "{blob}");
        let protection = (text(blob, "ImmutabilityPolicyMode"), text(blob, "LegalHold"));
        if name.contains("/_mirror/ranges/") || name.contains("/_mirror/jobs/") {
            assert_eq!(protection, (String::new(), String::new()), "{blob}");
            states += 1;
            continue;
        }
        assert_eq!(protection, ("locked".to_owned(), "true".to_owned()), "{blob}");
        if name.contains("/documents/") && text(blob, "IsCurrentVersion") == "true" {
            tagged.push((name.clone(), blob.contains("<Key>op</Key>"), blob.contains("<Key>feed</Key>")));
        }
        kept.push((name, text(blob, "VersionId"), text(blob, "IsCurrentVersion") == "true"));
    }
    assert!(states > 0 && !tagged.is_empty());
    assert!(tagged.iter().all(|(_, op, feed)| *op && *feed), "{tagged:?}");
    for kind in ["/documents/", "/dead-letters/", "/restores/", "/container.json", "_cosmirror-probe"] {
        assert!(kept.iter().any(|(name, ..)| name.contains(kind)), "no {kind}");
    }
    let of = |feed: &str| listed.iter().filter(|blob| blob.contains(&format!("<Value>{feed}</Value>"))).count();
    assert!(of(ALL_VERSIONS) > 0 && of(LATEST_VERSION) > 0);
    for (name, version, is_current) in kept.iter().filter(|(_, _, is_current)| !is_current) {
        let query = format!("versionid={}&", percent(version));
        let (status, body) =
            ask(&world, "DELETE", &format!("/{}", percent(name).replace("%2F", "/")), &query, &[]).await;
        assert_eq!((status, body.contains("BlobImmutableDueTo")), (409, true), "{name} {version} {is_current}: {body}");
    }
}

#[tokio::test]
async fn versions_over_protected_ones_are_the_sources_history_and_the_metrics_tell_until_when() {
    let world = world(&ALL).await;
    for container in ["orders", "carts"] {
        world.source(container).make(&["/pk"]).await;
    }
    world.catch_up().await;
    for step in 0..5 {
        world.source("orders").put(r#"["p"]"#, &json!({ "id": "a", "pk": "p", "step": step }).to_string()).await;
    }
    world.source("orders").delete(r#"["p"]"#, "a").await;
    world.source("orders").put(r#"["p"]"#, r#"{"id":"a","pk":"p","again":true}"#).await;
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
    let daemon = world.start(&["run"]);
    let admin = admins(&daemon, 1).await.remove(0);
    let shown = eventually("what protects the target is read", async || {
        let shown = metrics(&world, &admin).await;
        (shown["target_protection_known"] > 0.0).then_some(shown)
    })
    .await;
    assert!(shown["target_immutable_until_timestamp_seconds"] > 1_700_000_000.0, "{shown:?}");
    assert_eq!((shown["target_immutability_locked"], shown["target_legal_hold"]), (1.0, 1.0));
    assert_eq!(daemon.terminate().await, Some(0));
}

/// Nothing is stored but the container, and the daemon ends at once and says which setting is not to be had.
async fn assert_refused(world: &World, code: i32, needs: &[&str]) {
    let finished = world.run(&["run", "--once"]).await;
    assert_eq!(finished.code, Some(code), "{}", finished.err);
    for need in needs {
        assert!(finished.err.contains(need), "{need}: {}", finished.err);
    }
    assert!(world.mirror().await.is_empty());
    assert_eq!(world.emulator.history("shop", "leases").await, None);
}

#[tokio::test]
async fn a_service_that_cannot_protect_versions_is_refused_before_anything_is_written() {
    for setting in [("TARGET__IMMUTABLE_FOR", "30d"), ("TARGET__LEGAL_HOLD", "true")] {
        let world = world(&[setting]).await;
        for container in ["orders", "carts"] {
            world.source(container).make(&["/pk"]).await;
        }
        world.emulator.control("storage", &json!({ "versionLevelImmutability": false })).await;
        assert_refused(&world, 2, &["FeatureNotEnabled (409)", "version-level immutability"]).await;
        world.emulator.control("storage", &json!({ "versionLevelImmutability": true })).await;
        world.catch_up().await;
    }
}

/// A refusal of what rides with every put is none of one document: nothing becomes a dead letter, and all goes on when it is over.
#[tokio::test]
async fn a_service_that_stops_protecting_versions_stops_the_mirror_and_costs_nothing() {
    let world = world(&[("TARGET__IMMUTABLE_FOR", "30d")]).await;
    for container in ["orders", "carts"] {
        world.source(container).make(&["/pk"]).await;
    }
    world.catch_up().await;
    let daemon = world.start(&["run"]);
    world.more_requests("cosmos", "feed", 5).await;
    world.emulator.control("storage", &json!({ "versionLevelImmutability": false })).await;
    changes(&world, 0).await;
    eventually("the refusal is told of", async || {
        let log = daemon.log();
        (log.contains("FeatureNotEnabled (409)") && log.contains("version-level immutability")).then_some(())
    })
    .await;
    assert!(world.mirror().await.keys().all(|name| !name.contains("/documents/") && !name.contains("/dead-letters/")));
    world.emulator.control("storage", &json!({ "versionLevelImmutability": true })).await;
    let documents = by_document(&world.history("orders").await).len();
    eventually("all is stored", async || {
        (world.mirror().await.keys().filter(|name| name.contains("/orders/documents/")).count() == documents)
            .then_some(())
    })
    .await;
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
}

#[tokio::test]
async fn a_container_that_insists_on_another_encryption_scope_is_refused_before_anything_is_written() {
    let world = world(&[("TARGET__ENCRYPTION_SCOPE", "shop-2026")]).await;
    for container in ["orders", "carts"] {
        world.source(container).make(&["/pk"]).await;
    }
    let own = [("x-ms-default-encryption-scope", "theirs"), ("x-ms-deny-encryption-scope-override", "true")];
    let (status, body) = ask(&world, "PUT", "", "restype=container&", &own).await;
    assert_eq!(status, 201, "{body}");
    assert_refused(&world, 2, &["RequestForbiddenByContainerEncryptionPolicy (403)", "scope \"shop-2026\""]).await;
}

#[tokio::test]
async fn a_credential_that_may_not_tag_or_protect_is_told_what_it_takes() {
    let needs = [("TARGET__TAGS", "true", "blobs/tags/write"), ("TARGET__LEGAL_HOLD", "true", "runAsSuperUser")];
    for (setting, value, need) in needs {
        let mut world = world(&[(setting, value), ("TARGET__AUTH", "sas")]).await;
        for container in ["orders", "carts"] {
            world.source(container).make(&["/pk"]).await;
        }
        let sas = world.folder().join("sas");
        world.set("TARGET__SAS_FILE", sas.to_str().unwrap());
        std::fs::write(&sas, account_sas("sco", "rwlac")).unwrap();
        assert_refused(&world, 12, &["AuthorizationPermissionMismatch (403)", need]).await;
        std::fs::write(&sas, account_sas("sco", "rwlacti")).unwrap();
        world.catch_up().await;
    }
}

#[tokio::test]
async fn snapshots_are_under_the_encryption_scope_of_what_they_were_taken_of() {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Snapshots).await;
    world.set("TARGET__ENCRYPTION_SCOPE", "shop-2026");
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    changes(&world, 0).await;
    world.catch_up().await;
    assert_every_change_once(&world.history("orders").await, 0, &world.mirror().await, "orders");
    let listed = list(&world.emulator, CONTAINER, "metadata,snapshots").await;
    assert!(listed.iter().any(|blob| !text(blob, "Snapshot").is_empty()));
    assert!(listed.iter().all(|blob| text(blob, "EncryptionScope") == "shop-2026"), "{listed:?}");
}
