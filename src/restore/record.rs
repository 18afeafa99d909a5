//! Says in the mirror what a restore wrote, so that histories can tell its versions from the application's.
//!
//! The first file is there before the first document is written. Files are put again only by the restore that made
//! them; a restore that crashed leaves its record without an end.

use bytes::Bytes;
use cosmirror_formats::restore_record::{FORMAT, RestoreRecord, WrittenDocument};

use super::Target;
use super::apply::Done;
use crate::failure::{Failure, Kind};
use crate::history::MirrorReader;
use crate::retry::persist;
use crate::store::{Condition, Put};

/// Documents in one file: about a megabyte.
const DOCUMENTS_PER_FILE: usize = 5_000;

/// A restore's id: the host's time, and something random for those of the same second.
pub fn new_id() -> String {
    format!("{}-{:08x}", crate::time::now().strftime("%Y%m%dT%H%M%SZ"), rand::random::<u32>())
}

/// Keeps one restore's record.
pub(super) struct Recorder<'a> {
    mirror: &'a MirrorReader,
    /// The first file; `written` are the documents no part holds yet.
    record: RestoreRecord,
    etag: String,
    parts: u32,
}

impl<'a> Recorder<'a> {
    /// Puts the first file.
    pub(super) async fn begin(restore: &Target<'a>, id: &str) -> Result<Self, Failure> {
        let record = RestoreRecord {
            format: FORMAT,
            id: id.to_owned(),
            part: 0,
            started: crate::time::now().to_string(),
            finished: None,
            selection: restore.described.selection.clone(),
            at: restore.described.at,
            version: restore.described.version.clone(),
            written: Vec::new(),
        };
        let etag = put(restore.mirror, id, &record, Condition::Absent).await?;
        Ok(Self { mirror: restore.mirror, record, etag, parts: 0 })
    }

    /// Adds a document; `deleted` is the etag of what was removed. A full file is put at once.
    pub(super) async fn add(&mut self, done: &Done, deleted: Option<String>) -> Result<(), Failure> {
        self.record.written.push(WrittenDocument {
            id: done.id.clone(),
            partition_key: done.partition_key.clone(),
            etag: done.etag.clone(),
            deleted,
        });
        if self.record.written.len() < DOCUMENTS_PER_FILE {
            return Ok(());
        }
        self.parts += 1;
        let part = RestoreRecord { part: self.parts, ..self.record.clone() };
        put(self.mirror, &format!("{}-{:06}", self.record.id, self.parts), &part, Condition::Absent).await?;
        self.record.written.clear();
        Ok(())
    }

    /// Puts the first file again, with the end and the documents that no part holds.
    pub(super) async fn finish(mut self) -> Result<(), Failure> {
        self.record.finished = Some(crate::time::now().to_string());
        put(self.mirror, &self.record.id, &self.record, Condition::Matches(self.etag)).await.map(drop)
    }
}

/// Puts a file and gives its etag. A put whose answer was lost is recognised by its bytes.
async fn put(
    mirror: &MirrorReader,
    file: &str,
    record: &RestoreRecord,
    condition: Condition,
) -> Result<String, Failure> {
    let name = mirror.paths.restore(file);
    let body = serde_json::to_vec(record).map_err(|error| Failure::new(Kind::Internal, format!("{name}: {error}")))?;
    let body = Bytes::from(body);
    let metadata = [("format".to_owned(), FORMAT.to_string())].into();
    let put = Put { name: name.clone(), body: body.clone(), metadata, condition };
    let failure = match persist(|| mirror.store.put(put.clone())).await {
        Ok(stored) => return Ok(stored.etag),
        Err(failure) => failure,
    };
    if failure.kind == Kind::Conflict
        && let Some((head, stored)) = persist(|| mirror.store.get(&name, None)).await?
        && stored == body
    {
        return Ok(head.etag);
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::plan_file::tests::part;
    use super::*;
    use crate::history::memory::{MemoryDocuments, covered_store, entry, key, paths, reader};
    use crate::history::origins;

    #[tokio::test(start_paused = true)]
    async fn a_restore_of_more_documents_than_one_file_holds_names_all_of_them() {
        let store = covered_store(&json!({}));
        let (mirror, documents) = (reader(&store).await, MemoryDocuments::default());
        let (described, progress) = (part(), indicatif::ProgressBar::hidden());
        let target = Target { mirror: &mirror, documents: &documents, part: 0, described: &described, progress };
        let mut recorder = Recorder::begin(&target, "r").await.unwrap();
        store.fail_next(Kind::Transient);
        for at in 0..=DOCUMENTS_PER_FILE {
            let etag = Some(format!("e{at}"));
            let done = Done { id: "d".to_owned(), partition_key: json!(["p"]), etag, sha256: None };
            recorder.add(&done, None).await.unwrap();
        }
        recorder.finish().await.unwrap();
        let prefix = paths().restores();
        assert_eq!(store.names(&prefix), [format!("{prefix}r-000001.json"), format!("{prefix}r.json")]);
        let origins = origins(mirror.store.as_ref(), &mirror.paths, &key("p"), "d").await.unwrap();
        for at in 0..=DOCUMENTS_PER_FILE {
            assert_eq!(origins.of(&entry(&format!("e{at}"), 1, None)), "r");
        }
    }
}
