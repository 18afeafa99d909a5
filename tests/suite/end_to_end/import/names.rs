//! Ids and keys that are hard on names and orders: hierarchical, undefined, of every type, and too long for a name.

use super::{held, imported};
use crate::suite::end_to_end::export::{self, export};
use crate::suite::end_to_end::hostile_names::documents;
use crate::suite::end_to_end::world::{ALL_VERSIONS, Target, World};

#[tokio::test]
async fn documents_of_any_id_and_key_are_exported_in_order_and_imported() {
    let (plain, tree) = documents();
    for (target, prefix) in [(Target::Blobs, "some/long/prefix"), (Target::Directory, "")] {
        let mut world = World::new(&[("plain", ALL_VERSIONS), ("tree", ALL_VERSIONS)], target).await;
        world.set("TARGET__PREFIX", prefix);
        world.source("plain").make(&["/pk"]).await;
        world.source("tree").make(&["/t", "/u", "/v"]).await;
        world.catch_up().await;
        world.emulator.advance(5).await;
        for (container, documents) in [("plain", &plain), ("tree", &tree)] {
            for document in documents {
                world.source(container).put(&document.key, &document.text).await;
            }
        }
        world.emulator.advance(5).await;
        world.catch_up().await;
        let at = covered(&world).await;
        let (_, exported) = export(&world, at, "both", &["--file-size", "4KiB"]).await;
        for (number, container) in ["plain", "tree"].into_iter().enumerate() {
            assert_eq!(exported.documents(number), export::held(&world.history(container).await, at));
            let (from, into) = (format!("shop/{container}"), format!("shop/{container}-copy"));
            let told = imported(&world, &["both", "--source", &from, "--into", &into, "--create"]).await;
            assert_eq!(told["created"], exported.lines[number].len(), "{told}");
            assert_eq!(held(&world, &format!("{container}-copy")).await, held(&world, container).await);
        }
        // Half of them change; the increment has these alone, and the chain comes to what there is.
        for document in tree.iter().step_by(2) {
            let text = document.text.replace("\"n\":1.10", "\"n\":2");
            world.source("tree").put(&document.key, &text).await;
        }
        world.emulator.advance(5).await;
        world.catch_up().await;
        let (_, increment) = export(&world, covered(&world).await, "more", &["--since", "both"]).await;
        assert_eq!((increment.lines[0].len(), increment.lines[1].len()), (0, tree.len().div_ceil(2)));
        let told = imported(&world, &["both", "more", "--source", "shop/tree", "--into", "shop/tree-copy"]).await;
        assert_eq!(told["replaced"], increment.lines[1].len(), "{told}");
        assert_eq!(held(&world, "tree-copy").await, held(&world, "tree").await);
    }
}

/// The last instant that the mirrors of all containers cover.
async fn covered(world: &World) -> i64 {
    let status = world.json(&["status"]).await;
    let containers = status["containers"].as_array().unwrap().iter();
    let until = containers.map(|of| of["restorable_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    until.min().unwrap().as_second()
}
