//! `docs/formats.md` names every key and field that is persisted, and its example is real.

use std::collections::BTreeSet;

use cosmirror_formats::export::{
    Compression, CoveredWindow, DeleteLine, ExportFile, ExportedContainer, Line, LineCounts, Manifest, PutLine, Since,
    UnknownLine, Why, file_name,
};
use cosmirror_formats::job::{JobCounts, JobError, JobProgress, JobRecord, State, Work};
use cosmirror_formats::purge::{PurgeRecord, PurgeRun};
use cosmirror_formats::records::{ContainerRecord, DeadLetter, Gap, Generation, RangeState, Resolution};
use cosmirror_formats::rehearsal::{self, Rehearsal, Scratch, Took, Trace};
use cosmirror_formats::restore_plan::{
    Action, Before, Ciphertext, Content, Counts, Part, PlanEnd, PlanHead, Step, UndoHead,
};
use cosmirror_formats::restore_record::{RestoreRecord, WrittenDocument};
use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{Encryption, EpkRange, MirrorPaths, Op, PartitionKey, Version};
use serde::Serialize;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../docs/formats.md");

/// The names in the first column of the table whose head begins so.
fn documented(head: &str) -> BTreeSet<String> {
    let start = format!("| {head} |");
    let table = DOCUMENT.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
    let names = table.take_while(|line| line.starts_with('|')).flat_map(|line| {
        let column = line.split('|').nth(1).unwrap();
        column.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    let names: BTreeSet<String> = names.collect();
    assert!(!names.is_empty(), "there is no table {head:?}");
    names
}

fn fields(record: &impl Serialize) -> BTreeSet<String> {
    serde_json::to_value(record).unwrap().as_object().unwrap().keys().cloned().collect()
}

fn version() -> Version {
    Version {
        op: Op::Delete,
        ts: 1,
        lsn: Some(1),
        nth: Some(2),
        lineage: "l".to_owned(),
        etag: Some("e".to_owned()),
        rid: "r".to_owned(),
        id: "i".to_owned(),
        pk: PartitionKey(Vec::new()),
        prev: Some("p".to_owned()),
        after: Some(1),
        omitted: Some(1),
        encryption: Some(Encryption { recipients: vec!["0".to_owned()] }),
        sha256: String::new(),
    }
}

fn generation() -> Generation {
    Generation {
        rid: String::new(),
        since: 1,
        modes: Vec::new(),
        partition_key_paths: Vec::new(),
        settings: Value::Null,
    }
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        format: 1,
        reason: String::new(),
        range: EpkRange::full(),
        lineage: String::new(),
        lsn: 1,
        page: String::new(),
        id: None,
        partition_key: None,
        ts: None,
        place: Some(0),
        metadata: Some(version().to_metadata()),
        raw_base64: String::new(),
        encryption: Some(String::new()),
        resolved: true,
        resolution: Some(Resolution::Stored),
    }
}

#[test]
fn every_key_of_metadata_is_documented_and_no_other() {
    assert_eq!(documented("name"), version().to_metadata().into_keys().collect());
    for op in [Op::Create, Op::Replace, Op::Delete, Op::Expire, Op::Backfill, Op::Reconcile] {
        assert!(DOCUMENT.contains(&format!("`{op}`")), "{op}");
    }
}

#[test]
fn every_field_of_the_records_is_documented_and_no_other() {
    let range = EpkRange::full();
    let container = ContainerRecord {
        format: 1,
        account: String::new(),
        database: String::new(),
        container: String::new(),
        generations: vec![generation()],
    };
    assert_eq!(documented("field of `container.json`"), fields(&container));
    assert_eq!(documented("field of a generation"), fields(&generation()));
    let state = RangeState {
        format: 1,
        lineage: String::new(),
        rid: String::new(),
        range: range.clone(),
        mode: String::new(),
        since: 1,
        backfilled: None,
        reconciled: None,
        watermark: None,
        superseded_by: vec![range.clone()],
    };
    assert_eq!(documented("field of a range state"), fields(&state));
    let gap = Gap { format: 1, range, from: 1, until: None, reason: String::new() };
    assert_eq!(documented("field of a gap"), fields(&gap));
    assert_eq!(documented("field of a dead letter"), fields(&dead_letter()));
    for resolution in [Resolution::Stored, Resolution::Superseded] {
        assert!(DOCUMENT.contains(&format!("`{}`", resolution.as_str())));
    }
    let written = WrittenDocument { id: String::new(), partition_key: json!([]), etag: None, deleted: None };
    let restore = RestoreRecord {
        format: 1,
        id: String::new(),
        part: 0,
        started: String::new(),
        finished: None,
        selection: String::new(),
        at: None,
        version: None,
        written: vec![written.clone()],
    };
    assert_eq!(documented("field of a restore's record"), fields(&restore));
    assert_eq!(documented("field of a written document"), fields(&written));
}

#[test]
fn the_fields_of_a_purge_are_documented() {
    let run = PurgeRun {
        began: String::new(),
        command: String::new(),
        program: String::new(),
        ended: None,
        erased: 0,
        held: 0,
        recoverable: 0,
        gone_by: None,
    };
    assert_eq!(documented("field of a purge's run"), fields(&run));
    let record = PurgeRecord { format: 1, until: 0, runs: vec![run] };
    assert_eq!(documented("field of a purge's record"), fields(&record));
}

#[test]
fn every_field_of_a_job_is_documented_and_no_other() {
    let work = Work::Verify { mode: String::new(), sample_per_million: 1, repair: false };
    let error = JobError { code: String::new(), message: String::new(), remedy: String::new() };
    let job = JobRecord {
        format: 1,
        id: String::new(),
        database: String::new(),
        container: String::new(),
        rid: String::new(),
        work: work.clone(),
        state: State::Queued,
        cancel: false,
        owner: None,
        process: None,
        alive: 0,
        attempts: 0,
        created: 0,
        started: None,
        ended: None,
        finished: Vec::new(),
        counts: JobCounts::default(),
        progress: JobProgress::default(),
        error: Some(error.clone()),
        result: Some(Value::Null),
    };
    assert_eq!(documented("field of a job"), fields(&job));
    let export = Work::Export { at: None, since: None, compress: false };
    let rehearse = Work::Rehearse { at: None, sample_per_million: None };
    let of_all_kinds =
        [fields(&work), fields(&export), fields(&rehearse)].into_iter().flatten().collect::<BTreeSet<_>>();
    assert_eq!(documented("field of a job's work"), of_all_kinds);
    assert_eq!(documented("field of a job's counts"), fields(&job.counts));
    assert_eq!(documented("field of a job's progress"), fields(&job.progress));
    assert_eq!(documented("field of a job's error"), fields(&error));
}

#[test]
fn the_example_can_be_read_as_the_document_says() {
    let blocks: Vec<Vec<&str>> =
        DOCUMENT.split("```\n").skip(1).step_by(2).map(|block| block.lines().collect()).collect();
    let [file, state] = blocks.as_slice() else { panic!("{} examples", blocks.len()) };
    let line: Value = serde_json::from_str(file[0]).unwrap();
    assert_eq!(documented("field of the first line"), fields(&line));
    assert_eq!(line["length"], file[1].len());
    let version = Version::from_metadata(&serde_json::from_value(line["metadata"].clone()).unwrap()).unwrap();
    assert_eq!(version.sha256, sha256_hex(file[1].as_bytes()));
    let paths = MirrorPaths::new("", "shop", "orders");
    let name = paths.document(&version.pk, &version.id);
    assert!(DOCUMENT.contains(&format!("`{name}/00000000000000000001`")), "{name}");
    let state: RangeState = serde_json::from_str(state[0]).unwrap();
    let name = paths.range_state(&state.lineage, &state.range);
    assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    assert_eq!(version.lineage, state.lineage);
    for text in ["~n1e300", "~n1.5", "~n1"] {
        let value: Value = serde_json::from_str(&text[2..]).unwrap();
        let key = PartitionKey::from_json(&value).unwrap();
        assert!(DOCUMENT.contains(&format!("`{text}`")));
        assert!(paths.document(&key, "x").contains(&format!("/{text}/")));
    }
}

#[test]
fn every_field_of_a_rehearsal_is_documented_and_no_other() {
    let scratch = Scratch { account: String::new(), name: String::new(), rid: None, created: false };
    let trace = Trace { id: String::new(), sample_per_million: 1, began: 1 };
    let rehearsal = Rehearsal {
        format: 1,
        id: String::new(),
        database: String::new(),
        container: String::new(),
        by: String::new(),
        state: rehearsal::State::Running,
        scratch: scratch.clone(),
        instant: None,
        sample_per_million: 1,
        began: 1,
        alive: 1,
        ended: None,
        cleaned: false,
        counts: rehearsal::Counts::default(),
        took: Took::default(),
        error: None,
        succeeded: None,
        traces: vec![trace.clone()],
    };
    assert_eq!(documented("field of a rehearsal"), fields(&rehearsal));
    assert_eq!(documented("field of a scratch container"), fields(&scratch));
    assert_eq!(documented("field of a trace"), fields(&trace));
    assert_eq!(documented("field of a rehearsal's counts"), fields(&rehearsal.counts));
    assert_eq!(documented("field of a rehearsal's times"), fields(&rehearsal.took));
    assert!(DOCUMENT.contains(&format!("`<base>{}`", "/_mirror/rehearsals/last.json")));
    for state in rehearsal::State::ALL {
        assert!(DOCUMENT.contains(&format!("`{}`", state.as_str())), "{state:?}");
    }
}

#[test]
fn every_field_of_a_plan_is_documented_and_no_other() {
    let part = Part {
        account: String::new(),
        mirrored_account: Some(String::new()),
        source: String::new(),
        rid: String::new(),
        into: String::new(),
        into_rid: None,
        selection: String::new(),
        at: None,
        version: None,
        before_change: None,
        overwrite: String::new(),
        delete_extra: false,
    };
    let head = PlanHead { format: 1, id: String::new(), made: String::new(), parts: vec![part.clone()] };
    let content = Content {
        name: String::new(),
        version: None,
        identity: String::new(),
        ts: 1,
        sha256: String::new(),
        bytes: 1,
        encryption: Some(String::new()),
    };
    let step = Step {
        part: 0,
        action: Action::Replace,
        id: String::new(),
        partition_key: json!([]),
        etag: None,
        content: Some(content.clone()),
    };
    let counts = Counts::default();
    let end = PlanEnd { counts, damaged: 0, bytes: 1, request_units: 1.0, digest: String::new() };
    assert_eq!(documented("field of the line `plan`"), fields(&head));
    assert_eq!(documented("field of a part"), fields(&part));
    assert_eq!(documented("field of the line `step`"), fields(&step));
    assert_eq!(documented("field of a content"), fields(&content));
    assert_eq!(documented("field of the line `end`"), fields(&end));
    for name in fields(&counts) {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_field_of_an_undo_file_is_described() {
    let head = UndoHead {
        format: 1,
        id: String::new(),
        undoes: String::new(),
        plan: String::new(),
        began: String::new(),
        mark_field: None,
        parts: Vec::new(),
    };
    let ciphertext = Ciphertext { action: Action::Create, encryption: String::new(), base64: String::new() };
    let before = Before {
        step: 0,
        part: 0,
        id: String::new(),
        partition_key: Value::Null,
        etag: None,
        document: None,
        sent: None,
        ciphertext: Some(ciphertext.clone()),
    };
    assert_eq!(documented("field of the line `undo`"), fields(&head));
    assert_eq!(documented("field of the line `before`"), fields(&before));
    assert_eq!(documented("field of a ciphertext"), fields(&ciphertext));
}

#[test]
fn every_field_of_an_export_is_documented_and_no_other() {
    let since = Since { id: String::new(), at: 1, sha256: String::new() };
    let file = ExportFile {
        name: file_name(1, 1, Compression::None),
        counts: LineCounts::default(),
        bytes: 1,
        stored_bytes: 1,
        sha256: String::new(),
        last: String::new(),
    };
    let container = ExportedContainer {
        account: String::new(),
        database: String::new(),
        container: String::new(),
        prefix: String::new(),
        generations: vec![generation()],
        window: CoveredWindow::default(),
        files: vec![file.clone()],
    };
    let manifest = Manifest {
        format: 1,
        id: String::new(),
        program: String::new(),
        began: String::new(),
        finished: None,
        at: 1,
        since: Some(since.clone()),
        chain: Vec::new(),
        compression: Compression::Zstd,
        file_bytes_max: 1,
        uncertain: None,
        unknown: None,
        containers: vec![container.clone()],
    };
    assert_eq!(documented("field of an export's manifest"), fields(&manifest));
    assert_eq!(documented("field of an export's base"), fields(&since));
    assert_eq!(documented("field of an exported container"), fields(&container));
    assert_eq!(documented("field of an export's file"), fields(&file));
    for name in fields(&file.counts).into_iter().chain(fields(&container.window)).chain([file.name]) {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
    let (id, pk) = (String::new(), PartitionKey(vec![cosmirror_formats::KeyValue::Null]));
    let put = PutLine { id: id.clone(), pk: pk.clone(), ts: 1, etag: String::new(), document: "{}" };
    let unknown = UnknownLine { name: String::new(), document: Some((id.clone(), pk.clone())), why: Why::Damaged };
    let lines = [Line::Put(put), Line::Delete(DeleteLine { id, pk, ts: 1 }), Line::Unknown(unknown)];
    let written = lines.iter().flat_map(|line| {
        let line: Value = serde_json::from_str(&line.to_text().unwrap()).unwrap();
        assert!(DOCUMENT.contains(&format!("`{}`", line["op"].as_str().unwrap())), "{line}");
        fields(&line)
    });
    assert_eq!(documented("field of an export's line"), written.collect());
}
