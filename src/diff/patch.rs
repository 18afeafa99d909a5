//! Changes as a patch after RFC 6902, which turns the first document into the second one.
//!
//! A patch works on documents; that there is none, it cannot say. Absence is `null` here: what appears is put in its place, what
//! disappears is replaced by it.

use serde::Serialize;
use serde_json::value::RawValue;

use super::text::{Json, Pointer};
use super::walk::{Change, Op};

/// One operation of a patch.
#[derive(Debug, Serialize)]
struct Operation<'a> {
    op: &'static str,
    path: &'a Pointer,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Json(Json<'a>),
    Absent,
}

/// The patch as JSON text on one line.
///
/// # Errors
/// None that can be provoked: all parts are JSON.
pub fn patch(changes: &[Change<'_>]) -> Result<Box<RawValue>, serde_json::Error> {
    let operations: Vec<Operation<'_>> = changes.iter().map(operation).collect();
    serde_json::value::to_raw_value(&operations)
}

fn operation<'a>(change: &'a Change<'_>) -> Operation<'a> {
    let gone = change.op == Op::Remove && change.path.is_root();
    let (op, value) = match gone {
        true => (Op::Replace, Some(Value::Absent)),
        false => (change.op, change.to.map(Value::Json)),
    };
    Operation { op: op.as_str(), path: &change.path, value }
}
