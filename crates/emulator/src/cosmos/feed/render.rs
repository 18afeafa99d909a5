//! The JSON of a change feed page. Documents go in as the bytes they are stored with.

use std::io::Write;
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

/// What surrounds a document, at most, apart from a delete's id and key.
const ENVELOPE_BYTES: usize = 160;

/// The page's body.
pub(super) fn body(rid: &str, changes: &[Arc<Change>], shape: Shape, definition: &KeyDefinition) -> Vec<u8> {
    let size: usize = changes.iter().map(|change| bytes_of(change).len() + ENVELOPE_BYTES).sum();
    let mut body = Vec::with_capacity(size + ENVELOPE_BYTES);
    push(&mut body, format_args!("{{\"_rid\":\"{rid}\",\"Documents\":["));
    for (index, change) in changes.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match shape {
            Shape::Flat => push_flat(&mut body, change),
            Shape::Envelope => {
                body.extend_from_slice(b"{\"current\":");
                body.extend_from_slice(bytes_of(change));
                push(&mut body, format_args!(",\"metadata\":{{\"lsn\":{},\"crts\":{}}}}}", change.lsn, change.ts));
            }
            Shape::AllVersions(keys) => push_version(&mut body, change, keys, definition),
        }
    }
    push(&mut body, format_args!("],\"_count\":{}}}", changes.len()));
    body
}

/// The document as it is stored. It is not looked at: whether bytes are UTF-8 costs more than to copy them.
fn bytes_of(change: &Change) -> &[u8] {
    change.document.as_deref().unwrap_or_default()
}

fn push(body: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = body.write_fmt(text);
}

fn push_flat(body: &mut Vec<u8>, change: &Change) {
    let text = bytes_of(change);
    // Stored documents have properties and end with their brace.
    body.extend_from_slice(text.strip_suffix(b"}").unwrap_or(text));
    push(body, format_args!(",\"_lsn\":{}}}", change.lsn));
}

fn push_version(body: &mut Vec<u8>, change: &Change, keys: DeleteKeys, definition: &KeyDefinition) {
    body.extend_from_slice(b"{\"current\":");
    body.extend_from_slice(if change.op.removes() { b"{}" } else { bytes_of(change) });
    let operation = match change.op {
        Op::Create => "create",
        Op::Replace => "replace",
        Op::Delete | Op::Expire => "delete",
    };
    let (lsn, ts) = (change.lsn, change.ts);
    push(body, format_args!(",\"metadata\":{{\"lsn\":{lsn},\"crts\":{ts},\"operationType\":\"{operation}\""));
    if let Some(previous) = change.previous_lsn {
        push(body, format_args!(",\"previousImageLSN\":{previous}"));
    }
    if change.op == Op::Expire {
        body.extend_from_slice(b",\"timeToLiveExpired\":true");
    }
    if change.op.removes() {
        let id = serde_json::Value::from(&*change.id);
        let key = match keys {
            DeleteKeys::Object => definition.named(&change.key),
            DeleteKeys::Array => change.key.to_string(),
        };
        push(body, format_args!(",\"id\":{id},\"partitionKey\":{key}"));
    }
    body.extend_from_slice(b"}}");
}
