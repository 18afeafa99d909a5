//! Files that must not be applied: altered, cut off, unfinished, or of another container. Nothing is written then, and the error says
//! where it is.

use std::path::Path;

use serde_json::json;

use super::restore_apply::Spoilt;

/// Writes a file's lines, changed.
fn alter(path: &Path, into: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    std::fs::write(into, format!("{}\n", lines.join("\n"))).unwrap();
}

#[tokio::test]
async fn altered_and_cut_off_files_are_refused_with_the_line_and_nothing_is_written() {
    let spoilt = Spoilt::new().await;
    spoilt.plan(&[]).await;
    let folder = spoilt.world.folder().to_owned();
    let (plan, undo, bad) = (folder.join("a.plan"), folder.join("a.plan.undo"), folder.join("bad"));
    let refused = async |what: &str, line: usize| {
        let before = spoilt.state().await;
        let finished = spoilt.world.run(&["restore", "apply", "bad", "--yes"]).await;
        assert_eq!(finished.code, Some(6), "{what}: {}", finished.err);
        assert!(finished.err.contains(&format!("line {line}")), "{what}: {}", finished.err);
        assert!(spoilt.state().await == before && !folder.join("bad.undo").exists(), "{what}");
    };
    alter(&plan, &bad, |lines| lines[3] = lines[3].replacen("\"part\":0", "\"part\":1", 1));
    refused("an edited step", 4).await;
    alter(&plan, &bad, |lines| lines.truncate(5));
    refused("a plan without its end", 6).await;
    spoilt.finish().await;
    alter(&undo, &bad, |lines| lines[2] = lines[2].replacen("\"step\":", "\"step\":1", 1));
    refused("an edited undo", 3).await;
    alter(&undo, &bad, |lines| lines.truncate(4));
    refused("an undo without its end", 5).await;
    alter(&undo, &bad, |lines| {
        lines.remove(1);
    });
    refused("an undo without a line", 2).await;
}

#[tokio::test]
async fn what_a_restore_that_died_has_done_is_undone_on_request() {
    let spoilt = Spoilt::new().await;
    // Of two that may be written at a time, three are under way, so a fourth is noted when one of them is done.
    for point in ["document-restored:4", "undo-durable:4"] {
        spoilt.plan(&[]).await;
        spoilt.world.start_to_die(point, &["restore", "apply", "a.plan", "--yes", "--concurrency", "2"]).died().await;
        let undo = ["restore", "apply", "a.plan.undo", "--yes"];
        let refused = spoilt.world.run(&undo).await;
        assert_eq!(refused.code, Some(6), "{}", refused.err);
        assert!(refused.err.contains("--unfinished"), "{}", refused.err);
        assert_ne!(spoilt.state().await, spoilt.begin);
        spoilt.world.succeed(&[&undo[..], &["--unfinished"]].concat()).await;
        assert_eq!(spoilt.state().await, spoilt.begin);
        for file in ["a.plan.undo", "a.plan.undo.undo"] {
            std::fs::remove_file(spoilt.world.folder().join(file)).unwrap();
        }
        spoilt.world.catch_up().await;
    }
}

#[tokio::test]
async fn an_undo_dies_and_goes_on_like_any_restore_and_can_be_undone() {
    let spoilt = Spoilt::new().await;
    spoilt.plan(&[]).await;
    spoilt.finish().await;
    let undo = ["restore", "apply", "a.plan.undo", "--yes"];
    spoilt.world.start_to_die("document-restored:5", &undo).died().await;
    spoilt.world.succeed(&undo).await;
    assert_eq!(spoilt.state().await, spoilt.begin);
    spoilt.world.succeed(&["restore", "apply", "a.plan.undo.undo", "--yes"]).await;
    assert_eq!(spoilt.state().await, spoilt.held);
}

#[tokio::test]
async fn a_file_of_another_account_or_container_is_refused_and_nothing_is_written() {
    let mut spoilt = Spoilt::new().await;
    spoilt.plan(&[]).await;
    let apply = ["restore", "apply", "a.plan", "--yes"];
    let other_key = ["restore", "plan", "--all", "--at", &spoilt.at, "--into", "shop/copy", "--create", "-f", "b.plan"];
    spoilt.world.succeed(&other_key).await;
    spoilt.world.source("copy").make(&["/other"]).await;
    let refused = spoilt.world.run(&["restore", "apply", "b.plan", "--yes"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("/other") && refused.err.contains("/pk"), "{}", refused.err);
    let source = spoilt.world.source("orders");
    source.remove().await;
    source.make(&["/pk"]).await;
    source.put(r#"["p"]"#, &json!({ "id": "d", "pk": "p" }).to_string()).await;
    let refused = spoilt.world.run(&apply).await;
    assert_eq!(refused.code, Some(7), "{}", refused.err);
    assert_eq!(spoilt.state().await.len(), 1);
    spoilt.world.set("SOURCE__ENDPOINT", "http://127.0.0.1:9/");
    let refused = spoilt.world.run(&apply).await;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("another account"), "{}", refused.err);
    assert!(!spoilt.world.folder().join("a.plan.undo").exists());
}
