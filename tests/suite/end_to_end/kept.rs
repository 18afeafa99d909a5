//! The emulator is killed under a daemon at work, and another one goes on with the folder of the first.

use rand::RngExt as _;
use serde_json::json;

use super::documents::random;
use super::emulator::Emulator;
use super::oracle::assert_every_change_once;
use super::world::{ALL_VERSIONS, Target, World};

const KILLS: u32 = 3;
const WRITES: u32 = 60;

#[tokio::test]
async fn an_emulator_killed_under_a_daemon_comes_back_with_everything_and_the_daemon_goes_on() {
    let mut random = random();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let emulator = Emulator::start_in(folder).await;
    let mut world = World::around(emulator, &[("orders", ALL_VERSIONS)], Target::Blobs);
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    let daemon = world.start(&["run"]);
    for round in 0..KILLS {
        for write in 0..WRITES {
            let (key, id) = (random.random_range(0..4), random.random_range(0..20));
            let document = json!({"id": format!("d{id}"), "pk": format!("k{key}"), "round": round, "write": write});
            let key = json!([format!("k{key}")]).to_string();
            world.source("orders").put(&key, &document.to_string()).await;
            if write % 7 == 0 {
                world.source("orders").delete(&key, &format!("d{id}")).await;
            }
        }
        let history = world.history("orders").await;
        world.emulator.kill_and_start_in(folder).await;
        assert_eq!(world.history("orders").await, history);
        // The daemon has found the new one.
        world.more_requests("cosmos", "feed", 2).await;
    }
    assert_eq!(daemon.terminate().await, Some(0));
    world.catch_up().await;
    let (history, mirror) = (world.history("orders").await, world.mirror().await);
    assert_every_change_once(&history, 0, &mirror, "orders");
    world.emulator.kill_and_start_in(folder).await;
    assert_eq!(world.mirror().await, mirror, "the same versions, in the same order");
}
