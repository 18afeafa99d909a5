//! What a plan selects and decides, against a mirror and a container in memory.

use super::*;

impl Scene {
    async fn counts(&self, request: &Request) -> Counts {
        self.plan(request).await.unwrap().counts
    }

    async fn refused(&self, request: &Request) -> Exit {
        self.plan(request).await.unwrap_err().exit
    }
}

fn counts(create: u64, replace: u64, unchanged: u64, extra: u64) -> Counts {
    Counts { create, replace, unchanged, extra, ..Counts::default() }
}

fn between(from: i64, until: impl Into<Option<i64>>) -> Request {
    let changed = Some(Interval { from, until: until.into() });
    Request { changed, ..all(from - 1) }
}

fn document(id: &str) -> Selection {
    Selection::Document { key: key("p"), id: id.to_owned() }
}

#[tokio::test]
async fn what_a_deployment_touched_comes_back_as_it_was_before_it() {
    let scene = Scene::after_a_bad_deployment();
    assert_eq!(scene.counts(&between(1051, 1150)).await, counts(1, 1, 0, 0));
    assert_eq!(scene.counts(&between(1051, 1200)).await, counts(1, 1, 0, 1));
    assert_eq!(scene.counts(&between(1051, None)).await, counts(1, 1, 0, 1));
    assert_eq!(scene.counts(&between(1150, 1199)).await, Counts::default());
    let later = Request { point: Point::At(1100), ..between(1051, 1150) };
    assert_eq!(scene.counts(&later).await, counts(0, 0, 1, 0));
}

#[tokio::test]
async fn what_changed_since_the_mirror_read_it_last_was_touched_too() {
    let scene = Scene::after_a_bad_deployment();
    scene.documents.set_exactly("same", &service_text(&body("same", 2), "\"x\"", 1999), "\"x\"");
    scene.documents.set_exactly("unread", &service_text(&body("unread", 2), "\"y\"", 1999), "\"y\"");
    scene.documents.remove("new");
    assert_eq!(scene.counts(&between(1300, 1999)).await, counts(0, 1, 0, 1));
    // Nothing says when it was deleted, but it was there at the end of what the mirror has read.
    assert_eq!(scene.counts(&between(1300, None)).await, counts(1, 1, 0, 1));
}

#[tokio::test]
async fn an_interval_whose_end_is_not_mirrored_yet_is_refused() {
    let scene = Scene::after_a_bad_deployment();
    assert_eq!(scene.refused(&between(1051, 2001)).await, Exit::NotCovered);
    assert_eq!(scene.refused(&between(100, 150)).await, Exit::NotCovered);
}

#[tokio::test]
async fn a_prefix_is_meant_beneath_the_folder_of_documents_or_as_a_whole_name() {
    let scene = Scene::after_a_bad_deployment();
    let mirror = reader(&scene.store).await;
    let request = |path: &str| Request { selection: Selection::prefix_of(&mirror, path), ..all(1050) };
    assert_eq!(scene.counts(&request("p/")).await, counts(1, 1, 1, 1));
    assert_eq!(scene.counts(&request("p/ch")).await, counts(0, 1, 0, 0));
    assert_eq!(scene.counts(&request(&paths().document(&key("p"), "gone"))).await, counts(1, 0, 0, 0));
    assert_eq!(scene.counts(&request(&paths().documents())).await, counts(1, 1, 1, 1));
    assert_eq!(scene.refused(&request("q/")).await, Exit::NotFound);
}

#[tokio::test]
async fn a_list_names_documents_and_an_unknown_one_is_told() {
    let scene = Scene::after_a_bad_deployment();
    let mirror = reader(&scene.store).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let request = async |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        Request { selection: Selection::listed(&mirror, file.path()).await.unwrap(), ..all(1050) }
    };
    let two = request("{\"id\":\"changed\",\"pk\":\"p\"}\n{\"id\":\"gone\",\"partition_key\":[\"p\"]}\n").await;
    assert_eq!(scene.counts(&two).await, counts(1, 1, 0, 0));
    let tally = scene.plan(&request("{\"id\":\"nobody\",\"pk\":\"p\"}\n").await).await.unwrap();
    assert_eq!(tally.counts, Counts { unknown: 1, ..Counts::default() });
    assert!(tally.notes[0].contains("\"nobody\""), "{:?}", tally.notes);
    std::fs::write(file.path(), "{}\n").unwrap();
    assert!(Selection::listed(&mirror, file.path()).await.unwrap_err().message.contains("line 1"));
}

#[tokio::test]
async fn a_condition_is_asked_of_the_content_at_the_point() {
    let scene = Scene::after_a_bad_deployment();
    let request = |sql: &str, at| {
        let condition = Some(cosmirror_sql::Condition::parse(sql).unwrap());
        Request { condition, ..all(at) }
    };
    assert_eq!(scene.counts(&request("c.n = 1 AND c.id != 'gone'", 1050)).await, counts(0, 1, 1, 0));
    assert_eq!(scene.counts(&request("c.n = 2", 1150)).await, counts(0, 0, 1, 0));
    assert_eq!(scene.counts(&request("c.n = 2", 1050)).await, Counts::default());
    let narrowed = Request { changed: Some(Interval { from: 1100, until: None }), ..request("c.id >= 'd'", 1050) };
    assert_eq!(scene.counts(&narrowed).await, counts(1, 0, 0, 0));
}

#[tokio::test]
async fn the_state_directly_before_a_change_comes_back_and_nothing_else_is_touched() {
    let scene = Scene::after_a_bad_deployment();
    let before = |selection: Selection, etag: &str| Request::new(selection, Point::BeforeChange(quoted(etag)));
    assert_eq!(scene.counts(&before(Selection::All, "changed-1100")).await, counts(0, 1, 0, 0));
    assert_eq!(scene.counts(&before(document("changed"), "\"changed-1100\"")).await, counts(0, 1, 0, 0));
    assert_eq!(scene.counts(&before(Selection::All, "new-1200")).await, counts(0, 0, 0, 1));
    assert_eq!(scene.refused(&before(Selection::All, "none")).await, Exit::NotFound);
    let restored = scene.restore(&before(Selection::All, "changed-1100")).await.unwrap();
    assert_eq!(restored.applied.replace, 1);
    assert_eq!(scene.documents.text("changed").unwrap(), body("changed", 1));
}

#[tokio::test]
async fn the_policy_decides_what_is_overwritten() {
    let scene = Scene::after_a_bad_deployment();
    let policy = |overwrite| Request { overwrite, ..all(1050) };
    for overwrite in [Overwrite::Always, Overwrite::IfChanged] {
        assert_eq!(scene.counts(&policy(overwrite)).await, counts(1, 1, 1, 1), "{overwrite:?}");
    }
    for overwrite in [Overwrite::IfNewer, Overwrite::Never] {
        let kept = Counts { conflict: 1, ..counts(1, 0, 1, 1) };
        assert_eq!(scene.counts(&policy(overwrite)).await, kept, "{overwrite:?}");
    }
    let kept = scene.restore(&policy(Overwrite::Never)).await.unwrap();
    assert_eq!((kept.kept, kept.conflicts, kept.applied.create), (1, 0, 1));
    assert!(kept.error().is_none(), "a document that was to be kept is no conflict");
    // What is there now was committed before the version that is restored.
    scene.documents.set_exactly("changed", &service_text(&body("changed", 0), "\"old\"", 999), "\"old\"");
    assert_eq!(scene.counts(&policy(Overwrite::IfNewer)).await, counts(0, 1, 2, 1));
}

#[tokio::test]
async fn what_is_uncertain_or_unknown_is_restored_from_the_side_that_was_asked_for() {
    let scene = Scene::new();
    scene.mirrored("d", Op::Create, 1000, &body("d", 1));
    let reconciled = scene.version("d", Op::Reconcile, 1500);
    scene.store.add_version(Version { etag: None, lsn: None, after: Some(1200), ..reconciled }, "");
    let uncertain = |side| Request { uncertain: Some(side), ..all(1300) };
    assert_eq!(scene.counts(&uncertain(Side::Before)).await, counts(1, 0, 0, 0));
    assert_eq!(scene.counts(&uncertain(Side::After)).await, Counts::default());

    let scene = Scene::after_a_bad_deployment();
    scene.store.lose_oldest(&paths().document(&key("p"), "changed"));
    let unknown = |side| Request { unknown: Some(side), ..all(1050) };
    assert_eq!(scene.counts(&all(1050)).await.unknown, 1);
    assert_eq!(scene.counts(&unknown(Side::Before)).await, counts(1, 0, 1, 2));
    assert_eq!(scene.counts(&unknown(Side::After)).await, counts(1, 0, 2, 1));
}

#[tokio::test]
async fn what_the_mirror_never_heard_of_did_not_exist_or_is_as_it_was() {
    let scene = Scene::after_a_bad_deployment();
    for (id, ts) in [("older", 1050), ("younger", 1051)] {
        scene.documents.set_exactly(id, &service_text(&body(id, 1), "\"x\"", ts), "\"x\"");
    }
    assert_eq!(scene.counts(&all(1050)).await, counts(1, 1, 2, 2));
    let deleting = Request { delete_extra: true, ..all(1050) };
    assert_eq!(scene.counts(&deleting).await, Counts { delete: 2, ..counts(1, 1, 2, 0) });
}

#[tokio::test]
async fn a_container_that_is_to_be_created_gets_everything() {
    let scene = Scene::after_a_bad_deployment();
    let (mirror, request) = (reader(&scene.store).await, all(1050));
    let mut plan = PlanWriter::nowhere(&head(&request)).unwrap();
    let elsewhere = Restore { documents: None, in_place: false, ..scene.restore_of(&mirror, &request) };
    assert_eq!(elsewhere.plan(&mut plan).await.unwrap().counts, counts(3, 0, 0, 0));
}

#[tokio::test]
async fn another_containers_documents_are_extra_whenever_they_were_written() {
    let scene = Scene::after_a_bad_deployment();
    scene.documents.set_exactly("older", &service_text(&body("older", 1), "\"x\"", 5), "\"x\"");
    let (mirror, request) = (reader(&scene.store).await, all(1050));
    let mut plan = PlanWriter::nowhere(&head(&request)).unwrap();
    let elsewhere = Restore { in_place: false, ..scene.restore_of(&mirror, &request) };
    assert_eq!(elsewhere.plan(&mut plan).await.unwrap().counts, counts(1, 1, 1, 2));
}

#[tokio::test]
async fn steps_stand_in_the_order_of_names_and_say_what_they_do_to_what_and_what_it_costs() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.planned(&Request { delete_extra: true, ..all(1050) }).await.unwrap();
    let steps: Vec<_> = plan.steps().unwrap().map(|step| step.unwrap().1).collect();
    let told: Vec<_> = steps.iter().map(|step| (step.id.as_str(), step.action, step.etag.as_deref())).collect();
    // The first is the only one that asks the container, so it is decided last.
    let expected = [
        ("changed", Action::Replace, Some("\"changed-1100\"")),
        ("gone", Action::Create, None),
        ("new", Action::Delete, Some("\"new-1200\"")),
    ];
    assert_eq!(told, expected);
    let content = steps[0].content.as_ref().unwrap();
    assert_eq!((content.identity.as_str(), content.ts, content.sha256.len()), ("\"changed-1000\"", 1000, 64));
    assert_eq!(plan.end().bytes, content.bytes + steps[1].content.as_ref().unwrap().bytes);
    let tally = scene.plan(&all(1050)).await.unwrap();
    assert_eq!(tally.estimate.requests, 6);
    assert!((tally.estimate.request_units - 20.2).abs() < 1e-9, "{:?}", tally.estimate);
}

#[tokio::test(start_paused = true)]
async fn a_plan_waits_out_failures_of_the_store() {
    let scene = Scene::after_a_bad_deployment();
    let (mirror, request) = (reader(&scene.store).await, all(1050));
    scene.store.fail_next(Kind::Transient);
    let mut plan = PlanWriter::nowhere(&head(&request)).unwrap();
    assert_eq!(scene.restore_of(&mirror, &request).plan(&mut plan).await.unwrap().counts, counts(1, 1, 1, 1));
}
