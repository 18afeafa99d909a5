//! Restores of a mirror whose content is encrypted, and what their undo files hold.

use super::undo::{lines, undo_of};
use super::*;
use crate::encryption::tests::Owner;

/// What every document holds and no file may.
const PLAIN: &str = "\"n\":";

/// A mirror that is encrypted to `owner`, read by who holds its key.
fn encrypted(owner: &Owner) -> Scene {
    let mut scene = Scene::after_a_bad_deployment();
    scene.store.encrypt(&owner.recipients());
    scene.keys = Keys { recipients: Some(owner.recipients()), identities: owner.identities() };
    scene
}

async fn plan_of(scene: &Scene) -> PathBuf {
    let plan = scene.planned(&Request { delete_extra: true, ..all(1050) }).await.unwrap();
    plan.path().to_owned()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn state(scene: &Scene) -> Vec<Option<String>> {
    ["changed", "gone", "same", "new"].map(|id| scene.documents.text(id)).into()
}

async fn open_and_run(scene: &Scene, path: &Path) -> Report {
    let file = RestoreFile::open(path, false, &scene.keys.identities).unwrap();
    file.require_readable(&scene.keys.identities).unwrap();
    scene.run(file, &scene.how(path)).await
}

#[tokio::test]
async fn a_restore_and_its_undoing_leave_no_content_in_their_files() {
    let scene = encrypted(&Owner::new());
    let begin = state(&scene);
    let plan = plan_of(&scene).await;
    let report = open_and_run(&scene, &plan).await;
    assert!(report.error().is_none(), "{report:?}");
    assert_eq!(report.applied, Applied { create: 1, replace: 1, delete: 1 });
    assert_eq!(scene.documents.text("gone").unwrap(), body("gone", 1));
    let undo = undo_of(&plan);
    let sent = crate::sha256::sha256_hex(body("gone", 1).as_bytes());
    for file in [&plan, &undo] {
        assert!(!text(file).contains(PLAIN) && !text(file).contains("\\\"n\\\"") && !text(file).contains(&sent));
    }
    assert!(lines(&undo)[0].contains(r#""format":2"#), "whoever does not know of encryption refuses it");
    assert_eq!(lines(&undo).iter().filter(|line| line.contains(r#""ciphertext":{"action""#)).count(), 3);
    let undone = open_and_run(&scene, &undo).await;
    assert!(undone.error().is_none(), "{undone:?}");
    assert_eq!(state(&scene), begin);
    assert!(!text(&undo_of(&undo)).contains(PLAIN));
}

#[tokio::test]
async fn work_that_a_crash_interrupted_goes_on_with_the_key_alone() {
    let owner = Owner::new();
    for kept in 1..8 {
        let mut scene = encrypted(&owner);
        let plan = plan_of(&scene).await;
        open_and_run(&scene, &plan).await;
        let whole = lines(&undo_of(&plan));
        std::fs::write(undo_of(&plan), whole[..kept.min(whole.len())].join("\n") + "\n").unwrap();
        let others = Owner::new();
        scene.keys.identities = others.identities();
        let before = state(&scene);
        let refused =
            scene.run(RestoreFile::open(&plan, false, &others.identities()).unwrap(), &scene.how(&plan)).await;
        assert_eq!(refused.error().unwrap().exit, Exit::Unauthorized, "{kept}");
        assert_eq!(state(&scene), before);
        scene.keys.identities = owner.identities();
        let report = open_and_run(&scene, &plan).await;
        assert!(report.error().is_none(), "{kept}: {report:?}");
        assert_eq!(scene.documents.text("changed").unwrap(), body("changed", 1));
    }
}

#[tokio::test]
async fn without_a_key_that_fits_nothing_is_begun() {
    let owner = Owner::new();
    let scene = encrypted(&owner);
    let plan = plan_of(&scene).await;
    for identities in [Identities::default(), Owner::new().identities()] {
        let file = RestoreFile::open(&plan, false, &identities).unwrap();
        assert_eq!(file.require_readable(&identities).unwrap_err().kind, Kind::Unauthorized);
    }
    open_and_run(&scene, &plan).await;
    let undo = RestoreFile::open(&undo_of(&plan), false, &Identities::default()).unwrap();
    assert_eq!(undo.require_readable(&Identities::default()).unwrap_err().kind, Kind::Unauthorized);
}

#[tokio::test]
async fn planning_reads_content_only_where_etags_do_not_tell() {
    let mut scene = encrypted(&Owner::new());
    scene.keys = Keys::default();
    let error = scene.plan(&all(1050)).await.unwrap_err();
    assert_eq!(error.exit, Exit::Unauthorized);
    assert!(error.remedy.contains("--identity"), "{}", error.remedy);
    // What is gone is created whatever it holds, and what has its etag is unchanged.
    let tally = scene.plan(&Request { overwrite: Overwrite::Never, ..all(1150) }).await.unwrap();
    assert_eq!((tally.counts.unchanged, tally.counts.extra), (2, 1));
}

#[tokio::test]
async fn a_file_that_was_begun_in_the_open_does_not_go_on_encrypted_nor_the_other_way() {
    let owner = Owner::new();
    let mut scene = encrypted(&owner);
    let with = scene.keys.clone();
    let without = Keys { recipients: None, ..with.clone() };
    for (first, then) in [(&with, &without), (&without, &with)] {
        let plan = plan_of(&scene).await;
        scene.keys = first.clone();
        open_and_run(&scene, &plan).await;
        let head = lines(&undo_of(&plan))[0].clone() + "\n";
        std::fs::write(undo_of(&plan), &head).unwrap();
        scene.keys = then.clone();
        let refused = open_and_run(&scene, &plan).await.error().unwrap();
        assert!(refused.exit == Exit::Usage && refused.message.contains("was begun"), "{}", refused.message);
        assert_eq!(text(&undo_of(&plan)), head);
        scene = encrypted(&owner);
    }
}
