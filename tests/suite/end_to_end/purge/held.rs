//! What a policy, a legal hold or a missing right keeps.

use serde_json::json;

use super::super::wire::account_sas;
use super::super::world::{ALL_VERSIONS, Target, World};
use super::{PURGE, assert_not_restored, assert_unreadable, history, live, operations, world as purgeable};

async fn protected(setting: &str, value: &str) -> World {
    let mut world = World::new(&[("orders", ALL_VERSIONS)], Target::Blobs).await;
    world.set(setting, value);
    world.source("orders").make(&["/pk"]).await;
    live(&world).await;
    world.source("orders").delete(super::KEY, super::ID).await;
    world.catch_up().await;
    world
}

#[tokio::test]
async fn what_a_policy_keeps_is_told_with_its_end_hidden_at_once_and_erased_when_that_is_over() {
    let mut world = protected("TARGET__IMMUTABLE_FOR", "30d").await;
    let finished = world.run(&[&["-o", "json"], &PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(finished.code, Some(3), "{}", finished.err);
    let done: serde_json::Value = serde_json::from_slice(&finished.out).unwrap();
    let found = &done["targets"][0];
    assert_eq!(
        (&found["held"], &found["erased"], &found["legal_hold"]),
        (&json!(4), &json!(0), &json!(false)),
        "{done}"
    );
    let until = found["held_until"].as_i64().unwrap();
    assert!((29 * 86_400..31 * 86_400).contains(&(until - done["until"].as_i64().unwrap())), "{done}");
    assert_eq!(history(&world).await, ["purge"]);
    assert_not_restored(&world).await;
    // When it is over, running it again erases the rest.
    world.emulator.advance(32 * 24 * 60 * 60).await;
    // The host's clock stayed behind, and no policy may end in the past.
    world.set("TARGET__IMMUTABLE_FOR", "90d");
    let finished = world.run(&[&["-o", "json"], &PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(finished.code, Some(0), "{}", finished.err);
    assert_unreadable(&world).await;
}

#[tokio::test]
async fn a_legal_hold_is_named() {
    let world = protected("TARGET__LEGAL_HOLD", "true").await;
    let finished = world.run(&[&PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(finished.code, Some(3), "{}", finished.err);
    let out = String::from_utf8(finished.out).unwrap();
    assert!(out.contains("a legal hold keeps some of it"), "{out}");
    assert_eq!(history(&world).await, ["purge"]);
}

#[tokio::test]
async fn a_credential_that_may_not_delete_is_told_which_right_it_lacks() {
    let mut world = purgeable(Target::Blobs, ALL_VERSIONS).await;
    world.set("TARGET__AUTH", "sas");
    world.variable("COSMIRROR_TARGET_SAS", &account_sas("sco", "rcwl"));
    let finished = world.run(&[&PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(finished.code, Some(12), "{}", finished.err);
    assert!(finished.err.contains("deleteBlobVersion"), "{}", finished.err);
    // Hidden it is already, and with the right it goes.
    assert_eq!(history(&world).await, ["purge"]);
    world.variable("COSMIRROR_TARGET_SAS", &account_sas("sco", "rwdxlaci"));
    world.succeed(&[&PURGE[..], &["--confirm"]].concat()).await;
    assert_eq!(operations(&world).await, ["purge"]);
}
