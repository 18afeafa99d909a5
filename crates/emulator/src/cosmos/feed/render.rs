//! The JSON of a change feed page. Documents go in as the bytes they are stored with.

use std::sync::Arc;

use super::super::change::{Change, Op};
use super::super::keys::KeyDefinition;

/// How changes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The document with `_lsn` at its end; the shape of old clients.
    Flat,
    /// `current` and partial `metadata`.
    Envelope,
    /// `current` and `metadata` with the kind of change.
    AllVersions(DeleteKeys),
}

/// How a delete's metadata writes the partition key. The service's own clients disagree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeleteKeys {
    /// By path.
    Object,
    /// The values alone.
    Array,
}

/// The page's body.
pub(super) fn body(rid: &str, changes: &[Arc<Change>], shape: Shape, definition: &KeyDefinition) -> String {
    let size: usize = changes.iter().map(|change| change.text().len() + 160).sum();
    let mut body = String::with_capacity(size + 64);
    body.push_str(&format!("{{\"_rid\":\"{rid}\",\"Documents\":["));
    for (index, change) in changes.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        match shape {
            Shape::Flat => push_flat(&mut body, change),
            Shape::Envelope => {
                body.push_str("{\"current\":");
                body.push_str(change.text());
                body.push_str(&format!(",\"metadata\":{{\"lsn\":{},\"crts\":{}}}}}", change.lsn, change.ts));
            }
            Shape::AllVersions(keys) => push_version(&mut body, change, keys, definition),
        }
    }
    body.push_str(&format!("],\"_count\":{}}}", changes.len()));
    body
}

fn push_flat(body: &mut String, change: &Change) {
    let text = change.text();
    // Stored documents have properties and end with their brace.
    body.push_str(text.strip_suffix('}').unwrap_or(text));
    body.push_str(&format!(",\"_lsn\":{}}}", change.lsn));
}

fn push_version(body: &mut String, change: &Change, keys: DeleteKeys, definition: &KeyDefinition) {
    body.push_str("{\"current\":");
    body.push_str(if change.op.removes() { "{}" } else { change.text() });
    let operation = match change.op {
        Op::Create => "create",
        Op::Replace => "replace",
        Op::Delete | Op::Expire => "delete",
    };
    body.push_str(&format!(
        ",\"metadata\":{{\"lsn\":{},\"crts\":{},\"operationType\":\"{operation}\"",
        change.lsn, change.ts
    ));
    if let Some(previous) = change.previous_lsn {
        body.push_str(&format!(",\"previousImageLSN\":{previous}"));
    }
    if change.op == Op::Expire {
        body.push_str(",\"timeToLiveExpired\":true");
    }
    if change.op.removes() {
        let id = serde_json::Value::from(&*change.id);
        let key = match keys {
            DeleteKeys::Object => definition.named(&change.key),
            DeleteKeys::Array => change.key.to_string(),
        };
        body.push_str(&format!(",\"id\":{id},\"partitionKey\":{key}"));
    }
    body.push_str("}}");
}
