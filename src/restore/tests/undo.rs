//! What an undo file is good for: going on after a crash, and going back.

use std::collections::BTreeMap;

use super::*;

const IDS: [&str; 5] = ["changed", "gone", "same", "new", "other"];

impl Scene {
    /// What a client finds.
    fn state(&self) -> BTreeMap<&'static str, Option<String>> {
        IDS.into_iter().map(|id| (id, self.documents.text(id))).collect()
    }

    /// A plan with a step of every kind.
    async fn three_steps(&self) -> PathBuf {
        let plan = self.planned(&Request { delete_extra: true, ..all(1050) }).await.unwrap();
        assert_eq!(plan.len(), 3);
        plan.path().to_owned()
    }

    pub(super) async fn apply_at(&self, path: &Path, how: &How) -> Report {
        self.run(RestoreFile::open(path, false, &Identities::default()).unwrap(), how).await
    }

    pub(super) async fn applied(&self, path: &Path) -> Report {
        let report = self.apply_at(path, &self.how(path)).await;
        assert!(report.error().is_none(), "{report:?}");
        report
    }
}

pub(super) fn undo_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.undo", path.display()))
}

pub(super) fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// What the plan restores, whatever happened in between.
fn assert_restored(scene: &Scene) {
    let state = scene.state();
    assert_eq!((&state["changed"], &state["new"]), (&Some(body("changed", 1)), &None));
    assert_eq!((&state["gone"], &state["same"]), (&Some(body("gone", 1)), &Some(body("same", 1))));
}

#[tokio::test]
async fn an_undo_returns_to_the_start_and_can_be_undone_itself() {
    let scene = Scene::after_a_bad_deployment();
    let begin = scene.state();
    let plan = scene.three_steps().await;
    let report = scene.applied(&plan).await;
    assert_eq!(report.applied, Applied { create: 1, replace: 1, delete: 1 });
    assert_eq!(report.undo.unwrap(), undo_of(&plan).display().to_string());
    assert_restored(&scene);
    let undone = scene.applied(&undo_of(&plan)).await;
    assert_eq!(undone.applied, Applied { create: 1, replace: 1, delete: 1 });
    assert_eq!(scene.state(), begin);
    scene.applied(&undo_of(&undo_of(&plan))).await;
    assert_restored(&scene);
    scene.applied(&undo_of(&undo_of(&undo_of(&plan)))).await;
    assert_eq!(scene.state(), begin);
}

#[tokio::test]
async fn a_plan_that_was_applied_is_not_applied_again_into_the_same_file() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    scene.applied(&plan).await;
    let (writes, undo) = (scene.documents.writes(), lines(&undo_of(&plan)));
    let again = scene.applied(&plan).await;
    assert!(again.already_applied);
    assert_eq!(again.applied, Applied { create: 1, replace: 1, delete: 1 });
    let elsewhere = How { undo: scene.folder.path().join("b.undo"), ..scene.how(&plan) };
    let again = scene.apply_at(&plan, &elsewhere).await;
    assert_eq!((again.applied, again.unchanged), (Applied::default(), 4));
    assert_eq!((scene.documents.writes(), lines(&undo_of(&plan))), (writes, undo));
}

/// Steps are done one after the other here, so the lines of the undo file are in their order; the crash comes behind any byte of them.
#[tokio::test]
async fn after_a_crash_at_any_place_the_work_goes_on_and_can_be_undone() {
    let whole = {
        let scene = Scene::after_a_bad_deployment();
        let plan = scene.three_steps().await;
        scene.apply_at(&plan, &How { concurrency: 1, ..scene.how(&plan) }).await;
        lines(&undo_of(&plan))
    };
    assert_eq!(whole.len(), 8);
    // Behind a `before` the write may be done or not; behind an `after` it is.
    for writes in 0..=3 {
        for lost in 0..2 {
            let scene = Scene::after_a_bad_deployment();
            let begin = scene.state();
            let plan = scene.three_steps().await;
            // The next one, if there is one, fails, and nothing comes behind it.
            if writes < 3 {
                (0..writes).for_each(|_| scene.documents.order(Fault::None));
                scene.documents.order(Fault::Fails(Kind::Refused));
            }
            let first = How { concurrency: 1, failures_max: Some(1), ..scene.how(&plan) };
            scene.apply_at(&plan, &first).await;
            assert_eq!(scene.documents.writes(), writes);
            // What a crash leaves: a `before` for every write, and `after` for all but the last.
            let undo = undo_of(&plan);
            let mut kept = lines(&undo);
            kept.truncate(1 + 2 * writes as usize - if writes > 0 { lost } else { 0 });
            let torn = if lost == 1 { r#"{"line":"after","st"# } else { "" };
            std::fs::write(&undo, format!("{}\n{torn}", kept.join("\n"))).unwrap();
            let report = scene.applied(&plan).await;
            assert_eq!(report.applied.total(), 3, "{writes} writes");
            assert_restored(&scene);
            scene.applied(&undo).await;
            assert_eq!(scene.state(), begin, "{writes} writes");
        }
    }
}

#[tokio::test]
async fn a_crash_before_the_first_line_is_whole_leaves_nothing_to_mind() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    for begin in ["", r#"{"line":"#, r#"{"line":"undo","format":1,"#] {
        std::fs::write(undo_of(&plan), begin).unwrap();
        scene.applied(&plan).await;
        std::fs::remove_file(undo_of(&plan)).unwrap();
    }
    for other in ["notes", "notes\n", r#"{"line":"undo","format":1}"#.to_owned().as_str()] {
        std::fs::write(undo_of(&plan), other).unwrap();
        let report = scene.apply_at(&plan, &scene.how(&plan)).await;
        let refused = report.error().is_some_and(|error| error.exit == Exit::Integrity);
        assert_eq!(refused, !other.starts_with('{'), "{other}");
        if refused {
            assert_eq!(std::fs::read_to_string(undo_of(&plan)).unwrap(), other);
        }
    }
}

#[tokio::test]
async fn a_cancelled_restore_goes_on_where_it_stopped_and_records_all_of_it() {
    let scene = Scene::after_a_bad_deployment();
    let begin = scene.state();
    let plan = scene.three_steps().await;
    let how = How { concurrency: 1, ..scene.how(&plan) };
    scene.documents.order(Fault::None);
    scene.documents.order(Fault::Cancels(how.cancel.clone()));
    let report = scene.apply_at(&plan, &how).await;
    assert_eq!(report.error().unwrap().exit, Exit::Cancelled);
    assert_eq!(report.applied.total(), 2);
    assert!(lines(&how.undo).last().unwrap().contains(r#""finished":false"#));
    let report = scene.applied(&plan).await;
    assert_eq!((report.resumed, report.applied.total()), (2, 3));
    assert_restored(&scene);
    let record = format!("{}r1.json", paths().restores());
    let record: cosmirror_formats::restore_record::RestoreRecord =
        crate::records::read(scene.store.as_ref(), &record).await.unwrap().unwrap();
    assert!(record.written.len() == 3 && record.finished.is_some(), "{record:?}");
    scene.applied(&how.undo).await;
    assert_eq!(scene.state(), begin);
}

#[tokio::test]
async fn so_many_failures_end_the_work_and_the_next_run_does_the_rest() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    let how = How { concurrency: 1, failures_max: Some(2), ..scene.how(&plan) };
    scene.documents.order(Fault::Fails(Kind::Refused));
    scene.documents.order(Fault::Fails(Kind::Refused));
    let report = scene.apply_at(&plan, &how).await;
    assert_eq!((report.error().unwrap().exit, report.applied.total()), (Exit::Limit, 0));
    assert_eq!(scene.applied(&plan).await.applied.total(), 3);
    assert_restored(&scene);
}

#[tokio::test]
async fn what_is_overwritten_in_any_case_is_kept_for_the_undo_as_it_was_at_that_moment() {
    let scene = Scene::after_a_bad_deployment();
    let request = Request { delete_extra: true, ..all(1050) };
    let plan = scene.planned_with(&request, "always").await.unwrap().path().to_owned();
    scene.documents.set("changed", &body("changed", 77));
    scene.documents.set("gone", &body("gone", 88));
    scene.documents.set("new", &body("new", 99));
    let begin = scene.state();
    scene.applied(&plan).await;
    assert_restored(&scene);
    scene.applied(&undo_of(&plan)).await;
    assert_eq!(scene.state(), begin);
}

#[tokio::test]
async fn who_writes_between_the_look_and_the_write_is_overwritten_only_where_that_is_asked_for() {
    for (overwrite, conflicts) in [("if-changed", 1), ("always", 0)] {
        let scene = Scene::after_a_bad_deployment();
        let plan = scene.planned_with(&all(1050), overwrite).await.unwrap().path().to_owned();
        scene.documents.order(Fault::Overtaken);
        let report = scene.apply_at(&plan, &How { concurrency: 1, ..scene.how(&plan) }).await;
        assert_eq!(report.conflicts, conflicts);
        let undone = scene.applied(&undo_of(&plan)).await;
        assert_eq!(undone.applied.total(), 2 - conflicts);
        let theirs = IDS.iter().filter(|id| scene.documents.text(id).is_some_and(|text| text.contains("somebody")));
        assert_eq!(theirs.count(), 1, "{overwrite}");
    }
}

#[tokio::test]
async fn what_was_changed_after_the_restore_is_not_undone() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    scene.applied(&plan).await;
    scene.documents.set("changed", &body("changed", 5));
    scene.documents.set("new", &body("new", 6));
    let undo = undo_of(&plan);
    let report = scene.apply_at(&undo, &scene.how(&undo)).await;
    assert_eq!((report.error().unwrap().exit, report.conflicts, report.applied.total()), (Exit::Conflict, 2, 1));
    let state = scene.state();
    assert_eq!((&state["changed"], &state["new"]), (&Some(body("changed", 5)), &Some(body("new", 6))));
    assert_eq!(state["gone"], None);
}

#[tokio::test]
async fn an_unfinished_undo_file_is_taken_only_on_request_and_a_broken_one_never() {
    let scene = Scene::after_a_bad_deployment();
    let begin = scene.state();
    let plan = scene.three_steps().await;
    scene.apply_at(&plan, &How { concurrency: 1, ..scene.how(&plan) }).await;
    let undo = undo_of(&plan);
    let whole = lines(&undo);
    // The last write's `after` is lost, and half of the line before it is there.
    std::fs::write(&undo, format!("{}\n{}", whole[..6].join("\n"), &whole[6][..20])).unwrap();
    let refused = RestoreFile::open(&undo, false, &Identities::default()).unwrap_err();
    assert!(refused.kind == Kind::Integrity && refused.message.contains("line 7"), "{refused}");
    assert!(refused.remedy.contains("--unfinished"), "{refused}");
    for broken in [2, 4] {
        let mut lines = whole.clone();
        lines[broken] = lines[broken].replacen("\"step\":", "\"step\": ", 1);
        let edited = scene.folder.path().join("edited.undo");
        std::fs::write(&edited, format!("{}\n", lines.join("\n"))).unwrap();
        for unfinished in [false, true] {
            let refused = RestoreFile::open(&edited, unfinished, &Identities::default()).unwrap_err();
            assert!(refused.message.contains(&format!("line {}", broken + 1)), "{refused}");
        }
    }
    scene.run(RestoreFile::open(&undo, true, &Identities::default()).unwrap(), &scene.how(&undo)).await;
    assert_eq!(scene.state(), begin);
}

#[tokio::test]
async fn one_process_at_a_time_works_at_a_file() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    scene.apply_at(&plan, &How { failures_max: Some(1), ..scene.how(&plan) }).await;
    let other = std::fs::File::open(undo_of(&plan)).unwrap();
    other.lock().unwrap();
    let report = scene.apply_at(&plan, &scene.how(&plan)).await;
    assert_eq!(report.error().unwrap().exit, Exit::Held);
    assert_eq!(RestoreFile::open(&undo_of(&plan), false, &Identities::default()).unwrap_err().kind, Kind::Held);
}

#[tokio::test]
async fn the_undo_file_of_another_plan_is_not_replaced() {
    let scene = Scene::after_a_bad_deployment();
    let (one, two) = (scene.three_steps().await, scene.planned(&all(1050)).await.unwrap().path().to_owned());
    scene.applied(&one).await;
    let before = lines(&undo_of(&one));
    let report = scene.apply_at(&two, &scene.how(&one)).await;
    assert_eq!(report.error().unwrap().exit, Exit::Usage);
    assert_eq!(lines(&undo_of(&one)), before);
}

#[tokio::test]
async fn a_mark_names_the_restore_and_an_undo_brings_back_what_had_none() {
    let scene = Scene::after_a_bad_deployment();
    let begin = scene.state();
    let plan = scene.three_steps().await;
    let how = How { mark_field: Some("restored".to_owned()), ..scene.how(&plan) };
    let report = scene.apply_at(&plan, &how).await;
    assert!(report.error().is_none(), "{report:?}");
    assert_eq!(scene.documents.text("gone").unwrap(), r#"{"id":"gone","pk":"p","n":1,"restored":"r1"}"#);
    scene.applied(&how.undo).await;
    assert_eq!(scene.state(), begin);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_undone_even_if_the_next_attempt_is_refused() {
    for kind in [Kind::Refused, Kind::Unauthorized, Kind::Internal] {
        let scene = Scene::after_a_bad_deployment();
        let begin = scene.state();
        let plan = scene.three_steps().await;
        scene.documents.order(Fault::LosesAnswer);
        scene.documents.order(Fault::Fails(kind));
        let how = How { concurrency: 1, failures_max: Some(1), ..scene.how(&plan) };
        let report = scene.apply_at(&plan, &how).await;
        assert!(report.failed == 1 && scene.documents.writes() == 1, "{report:?}");
        scene.applied(&how.undo).await;
        assert_eq!(scene.state(), begin, "{kind:?}");
    }
}

#[tokio::test]
async fn a_plan_whose_work_was_undone_is_not_said_to_be_applied() {
    let scene = Scene::after_a_bad_deployment();
    let begin = scene.state();
    let plan = scene.three_steps().await;
    scene.applied(&plan).await;
    scene.applied(&undo_of(&plan)).await;
    let writes = scene.documents.writes();
    let report = scene.apply_at(&plan, &scene.how(&plan)).await;
    let error = report.error().unwrap();
    assert!(error.exit == Exit::Conflict && error.remedy.contains("--undo"), "{error}");
    assert_eq!((report.conflicts, scene.documents.writes(), scene.state()), (3, writes, begin));
}

#[tokio::test]
async fn conflicts_are_told_again_when_the_plan_is_applied_again() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    scene.documents.set("changed", &body("changed", 5));
    for _ in 0..2 {
        let report = scene.apply_at(&plan, &scene.how(&plan)).await;
        assert_eq!((report.error().unwrap().exit, report.conflicts), (Exit::Conflict, 1));
    }
}

#[tokio::test]
async fn work_in_a_container_that_was_created_anew_is_not_gone_on_with() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    let how = How { concurrency: 1, failures_max: Some(1), ..scene.how(&plan) };
    scene.documents.order(Fault::None);
    scene.documents.order(Fault::Fails(Kind::Refused));
    scene.apply_at(&plan, &how).await;
    let undo = lines(&how.undo);
    let anew = How { into_rid: Some("another"), ..scene.how(&plan) };
    let report = scene.apply_at(&plan, &anew).await;
    assert_eq!((report.error().unwrap().exit, report.restore, report.undo), (Exit::Conflict, None, None));
    assert_eq!((scene.documents.writes(), lines(&how.undo)), (1, undo));
}

#[tokio::test]
async fn a_plan_with_a_damaged_version_is_not_finished() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    scene.store.damage(&paths().document(&key("p"), "changed"));
    for _ in 0..2 {
        let report = scene.apply_at(&plan, &scene.how(&plan)).await;
        assert_eq!((report.error().unwrap().exit, report.already_applied), (Exit::Integrity, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_answers_nobody_ends_the_work_early() {
    let scene = Scene::after_a_bad_deployment();
    let begin = scene.state();
    let plan = scene.three_steps().await;
    (0..1_000).for_each(|_| scene.documents.order(Fault::Fails(Kind::Transient)));
    let report = scene.apply_at(&plan, &How { concurrency: 1, ..scene.how(&plan) }).await;
    assert_eq!((report.error().unwrap().exit, report.failed), (Exit::Partial, 2));
    assert_eq!(scene.state(), begin);
}

#[cfg(unix)]
#[tokio::test]
async fn an_empty_file_that_others_may_read_becomes_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.three_steps().await;
    std::fs::write(undo_of(&plan), "").unwrap();
    std::fs::set_permissions(undo_of(&plan), std::fs::Permissions::from_mode(0o644)).unwrap();
    scene.applied(&plan).await;
    assert_eq!(std::fs::metadata(undo_of(&plan)).unwrap().permissions().mode() & 0o777, 0o600);
}
