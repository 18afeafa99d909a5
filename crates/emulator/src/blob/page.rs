//! Decides what one page of a listing holds. Pure: the container's blobs and the request's selection in, values
//! out.
//!
//! Order: names by their bytes; within a name previous versions and snapshots oldest to newest, then the base
//! blob. A page is found by seeking to the marker, so it costs what it holds (and the hidden names it passes),
//! not what came before. A marker names the next item, so a name may end one page and begin the next; it is
//! given only if there is a next item.

use std::collections::BTreeMap;
use std::ops::Bound;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;

use super::entry::{Entry, Kind, State};
use super::lease::Lease;
use super::time::Stamp;

/// What is listed beside current blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Include {
    pub(super) versions: bool,
    pub(super) snapshots: bool,
    pub(super) deleted: bool,
    pub(super) deleted_with_versions: bool,
    pub(super) uncommitted: bool,
    /// These change what is told of an item, not which items there are.
    pub(super) metadata: bool,
    pub(super) tags: bool,
    pub(super) copy: bool,
    pub(super) immutability: bool,
    pub(super) legal_hold: bool,
}

/// Which items a page holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) prefix: String,
    /// Empty: no grouping.
    pub(super) delimiter: String,
    pub(super) start_from: String,
    pub(super) marker: Option<Marker>,
    pub(super) items_max: usize,
    pub(super) include: Include,
}

impl Selection {
    /// The first name that may be listed.
    fn start(&self) -> &str {
        let marker = self.marker.as_ref().map_or("", |marker| marker.name.as_str());
        marker.max(&self.prefix).max(&self.start_from)
    }

    /// The last state of this name that an earlier page listed.
    fn after(&self, name: &str) -> Option<Stamp> {
        let marker = self.marker.as_ref().filter(|marker| marker.name == name)?;
        marker.after
    }
}

/// Where the next page begins: a name, and the last state listed before of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) name: String,
    pub(super) after: Option<Stamp>,
}

impl Marker {
    /// The marker as clients carry it, opaque to them.
    pub(super) fn encode(&self) -> String {
        let ticks = self.after.map_or(0, Stamp::ticks);
        BASE64.encode(format!("{ticks:016x}{}", self.name))
    }

    /// Reads what [`Marker::encode`] writes.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let (ticks, name) = text.split_at_checked(16)?;
        let ticks = u64::from_str_radix(ticks, 16).ok()?;
        Some(Self { name: name.to_owned(), after: (ticks > 0).then(|| Stamp::from_ticks(ticks)) })
    }
}

/// What a listed state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Current,
    Version,
    Snapshot,
    /// Stands for a name that has versions but no base blob, where versions themselves are not listed.
    VersionsOnly,
}

/// One item of a listing.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Prefix(String),
    Blob {
        name: String,
        state: Box<State>,
        role: Role,
        /// The name has no base blob.
        versions_only: bool,
        /// The lease on the base blob.
        lease: Option<Lease>,
    },
    /// A name that has nothing but blocks that wait for a block list; when the last one came.
    Uncommitted {
        name: String,
        since: Timestamp,
    },
}

/// A page and, if there is more, where the next one begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<Marker>,
}

/// Decides a page.
pub(super) fn page(blobs: &BTreeMap<String, Entry>, selection: &Selection, now: Timestamp) -> Page {
    let mut page = Page::default();
    let mut from = Bound::Included(selection.start().to_owned());
    while let Some((name, entry)) = blobs.range((from, Bound::Unbounded)).next() {
        if !name.starts_with(&selection.prefix) {
            break;
        }
        let mut listed = listed(entry, selection.include, selection.after(name), now).peekable();
        if let Some(group) = group(name, selection) {
            if listed.peek().is_none() {
                from = Bound::Excluded(name.clone());
                continue;
            }
            if page.items.len() == selection.items_max {
                page.next = Some(Marker { name: name.clone(), after: None });
                break;
            }
            page.items.push(Item::Prefix(group.to_owned()));
            match successor(group) {
                Some(next) => from = Bound::Included(next),
                None => break,
            }
            continue;
        }
        if !push(&mut page, name, entry, listed, selection) {
            break;
        }
        from = Bound::Excluded(name.clone());
    }
    page
}

/// Adds a name's items; `false` once the page is full and its marker set.
fn push<'a>(
    page: &mut Page,
    name: &str,
    entry: &Entry,
    listed: impl Iterator<Item = Listed<'a>>,
    selection: &Selection,
) -> bool {
    let mut after = selection.after(name);
    for item in listed {
        if page.items.len() == selection.items_max {
            page.next = Some(Marker { name: name.to_owned(), after });
            return false;
        }
        let name = name.to_owned();
        page.items.push(match item {
            Listed::Uncommitted(since) => Item::Uncommitted { name, since },
            Listed::State { role, versions_only, state } => {
                after = Some(state.stamp);
                let lease = entry.lease().filter(|_| role == Role::Current).cloned();
                Item::Blob { name, state: Box::new(state.clone()), role, versions_only, lease }
            }
        });
    }
    true
}

/// What is listed of one name.
enum Listed<'a> {
    State { role: Role, versions_only: bool, state: &'a State },
    Uncommitted(Timestamp),
}

/// The items of one name behind `after`.
fn listed(entry: &Entry, include: Include, after: Option<Stamp>, now: Timestamp) -> impl Iterator<Item = Listed<'_>> {
    let bare = include.deleted_with_versions && entry.current().is_none();
    let item = |role, versions_only, state| Listed::State { role, versions_only, state };
    // A listing of base blobs alone does not go through their histories.
    let history = (include.versions || include.snapshots).then(|| entry.older(after, now));
    let older = history.into_iter().flatten().filter_map(move |(kind, state)| {
        let alive = state.deleted.is_none() || include.deleted;
        match kind {
            Kind::Version if include.versions && alive => Some(item(Role::Version, bare, state)),
            Kind::Snapshot if include.snapshots && alive => Some(item(Role::Snapshot, false, state)),
            _ => None,
        }
    });
    let base = entry.base(now).filter(|state| state.deleted.is_none() || include.deleted);
    let uncommitted = entry.staged_at().filter(|_| include.uncommitted && entry.current().is_none() && base.is_none());
    let stand_in = (bare && !include.versions && base.is_none())
        .then(|| {
            let alive = |state: &State| state.deleted.is_none() || include.deleted;
            entry.older(None, now).rev().find(|(kind, state)| *kind == Kind::Version && alive(state))
        })
        .flatten()
        .map(|(_, state)| item(Role::VersionsOnly, true, state));
    let base = base.map(|state| item(Role::Current, false, state));
    older.chain(base).chain(stand_in).chain(uncommitted.map(Listed::Uncommitted))
}

/// The common prefix under which the delimiter hides a name.
fn group<'a>(name: &'a str, selection: &Selection) -> Option<&'a str> {
    if selection.delimiter.is_empty() {
        return None;
    }
    let start = selection.prefix.len();
    let found = name[start..].find(&selection.delimiter)?;
    Some(&name[..start + found + selection.delimiter.len()])
}

/// The smallest text after all that begin with `prefix`.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // Stepping over the surrogates, which are no characters.
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests;
