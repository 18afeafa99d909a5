//! Services that do not answer.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Checked, faults, mirrored, world};

/// Everything is bounded by less; the rest is for a machine with other things to do.
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn services_that_hang_cost_less_than_a_minute() {
    let world = mirrored().await;
    let hang = |service: &str| json!({ "service": service, "operation": "*", "action": "hang" });
    faults(&world, json!([hang("cosmos"), hang("blob")])).await;
    let begun = Instant::now();
    let checked = Checked::of(&world).await;
    assert!(begun.elapsed() < MINUTE, "{:?}", begun.elapsed());
    assert_eq!(checked.names("fail"), ["source.reachable", "target.reachable"]);
    checked.says("source.reachable", "fail", "no answer within").says("target.versioning", "warn", "not checked");
}

#[tokio::test]
async fn parts_of_services_that_hang_are_named_and_the_rest_is_looked_at() {
    let world = mirrored().await;
    let hang = |service: &str, operation: &str| json!({ "service": service, "operation": operation, "action": "hang" });
    faults(&world, json!([hang("cosmos", "feed"), hang("cosmos", "item-write"), hang("blob", "put")])).await;
    let begun = Instant::now();
    let checked = Checked::of(&world).await;
    assert!(begun.elapsed() < MINUTE, "{:?}", begun.elapsed());
    assert_eq!(checked.names("fail"), ["container.feed-mode", "leases.permissions", "target.write"]);
    for name in ["container.feed-mode", "leases.permissions", "target.write"] {
        checked.says(name, "fail", "no answer within 10 s");
    }
    checked.says("target.delete-permission", "ok", "cannot").says("container.mirror", "ok", "continues");
}

#[tokio::test]
async fn nobody_at_the_endpoint_is_told_at_once() {
    let mut world = world().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.set("SOURCE__ENDPOINT", &format!("http://{closed}/"));
    world.set("TARGET__ENDPOINT", &format!("http://{closed}/devstoreaccount1"));
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["source.reachable", "target.reachable"]);
    checked.says("source.reachable", "fail", "refused").says("target.reachable", "fail", "refused");
}
