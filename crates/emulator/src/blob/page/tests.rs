//! Pages of any size add up to the whole listing, and each include shows what it should.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::blob::content::{Content, ContentHeaders, Metadata};
use crate::blob::encryption::Encryption;
use crate::blob::entry::{Aside, Policy};
use crate::blob::time::Etag;

const POLICY: Policy = Policy { versioning: true, soft_delete_days: 7, worm: false };

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn state(ticks: u64, versioned: bool) -> State {
    let stamp = Stamp::from_ticks(ticks);
    State {
        stamp,
        versioned,
        etag: Etag(stamp),
        created: now(),
        last_modified: now(),
        content: Arc::new(Content {
            body: Bytes::new(),
            headers: ContentHeaders::default(),
            metadata: Metadata::new(),
            blocks: Vec::new(),
            encryption: Encryption::default(),
        }),
        aside: Aside::default(),
        deleted: None,
    }
}

/// What happens to one blob: writes, snapshots, a deleted first version, a deleted base.
#[derive(Debug, Clone)]
struct History {
    writes: u64,
    snapshot: bool,
    first_deleted: bool,
    base_deleted: bool,
}

fn history() -> impl Strategy<Value = History> {
    (1_u64..6, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(writes, snapshot, first_deleted, base_deleted)| History { writes, snapshot, first_deleted, base_deleted },
    )
}

fn entry(history: &History) -> Entry {
    let mut entry = Entry::default();
    for tick in 1..=history.writes {
        entry.overwrite(state(tick, true), POLICY, now());
    }
    if history.snapshot {
        entry.add_snapshot(state(100, false));
    }
    if history.first_deleted && history.writes > 1 {
        entry.delete_older(Stamp::from_ticks(1), Kind::Version, POLICY, now());
    }
    if history.base_deleted {
        entry.delete_current(POLICY, now());
    }
    entry
}

fn container(histories: &BTreeMap<String, History>) -> BTreeMap<String, Entry> {
    histories.iter().map(|(name, history)| (name.clone(), entry(history))).collect()
}

fn include() -> impl Strategy<Value = Include> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(versions, snapshots, deleted, deleted_with_versions)| Include {
            versions,
            snapshots,
            deleted,
            deleted_with_versions,
            ..Include::default()
        },
    )
}

/// An item as text: name, stamp, role and whether the name has versions only.
fn text(item: &Item) -> String {
    match item {
        Item::Prefix(prefix) => format!("{prefix}*"),
        Item::Uncommitted { name, .. } => format!("{name} uncommitted"),
        Item::Blob { name, state, role, versions_only, .. } => {
            format!("{name}@{} {role:?} {versions_only}", state.stamp.ticks())
        }
    }
}

/// Lists page by page, through encoded markers.
fn paged(blobs: &BTreeMap<String, Entry>, mut selection: Selection) -> Vec<String> {
    let mut items = Vec::new();
    loop {
        let page = page(blobs, &selection, now());
        assert!(page.items.len() <= selection.items_max);
        items.extend(page.items.iter().map(text));
        let Some(next) = page.next else {
            return items;
        };
        assert_eq!(page.items.len(), selection.items_max, "a page before another is full");
        selection.marker = Some(Marker::decode(&next.encode()).unwrap());
    }
}

/// The same listing, decided one history at a time.
fn model(histories: &BTreeMap<String, History>, selection: &Selection) -> Vec<String> {
    let include = selection.include;
    let mut items = Vec::new();
    for (name, history) in histories {
        if !name.starts_with(&selection.prefix) || *name < selection.start_from {
            continue;
        }
        let mut own = Vec::new();
        let bare = history.base_deleted && include.deleted_with_versions;
        let last = history.writes;
        for tick in 1..=last {
            let is_current = tick == last && !history.base_deleted;
            let deleted = tick == 1 && history.first_deleted && last > 1;
            if !is_current && include.versions && (!deleted || include.deleted) {
                own.push(format!("{name}@{tick} Version {bare}"));
            }
        }
        if history.snapshot && include.snapshots {
            own.push(format!("{name}@100 Snapshot false"));
        }
        if !history.base_deleted {
            own.push(format!("{name}@{last} Current false"));
        } else if bare && !include.versions {
            own.push(format!("{name}@{last} VersionsOnly true"));
        }
        let rest = &name[selection.prefix.len()..];
        let cut = (!selection.delimiter.is_empty()).then(|| rest.find(&selection.delimiter)).flatten();
        match cut {
            Some(at) if !own.is_empty() => {
                let group = format!("{}{}*", selection.prefix, &rest[..=at]);
                if items.last() != Some(&group) {
                    items.push(group);
                }
            }
            Some(_) => {}
            None => items.extend(own),
        }
    }
    items
}

proptest! {
    #[test]
    fn pages_of_any_size_add_up_to_the_model(
        histories in prop::collection::btree_map("[ab/é\u{7f}\u{10FFFF}]{1,4}", history(), 0..12),
        items_max in 1_usize..7,
        include in include(),
        prefix in "[ab]{0,1}",
        start_from in "[ab/]{0,2}",
        delimiter in "/?",
    ) {
        let selection = Selection { prefix, delimiter, start_from, marker: None, items_max, include };
        let expected = model(&histories, &selection);
        prop_assert_eq!(paged(&container(&histories), selection), expected);
    }
}

#[test]
fn a_name_written_between_two_pages_neither_repeats_nor_hides_versions() {
    let mut blobs = BTreeMap::new();
    let three = History { writes: 3, snapshot: false, first_deleted: false, base_deleted: false };
    blobs.insert("a".to_owned(), entry(&three));
    let mut selection =
        Selection { items_max: 2, include: Include { versions: true, ..Include::default() }, ..Selection::default() };
    let first = page(&blobs, &selection, now());
    blobs.get_mut("a").unwrap().overwrite(state(4, true), POLICY, now());
    selection.marker = first.next;
    let second: Vec<_> = page(&blobs, &selection, now()).items.iter().map(text).collect();
    assert_eq!(second, ["a@3 Version false", "a@4 Current false"]);
}

#[test]
fn a_marker_of_a_name_that_is_gone_continues_with_the_next_one() {
    let one = History { writes: 2, snapshot: false, first_deleted: false, base_deleted: false };
    let blobs = BTreeMap::from([("b".to_owned(), entry(&one))]);
    let selection = Selection {
        items_max: 9,
        marker: Some(Marker { name: "a".to_owned(), after: Some(Stamp::from_ticks(50)) }),
        include: Include { versions: true, ..Include::default() },
        ..Selection::default()
    };
    let items: Vec<_> = page(&blobs, &selection, now()).items.iter().map(text).collect();
    assert_eq!(items, ["b@1 Version false", "b@2 Current false"]);
}

#[test]
fn markers_of_other_services_are_not_read() {
    for text in ["", "2!92!MDAwMDI0", "AAAA", "é"] {
        assert_eq!(Marker::decode(text), None, "{text}");
    }
}

#[test]
fn the_successor_of_a_prefix_follows_all_names_that_begin_with_it() {
    assert_eq!(successor("a/").as_deref(), Some("a0"));
    assert_eq!(successor("a\u{D7FF}").as_deref(), Some("a\u{E000}"));
    assert_eq!(successor("a\u{10FFFF}").as_deref(), Some("b"));
    assert_eq!(successor("\u{10FFFF}"), None);
}
