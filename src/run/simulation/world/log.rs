//! The container's documents, and what is committed to them.
//!
//! A transaction's changes share their number and their time. It may change one document several times; the order of those changes is
//! that of the log, which no reader is told.

use std::time::Duration;

use cosmirror_formats::{MirrorPaths, PartitionKey, Version};
use serde_json::json;

use super::{EPKS, World, contains};

/// What happened to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run::simulation) enum Op {
    Create,
    Replace,
    Delete,
    /// Its time to live ran out.
    Expire,
}

impl Op {
    /// Whether the document is gone by it.
    pub(in crate::run::simulation) fn is_delete(self) -> bool {
        matches!(self, Self::Delete | Self::Expire)
    }
}

/// One committed change.
#[derive(Debug)]
pub(in crate::run::simulation) struct Change {
    pub(in crate::run::simulation) document: usize,
    pub(in crate::run::simulation) lsn: u64,
    pub(in crate::run::simulation) op: Op,
    pub(in crate::run::simulation) ts: i64,
    pub(in crate::run::simulation) at: Duration,
    pub(in crate::run::simulation) etag: String,
    /// Which of the document's deletes in its transaction, from 2.
    pub(in crate::run::simulation) nth: Option<u32>,
    /// The document's text; empty for a delete.
    pub(in crate::run::simulation) text: String,
}

/// What the mirror holds of a document.
#[derive(Debug)]
pub(in crate::run::simulation) struct Kept {
    pub(in crate::run::simulation) version: Version,
    /// Which change it is; none for a tombstone by which a reconciliation says that the document is gone.
    pub(in crate::run::simulation) place: Option<usize>,
}

/// One document of the container.
#[derive(Debug)]
pub(in crate::run::simulation) struct Doc {
    pub(in crate::run::simulation) id: String,
    pub(in crate::run::simulation) pk: String,
    pub(in crate::run::simulation) epk: String,
    pub(in crate::run::simulation) exists: bool,
    /// Places in the log, in order.
    pub(in crate::run::simulation) changes: Vec<usize>,
    /// What the mirror has taken, in the order it took it.
    pub(in crate::run::simulation) stored: Vec<Kept>,
}

impl Doc {
    /// The place of the newest change that is stored.
    pub(in crate::run::simulation) fn newest_stored(&self) -> Option<usize> {
        self.stored.iter().rev().find_map(|kept| kept.place)
    }
}

impl World {
    /// Thinks of documents, some of which share their partition key.
    pub(in crate::run::simulation) fn add_documents(&mut self, count: usize, paths: &MirrorPaths) {
        for number in 0..count {
            let (pk, epk) = match self.documents.last() {
                Some(last) if self.random.u32(0..4) == 0 => (last.pk.clone(), last.epk.clone()),
                _ => (format!("p{number}"), format!("{:04X}", self.random.u32(0..EPKS))),
            };
            let id = format!("d{number}");
            let name = paths.document(&PartitionKey::from_json(&json!([pk])).unwrap(), &id);
            self.by_name.insert(name, number);
            let (changes, stored) = (Vec::new(), Vec::new());
            self.documents.push(Doc { id, pk, epk, exists: false, changes, stored });
        }
    }

    /// Commits a transaction: one change after the other of these documents, which share a partition key.
    pub(in crate::run::simulation) fn commit(&mut self, documents: &[usize]) {
        let epk = self.documents[documents[0]].epk.clone();
        let home = self.physical.iter().position(|p| contains(&p.range.range, &epk)).unwrap();
        self.physical[home].lsn += 1;
        let (lsn, ts, at) = (self.physical[home].lsn, self.now(), self.elapsed());
        for &document in documents {
            let exists = self.documents[document].exists;
            let op = match exists {
                false => Op::Create,
                // A document whose time is up goes by itself.
                true if documents.len() == 1 && self.chance(7) => Op::Expire,
                true if self.chance(20) => Op::Delete,
                true => Op::Replace,
            };
            let place = self.log.len();
            let etag = self.new_etag('e');
            let doc = &mut self.documents[document];
            let text = match op {
                Op::Delete | Op::Expire => String::new(),
                _ => format!(
                    r#"{{"id":"{}","pk":"{}","n":{place},"_rid":"r","_etag":{},"_ts":{ts}}}"#,
                    doc.id,
                    doc.pk,
                    json!(etag)
                ),
            };
            let before = doc.changes.iter().map(|&place| &self.log[place]).filter(|c| c.lsn == lsn && c.at == at);
            let nth = 1 + u32::try_from(before.filter(|change| change.op.is_delete()).count()).unwrap();
            let nth = (op.is_delete() && nth > 1).then_some(nth);
            doc.exists = !op.is_delete();
            doc.changes.push(place);
            let id = doc.id.clone();
            self.log.push(Change { document, lsn, op, ts, at, etag, nth, text });
            self.physical[home].log.push(place);
            self.unstored.insert(place);
            self.note(|| format!("commit {op:?} {id} at {epk}, lsn {lsn}"));
        }
    }
}
