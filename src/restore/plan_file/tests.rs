//! Plans that were written, and what somebody made of them.

use cosmirror_formats::restore_plan::{Content, Part};
use proptest::prelude::*;
use serde_json::json;

use super::*;

pub(in crate::restore) fn part() -> Part {
    Part {
        account: "a".to_owned(),
        mirrored_account: None,
        source: "db/c".to_owned(),
        rid: "rid".to_owned(),
        into: "db/c".to_owned(),
        into_rid: None,
        selection: "all documents".to_owned(),
        at: Some(1),
        version: None,
        before_change: None,
        overwrite: "if-changed".to_owned(),
        delete_extra: false,
    }
}

fn head() -> PlanHead {
    PlanHead { format: FORMAT, id: "r".to_owned(), made: "2026-01-31T08:00:00Z".to_owned(), parts: vec![part()] }
}

fn step(n: u64, action: Action) -> Step {
    let content = Content {
        name: "n".to_owned(),
        version: Some(n.to_string()),
        identity: "e".to_owned(),
        ts: 1,
        sha256: "ab".to_owned(),
        bytes: 2,
        encryption: None,
    };
    Step {
        part: 0,
        action,
        id: format!("d{n}"),
        partition_key: json!(["p"]),
        etag: (action != Action::Create).then(|| "e".to_owned()),
        content: (action != Action::Delete).then_some(content),
    }
}

const ACTIONS: [Action; 3] = [Action::Create, Action::Replace, Action::Delete];

fn written(path: &Path, steps: u64, replace: bool) -> Result<PlanEnd, Failure> {
    let mut writer = PlanWriter::create(path, replace, &head())?;
    for (n, action) in (0..steps).zip(ACTIONS.into_iter().cycle()) {
        writer.step(step(n, action))?;
    }
    let count = |action: usize| (steps + 2 - action as u64) / 3;
    let counts = Counts { create: count(0), replace: count(1), delete: count(2), ..Counts::default() };
    writer.finish(counts, 0, steps * 2, 10.0)
}

#[test]
fn a_plan_is_read_as_it_was_written_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan");
    let end = written(&path, 7, false).unwrap();
    let plan = PlanReader::open(&path).unwrap();
    assert_eq!((plan.head(), plan.end(), plan.len()), (&head(), &end, 7));
    let expected: Vec<(u64, Step)> = (0..7).zip(ACTIONS.into_iter().cycle()).map(|(n, a)| (n, step(n, a))).collect();
    for _ in 0..2 {
        assert_eq!(plan.steps().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), expected);
    }
}

#[cfg(unix)]
#[test]
fn a_plan_is_its_owners_alone_and_nothing_is_left_beside_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan");
    written(&path, 2, false).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(PlanWriter::create(&folder.path().join("b.plan"), false, &head()).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_existing_plan_is_replaced_only_on_request_and_only_by_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan");
    written(&path, 2, false).unwrap();
    let refused = written(&path, 3, false).unwrap_err();
    assert!(refused.remedy.contains("--force"), "{refused}");
    drop(PlanWriter::create(&path, true, &head()).unwrap());
    assert_eq!(PlanReader::open(&path).unwrap().len(), 2);
    written(&path, 3, true).unwrap();
    assert_eq!(PlanReader::open(&path).unwrap().len(), 3);
}

#[test]
fn a_plan_that_came_into_being_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan");
    let writer = PlanWriter::create(&path, false, &head()).unwrap();
    std::fs::write(&path, "somebody's").unwrap();
    assert!(writer.finish(Counts::default(), 0, 0, 0.0).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
}

#[test]
fn a_missing_plan_is_not_found_and_another_file_is_no_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan");
    assert_eq!(PlanReader::open(&path).unwrap_err().kind, Kind::NotFound);
    for text in ["", "hello\n", "{}\n", "\u{0}\n", "[]"] {
        std::fs::write(&path, text).unwrap();
        let failure = PlanReader::open(&path).unwrap_err();
        assert_eq!(failure.kind, Kind::Integrity, "{text:?}");
        assert!(failure.message.contains("line 1:"), "{failure}");
    }
}

proptest! {
    #[test]
    fn a_plan_that_was_altered_anywhere_is_refused_with_the_line(at: prop::sample::Index, to in b' '..b'~') {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.plan");
        written(&path, 4, false).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        bytes[at] = to;
        std::fs::write(&path, &bytes).unwrap();
        let failure = PlanReader::open(&path).unwrap_err();
        prop_assert_eq!(failure.kind, Kind::Integrity);
        prop_assert!(failure.message.contains(&format!("line {line}:")), "{}", failure);
    }

    #[test]
    fn a_plan_that_was_cut_off_anywhere_is_refused(at: prop::sample::Index) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.plan");
        written(&path, 4, false).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..at.index(bytes.len())]).unwrap();
        prop_assert_eq!(PlanReader::open(&path).unwrap_err().kind, Kind::Integrity);
    }
}

#[test]
fn a_plan_that_is_changed_while_it_is_applied_ends_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.plan");
    written(&path, 4, false).unwrap();
    let plan = PlanReader::open(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"d2\"", "\"d9\"")).unwrap();
    let read: Vec<_> = plan.steps().unwrap().collect();
    assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
}
