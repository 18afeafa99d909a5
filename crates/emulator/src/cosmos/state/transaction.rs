//! Transactions: decide every write against what the writes before it leave, then commit all or nothing.

use std::collections::HashMap;
use std::sync::Arc;

use azure_data_cosmos_driver::models::EffectivePartitionKey;
use bytes::Bytes;
use jiff::Timestamp;

use super::{Etags, State, expiry};
use crate::cosmos::change::{Change, Op};
use crate::cosmos::errors::CosmosError;
use crate::cosmos::ids;
use crate::cosmos::json;
use crate::cosmos::keys::Key;
use crate::cosmos::system_properties::{SystemProperties, append};

/// What to do with an item. Documents are texts without the service's properties.
#[derive(Debug, Clone)]
pub(crate) enum WriteKind {
    Create(String),
    Upsert(String),
    Replace(String),
    Delete,
    /// Reads the item as the transaction's writes so far leave it.
    Read,
}

/// One step of a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) id: String,
    pub(crate) kind: WriteKind,
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

/// What a step left.
#[derive(Debug, Clone)]
pub(crate) enum Written {
    /// The item is new.
    Created(Arc<Change>),
    /// The item existed.
    Replaced(Arc<Change>),
    Deleted(Arc<Change>),
    Read(Arc<Change>),
    /// The reader has this version already.
    NotModified(Arc<Change>),
}

impl Written {
    /// The change, or the version read.
    pub(crate) fn change(&self) -> &Arc<Change> {
        match self {
            Self::Created(change)
            | Self::Replaced(change)
            | Self::Deleted(change)
            | Self::Read(change)
            | Self::NotModified(change) => change,
        }
    }
}

/// What a step that changes something works with.
struct Step<'a> {
    key: &'a Key,
    etags: &'a Etags,
    now: Timestamp,
    partition: usize,
    lsn: u64,
    place: u32,
}

impl State {
    /// Runs the writes of one partition key as one transaction. A refusal names the failing write by its index, and
    /// nothing is committed.
    pub(crate) fn transact(
        &mut self,
        key: &Key,
        writes: Vec<Write>,
        etags: &Etags,
        now: Timestamp,
    ) -> Result<Vec<Written>, (usize, CosmosError)> {
        let partition = self.index_of(&key.epk);
        let lsn = self.partitions[partition].lsn() + 1;
        // Items that this transaction touched; `None` is a deleted one.
        let mut touched: HashMap<String, Option<Arc<Change>>> = HashMap::new();
        let mut written = Vec::with_capacity(writes.len());
        let mut changes: Vec<Arc<Change>> = Vec::new();
        let ordinal_before = self.ordinal;
        for (index, write) in writes.into_iter().enumerate() {
            let current = match touched.get(&write.id) {
                Some(current) => current.clone(),
                None => self.partitions[partition].get(&key.epk, &key.text, &write.id).cloned(),
            };
            let step = Step { key, etags, now, partition, lsn, place: changes.len() as u32 };
            let id = write.id.clone();
            let outcome = self.decide(&step, write, current).map_err(|error| {
                self.ordinal = ordinal_before;
                (index, error)
            })?;
            if let Written::Created(version) | Written::Replaced(version) = &outcome {
                self.unique.check(version, key, &self.partitions[partition], &touched).map_err(|error| {
                    self.ordinal = ordinal_before;
                    (index, error)
                })?;
            }
            match &outcome {
                Written::Created(change) | Written::Replaced(change) => {
                    touched.insert(id, Some(Arc::clone(change)));
                    changes.push(Arc::clone(change));
                }
                Written::Deleted(change) => {
                    touched.insert(id, None);
                    changes.push(Arc::clone(change));
                }
                Written::Read(_) | Written::NotModified(_) => {}
            }
            written.push(outcome);
        }
        // A change's place in the history follows those of its transaction before it.
        self.commit(partition, changes).map_err(|error| {
            self.ordinal = ordinal_before;
            (0, error)
        })?;
        Ok(written)
    }

    fn decide(&mut self, step: &Step<'_>, write: Write, current: Option<Arc<Change>>) -> Result<Written, CosmosError> {
        let Write { id, kind, if_match, if_none_match } = write;
        if let (Some(expected), Some(current)) = (&if_match, &current)
            && expected != "*"
            && **expected != *current.etag
        {
            return Err(CosmosError::precondition());
        }
        let unmodified = current.as_ref().is_some_and(|current| {
            if_none_match.as_deref().is_some_and(|known| known == "*" || known == &*current.etag)
        });
        match (kind, current) {
            (WriteKind::Read, Some(current)) if unmodified => Ok(Written::NotModified(current)),
            (WriteKind::Read, Some(current)) => Ok(Written::Read(current)),
            (WriteKind::Create(_), Some(_)) => Err(CosmosError::conflict(&id)),
            (WriteKind::Upsert(_) | WriteKind::Replace(_), Some(_)) if unmodified => Err(CosmosError::precondition()),
            (WriteKind::Upsert(_), None) if if_match.is_some() => Err(CosmosError::precondition()),
            (WriteKind::Create(document) | WriteKind::Upsert(document), None) => {
                self.ordinal += 1;
                let ordinal = self.ordinal;
                Ok(Written::Created(self.version(step, &id, document, ordinal, None)))
            }
            (WriteKind::Upsert(document) | WriteKind::Replace(document), Some(current)) => {
                Ok(Written::Replaced(self.version(step, &id, document, current.ordinal, Some(&current))))
            }
            (WriteKind::Delete, Some(current)) => Ok(Written::Deleted(Arc::new(Change {
                seq: self.next_seq() + u64::from(step.place),
                range: Arc::clone(&self.partitions[step.partition].id),
                lsn: step.lsn,
                op: Op::Delete,
                ts: step.now.as_second(),
                document: None,
                previous_lsn: Some(current.lsn),
                expires_at: None,
                ..Change::clone(&current)
            }))),
            (WriteKind::Read | WriteKind::Replace(_) | WriteKind::Delete, None) => Err(CosmosError::not_found(&id)),
        }
    }

    /// A new version of an item, given its ordinal and its version before. The texts of its id and key are shared with
    /// what is there: every version is kept.
    fn version(
        &self,
        step: &Step<'_>,
        id: &str,
        document: String,
        ordinal: u64,
        before: Option<&Change>,
    ) -> Arc<Change> {
        let partition = &self.partitions[step.partition];
        let (id, key) = match before {
            Some(before) => (Arc::clone(&before.id), Arc::clone(&before.key)),
            None => (Arc::from(id), partition.shared(step.key).text),
        };
        let etag = step.etags.next(step.now);
        let ts = step.now.as_second();
        let rid = ids::document_rid(self.numbers.database, self.numbers.container, ordinal);
        let self_link = format!("{}docs/{rid}/", self.numbers.self_link());
        let own_ttl = self.default_ttl.and_then(|_| ttl_of(&document));
        let expires_at = expiry(self.default_ttl, own_ttl, ts);
        let stored = append(&document, SystemProperties { rid: &rid, self_link: &self_link, etag: &etag, ts });
        Arc::new(Change {
            seq: self.next_seq() + u64::from(step.place),
            range: Arc::clone(&partition.id),
            lsn: step.lsn,
            op: if before.is_some() { Op::Replace } else { Op::Create },
            id,
            key,
            epk: EffectivePartitionKey::clone(&step.key.epk),
            etag: Arc::from(etag),
            ts,
            document: Some(Bytes::from(stored)),
            previous_lsn: before.map(|before| before.lsn),
            ordinal,
            expires_at,
        })
    }
}

/// A document's own time to live, if it is a whole number.
pub(super) fn ttl_of(document: &str) -> Option<i64> {
    json::member(document, "ttl")?.parse().ok()
}
