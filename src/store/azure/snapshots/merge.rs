//! Blobs and their snapshots as versions.
//!
//! Within a name, Blob Storage lists snapshots from the oldest to the newest and the blob behind them; Azurite lists the blob first. Either
//! way the versions come out oldest first, the blob's last, and what has the same etag once. So at most two items wait for
//! what comes next, which may be on the next page.

use serde::{Deserialize, Serialize};

use crate::store::Head;

/// What waits.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Merge {
    /// The newest snapshot so far.
    snapshot: Option<Head>,
    /// The blob itself.
    blob: Option<Head>,
}

/// Between two pages.
#[derive(Serialize, Deserialize)]
struct Paused {
    marker: String,
    waiting: Merge,
}

impl Merge {
    /// Takes the next item, and gives the versions that are complete by that.
    pub(super) fn add(&mut self, head: Head) -> Vec<Head> {
        let waits = self.snapshot.as_ref().or(self.blob.as_ref());
        let mut complete = match waits {
            Some(waits) if waits.name != head.name => self.end(),
            _ => Vec::new(),
        };
        if head.current {
            self.blob = Some(head);
        } else {
            let before = self.snapshot.replace(head);
            let repeated = |before: &Head| self.snapshot.as_ref().is_some_and(|newest| newest.etag == before.etag);
            complete.extend(before.filter(|before| !repeated(before)));
        }
        complete
    }

    /// Nothing comes any more, at least of this name.
    pub(super) fn end(&mut self) -> Vec<Head> {
        let (snapshot, blob) = (self.snapshot.take(), self.blob.take());
        let is_the_blobs = |snapshot: &Head| blob.as_ref().is_some_and(|blob| blob.etag == snapshot.etag);
        let snapshot = snapshot.filter(|snapshot| !is_the_blobs(snapshot));
        snapshot.into_iter().chain(blob).collect()
    }

    /// Goes on at the service's marker later: both as a marker of ours.
    pub(super) fn paused(self, marker: String) -> String {
        serde_json::to_string(&Paused { marker, waiting: self }).unwrap_or_default()
    }

    /// Goes on from the service's marker; none where that is no marker of ours.
    pub(super) fn resumed(next: &str) -> Option<(String, Self)> {
        let Paused { marker, waiting } = serde_json::from_str(next).ok()?;
        Some((marker, waiting))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn head(name: usize, etag: u32, current: bool) -> Head {
        let version = if current { String::new() } else { format!("t{etag}") };
        let (name, etag) = (format!("n{name}"), format!("\"{etag}\""));
        Head { name, version, etag, current, length: 1, metadata: BTreeMap::new() }
    }

    /// Every version once: what the service holds of one name, and how it lists it.
    fn listed(
        name: usize,
        versions: u32,
        kept: bool,
        twice: bool,
        blob_first: bool,
    ) -> (Vec<Head>, Vec<(String, bool)>) {
        let snapshots = if kept { versions } else { versions - 1 };
        let mut items: Vec<Head> =
            (0..snapshots).flat_map(|at| vec![head(name, at, false); if twice { 2 } else { 1 }]).collect();
        let blob = head(name, versions - 1, true);
        let at = if blob_first { 0 } else { items.len() };
        items.insert(at, blob);
        let expected = (0..versions).map(|at| (format!("n{name} \"{at}\""), at + 1 == versions)).collect();
        (items, expected)
    }

    proptest! {
        #[test]
        fn every_version_comes_once_and_in_order_wherever_pages_end(
            names in prop::collection::vec((1u32..4, any::<bool>(), any::<bool>()), 0..5),
            blob_first: bool, page in 1usize..5,
        ) {
            let (mut items, mut expected) = (Vec::new(), Vec::new());
            for (name, (versions, kept, twice)) in names.into_iter().enumerate() {
                let (more, are) = listed(name, versions, kept, twice, blob_first);
                items.extend(more);
                expected.extend(are);
            }
            let (mut merge, mut found) = (Merge::default(), Vec::new());
            for page in items.chunks(page) {
                for head in page {
                    found.extend(merge.add(head.clone()));
                }
                let (marker, resumed) = Merge::resumed(&merge.paused("m".to_owned())).unwrap();
                prop_assert_eq!(marker, "m");
                merge = resumed;
            }
            found.extend(merge.end());
            let found: Vec<_> = found.into_iter().map(|h| (format!("{} {}", h.name, h.etag), h.current)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_blob_that_somebody_deleted_leaves_its_snapshots() {
        let mut merge = Merge::default();
        let mut found: Vec<Head> =
            [head(0, 0, false), head(0, 1, false)].into_iter().flat_map(|h| merge.add(h)).collect();
        found.extend(merge.end());
        assert_eq!(found.iter().map(|h| h.current).collect::<Vec<_>>(), [false, false]);
    }

    #[test]
    fn what_is_no_marker_of_ours_is_refused() {
        for next in ["", "2!92!", "{}", "{\"marker\":1}"] {
            assert_eq!(Merge::resumed(next), None, "{next}");
        }
    }
}
