//! Undo files as they are written, torn and read again.

use std::path::PathBuf;

use cosmirror_formats::restore_plan::{Action, Before, FORMAT, UndoEnd, UndoHead};
use futures::future::join_all;
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::encryption::Identities;
use crate::failure::Kind;
use crate::restore::plan_file::tests::part;

fn head(plan: &str) -> UndoHead {
    UndoHead {
        format: FORMAT,
        id: "u".to_owned(),
        undoes: "r".to_owned(),
        plan: plan.to_owned(),
        began: "now".to_owned(),
        mark_field: None,
        parts: vec![part()],
    }
}

fn before(step: u64) -> Before {
    Before {
        step,
        part: 0,
        id: format!("d{step}"),
        partition_key: json!(["p"]),
        etag: Some(format!("e{step}")),
        document: Some(format!("{{\"n\":{step}}}")),
        sent: (!step.is_multiple_of(3)).then(|| "s".to_owned()),
        ciphertext: None,
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.undo");
    (folder, path)
}

/// Steps of which every second one has an `after`.
async fn write(path: &Path, steps: std::ops::Range<u64>, finished: bool) {
    let journal = match begin(path, head("p"), &Keys::default()).unwrap() {
        Begun::New(journal) | Begun::Resumed(journal, _) => journal,
        Begun::Finished(_) => panic!("it is finished"),
    };
    let done = join_all(steps.map(async |step| {
        journal.before(before(step)).await.unwrap();
        if step.is_multiple_of(2) {
            journal.after(step, Some(format!("a{step}"))).await.unwrap();
        }
    }));
    done.await;
    journal.end(UndoEnd { finished, done: 1, conflicts: 0 }).await.unwrap();
}

#[tokio::test]
async fn what_many_write_at_once_is_found_again_step_by_step() {
    let (_folder, path) = place();
    write(&path, 0..500, false).await;
    write(&path, 500..3_000, true).await;
    let mut file = UndoFile::open(&path, Tail::Whole, Identities::default()).unwrap();
    assert_eq!(file.begun, 3_000);
    assert_eq!(file.entry_from(2_999).unwrap().unwrap().before.step, 2_999);
    assert_eq!(file.entry_from(3_000).unwrap(), None);
    for step in [0, 1, 2_999, 1_500, 3] {
        let entry = file.entry(step).unwrap().unwrap();
        let outcome = if step % 2 == 0 { Outcome::Done(Some(format!("a{step}"))) } else { Outcome::Unknown };
        let action = if step % 3 == 0 { Action::Delete } else { Action::Replace };
        assert_eq!(entry, Entry { action, before: before(step), outcome });
    }
    assert_eq!(file.entry(3_000).unwrap(), None);
    drop(file);
    assert!(matches!(begin(&path, head("p"), &Keys::default()), Ok(Begun::Finished(_))));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = place();
    write(&path, 0..1, true).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_of_other_work_is_refused() {
    let (_folder, path) = place();
    write(&path, 0..2, false).await;
    let kind = |head| begin(&path, head, &Keys::default()).err().map(|failure| failure.kind);
    assert_eq!(kind(head("another")), Some(Kind::Misconfigured));
    assert_eq!(kind(UndoHead { mark_field: Some("m".to_owned()), ..head("p") }), Some(Kind::Misconfigured));
}

#[tokio::test]
async fn a_disk_that_is_full_is_an_error_before_the_document_is_touched() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let journal =
        Journal::start(PathBuf::from("full"), full, cosmirror_formats::sealed_lines::Seals::default(), None).unwrap();
    for step in 0..2 {
        let failure = journal.before(before(step)).await.unwrap_err();
        assert!(failure.remedy.contains("make room"), "{failure}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_a_crash_cut_off_anywhere_goes_on_with_its_whole_lines(at: prop::sample::Index, garbage in prop::bool::ANY) {
        let (_folder, path) = place();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(write(&path, 0..6, true));
        let whole = std::fs::read(&path).unwrap();
        let cut = at.index(whole.len());
        let mut kept = whole[..cut].to_vec();
        if garbage && !kept.is_empty() && kept.last() != Some(&b'\n') && kept.contains(&b'\n') {
            kept.extend([0; 30]);
        }
        std::fs::write(&path, &kept).unwrap();
        let head_is_whole = kept.contains(&b'\n');
        prop_assert!(UndoFile::open(&path, Tail::Whole, Identities::default()).is_err() || kept.last() == Some(&b'\n'));
        let lines = kept.iter().filter(|byte| **byte == b'\n').count() as u64;
        match UndoFile::open(&path, Tail::Torn, Identities::default()) {
            Ok(file) => prop_assert_eq!(file.lines, lines),
            Err(_) => prop_assert!(!head_is_whole),
        }
        runtime.block_on(write(&path, 6..9, true));
        let mut file = UndoFile::open(&path, Tail::Whole, Identities::default()).unwrap();
        prop_assert_eq!(file.entry(8).unwrap().unwrap().before, before(8));
    }
}
