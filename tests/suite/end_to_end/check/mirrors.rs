//! What the target already holds.

use super::{Checked, mirrored};

#[tokio::test]
async fn the_mirror_of_another_account_fails() {
    let mut world = mirrored().await;
    // The same emulator by another name is another account.
    let other = format!("http://localhost:{}/", world.emulator.cosmos.rsplit(':').next().unwrap());
    world.set("SOURCE__ENDPOINT", &other);
    let checked = Checked::of(&world).await;
    assert_eq!(checked.names("fail"), ["container.mirror"]);
    checked.says("container.mirror", "fail", "127.0.0.1").remedies("container.mirror", "target.prefix");
    world.set("TARGET__PREFIX", "other");
    Checked::of(&world).await.says("container.mirror", "ok", "nothing of it yet");
}

#[tokio::test]
async fn a_container_that_was_created_again_is_warned_of() {
    let world = mirrored().await;
    world.source("orders").remove().await;
    world.source("orders").make(&["/pk"]).await;
    let checked = Checked::of(&world).await;
    assert_eq!((checked.names("fail"), checked.names("warn")), (vec![], vec!["container.mirror"]));
    checked.remedies("container.mirror", "recorded gap");
}
