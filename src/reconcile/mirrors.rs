//! Two mirrors of one container beside each other, as both of them were at the last instant that both cover.
//!
//! Neither the source nor a lease is asked, and nothing is put right. What of a document counts is its state at that instant: its newest
//! version by then, or that it did not exist. A comparison of whole histories asks besides for every version since the instant from which
//! on both mirrors can be restored. Where both mirrors hold the stored bytes as they came, their hashes are compared; what is encrypted is
//! other bytes in each.

use std::collections::BTreeMap;

use cosmirror_formats::Version;
use futures::TryStreamExt as _;

use super::{Difference, Mode, Report, Request, State};
use crate::failure::{CommandError, Exit, Failure};
use crate::history::{DocumentHistory, Entry, MirrorReader, Pair, instant, pairs};
use crate::store::{Head, Listing};

/// The comparison.
pub struct Mirrors<'a> {
    /// The one that the other is held against, and what its target is called.
    pub first: (&'a MirrorReader, &'a str),
    /// The other one.
    pub other: (&'a MirrorReader, &'a str),
    /// What is asked for.
    pub request: Request,
}

/// Both cover these instants.
#[derive(Debug, Clone, Copy)]
struct Common {
    from: i64,
    until: i64,
}

impl Mirrors<'_> {
    /// Compares.
    ///
    /// # Errors
    ///
    /// With the exit code for what is not covered where there is no instant that both cover.
    pub async fn run(&self) -> Result<Report, CommandError> {
        let common = self.common()?;
        tracing::info!(until = instant(common.until), "comparing the mirrors as of the last instant that both cover");
        let (first, other) = (self.first.0, self.other.0);
        let mut report = Report::default();
        let sides = ((first.store.as_ref(), first.paths.documents()), (other.store.as_ref(), other.paths.documents()));
        let mut pairs = std::pin::pin!(pairs(sides.0, sides.1, Listing::Versions));
        while let Some(Pair { name, left, right }) = pairs.try_next().await? {
            if !self.request.sample.contains(&name) {
                continue;
            }
            let sides = (history(first, left)?, history(other, right)?);
            let Some((document, judged)) = self.judge(sides, common) else { continue };
            match judged {
                Ok(()) => report.counts.add(State::Equal),
                Err((state, reason)) => {
                    let (id, partition_key) = (document.id, document.pk.to_json());
                    let difference = Difference { state, id, partition_key, reason, repaired: false };
                    report.differs(difference, self.request.list_max);
                }
            }
        }
        Ok(report)
    }

    fn common(&self) -> Result<Common, CommandError> {
        let window = |(mirror, name): (&MirrorReader, &str)| {
            let window = mirror.window();
            window.from.zip(window.until).ok_or_else(|| {
                let message = format!("the mirror in target {name:?} covers no instant yet");
                CommandError::new(Exit::NotCovered, message, "wait until `cosmirror run` has caught up with it")
            })
        };
        let (first, other) = (window(self.first)?, window(self.other)?);
        let common = Common { from: first.0.max(other.0), until: first.1.min(other.1) };
        if common.from > common.until {
            let message = format!("no instant is covered by both targets, {:?} and {:?}", self.first.1, self.other.1);
            let remedy =
                "wait until the one that is behind has caught up; `cosmirror status --target NAME` tells of each";
            return Err(CommandError::new(Exit::NotCovered, message, remedy));
        }
        Ok(common)
    }

    /// One document; none where neither mirror knows it by then.
    fn judge(&self, sides: (Entries, Entries), common: Common) -> Option<(Version, Judged)> {
        let (own, others) = (sides.0.until(common.until), sides.1.until(common.until));
        let document = own.last().or(others.last())?.version.clone();
        let (mine, theirs) = (living(&own), living(&others));
        let (first, other) = (self.first.1, self.other.1);
        let is_among = |entry: &Entry, entries: &[Entry]| {
            entries.iter().any(|known| known.version.identity() == entry.version.identity())
        };
        let judged = match (mine, theirs) {
            (None, None) if self.request.mode != Mode::Full => return None,
            (None, None) => Ok(()),
            (Some(_), None) => Err((State::Missing, format!("it exists in {first:?} and not in {other:?}"))),
            (None, Some(_)) => Err((State::Extra, format!("it exists in {other:?} and not in {first:?}"))),
            (Some(mine), Some(theirs)) if mine.version.identity() == theirs.version.identity() => {
                self.same_bytes(mine, theirs)
            }
            (Some(_), Some(theirs)) if is_among(theirs, &own) => {
                Err((State::Stale, format!("the newest version in {other:?} is an earlier one of {first:?}")))
            }
            (Some(mine), Some(_)) if is_among(mine, &others) => {
                Err((State::Stale, format!("the newest version in {first:?} is an earlier one of {other:?}")))
            }
            _ => Err((
                State::Different,
                format!("the newest versions in {first:?} and {other:?} have nothing in common"),
            )),
        };
        let judged = judged.and_then(|()| match self.request.mode {
            Mode::Full => self.same_histories(&own, &others, common),
            Mode::Presence | Mode::Hash => Ok(()),
        });
        Some((document, judged))
    }

    fn same_bytes(&self, mine: &Entry, theirs: &Entry) -> Judged {
        if self.request.mode == Mode::Presence || are_alike(hash(mine), hash(theirs)) {
            return Ok(());
        }
        Err((State::Different, "the stored bytes of the newest version have different hashes".to_owned()))
    }

    /// Whether both hold the same versions that were committed while both could already be restored.
    fn same_histories(&self, own: &[Entry], others: &[Entry], common: Common) -> Judged {
        let (mine, theirs) = (since(own, common), since(others, common));
        for (these, those, name) in [(&mine, &theirs, self.other.1), (&theirs, &mine, self.first.1)] {
            let count = these.keys().filter(|identity| !those.contains_key(*identity)).count();
            if count > 0 {
                return Err((State::Stale, format!("{name:?} lacks {count} earlier versions")));
            }
        }
        let differs = |(identity, hash): &(&String, &Option<&str>)| {
            theirs.get(*identity).is_some_and(|other| !are_alike(**hash, *other))
        };
        let differing = mine.iter().filter(differs).count();
        if differing > 0 {
            return Err((State::Different, format!("the stored bytes of {differing} versions have different hashes")));
        }
        Ok(())
    }
}

/// What the stored bytes are held against; none of what is encrypted, which has other bytes in each mirror.
fn hash(entry: &Entry) -> Option<&str> {
    Some(entry.version.sha256.as_str()).filter(|_| entry.version.encryption.is_none())
}

fn are_alike(mine: Option<&str>, theirs: Option<&str>) -> bool {
    mine.zip(theirs).is_none_or(|(mine, theirs)| mine == theirs)
}

/// The versions that were committed while both mirrors could be restored, by identity. When a comparison with the source found that a document
/// was gone is each mirror's own.
fn since(entries: &[Entry], common: Common) -> BTreeMap<String, Option<&str>> {
    let kept = |entry: &&Entry| entry.version.ts >= common.from && !entry.version.is_of_reconciliation();
    entries.iter().filter(kept).map(|entry| (entry.version.identity(), hash(entry))).collect()
}

/// Whether they agree; else how they differ.
type Judged = Result<(), (State, String)>;

/// What a mirror holds of a document, in source order.
struct Entries(Vec<Entry>);

impl Entries {
    /// What was committed by the end of this second.
    fn until(self, until: i64) -> Vec<Entry> {
        self.0.into_iter().filter(|entry| entry.version.ts <= until).collect()
    }
}

/// The newest version, unless it says that the document does not exist.
fn living(entries: &[Entry]) -> Option<&Entry> {
    entries.last().filter(|entry| !entry.version.is_tombstone())
}

fn history(mirror: &MirrorReader, heads: Vec<Head>) -> Result<Entries, Failure> {
    let Some(first) = heads.first() else { return Ok(Entries(Vec::new())) };
    let letters = mirror.letters.get(&first.name).map(Vec::as_slice).unwrap_or_default();
    let DocumentHistory { entries, .. } = mirror.document(heads, letters)?;
    Ok(Entries(entries))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::memory::{MemoryStore, covered_store, paths, reader, version};
    use crate::reconcile::{Repair, Sample};

    /// The states of the documents that differ, by id, and how many are equal.
    async fn compared(first: &[(&str, &[&str])], other: &[(&str, &[&str])], mode: Mode) -> (Vec<String>, u64) {
        let (first, other) = (mirror(first), mirror(other));
        let (first, other) = (reader(&first).await, reader(&other).await);
        let request = Request { mode, sample: Sample::ALL, repair: Repair::No, list_max: 10 };
        let report = Mirrors { first: (&first, "first"), other: (&other, "south"), request }.run().await.unwrap();
        let told = report.differences.iter().map(|found| format!("{} {:?}", found.id, found.state));
        (told.collect(), report.counts.equal)
    }

    /// Documents with versions, each `etag@ts` or, with another body, `etag@ts!`; `-@ts` is a delete. Instants 100 to 2000 are covered.
    fn mirror(documents: &[(&str, &[&str])]) -> std::sync::Arc<MemoryStore> {
        let store = covered_store(&json!({}));
        for (id, versions) in documents {
            for text in *versions {
                let (etag, ts) = text.split_once('@').unwrap();
                let (ts, body) = ts.strip_suffix('!').map_or((ts, "{}"), |ts| (ts, "{\"other\":1}"));
                let ts = ts.parse().unwrap();
                let mut version = version(id, etag, ts, Some(u64::try_from(ts).unwrap()), b"");
                if etag == "-" {
                    (version.etag, version.op) = (None, cosmirror_formats::Op::Delete);
                }
                store.add_version(version, if etag == "-" { "" } else { body });
            }
        }
        store
    }

    #[tokio::test]
    async fn the_state_at_the_last_common_instant_counts() {
        let first: &[(&str, &[&str])] = &[
            ("ahead", &["1@10", "2@200"]),
            ("alike", &["1@10", "2@200"]),
            ("behind", &["1@10"]),
            ("gone", &["1@10", "-@200"]),
            ("gone-here", &["1@10", "-@200"]),
            ("later", &["1@10", "2@2001"]),
            ("missing", &["1@10"]),
            ("other", &["1@10"]),
        ];
        let other: &[(&str, &[&str])] = &[
            ("ahead", &["1@10"]),
            ("alike", &["2@200"]),
            ("behind", &["1@10", "2@200"]),
            ("extra", &["1@10"]),
            ("gone-here", &["1@10"]),
            ("later", &["1@10"]),
            ("other", &["7@10"]),
        ];
        let (told, equal) = compared(first, other, Mode::Presence).await;
        let expected =
            ["ahead Stale", "behind Stale", "extra Extra", "gone-here Extra", "missing Missing", "other Different"];
        assert_eq!((told, equal), (expected.map(str::to_owned).to_vec(), 2));
    }

    #[tokio::test]
    async fn bytes_and_earlier_versions_count_where_they_are_asked_for() {
        let first: &[(&str, &[&str])] =
            &[("a", &["1@10", "2@150", "3@200"]), ("b", &["1@200"]), ("c", &["1@150", "2@200"])];
        let other: &[(&str, &[&str])] = &[("a", &["3@200"]), ("b", &["1@200!"]), ("c", &["1@150!", "2@200"])];
        assert_eq!(compared(first, other, Mode::Presence).await, (Vec::new(), 3));
        assert_eq!(compared(first, other, Mode::Hash).await, (vec!["b Different".to_owned()], 2));
        let (told, equal) = compared(first, other, Mode::Full).await;
        assert_eq!((told.join(", ").as_str(), equal), ("a Stale, b Different, c Different", 0));
    }

    #[tokio::test]
    async fn mirrors_without_a_common_instant_are_not_compared() {
        let (first, other) = (covered_store(&json!({})), MemoryStore::default());
        other.add_record(
            &paths().container_record(),
            &json!({"format": 1, "account": "a", "database": "db",
            "container": "c", "generations": []}),
        );
        let (first, other) = (reader(&first).await, reader(&std::sync::Arc::new(other)).await);
        let request = Request { mode: Mode::Full, sample: Sample::ALL, repair: Repair::No, list_max: 10 };
        let error = Mirrors { first: (&first, "first"), other: (&other, "south"), request }.run().await.unwrap_err();
        assert!(error.exit == Exit::NotCovered && error.message.contains("\"south\" covers no instant"), "{error:?}");
    }
}
