//! Findings about the storage account and about a directory.

use serde_json::json;

use super::super::wire::account_sas;
use super::super::world::{ALL_VERSIONS, Target, World};
use super::{Checked, WRONG_KEY, faults, mirrored, storage, world};

#[tokio::test]
async fn an_account_that_keeps_no_versions_fails() {
    let world = mirrored().await;
    storage(&world, json!({ "versioning": false })).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["target.versioning"]);
    checked.remedies("target.versioning", "--enable-versioning true");
    storage(&world, json!({ "versioning": true, "hierarchicalNamespace": true })).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["target.account", "target.versioning"]);
    checked.says("target.account", "fail", "hierarchical namespace");
    assert_eq!(world.emulator.requests("blob", "delete", "202").await, 0, "nothing is deleted");
}

#[tokio::test]
async fn an_account_that_keeps_no_versions_is_good_for_snapshots() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Snapshots).await;
    world.source("orders").make(&["/pk"]).await;
    world.source("orders").put(r#"["p"]"#, r#"{"id":"a","pk":"p"}"#).await;
    world.catch_up().await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), [""; 0]);
    checked.says("target.versioning", "ok", "snapshot").says("target.account", "ok", "kind");
    storage(&world, json!({ "versioning": true, "hierarchicalNamespace": false })).await;
    Checked::of(&world).await.says("target.versioning", "ok", "keeps versions too");
    let puts = json!({ "service": "blob", "operation": "put", "status": 403, "path": "_cosmirror-probe", "count": 2 });
    faults(&world, json!([puts])).await;
    Checked::of(&world).await.says("target.versioning", "warn", "not checked: target.write failed");
}

#[tokio::test]
async fn what_would_be_gone_too_early_or_with_one_building_is_warned_of() {
    let world = mirrored().await;
    for (days, status, detail) in [(0, "warn", "is off"), (6, "warn", "6 days"), (30, "ok", "30 days")] {
        storage(&world, json!({ "softDeleteDays": days })).await;
        Checked::of(&world).await.says("target.soft-delete", status, detail);
    }
    storage(&world, json!({ "sku": "Standard_LRS", "deleteAllowed": true })).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("warn"), ["target.redundancy", "target.delete-permission"]);
    checked.says("target.redundancy", "warn", "one data centre").remedies("target.redundancy", "Standard_GZRS");
    checked.says("target.delete-permission", "warn", "may delete").remedies("target.delete-permission", "role");
}

#[tokio::test]
async fn a_policy_that_forbids_to_overwrite_fails() {
    let world = mirrored().await;
    for policy in ["policy", "legal-hold"] {
        storage(&world, json!({ "versionLevelImmutability": false, "immutability": policy })).await;
        let checked = Checked::of(&world).await;
        assert_eq!(checked.names("fail"), ["target.immutability"]);
        checked.remedies("target.immutability", "version-level");
    }
    storage(&world, json!({ "immutability": "none" })).await;
    Checked::of(&world).await.says("target.immutability", "ok", "whoever may delete");
}

#[tokio::test]
async fn what_is_to_ride_with_every_put_is_looked_for_on_the_probe() {
    let mut world = mirrored().await;
    let without = Checked::of(&world).await;
    assert!(!serde_json::to_string(&without.checks).unwrap().contains("target.protection"));
    world.set("TARGET__IMMUTABLE_FOR", "30d");
    world.set("TARGET__LEGAL_HOLD", "true");
    world.set("TARGET__ENCRYPTION_SCOPE", "shop");
    world.set("TARGET__TAGS", "true");
    let checked = Checked::of(&world).await;
    assert_eq!((checked.names("fail"), checked.names("warn")), (vec![], vec![]));
    checked.says("target.protection", "ok", "cannot be deleted until").says(
        "target.protection",
        "ok",
        "versions for 30d",
    );
    checked.says("target.protection", "ok", "unlocked: whoever").says("target.protection", "ok", "legal hold");
    checked.says("target.encryption-scope", "ok", "under \"shop\"").says("target.tags", "ok", "with tags");
    storage(&world, json!({ "versionLevelImmutability": false })).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["target.write"]);
    checked.remedies("target.write", "version-level immutability").remedies("target.write", "scope \"shop\"");
    checked.says("target.protection", "warn", "not checked: target.write failed");
    storage(&world, json!({ "versionLevelImmutability": true })).await;
    faults(&world, json!([{ "service": "blob", "operation": "head", "status": 500 }])).await;
    Checked::of(&world).await.says("target.protection", "warn", "500");
}

#[tokio::test]
async fn a_wrong_key_of_the_target_fails_and_what_needs_it_is_not_checked() {
    let mut world = mirrored().await;
    world.set("TARGET__AUTH", "shared-key");
    world.variable("COSMIRROR_TARGET_KEY", WRONG_KEY);
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["target.list", "target.write", "target.read"]);
    checked.says("target.write", "fail", "AuthenticationFailed (403)").remedies("target.write", "check the key");
    for name in ["target.account", "target.soft-delete", "target.versioning"] {
        checked.says(name, "warn", "");
    }
    checked.says("target.delete-permission", "warn", "not checked: the credential is refused everything");
    checked.says("target.container", "warn", "not checked").says("target.reachable", "ok", "answers");
    checked.says("container.feed-mode", "ok", ALL_VERSIONS).says("container.mirror", "warn", "not checked");
}

#[tokio::test]
async fn a_firewall_that_refuses_everything_is_no_proof_that_deletes_are_refused() {
    let mut world = mirrored().await;
    faults(&world, json!([{ "service": "blob", "operation": "*", "status": 403 }])).await;
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["target.list", "target.write", "target.read"]);
    checked.says("target.delete-permission", "warn", "not checked").says("target.redundancy", "warn", "403");
    let delete = |status: u16| json!([{ "service": "blob", "operation": "delete", "status": status }]);
    faults(&world, delete(403)).await;
    Checked::of(&world).await.says("target.delete-permission", "ok", "cannot delete");
    faults(&world, delete(500)).await;
    Checked::of(&world).await.says("target.delete-permission", "warn", "500");
    world.set("TARGET__AUTH", "shared-key");
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["configuration.secrets", "target.settings"]);
    checked.says("target.versioning", "warn", "not checked: target.settings failed");
}

#[tokio::test]
async fn what_a_sas_token_does_not_allow_is_found_one_by_one() {
    let mut world = mirrored().await;
    storage(&world, json!({ "deleteAllowed": true })).await;
    world.set("TARGET__AUTH", "sas");
    let file = world.folder().join("sas");
    world.set("TARGET__SAS_FILE", file.to_str().unwrap());
    let with = async |resources: &str, permissions: &str| {
        let sas = account_sas(resources, permissions);
        std::fs::write(&file, &sas).unwrap();
        let checked = Checked::of(&world).await;
        let told = serde_json::to_string(&checked.checks).unwrap();
        assert!(!told.contains("sig=") && !told.contains(sas.split("sig=").nth(1).unwrap()), "{told}");
        checked
    };
    let checked = with("sco", "rwlc").await;
    assert_eq!((checked.names("fail"), checked.names("warn")), (vec![], vec![]));
    checked.says("target.delete-permission", "ok", "cannot delete");
    // Who may delete versions can delete history, whatever else is refused.
    let checked = with("sco", "rwxlc").await;
    checked.says("target.delete-permission", "warn", "may delete versions");
    let checked = with("sco", "rwdxlc").await;
    checked.says("target.delete-permission", "warn", "may delete blobs and versions");
    let checked = with("sco", "rwdlc").await;
    assert_eq!((checked.names("fail"), checked.names("warn")), (vec![], vec!["target.delete-permission"]));
    let checked = with("co", "wl").await;
    assert_eq!(checked.names("fail"), ["target.read"]);
    checked.remedies("target.read", "SAS permission r").says(
        "target.soft-delete",
        "warn",
        "settings of the blob service",
    );
    checked.says("target.immutability", "warn", "properties of container").says("target.container", "ok", "exists");
    let checked = with("co", "rl").await;
    assert_eq!(checked.names("fail"), ["target.write"]);
    checked.says("target.versioning", "warn", "not checked: target.write failed");
    let checked = with("co", "rcw").await;
    assert_eq!(checked.names("fail"), ["target.list"]);
    checked.remedies("target.list", "SAS permission l").says("target.versioning", "ok", "kept");
}

#[tokio::test]
async fn a_missing_container_that_nobody_makes_fails() {
    let mut world = world().await;
    world.set("TARGET__CREATE", "false");
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["target.container"]);
    checked.remedies("target.container", "target.create = true");
    assert_eq!(world.emulator.requests("blob", "container", "201").await, 0);
}

#[tokio::test]
async fn a_directory_is_looked_at_without_being_made() {
    let world = World::new(&[("orders", ALL_VERSIONS)], Target::Directory).await;
    let place = world.folder().join("mirror");
    let checked = Checked::with(&world, &["--offline"]).await;
    checked.says("target.directory", "ok", "the daemon will create it").says("target.space", "ok", "free");
    assert!(!place.exists());
    std::fs::create_dir(&place).unwrap();
    let checked = Checked::with(&world, &["--offline"]).await;
    checked.says("target.directory", "ok", "tells upper from lower case");
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::write(&place, "in the way").unwrap();
    let checked = Checked::with(&world, &["--offline"]).await;
    checked.says("target.directory", "fail", "not a directory").remedies("target.directory", "target.path");
}
