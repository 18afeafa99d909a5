//! What the target tells of itself, for the metrics: what protects it, and which restores it has records of.

use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::MirrorPaths;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

use crate::admin::{Metrics, RestoreSeen, Restores};
use crate::failure::{Failure, Kind};
use crate::records;
use crate::store::{Listing, VersionStore};

/// How often it is read what protects the target.
pub(super) const PROTECTION_INTERVAL: Duration = Duration::from_hours(1);
/// How often records of restores are looked for.
pub(super) const RESTORES_INTERVAL: Duration = Duration::from_mins(5);
/// Files of one restore that are read for their counts, of 5,000 documents each; those beyond are full ones of written documents.
const FILES_READ_MAX: usize = 200;
const DOCUMENTS_PER_FILE: u64 = 5_000;

/// Reads again and again what protects the target, until the process is to end.
pub(super) async fn tell_protection(store: Arc<dyn VersionStore>, metrics: Metrics, drain: CancellationToken) {
    let telling = async {
        loop {
            match store.protection().await {
                Ok(protection) => metrics.target_protection(protection),
                Err(failure) => {
                    metrics.target_protection(None);
                    tracing::info!(error = %failure, remedy = failure.remedy, "it was not read what protects the target");
                }
            }
            tokio::time::sleep(PROTECTION_INTERVAL).await;
        }
    };
    tokio::select! {
        biased;
        () = drain.cancelled() => {}
        () = telling => {}
    }
}

/// Looks at the records of one container's restores.
pub(super) struct Restoring {
    pub(super) store: Arc<dyn VersionStore>,
    pub(super) paths: MirrorPaths,
    pub(super) database: String,
    pub(super) container: String,
    pub(super) metrics: Metrics,
}

/// The records as a listing shows them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listed {
    count: u64,
    /// Files of the newest restore with their etags, the first one first.
    newest: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct File {
    started: String,
    written: Vec<Document>,
}

#[derive(Deserialize)]
struct Document {
    deleted: Option<IgnoredAny>,
}

impl Restoring {
    /// Looks again and again, until the process is to end.
    pub(super) async fn tell(self, drain: CancellationToken) {
        let telling = async {
            let mut before = Listed::default();
            loop {
                match self.look(&before).await {
                    Ok((listed, Some(restores))) => {
                        self.metrics.restores(&self.database, &self.container, &restores);
                        before = listed;
                    }
                    Ok((_, None)) => {}
                    Err(failure) => {
                        let container = format!("{}/{}", self.database, self.container);
                        tracing::info!(container, error = %failure, "the records of restores were not read; trying again");
                    }
                }
                tokio::time::sleep(RESTORES_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            () = drain.cancelled() => {}
            () = telling => {}
        }
    }

    /// What is there, and its counts unless it is what was there before.
    async fn look(&self, before: &Listed) -> Result<(Listed, Option<Restores>), Failure> {
        let listed = self.list().await?;
        if listed == *before {
            return Ok((listed, None));
        }
        let mut newest: Option<RestoreSeen> = None;
        for (at, (name, _)) in listed.newest.iter().enumerate() {
            if at >= FILES_READ_MAX {
                if let Some(newest) = &mut newest {
                    newest.written += DOCUMENTS_PER_FILE;
                }
                continue;
            }
            // One that is gone by now is seen as gone the next time.
            let Some((file, _)) = records::get::<File>(self.store.as_ref(), name).await? else { continue };
            let began = file.started.parse().map_err(|_| {
                Failure::new(Kind::Integrity, format!("the record {name} does not say when its restore began"))
            });
            let began: jiff::Timestamp = began?;
            let newest = newest.get_or_insert(RestoreSeen { began: began.as_second(), written: 0, deleted: 0 });
            let deleted = file.written.iter().filter(|document| document.deleted.is_some()).count();
            newest.deleted += deleted as u64;
            newest.written += (file.written.len() - deleted) as u64;
        }
        let count = listed.count;
        Ok((listed, Some(Restores { count, newest })))
    }

    /// Names of records begin with the time of their restore, so the last ones are the newest's.
    async fn list(&self) -> Result<Listed, Failure> {
        let prefix = self.paths.restores();
        let (mut listed, mut next) = (Listed::default(), None);
        let mut newest_stem = String::new();
        loop {
            let page = self.store.list(&prefix, Listing::Current, next).await?;
            for head in page.heads {
                let Some(stem) = head.name.strip_prefix(&prefix).and_then(|file| file.strip_suffix(".json")) else {
                    continue;
                };
                let restore = restore_of(stem);
                listed.count += u64::from(restore == stem);
                if restore > newest_stem.as_str() {
                    newest_stem = restore.to_owned();
                    listed.newest.clear();
                }
                if restore == newest_stem {
                    listed.newest.push((head.name, head.etag));
                }
            }
            next = page.next;
            if next.is_none() {
                // The order of names puts `-` before `.`, and so parts before their first file.
                listed.newest.sort_by_key(|(name, _)| name.len());
                return Ok(listed);
            }
        }
    }
}

/// The restore that a file is of: parts have its id, a hyphen and six digits.
fn restore_of(stem: &str) -> &str {
    match stem.rsplit_once('-') {
        Some((restore, part)) if part.len() == 6 && part.bytes().all(|b| b.is_ascii_digit()) => restore,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::memory::{MemoryStore, paths};
    use crate::store::{Condition, Put};

    async fn put(store: &MemoryStore, file: &str, written: &[serde_json::Value]) {
        let body = json!({ "format": 1, "id": "r", "part": 0, "started": "2026-01-31T08:00:00Z", "finished": null,
            "selection": "all", "at": 1, "version": null, "written": written });
        let name = paths().restore(file);
        let condition =
            store.head(&name).await.unwrap().map_or(Condition::Absent, |head| Condition::Matches(head.etag));
        let body = body.to_string().into_bytes().into();
        store.put(Put { name, body, metadata: Default::default(), condition }).await.unwrap();
    }

    fn restoring(store: &Arc<MemoryStore>) -> Restoring {
        Restoring {
            store: Arc::clone(store) as _,
            paths: paths(),
            database: "d".to_owned(),
            container: "c".to_owned(),
            metrics: Metrics::new([("d", "c")]),
        }
    }

    #[tokio::test]
    async fn the_newest_restore_counts_with_all_its_files_and_is_read_again_only_when_they_change() {
        let store = Arc::new(MemoryStore::default());
        let restoring = restoring(&store);
        let (listed, restores) = restoring.look(&Listed { count: 1, ..Listed::default() }).await.unwrap();
        assert_eq!(restores, Some(Restores::default()));
        let (one, gone) = (json!({ "id": "a", "etag": "e", "deleted": null }), json!({ "id": "b", "deleted": "e" }));
        put(&store, "20250101T000000Z-00000001", &[one.clone(), one.clone()]).await;
        put(&store, "20260131T080000Z-00c0ffee", &[gone]).await;
        put(&store, "20260131T080000Z-00c0ffee-000001", &[one.clone(), one.clone(), one.clone()]).await;
        let (listed, restores) = restoring.look(&listed).await.unwrap();
        let newest = RestoreSeen { began: 1_769_846_400, written: 3, deleted: 1 };
        assert_eq!(restores, Some(Restores { count: 2, newest: Some(newest) }));
        assert!(!listed.newest[0].0.contains("-000001"), "{listed:?}");
        let (listed, restores) = restoring.look(&listed).await.unwrap();
        assert_eq!(restores, None);
        put(&store, "20260131T080000Z-00c0ffee", &[one]).await;
        let restores = restoring.look(&listed).await.unwrap().1.unwrap();
        assert_eq!(restores.newest.unwrap().written, 4);
    }

    #[test]
    fn parts_belong_to_their_restore() {
        assert_eq!(restore_of("20260131T080000Z-00c0ffee-000012"), "20260131T080000Z-00c0ffee");
        assert_eq!(restore_of("20260131T080000Z-00000012"), "20260131T080000Z-00000012");
    }
}
