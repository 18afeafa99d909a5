//! The account on disk: a record for each thing that was committed, and the way back from records to the account.
//!
//! Records hold effects and not requests: numbers, entity tags and times come back as clients saw them. What follows from
//! them (places in the hash space, expiries, indexes) is computed again. A container's commits are written under its
//! lock, databases and containers under the account's, so that the order in the file is the order in which it happened.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::CosmosService;
use super::change::{Change, Op};
use super::errors::CosmosError;
use super::keys;
use super::state::{ContainerNumbers, State};
use super::store::Store;
use crate::journal::{Journal, JournalError, Record as Framed};

const TITLE: &str = "cosmirror emulator, documents, version 1";

/// What was committed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum Record<'a> {
    Database {
        name: Cow<'a, str>,
        number: u32,
        etag: Cow<'a, str>,
        ts: i64,
    },
    DatabaseGone {
        name: Cow<'a, str>,
    },
    Container {
        number: ContainerNumbers,
        ranges: u32,
        description: Map<String, Value>,
        etag: Cow<'a, str>,
        ts: i64,
    },
    ContainerReplaced {
        number: ContainerNumbers,
        description: Map<String, Value>,
        etag: Cow<'a, str>,
        ts: i64,
    },
    ContainerGone {
        number: ContainerNumbers,
    },
    /// The documents' texts follow each other in the record's body.
    Commit {
        number: ContainerNumbers,
        range: Cow<'a, str>,
        changes: Vec<Committed<'a>>,
    },
    Split {
        number: ContainerNumbers,
        range: Cow<'a, str>,
        at: Cow<'a, str>,
    },
    Merge {
        number: ContainerNumbers,
        ranges: Cow<'a, [String]>,
    },
    Retention {
        number: ContainerNumbers,
        seconds: u32,
    },
    Account {
        all_versions: bool,
        /// Absent in what earlier releases wrote.
        #[serde(default)]
        multiple_write_locations: bool,
    },
    Clock {
        offset_ms: i64,
    },
}

/// One change of a commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Committed<'a> {
    op: Op,
    lsn: u64,
    id: Cow<'a, str>,
    key: Cow<'a, str>,
    etag: Cow<'a, str>,
    ts: i64,
    ordinal: u64,
    previous_lsn: Option<u64>,
    /// Bytes of the document's text; absent for a removal.
    bytes: Option<usize>,
}

impl<'a> Committed<'a> {
    /// The record of a change.
    pub(crate) fn of(change: &'a Change) -> Self {
        Self {
            op: change.op,
            lsn: change.lsn,
            id: Cow::Borrowed(&change.id),
            key: Cow::Borrowed(&change.key),
            etag: Cow::Borrowed(&change.etag),
            ts: change.ts,
            ordinal: change.ordinal,
            previous_lsn: change.previous_lsn,
            bytes: change.document.as_ref().map(bytes::Bytes::len),
        }
    }
}

impl From<JournalError> for CosmosError {
    fn from(error: JournalError) -> Self {
        tracing::error!(%error, "the write was refused because it could not be kept");
        Self::not_kept(&error.to_string())
    }
}

impl CosmosService {
    /// Takes in what a journal holds and writes to it from now on.
    pub(crate) fn keep_in(&self, path: &Path) -> Result<(), JournalError> {
        let journal = Journal::open(path, TITLE, |record| self.take_back(&record))?;
        let journal = Arc::new(journal);
        self.store.attach(&journal);
        self.journal.get_or_init(|| journal);
        Ok(())
    }

    /// Writes a record about the account itself.
    pub(super) fn keep(&self, record: &Record<'_>) -> Result<(), JournalError> {
        self.journal.get().map_or(Ok(()), |journal| journal.append(record, &[]))
    }

    fn take_back(&self, record: &Framed) -> Result<(), String> {
        let head: Record<'_> = serde_json::from_slice(&record.head).map_err(|error| error.to_string())?;
        match head {
            Record::Account { all_versions, multiple_write_locations } => {
                self.put_account(all_versions, multiple_write_locations);
            }
            Record::Clock { offset_ms } => self.clock.set_offset_ms(offset_ms),
            Record::Commit { number, range, changes } => {
                changes.iter().for_each(|change| self.store.etags.skip(&change.etag));
                with_state(&self.store, number, |state| take_back_commit(state, &range, changes, record))?;
            }
            Record::Split { number, range, at } => with_state(&self.store, number, |state| {
                let at = at.as_ref().try_into().map_err(|_| format!("{at:?} is no effective partition key"))?;
                state.split(&range, Some(at)).map(|_| ()).map_err(|error| error.to_string())
            })?,
            Record::Merge { number, ranges } => {
                with_state(&self.store, number, |state| {
                    state.merge(&ranges).map(|_| ()).map_err(|error| error.to_string())
                })?;
            }
            Record::Retention { number, seconds } => with_state(&self.store, number, |state| {
                state.set_retention(seconds).map_err(|error| error.to_string())
            })?,
            Record::Database { .. }
            | Record::DatabaseGone { .. }
            | Record::Container { .. }
            | Record::ContainerReplaced { .. }
            | Record::ContainerGone { .. } => {
                self.store.take_back(head).map_err(|error| error.message)?;
            }
        }
        Ok(())
    }
}

/// Works on a container's contents; a container that is gone by now needs nothing any more.
fn with_state(
    store: &Store,
    number: ContainerNumbers,
    work: impl FnOnce(&mut State) -> Result<(), String>,
) -> Result<(), String> {
    store.numbered(number).map_or(Ok(()), |container| work(&mut container.state()))
}

fn take_back_commit(
    state: &mut State,
    range: &str,
    changes: Vec<Committed<'_>>,
    record: &Framed,
) -> Result<(), String> {
    let mut from = 0;
    let mut taken = Vec::with_capacity(changes.len());
    for change in changes {
        let components = keys::parse_header(&change.key).map_err(|error| error.message)?;
        let key = state.definition.key(&components).map_err(|error| error.message)?;
        let document = match change.bytes {
            None => None,
            Some(bytes) => {
                let to = from + bytes;
                if to > record.body.len() {
                    return Err("the record ends before its documents do".to_owned());
                }
                let text = record.body.slice(from..to);
                from = to;
                // Shared with the record otherwise, of which every document would keep the whole alive.
                Some(bytes::Bytes::copy_from_slice(&text))
            }
        };
        taken.push(Change {
            seq: 0,
            range: Arc::from(range),
            lsn: change.lsn,
            op: change.op,
            id: Arc::from(change.id.as_ref()),
            key: key.text,
            epk: key.epk,
            etag: Arc::from(change.etag.as_ref()),
            ts: change.ts,
            document,
            previous_lsn: change.previous_lsn,
            ordinal: change.ordinal,
            expires_at: None,
        });
    }
    state.take_back(range, taken).map_err(|error| error.message)
}

impl Record<'_> {
    /// The entity tag that the record gave out, if any.
    pub(crate) fn etag(&self) -> Option<&str> {
        match self {
            Self::Database { etag, .. } | Self::Container { etag, .. } | Self::ContainerReplaced { etag, .. } => {
                Some(etag)
            }
            _ => None,
        }
    }
}
