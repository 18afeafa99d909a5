//! Restores into a container that holds nothing: what is created there is not looked at before.

use super::undo::{lines, undo_of};
use super::*;

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// The mirror has four documents and the container none.
fn emptied() -> Scene {
    let scene = Scene::new();
    for (id, ts) in IDS.into_iter().zip(1000..) {
        scene.mirrored(id, Op::Create, ts, &body(id, 1));
    }
    scene
}

fn restored(scene: &Scene) -> Vec<&'static str> {
    IDS.into_iter().filter(|id| scene.documents.text(id) == Some(body(id, 1))).collect()
}

fn nobody(scene: &Scene) -> bool {
    IDS.iter().all(|id| scene.documents.text(id).is_none())
}

async fn planned(scene: &Scene, overwrite: &str) -> PathBuf {
    scene.planned_with(&all(1500), overwrite).await.unwrap().path().to_owned()
}

#[tokio::test]
async fn only_reading_back_asks_for_documents_and_an_undo_leaves_nothing() {
    let scene = emptied();
    let plan = planned(&scene, "if-changed").await;
    let report = scene.applied(&plan).await;
    assert_eq!((report.applied.create, scene.documents.reads(), scene.documents.writes()), (4, 4, 4));
    assert_eq!(restored(&scene), IDS);
    scene.applied(&undo_of(&plan)).await;
    assert!(nobody(&scene));
    let (undo, redo) = (undo_of(&plan), undo_of(&undo_of(&plan)));
    assert!(undo.exists());
    scene.applied(&redo).await;
    assert_eq!(restored(&scene), IDS);
}

#[tokio::test]
async fn one_document_in_it_and_each_is_looked_at() {
    let scene = emptied();
    let plan = planned(&scene, "if-changed").await;
    scene.documents.set("a", &body("a", 1));
    let report = scene.applied(&plan).await;
    assert_eq!((report.applied.create, report.unchanged, scene.documents.reads()), (3, 1, 4 + 3));
    scene.applied(&undo_of(&plan)).await;
    assert_eq!(restored(&scene), ["a"]);
}

#[tokio::test]
async fn what_somebody_else_creates_meanwhile_is_left_alone_or_kept_for_the_undo() {
    for (overwrite, conflicts) in [("if-changed", 1), ("always", 0)] {
        let scene = emptied();
        let plan = planned(&scene, overwrite).await;
        scene.documents.order(Fault::Overtaken);
        let report = scene.apply_at(&plan, &How { concurrency: 1, ..scene.how(&plan) }).await;
        assert_eq!((report.conflicts, report.applied.total()), (conflicts, 4 - conflicts), "{overwrite}");
        scene.applied(&undo_of(&plan)).await;
        let theirs = IDS.iter().filter_map(|id| scene.documents.text(id)).collect::<Vec<_>>();
        assert!(theirs.len() == 1 && theirs[0].contains("somebody else"), "{theirs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_is_recognised_and_undone() {
    let scene = emptied();
    let plan = planned(&scene, "if-changed").await;
    (0..3).for_each(|_| scene.documents.order(Fault::LosesAnswer));
    let report = scene.applied(&plan).await;
    assert_eq!((report.applied.create, scene.documents.writes()), (4, 4));
    scene.applied(&undo_of(&plan)).await;
    assert!(nobody(&scene));
}

#[tokio::test]
async fn after_a_crash_at_any_line_the_work_goes_on_and_can_be_undone() {
    for kept in 1..=9 {
        let scene = emptied();
        let plan = planned(&scene, "if-changed").await;
        scene.apply_at(&plan, &How { concurrency: 1, ..scene.how(&plan) }).await;
        let undo = undo_of(&plan);
        let whole = lines(&undo);
        assert_eq!(whole.len(), 1 + 2 * IDS.len() + 1);
        std::fs::write(&undo, format!("{}\n", whole[..kept].join("\n"))).unwrap();
        // A document of which there is no `before` was not touched yet.
        IDS.iter().skip(kept / 2).for_each(|id| scene.documents.remove(id));
        scene.applied(&plan).await;
        assert_eq!(restored(&scene), IDS, "{kept} lines");
        scene.applied(&undo).await;
        assert!(nobody(&scene), "{kept} lines");
    }
}

#[tokio::test]
async fn where_the_container_answers_no_query_each_is_looked_at() {
    let scene = emptied();
    let plan = planned(&scene, "if-changed").await;
    scene.documents.refuse_queries();
    let report = scene.applied(&plan).await;
    assert_eq!((report.applied.create, scene.documents.reads()), (4, 4 + 4));
}
