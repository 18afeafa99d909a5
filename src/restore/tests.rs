//! Whole restores against a mirror and a container in memory.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cosmirror_formats::restore_plan::{Action, FORMAT, Part, PlanHead};
use cosmirror_formats::{Op, Version};
use indicatif::ProgressBar;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::encryption::Identities;
use crate::failure::Kind;
use crate::history::memory::{
    Fault, MemoryDocuments, MemoryStore, covered_store, key, paths, reader, reader_with, service_text, version,
};
use crate::history::origins;
use crate::pace::RequestUnits;

mod empty;
mod encrypted;
mod expiry;
mod planning;
mod undo;

struct Scene {
    store: Arc<MemoryStore>,
    documents: Arc<MemoryDocuments>,
    lsn: Cell<u64>,
    folder: TempDir,
    plans: Cell<u64>,
    keys: Keys,
}

/// How a file is applied in a test.
struct How {
    undo: PathBuf,
    mark_field: Option<String>,
    /// Another resource id of the container than the file's.
    into_rid: Option<&'static str>,
    concurrency: usize,
    failures_max: Option<u64>,
    cancel: CancellationToken,
}

fn body(id: &str, n: i64) -> String {
    format!(r#"{{"id":"{id}","pk":"p","n":{n}}}"#)
}

fn all(at: i64) -> Request {
    Request::new(Selection::All, Point::At(at))
}

fn head(request: &Request) -> PlanHead {
    let at = match request.point {
        Point::At(at) => Some(at),
        Point::Version(_) | Point::BeforeChange(_) => None,
    };
    let part = Part { at, selection: request.selection.to_string(), ..plan_file::tests::part() };
    PlanHead { format: FORMAT, id: "r1".to_owned(), made: "now".to_owned(), parts: vec![part] }
}

impl Scene {
    fn new() -> Self {
        Self::with_settings(&json!({}))
    }

    fn with_settings(settings: &serde_json::Value) -> Self {
        let store = covered_store(settings);
        let (documents, folder) = (Arc::new(MemoryDocuments::default()), tempfile::tempdir().unwrap());
        Self { store, documents, lsn: Cell::new(1), folder, plans: Cell::new(0), keys: Keys::default() }
    }

    fn version(&self, id: &str, op: Op, ts: i64) -> Version {
        let lsn = self.lsn.replace(self.lsn.get() + 1);
        Version { op, ..version(id, &format!("\"{id}-{ts}\""), ts, Some(lsn), b"") }
    }

    /// The mirror's version of what a client wrote.
    fn mirrored(&self, id: &str, op: Op, ts: i64, body: &str) {
        let version = self.version(id, op, ts);
        let text = service_text(body, version.etag.as_deref().unwrap(), ts);
        self.store.add_version(version, &text);
    }

    fn tombstone(&self, id: &str, ts: i64) {
        self.store.add_version(Version { etag: None, ..self.version(id, Op::Delete, ts) }, "");
    }

    /// What the container holds is what the mirror stored with this commit time.
    fn live_as_mirrored(&self, id: &str, ts: i64, body: &str) {
        let etag = format!("\"{id}-{ts}\"");
        self.documents.set_exactly(id, &service_text(body, &etag, ts), &etag);
    }

    /// `changed` was 1 at 1000 and is 2; `gone` was deleted at 1100; `same` did not change; `new` came at 1200.
    fn after_a_bad_deployment() -> Self {
        let scene = Self::new();
        scene.mirrored("changed", Op::Create, 1000, &body("changed", 1));
        scene.mirrored("changed", Op::Replace, 1100, &body("changed", 2));
        scene.live_as_mirrored("changed", 1100, &body("changed", 2));
        scene.mirrored("gone", Op::Create, 900, &body("gone", 1));
        scene.tombstone("gone", 1100);
        scene.mirrored("same", Op::Backfill, 50, &body("same", 1));
        scene.live_as_mirrored("same", 50, &body("same", 1));
        scene.mirrored("new", Op::Create, 1200, &body("new", 1));
        scene.live_as_mirrored("new", 1200, &body("new", 1));
        scene
    }

    async fn mirror(&self) -> MirrorReader {
        reader_with(&self.store, self.keys.identities.clone()).await
    }

    async fn plan(&self, request: &Request) -> Result<Tally, CommandError> {
        let mirror = self.mirror().await;
        let mut plan = PlanWriter::nowhere(&head(request))?;
        self.restore_of(&mirror, request).plan(&mut plan).await
    }

    fn restore_of<'a>(&'a self, mirror: &'a MirrorReader, request: &'a Request) -> Restore<'a> {
        let (meter, progress) = (Meter::default(), ProgressBar::hidden());
        Restore { mirror, documents: Some(self.documents.as_ref()), request, part: 0, in_place: true, meter, progress }
    }

    /// The plan as a file, read again.
    async fn planned(&self, request: &Request) -> Result<PlanReader, CommandError> {
        self.planned_with(request, "if-changed").await
    }

    async fn planned_with(&self, request: &Request, overwrite: &str) -> Result<PlanReader, CommandError> {
        let mirror = self.mirror().await;
        let path = self.folder.path().join(format!("{}.plan", self.plans.replace(self.plans.get() + 1)));
        let mut head = head(request);
        head.parts[0].overwrite = overwrite.to_owned();
        let mut plan = PlanWriter::create(&path, false, &head)?;
        let tally = self.restore_of(&mirror, request).plan(&mut plan).await?;
        plan.finish(tally.counts, tally.damaged, tally.bytes, 0.0)?;
        Ok(PlanReader::open(&path)?)
    }

    fn how(&self, file: &Path) -> How {
        let undo = PathBuf::from(format!("{}.undo", file.display()));
        How {
            undo,
            mark_field: None,
            into_rid: None,
            concurrency: 16,
            failures_max: None,
            cancel: CancellationToken::new(),
        }
    }

    async fn run(&self, file: RestoreFile, how: &How) -> Report {
        let mirror = Arc::new(self.mirror().await);
        let target = Target {
            documents: Arc::clone(&self.documents) as Arc<dyn Documents>,
            mirror: Some(Arc::clone(&mirror)),
            recorded_in: Some(mirror),
        };
        let mut parts = file.parts().to_vec();
        if let Some(rid) = how.into_rid {
            parts[0].into_rid = Some(rid.to_owned());
        }
        let pace = Pace::new(Arc::new(RequestUnits::new(0)), 16, how.cancel.clone());
        let application = Application {
            keys: self.keys.clone(),
            parts,
            targets: vec![target],
            undo: how.undo.clone(),
            mark_field: how.mark_field.clone(),
            concurrency: how.concurrency,
            failures_max: how.failures_max,
            pace: &pace,
            cancel: &how.cancel,
            writing: ProgressBar::hidden(),
            verifying: ProgressBar::hidden(),
        };
        application.run(file).await
    }

    async fn apply(&self, plan: PlanReader) -> Report {
        let how = self.how(plan.path());
        self.run(RestoreFile::Plan(Box::new(plan)), &how).await
    }

    async fn restore_between(&self, request: &Request, between: impl FnOnce()) -> Result<Report, CommandError> {
        let plan = self.planned(request).await?;
        between();
        Ok(self.apply(plan).await)
    }

    async fn restore(&self, request: &Request) -> Result<Report, CommandError> {
        self.restore_between(request, || ()).await
    }
}

#[tokio::test]
async fn a_restore_brings_back_what_was_and_keeps_what_is_new() {
    let scene = Scene::after_a_bad_deployment();
    let counts = scene.plan(&all(1050)).await.unwrap().counts;
    assert_eq!(counts, Counts { create: 1, replace: 1, unchanged: 1, extra: 1, ..Counts::default() });
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!(report.applied, Applied { create: 1, replace: 1, delete: 0 });
    assert!(report.error().is_none(), "{:?}", report.notes);
    assert_eq!(scene.documents.text("changed").unwrap(), body("changed", 1));
    assert_eq!(scene.documents.text("gone").unwrap(), body("gone", 1));
    assert!(scene.documents.text("new").is_some());
}

#[tokio::test]
async fn a_second_restore_finds_nothing_to_do_and_records_nothing() {
    let scene = Scene::after_a_bad_deployment();
    scene.restore(&all(1050)).await.unwrap();
    let records = scene.store.names(&paths().restores());
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!((report.unchanged, report.extra, report.restore), (3, 1, None));
    assert_eq!(scene.store.names(&paths().restores()), records);
}

#[tokio::test]
async fn documents_that_did_not_exist_then_are_removed_on_request() {
    let scene = Scene::after_a_bad_deployment();
    scene.live_as_mirrored("gone", 1300, &body("gone", 9));
    let request = Request { delete_extra: true, ..all(1150) };
    let report = scene.restore(&request).await.unwrap();
    assert_eq!(report.applied, Applied { create: 0, replace: 0, delete: 2 });
    assert_eq!((scene.documents.text("new"), scene.documents.text("gone")), (None, None));
}

#[tokio::test]
async fn documents_that_the_mirror_has_not_read_yet_are_extra_too() {
    let scene = Scene::after_a_bad_deployment();
    for id in ["unread-1", "unread-2", "unread-3"] {
        scene.documents.set(id, &body(id, 1));
    }
    assert_eq!(scene.plan(&all(1050)).await.unwrap().counts.extra, 4);
    let other = Request { selection: Selection::Key(key("other")), ..all(1050) };
    assert_eq!(scene.plan(&other).await.unwrap_err().exit, Exit::NotFound);
    let report = scene.restore(&Request { delete_extra: true, ..all(1050) }).await.unwrap();
    assert_eq!((report.applied.delete, report.extra), (4, 0));
    assert_eq!(scene.documents.text("unread-3"), None);
}

#[tokio::test]
async fn a_plan_writes_nothing_anywhere() {
    let scene = Scene::after_a_bad_deployment();
    scene.plan(&all(1050)).await.unwrap();
    assert_eq!(scene.documents.writes(), 0);
    assert!(scene.store.names(&paths().restores()).is_empty());
}

#[tokio::test]
async fn an_instant_outside_the_window_or_in_a_gap_is_refused_before_anything_is_read() {
    let scene = Scene::after_a_bad_deployment();
    for at in [99, 2001] {
        assert_eq!(scene.plan(&all(at)).await.unwrap_err().exit, Exit::NotCovered, "{at}");
    }
    let gap = json!({"format": 1, "range": {"min": "", "max": "FF"}, "from": 500, "until": null, "reason": "expired"});
    scene.store.add_record(&format!("{}500--FF.json", paths().gaps()), &gap);
    assert_eq!(scene.plan(&all(1050)).await.unwrap_err().exit, Exit::NotCovered);
    assert!(scene.plan(&all(499)).await.is_ok());
}

#[tokio::test]
async fn what_changed_after_the_plan_is_never_overwritten() {
    let scene = Scene::after_a_bad_deployment();
    let repaired = body("changed", 77);
    let between = || {
        scene.documents.set("changed", &repaired);
        scene.documents.set("gone", &body("gone", 88));
    };
    let report = scene.restore_between(&all(1050), between).await.unwrap();
    assert_eq!((report.conflicts, report.applied), (2, Applied::default()));
    assert_eq!(report.error().unwrap().exit, Exit::Conflict);
    assert_eq!(scene.documents.text("changed").unwrap(), repaired);
    assert_eq!(scene.documents.text("gone").unwrap(), body("gone", 88));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_recognised() {
    for delete_extra in [false, true] {
        let scene = Scene::after_a_bad_deployment();
        for _ in 0..3 {
            scene.documents.order(Fault::LosesAnswer);
        }
        let report = scene.restore(&Request { delete_extra, ..all(1050) }).await.unwrap();
        assert_eq!(report.applied.create + report.applied.replace, 2);
        assert_eq!(report.applied.delete, u64::from(delete_extra));
        assert!(report.error().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out_and_other_failures_leave_the_rest_restored() {
    let scene = Scene::after_a_bad_deployment();
    for kind in [Kind::Transient, Kind::Transient, Kind::Refused] {
        scene.documents.order(Fault::Fails(kind));
    }
    scene.store.fail_next(Kind::Transient);
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!((report.failed, report.applied.create + report.applied.replace), (1, 1));
    assert_eq!(report.error().unwrap().exit, Exit::Partial);
}

#[tokio::test]
async fn a_credential_that_may_not_write_ends_the_restore() {
    let scene = Scene::after_a_bad_deployment();
    scene.documents.order(Fault::Fails(Kind::Unauthorized));
    scene.documents.order(Fault::Fails(Kind::Unauthorized));
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!(report.error().unwrap().exit, Exit::Unauthorized);
    assert_eq!(scene.documents.writes(), 0);
}

#[tokio::test]
async fn somebody_elses_write_in_the_same_moment_wins() {
    let scene = Scene::after_a_bad_deployment();
    scene.documents.order(Fault::Overtaken);
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!((report.conflicts, report.applied.create + report.applied.replace), (1, 1));
}

#[tokio::test]
async fn damaged_bytes_are_never_written() {
    let scene = Scene::after_a_bad_deployment();
    scene.store.damage(&paths().document(&key("p"), "changed"));
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!((report.damaged, report.applied), (1, Applied { create: 1, replace: 0, delete: 0 }));
    assert_eq!(report.error().unwrap().exit, Exit::Integrity);
    assert_eq!(scene.documents.text("changed").unwrap(), body("changed", 2));
}

#[tokio::test]
async fn a_document_that_reads_back_otherwise_is_reported() {
    let scene = Scene::after_a_bad_deployment();
    scene.documents.order(Fault::Garbles);
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!(report.different, 1);
    assert_eq!(report.error().unwrap().exit, Exit::Integrity);
}

#[tokio::test]
async fn a_lost_predecessor_is_refused_and_the_rest_restored() {
    let scene = Scene::after_a_bad_deployment();
    scene.store.lose_oldest(&paths().document(&key("p"), "changed"));
    let report = scene.restore(&all(1050)).await.unwrap();
    assert_eq!((report.unknown, report.applied.create), (1, 1));
    assert_eq!(report.error().unwrap().exit, Exit::NotCovered);
    assert_eq!(scene.documents.text("changed").unwrap(), body("changed", 2));
}

#[tokio::test]
async fn behind_a_gap_whatever_has_no_tombstone_is_still_there() {
    let scene = Scene::new();
    scene.mirrored("d", Op::Create, 1000, &body("d", 1));
    scene.store.add_record(
        &paths().gap(1200, &cosmirror_formats::EpkRange::full()),
        &json!({"format": 1, "range": {"min": "", "max": "FF"}, "from": 1200, "until": 1300, "reason": "a hole"}),
    );
    for at in [1100, 1500] {
        assert_eq!(scene.plan(&all(at)).await.unwrap().counts.create, 1, "{at}");
    }
}

#[tokio::test]
async fn what_an_earlier_life_of_the_container_held_is_absent_since_it_was_made_anew() {
    let scene = Scene::new();
    scene.mirrored("d", Op::Create, 1000, &body("d", 1));
    let life = |rid: &str, since: i64| json!({ "rid": rid, "since": since, "modes": ["all-versions-and-deletes"], "partition_key_paths": ["/pk"], "settings": {} });
    let record = json!({
        "format": 1, "account": "https://a", "database": "shop", "container": "orders",
        "generations": [life("rid", 1), life("other", 1200)],
    });
    scene.store.add_record(&paths().container_record(), &record);
    assert_eq!(scene.plan(&all(1199)).await.unwrap().counts.create, 1);
    assert_eq!(scene.plan(&all(1200)).await.unwrap().counts, Counts::default());
}

#[tokio::test]
async fn latest_version_mode_refuses_what_it_cannot_tell() {
    let scene = Scene::new();
    scene.mirrored("d", Op::Create, 1000, &body("d", 1));
    let reconciled = scene.version("d", Op::Reconcile, 1500);
    scene.store.add_version(Version { etag: None, lsn: None, after: Some(1200), ..reconciled }, "");
    let counts = scene.plan(&all(1300)).await.unwrap().counts;
    assert_eq!(counts, Counts { uncertain: 1, ..Counts::default() });
    assert_eq!(scene.plan(&all(1200)).await.unwrap().counts.create, 1);
    assert_eq!(scene.plan(&all(1500)).await.unwrap().counts, Counts::default());
}

#[tokio::test]
async fn a_document_whose_time_to_live_had_run_out_counts_as_absent() {
    let scene = Scene::with_settings(&json!({"defaultTtl": -1}));
    scene.mirrored("d", Op::Create, 1000, r#"{"id":"d","pk":"p","ttl":60}"#);
    assert_eq!(scene.plan(&all(1059)).await.unwrap().counts.create, 1);
    assert_eq!(scene.plan(&all(1060)).await.unwrap().counts, Counts::default());
}

#[tokio::test]
async fn one_version_of_one_document_needs_no_window() {
    let scene = Scene::after_a_bad_deployment();
    let selection = Selection::Document { key: key("p"), id: "changed".to_owned() };
    let mirror = reader(&scene.store).await;
    let history = mirror.history(&key("p"), "changed").await.unwrap();
    let name = history.entries[0].place.version();
    let request = |version: &str| Request::new(selection.clone(), Point::Version(version.to_owned()));
    scene.restore(&request(&name)).await.unwrap();
    assert_eq!(scene.documents.text("changed").unwrap(), body("changed", 1));
    assert_eq!(scene.plan(&request("v999")).await.unwrap_err().exit, Exit::NotFound);
}

#[tokio::test]
async fn a_selection_takes_only_its_own() {
    let scene = Scene::new();
    let request = |selection| Request { selection, ..all(1500) };
    for id in ["a", "a.json", "b"] {
        scene.mirrored(id, Op::Create, 1000, &body(id, 1));
    }
    let other = Version { pk: key("p2"), ..scene.version("a", Op::Create, 1000) };
    scene.store.add_version(other, &service_text(&body("a", 1), "\"x\"", 1000));
    let count = async |selection| scene.plan(&request(selection)).await.map(|plan| plan.counts.create);
    assert_eq!(count(Selection::Document { key: key("p"), id: "a".to_owned() }).await.unwrap(), 1);
    assert_eq!(count(Selection::Key(key("p"))).await.unwrap(), 3);
    assert_eq!(count(Selection::All).await.unwrap(), 4);
    assert_eq!(count(Selection::Key(key("p3"))).await.unwrap_err().exit, Exit::NotFound);
    let wrong = count(Selection::Document { key: key("p3"), id: "b".to_owned() }).await.unwrap_err();
    assert_eq!(wrong.exit, Exit::NotFound);
    assert!(wrong.remedy.contains(r#"["p"]"#), "{}", wrong.remedy);
}

#[tokio::test]
async fn a_dead_letter_is_part_of_its_documents_history() {
    let scene = Scene::new();
    scene.mirrored("d", Op::Create, 1000, &body("d", 1));
    let lettered = |id: &str, n| {
        let text = service_text(&body(id, n), "\"big\"", 1100);
        json!({"format": 1, "reason": "refused", "range": {"min": "", "max": "FF"}, "lineage": "l", "lsn": 900,
            "page": "\"900\"", "id": id, "partition_key": ["p"], "ts": 1100, "resolved": false,
            "raw_base64": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)})
    };
    scene.store.add_record(&format!("{}-FF/1.json", paths().dead_letters()), &lettered("d", 2));
    scene.store.add_record(&format!("{}-FF/2.json", paths().dead_letters()), &lettered("only-lettered", 3));
    scene.restore(&all(1200)).await.unwrap();
    assert_eq!(scene.documents.text("d").unwrap(), body("d", 2));
    assert_eq!(scene.documents.text("only-lettered").unwrap(), body("only-lettered", 3));
}

#[tokio::test]
async fn a_history_tells_a_restores_versions_from_the_applications() {
    let scene = Scene::after_a_bad_deployment();
    scene.restore(&Request { delete_extra: true, ..all(1050) }).await.unwrap();
    let etag = Documents::read(scene.documents.as_ref(), &key("p"), "changed").await.unwrap().unwrap().etag;
    let replaced = Version { etag: Some(etag), ..scene.version("changed", Op::Replace, 1800) };
    scene.store.add_version(replaced, &body("changed", 1));
    scene.tombstone("new", 1800);
    let mirror = reader(&scene.store).await;
    for id in ["changed", "new"] {
        let history = mirror.history(&key("p"), id).await.unwrap();
        let origins = origins(mirror.store.as_ref(), &mirror.paths, &key("p"), id).await.unwrap();
        let told: Vec<&str> = history.entries.iter().map(|entry| origins.of(entry)).collect();
        assert_eq!(told.split_last().unwrap(), (&"r1", vec!["feed"; history.entries.len() - 1].as_slice()), "{id}");
    }
}

#[tokio::test]
async fn a_cancelled_restore_writes_nothing_more() {
    let scene = Scene::after_a_bad_deployment();
    let plan = scene.planned(&all(1050)).await.unwrap();
    let how = scene.how(plan.path());
    how.cancel.cancel();
    let report = scene.run(RestoreFile::Plan(Box::new(plan)), &how).await;
    assert_eq!(report.error().unwrap().exit, Exit::Cancelled);
    assert_eq!(scene.documents.writes(), 0);
}

#[tokio::test]
async fn a_blob_of_another_document_is_an_integrity_error_that_names_it() {
    let scene = Scene::new();
    let foreign = scene.version("other", Op::Create, 1000).to_metadata();
    let name = paths().document(&key("p"), "d");
    let put = crate::store::Put {
        name: name.clone(),
        body: bytes::Bytes::new(),
        metadata: foreign,
        condition: crate::store::Condition::Absent,
    };
    crate::store::VersionStore::put(scene.store.as_ref(), put).await.unwrap();
    let failure = reader(&scene.store).await.history(&key("p"), "d").await.unwrap_err();
    assert_eq!(failure.kind, Kind::Integrity);
    assert!(failure.message.contains(&name));
    let report = scene.restore(&all(1500)).await.unwrap();
    assert_eq!((report.damaged, scene.documents.writes()), (1, 0));
}
