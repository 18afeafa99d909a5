//! The table "Overwrite and delete", cell by cell.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::blob::content::{Content, ContentHeaders, Metadata};
use crate::blob::encryption::Encryption;
use crate::blob::time::Etag;

const VERSIONED: Policy = Policy { versioning: true, soft_delete_days: 0, worm: false };
const VERSIONED_SOFT: Policy = Policy { versioning: true, soft_delete_days: 7, worm: false };
const SOFT: Policy = Policy { versioning: false, soft_delete_days: 7, worm: false };
const PLAIN: Policy = Policy { versioning: false, soft_delete_days: 0, worm: false };

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn state(at: i64, policy: Policy) -> State {
    let now = second(at);
    let stamp = Stamp::after(Stamp::zero(), now);
    State {
        stamp,
        versioned: policy.versioning,
        etag: Etag(stamp),
        created: now,
        last_modified: now,
        content: Arc::new(Content {
            body: Bytes::from(at.to_string()),
            headers: ContentHeaders::default(),
            metadata: Metadata::new(),
            blocks: Vec::new(),
            encryption: Encryption::default(),
        }),
        aside: Aside::default(),
        deleted: None,
    }
}

fn written(policy: Policy, times: &[i64]) -> Entry {
    let mut entry = Entry::default();
    for at in times {
        entry.overwrite(state(*at, policy), policy, second(*at));
    }
    entry
}

/// `body kind deleted` of everything beneath the current state.
fn older(entry: &Entry, now: i64) -> Vec<(String, Kind, bool)> {
    entry
        .older(None, second(now))
        .map(|(kind, state)| {
            let body = String::from_utf8(state.content.body.to_vec()).unwrap();
            (body, kind, state.deleted.is_some())
        })
        .collect()
}

fn current(entry: &Entry) -> Option<&[u8]> {
    entry.current().map(|state| &state.content.body[..])
}

#[test]
fn without_versioning_and_soft_delete_the_past_is_lost() {
    let mut entry = written(PLAIN, &[1, 2]);
    assert_eq!(older(&entry, 2), []);
    assert!(!entry.delete_current(PLAIN, second(3)));
    assert!(entry.is_empty());
}

#[test]
fn soft_delete_alone_keeps_overwrites_as_deleted_snapshots_and_undelete_restores_all() {
    let mut entry = written(SOFT, &[1, 2, 3]);
    let deleted = |body: &str| (body.to_owned(), Kind::Snapshot, true);
    assert_eq!(older(&entry, 3), [deleted("1"), deleted("2")]);
    assert!(entry.delete_current(SOFT, second(4)));
    assert_eq!(current(&entry), None);
    entry.undelete();
    assert_eq!(current(&entry), Some(&b"3"[..]));
    let live = |body: &str| (body.to_owned(), Kind::Snapshot, false);
    assert_eq!(older(&entry, 5), [live("1"), live("2")]);
}

#[test]
fn a_blob_written_over_a_soft_deleted_one_keeps_it_as_a_deleted_snapshot() {
    let mut entry = written(SOFT, &[1]);
    entry.delete_current(SOFT, second(2));
    entry.overwrite(state(3, SOFT), SOFT, second(3));
    assert_eq!(current(&entry), Some(&b"3"[..]));
    assert_eq!(older(&entry, 3), [("1".to_owned(), Kind::Snapshot, true)]);
}

#[test]
fn versioning_keeps_overwritten_and_deleted_states_as_versions() {
    for policy in [VERSIONED, VERSIONED_SOFT] {
        let mut entry = written(policy, &[1, 2]);
        assert!(entry.delete_current(policy, second(3)));
        assert_eq!(current(&entry), None);
        let version = |body: &str| (body.to_owned(), Kind::Version, false);
        assert_eq!(older(&entry, i64::from(u16::MAX)), [version("1"), version("2")]);
    }
}

#[test]
fn deleting_a_version_is_final_without_soft_delete_and_reversible_with_it() {
    let first = state(1, VERSIONED).stamp;
    let mut entry = written(VERSIONED, &[1, 2]);
    assert_eq!(entry.delete_older(first, Kind::Version, VERSIONED, second(3)), Some(false));
    assert_eq!(entry.delete_older(first, Kind::Version, VERSIONED, second(3)), None);
    assert_eq!(older(&entry, 3), []);

    let mut entry = written(VERSIONED_SOFT, &[1, 2]);
    assert_eq!(entry.delete_older(first, Kind::Version, VERSIONED_SOFT, second(3)), Some(true));
    assert!(entry.find(Which::Version(first)).is_none());
    entry.undelete();
    assert!(entry.find(Which::Version(first)).is_some_and(|(_, current)| !current));
}

#[test]
fn undelete_makes_no_version_the_current_one() {
    let mut entry = written(VERSIONED_SOFT, &[1, 2]);
    entry.delete_current(VERSIONED_SOFT, second(3));
    entry.undelete();
    assert_eq!(current(&entry), None);
}

#[test]
fn soft_deleted_states_vanish_when_their_retention_has_run_out() {
    let day = 24 * 60 * 60;
    let mut entry = written(SOFT, &[0]);
    entry.delete_current(SOFT, second(0));
    let days_left = |at| {
        let state = entry.base(second(at))?;
        state.deleted.map(|deletion| deletion.days_left(second(at)))
    };
    assert_eq!(days_left(1), Some(6));
    assert_eq!(days_left(7 * day - 1), Some(0));
    assert_eq!(days_left(7 * day), None);
    entry.purge(second(7 * day));
    assert!(entry.is_empty());
}

#[test]
fn turning_versioning_on_gives_the_former_state_a_version_id_once_it_is_superseded() {
    let mut entry = written(PLAIN, &[1]);
    assert_eq!(entry.current().and_then(State::version_id), None);
    entry.overwrite(state(2, VERSIONED), VERSIONED, second(2));
    assert!(entry.find(Which::Version(state(1, PLAIN).stamp)).is_some());
}

#[test]
fn turning_versioning_off_keeps_the_versions_there_are() {
    let mut entry = written(VERSIONED, &[1, 2]);
    entry.overwrite(state(3, PLAIN), PLAIN, second(3));
    entry.overwrite(state(4, PLAIN), PLAIN, second(4));
    let version = |body: &str| (body.to_owned(), Kind::Version, false);
    assert_eq!(older(&entry, 4), [version("1"), version("2")]);
}

#[test]
fn a_change_of_metadata_is_a_version_with_versioning_and_nothing_without() {
    let mut entry = written(VERSIONED, &[1]);
    entry.amend(state(2, VERSIONED), VERSIONED);
    assert_eq!(older(&entry, 2), [("1".to_owned(), Kind::Version, false)]);
    let mut entry = written(SOFT, &[1]);
    entry.amend(state(2, SOFT), SOFT);
    assert_eq!(older(&entry, 2), []);
}

#[test]
fn snapshots_are_deleted_apart_from_versions() {
    let mut entry = written(VERSIONED, &[1, 2]);
    entry.add_snapshot(state(3, PLAIN));
    assert_eq!(entry.snapshots().count(), 1);
    entry.delete_snapshots(VERSIONED, second(4));
    assert_eq!(entry.snapshots().count(), 0);
    assert_eq!(older(&entry, 4), [("1".to_owned(), Kind::Version, false)]);
}
