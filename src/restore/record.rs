//! Says in the mirror what a restore wrote, so that histories can tell its versions from the application's.
//!
//! The first file is there before the first document is written. Files are put again only by the restore that made
//! them; a restore that crashed leaves its record without an end. Work that is taken up again adds what its undo file holds and no file names
//! yet, so in the end every document is named.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use cosmirror_formats::restore_plan::Part;
use cosmirror_formats::restore_record::{FORMAT, RestoreRecord, WrittenDocument};
use cosmirror_formats::version::sha256_hex;

use super::apply::Done;
use crate::failure::{Failure, Kind};
use crate::history::MirrorReader;
use crate::records;
use crate::retry::persist;
use crate::store::{Condition, Put};

/// Documents in one file: about a megabyte.
const DOCUMENTS_PER_FILE: usize = 5_000;
/// Files of one restore.
const FILES_MAX: usize = 100_000;

/// A restore's id: the host's time, and something random for those of the same second.
pub fn new_id() -> String {
    format!("{}-{:08x}", crate::time::now().strftime("%Y%m%dT%H%M%SZ"), rand::random::<u32>())
}

/// Keeps one restore's record.
pub(super) struct Recorder {
    mirror: Arc<MirrorReader>,
    /// The first file; `written` are the documents no part holds yet.
    record: RestoreRecord,
    etag: String,
    parts: u32,
    /// What files of an earlier run name.
    named: HashSet<u64>,
}

impl Recorder {
    /// Puts the first file, or goes on with the record of an earlier run.
    pub(super) async fn begin(mirror: Arc<MirrorReader>, id: &str, part: &Part) -> Result<Self, Failure> {
        let record = RestoreRecord {
            format: FORMAT,
            id: id.to_owned(),
            part: 0,
            started: crate::time::now().to_string(),
            finished: None,
            selection: part.selection.clone(),
            at: part.at,
            version: part.version.clone(),
            written: Vec::new(),
        };
        let name = mirror.paths.restore(id);
        let Some((found, etag)) = persist(|| records::get::<RestoreRecord>(mirror.store.as_ref(), &name)).await? else {
            let etag = put(&mirror, id, &record, Condition::Absent).await?;
            return Ok(Self { mirror, record, etag, parts: 0, named: HashSet::new() });
        };
        let prefix = name.strip_suffix(".json").unwrap_or(&name);
        let keep = |_, file: RestoreRecord| {
            let mine = file.id == id;
            (file.part, file.written.iter().filter(|_| mine).map(fingerprint).collect::<Vec<_>>())
        };
        let files = records::all(mirror.store.as_ref(), prefix, FILES_MAX, keep).await?;
        let parts = files.iter().map(|(part, _)| *part).max().unwrap_or_default();
        let named = files.into_iter().flat_map(|(_, named)| named).collect();
        Ok(Self { mirror, record: RestoreRecord { finished: None, ..found }, etag, parts, named })
    }

    /// Adds a document that was written in this run. A full file is put at once.
    pub(super) async fn add(&mut self, done: &Done) -> Result<(), Failure> {
        self.push(written(done)).await
    }

    /// Adds a document that was written in an earlier run, unless a file names it.
    pub(super) async fn add_earlier(&mut self, done: &Done) -> Result<(), Failure> {
        let document = written(done);
        if self.named.contains(&fingerprint(&document)) { Ok(()) } else { self.push(document).await }
    }

    async fn push(&mut self, document: WrittenDocument) -> Result<(), Failure> {
        self.record.written.push(document);
        if self.record.written.len() < DOCUMENTS_PER_FILE {
            return Ok(());
        }
        self.parts += 1;
        let part = RestoreRecord { part: self.parts, ..self.record.clone() };
        put(&self.mirror, &format!("{}-{:06}", self.record.id, self.parts), &part, Condition::Absent).await?;
        self.record.written.clear();
        Ok(())
    }

    /// Puts the first file again, with the documents that no part holds, and, where all is done, the end.
    pub(super) async fn finish(mut self, all: bool) -> Result<(), Failure> {
        self.record.finished = all.then(|| crate::time::now().to_string());
        put(&self.mirror, &self.record.id, &self.record, Condition::Matches(self.etag)).await.map(drop)
    }
}

fn written(done: &Done) -> WrittenDocument {
    WrittenDocument {
        id: done.id.clone(),
        partition_key: done.partition_key.clone(),
        etag: done.etag.clone(),
        deleted: done.deleted.clone(),
    }
}

/// Tells documents apart by what they left, in little memory. Of two alike one would not be named; sixty-four bits make that
/// unlikely among any number of documents.
fn fingerprint(document: &WrittenDocument) -> u64 {
    let text = format!("{}\n{}\n{:?}\n{:?}", document.id, document.partition_key, document.etag, document.deleted);
    u64::from_str_radix(&sha256_hex(text.as_bytes())[..16], 16).unwrap_or_default()
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
    use cosmirror_formats::restore_plan::Action;
    use serde_json::json;

    use super::*;
    use crate::history::memory::{MemoryStore, covered_store, entry, key, paths, reader};
    use crate::history::{Origins, origins};
    use crate::restore::plan_file::tests::part;

    fn done(etag: &str) -> Done {
        Done {
            part: 0,
            id: "d".to_owned(),
            partition_key: json!(["p"]),
            action: Action::Create,
            etag: Some(etag.to_owned()),
            deleted: None,
            sha256: None,
        }
    }

    async fn begin(store: &Arc<MemoryStore>) -> Recorder {
        Recorder::begin(Arc::new(reader(store).await), "r", &part()).await.unwrap()
    }

    async fn origins_in(store: &Arc<MemoryStore>) -> Origins {
        origins(store.as_ref(), &paths(), &key("p"), "d").await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_restore_of_more_documents_than_one_file_holds_names_all_of_them() {
        let store = covered_store(&json!({}));
        let mut recorder = begin(&store).await;
        store.fail_next(Kind::Transient);
        for at in 0..=DOCUMENTS_PER_FILE {
            recorder.add(&done(&format!("e{at}"))).await.unwrap();
        }
        recorder.finish(true).await.unwrap();
        let prefix = paths().restores();
        assert_eq!(store.names(&prefix), [format!("{prefix}r-000001.json"), format!("{prefix}r.json")]);
        let origins = origins_in(&store).await;
        for at in 0..=DOCUMENTS_PER_FILE {
            assert_eq!(origins.of(&entry(&format!("e{at}"), 1, None)), "r");
        }
    }

    #[tokio::test]
    async fn what_a_crash_left_unnamed_is_named_by_the_next_run_once() {
        let store = covered_store(&json!({}));
        let mut recorder = begin(&store).await;
        for at in 0..DOCUMENTS_PER_FILE + 3 {
            recorder.add(&done(&format!("e{at}"))).await.unwrap();
        }
        drop(recorder);
        for _ in 0..2 {
            let mut recorder = begin(&store).await;
            for at in 0..DOCUMENTS_PER_FILE + 3 {
                recorder.add_earlier(&done(&format!("e{at}"))).await.unwrap();
            }
            recorder.finish(false).await.unwrap();
        }
        let origins = origins_in(&store).await;
        assert_eq!(origins.of(&entry(&format!("e{}", DOCUMENTS_PER_FILE + 2), 1, None)), "r");
        let first: RestoreRecord = records::read(store.as_ref(), &paths().restore("r")).await.unwrap().unwrap();
        assert_eq!((first.written.len(), first.finished), (3, None));
        assert_eq!(store.names(&paths().restores()).len(), 2);
    }
}
