//! What a page means: which versions of which documents, in order. Pure.
//!
//! Entries become versions grouped by document, each group in the page's order, so that documents can be written in
//! parallel and each one in sequence. What cannot be understood is kept whole for a dead letter.

use std::collections::HashMap;

use bytes::Bytes;
use cosmirror_formats::{Change, KeyDefinition, MirrorPaths, Op, Operation, Version, feed_page};

use super::order::Shape;
use crate::sha256::sha256_hex;

/// What is the same for every entry of a page.
#[derive(Debug, Clone)]
pub struct Context {
    /// Names of the mirror.
    pub paths: MirrorPaths,
    /// Where documents hold their partition key.
    pub key: KeyDefinition,
    /// Resource id of the container's generation.
    pub rid: String,
    /// The sequence the LSNs belong to.
    pub lineage: String,
    /// Latest-version mode, and behind a gap: up to here the range was completely mirrored before the page was read.
    pub after: Option<i64>,
    /// A backfill's page: changes behind this LSN are left to the followed feed.
    pub backfill_until: Option<u64>,
}

/// A version that is to be stored.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Its metadata, except what depends on the version beneath.
    pub version: Version,
    /// What the feed calls it; decides the final `op` where the feed does not tell.
    pub operation: Operation,
    /// The document's bytes as delivered.
    pub body: Bytes,
    /// How many changes of its document came before it in its page.
    pub place: u32,
    /// Changes before it that are left out.
    pub left_out: Vec<Version>,
}

impl Incoming {
    /// How the change relates to its document's existence.
    pub fn shape(&self) -> Shape {
        let needs = match self.operation {
            Operation::Create => Some(false),
            Operation::Replace | Operation::Delete | Operation::Expire => Some(true),
            Operation::Write => None,
        };
        Shape { lsn: self.version.lsn, needs, leaves: !self.operation.is_delete() }
    }
}

/// One document's versions, in order.
#[derive(Debug, Clone)]
pub struct DocumentPlan {
    /// The blob's name.
    pub name: String,
    /// What to store.
    pub changes: Vec<Incoming>,
}

/// An entry that could not be understood.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// The entry's bytes.
    pub entry: Bytes,
    /// Why.
    pub reason: String,
}

/// What a page means.
#[derive(Debug, Clone, Default)]
pub struct PagePlan {
    /// Documents, in the order of their first change.
    pub documents: Vec<DocumentPlan>,
    /// What could not be understood.
    pub unreadable: Vec<Unreadable>,
    /// The newest commit time among the entries.
    pub newest_ts: Option<i64>,
}

/// Plans a page.
pub fn plan(entries: &[Bytes], context: &Context) -> PagePlan {
    let mut plan = PagePlan::default();
    let mut places: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let change = match feed_page::parse_change(entry, &context.key) {
            Ok(change) => change,
            Err(error) => {
                plan.unreadable.push(Unreadable { entry: entry.clone(), reason: error.to_string() });
                continue;
            }
        };
        plan.newest_ts = plan.newest_ts.max(Some(change.ts));
        if context.backfill_until.is_some_and(|until| change.lsn.is_some_and(|lsn| lsn > until)) {
            continue;
        }
        let name = context.paths.document(&change.pk, &change.id);
        let place = *places.entry(name.clone()).or_insert_with(|| {
            // Most documents of a page change once; room for four would cost as much as all the rest.
            plan.documents.push(DocumentPlan { name, changes: Vec::with_capacity(1) });
            plan.documents.len() - 1
        });
        let changes = &mut plan.documents[place].changes;
        let place = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        changes.push(incoming(entry, change, place, context));
    }
    plan
}

/// Tells the deletes of one document in one transaction apart: they share their LSN and have nothing else of their own.
pub fn number_deletes(changes: &mut [Incoming]) {
    let mut nth = 0;
    for at in 0..changes.len() {
        if at > 0 && changes[at - 1].version.lsn != changes[at].version.lsn {
            nth = 0;
        }
        if changes[at].operation.is_delete() {
            nth += 1;
            changes[at].version.nth = (nth > 1).then_some(nth);
        }
    }
}

fn incoming(entry: &Bytes, change: Change<'_>, place: u32, context: &Context) -> Incoming {
    let body = if change.document.is_empty() { Bytes::new() } else { entry.slice_ref(change.document.as_bytes()) };
    let op = match change.operation {
        Operation::Delete => Op::Delete,
        Operation::Expire => Op::Expire,
        _ if context.backfill_until.is_some() => Op::Backfill,
        Operation::Create => Op::Create,
        Operation::Replace | Operation::Write => Op::Replace,
    };
    Incoming {
        operation: change.operation,
        version: Version {
            op,
            ts: change.ts,
            lsn: change.lsn,
            nth: None,
            lineage: context.lineage.clone(),
            etag: change.etag,
            rid: context.rid.clone(),
            id: change.id,
            pk: change.pk,
            prev: None,
            after: context.after,
            omitted: None,
            encryption: None,
            sha256: sha256_hex(&body),
        },
        body,
        place,
        left_out: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            paths: MirrorPaths::new("", "d", "c"),
            key: KeyDefinition::new(["/pk"]),
            rid: "rid".to_owned(),
            lineage: "line".to_owned(),
            after: None,
            backfill_until: None,
        }
    }

    fn entry(id: &str, lsn: u64, operation: &str) -> Bytes {
        let metadata = format!(r#""lsn":{lsn},"crts":{}"#, 1000 + lsn);
        Bytes::from(if operation == "delete" {
            format!(
                r#"{{"current":{{}},"metadata":{{{metadata},"operationType":"delete","id":"{id}","partitionKey":["p"]}}}}"#
            )
        } else {
            format!(
                r#"{{"current":{{"id":"{id}","pk":"p","_etag":"\"{lsn}\"","_ts":1}},"metadata":{{{metadata},"operationType":"{operation}"}}}}"#
            )
        })
    }

    #[test]
    fn documents_are_grouped_and_each_keeps_its_order() {
        let entries =
            [entry("a", 1, "create"), entry("b", 2, "create"), entry("a", 3, "replace"), entry("a", 4, "delete")];
        let plan = plan(&entries, &context());
        let shape: Vec<(&str, Vec<u64>)> = plan
            .documents
            .iter()
            .map(|d| (d.name.as_str(), d.changes.iter().filter_map(|c| c.version.lsn).collect()))
            .collect();
        assert_eq!(shape, [("d/c/documents/p/a.json", vec![1, 3, 4]), ("d/c/documents/p/b.json", vec![2])]);
        assert_eq!(plan.newest_ts, Some(1004));
        assert!(plan.documents[0].changes[2].body.is_empty());
    }

    #[test]
    fn a_change_keeps_no_more_beside_its_bytes_than_the_budget_counts() {
        let plan = plan(&[entry("an-id-of-usual-length", 1_000_000, "replace")], &context());
        let document = &plan.documents[0];
        let Incoming { version, .. } = &document.changes[0];
        let texts = [&version.lineage, &version.rid, &version.id, &version.sha256].map(String::capacity);
        let own = size_of::<DocumentPlan>() + document.changes.capacity() * size_of::<Incoming>();
        // The name stands in the plan, among the lanes and in what is being written; the etag and the key are about 100 bytes.
        let kept = own + texts.iter().sum::<usize>() + 3 * document.name.capacity() + 100;
        assert!((400..super::super::page::CHANGE_BYTES as usize).contains(&kept), "{kept}");
    }

    #[test]
    fn a_backfill_leaves_later_changes_to_the_followed_feed() {
        let context = Context { backfill_until: Some(5), ..context() };
        let plan = plan(&[entry("a", 5, "create"), entry("b", 6, "create")], &context);
        assert_eq!(plan.documents.len(), 1);
        assert_eq!(plan.documents[0].changes[0].version.op, Op::Backfill);
    }

    #[test]
    fn what_cannot_be_understood_is_kept_whole() {
        let broken = Bytes::from_static(b"{\"current\":{\"id\":7}}");
        let plan = plan(&[broken.clone(), entry("a", 1, "create")], &context());
        assert_eq!(plan.unreadable[0].entry, broken);
        assert_eq!(plan.documents.len(), 1);
    }
}
