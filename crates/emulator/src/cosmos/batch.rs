//! Batches: up to a hundred operations in one request.
//!
//! An atomic batch is one transaction on one partition key, all or nothing. Any other, which clients call bulk, is a
//! series of operations on keys of their own, each a transaction by itself.

mod results;

use std::collections::HashMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Call;
use super::errors::CosmosError;
use super::headers;
use super::item::patch::{self, Patch};
use super::item::{self, Draft};
use super::keys::{self, Key, KeyDefinition};
use super::respond::{Position, Reply};
use super::state::{State, Write, WriteKind, Written};
use super::store::Container;
use results::{failed_dependency, refusal, success};

/// The most operations in one batch.
const OPERATIONS_MAX: usize = 100;

/// One operation, as sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation<'a> {
    operation_type: String,
    id: Option<String>,
    /// The components' JSON array, in operations of a bulk request.
    partition_key: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    #[serde(borrow)]
    resource_body: Option<&'a RawValue>,
}

/// `POST …/docs` with a batch.
pub(super) fn run(call: &Call<'_>, container: &Container) -> Result<Reply, CosmosError> {
    let operations: Vec<Operation<'_>> = serde_json::from_slice(call.body)
        .map_err(|error| CosmosError::bad_request(format!("The batch is not valid: {error}.")))?;
    if operations.is_empty() || operations.len() > OPERATIONS_MAX {
        return Err(CosmosError::bad_request(format!("A batch has between 1 and {OPERATIONS_MAX} operations.")));
    }
    let reply = if headers::flag(call.parts, "x-ms-cosmos-batch-atomic") {
        run_atomic(call, container, &operations)?
    } else {
        run_bulk(call, container, &operations)?
    };
    Ok(reply.with_paths(container))
}

fn run_atomic(call: &Call<'_>, container: &Container, operations: &[Operation<'_>]) -> Result<Reply, CosmosError> {
    let definition = &container.definition;
    let key = item::key_in(call.parts, definition, None)?;
    let mut state = container.current(call.now);
    let outcome = writes_of(operations, definition, &key, &state)
        .and_then(|writes| state.transact(&key, writes, &call.service.store.etags, call.now));
    let partition = state.partition_of(&key.epk);
    let position = Position { range: partition.id.to_string(), lsn: partition.lsn(), item_lsn: None };
    drop(state);
    let minimal = headers::wants_minimal(call.parts);
    let (status, results, charge): (_, Vec<String>, f64) = match &outcome {
        Ok(written) => {
            let results = written.iter().map(|written| success(written, minimal)).collect();
            (StatusCode::OK, results, written.iter().map(item::charge).sum())
        }
        Err((failed, error)) => {
            let result = |index| if index == *failed { refusal(error) } else { failed_dependency() };
            (StatusCode::MULTI_STATUS, (0..operations.len()).map(result).collect(), 1.0)
        }
    };
    Ok(Reply::json(status, format!("[{}]", results.join(","))).with_charge(charge).at(&position))
}

fn run_bulk(call: &Call<'_>, container: &Container, operations: &[Operation<'_>]) -> Result<Reply, CosmosError> {
    let range = headers::range_id(call.parts);
    let go_on = headers::flag(call.parts, "x-ms-cosmos-batch-continue-on-error");
    let minimal = headers::wants_minimal(call.parts);
    let mut state = container.current(call.now);
    if let Some(id) = range {
        state.partition(id)?;
    }
    let mut results = Vec::with_capacity(operations.len());
    let (mut charge, mut failures) = (0.0, 0_usize);
    for operation in operations {
        if failures > 0 && !go_on {
            results.push(failed_dependency());
            continue;
        }
        match run_one(call, container, &mut state, operation, range) {
            Ok(written) => {
                charge += item::charge(&written);
                results.push(success(&written, minimal));
            }
            Err(error) => {
                failures += 1;
                charge += 1.0;
                results.push(refusal(&error));
            }
        }
    }
    let status = if failures == 0 { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    let reply = Reply::json(status, format!("[{}]", results.join(","))).with_charge(charge);
    Ok(match range.map(|id| state.partition(id)).transpose()? {
        Some(partition) => {
            reply.at(&Position { range: partition.id.to_string(), lsn: partition.lsn(), item_lsn: None })
        }
        None => reply,
    })
}

/// Runs one operation of a bulk request as a transaction of its own.
fn run_one(
    call: &Call<'_>,
    container: &Container,
    state: &mut State,
    operation: &Operation<'_>,
    range: Option<&str>,
) -> Result<Written, CosmosError> {
    let definition = &container.definition;
    let header = operation
        .partition_key
        .as_deref()
        .ok_or_else(|| CosmosError::bad_request("An operation of a bulk request needs a partitionKey."))?;
    let key = definition.key(&keys::parse_header(header)?)?;
    if range.is_some_and(|id| *state.partition_of(&key.epk).id != *id) {
        return Err(CosmosError::bad_request(format!("Partition key {header} is not in the request's range.")));
    }
    let writes = writes_of(std::slice::from_ref(operation), definition, &key, state).map_err(|(_, error)| error)?;
    state
        .transact(&key, writes, &call.service.store.etags, call.now)
        .map_err(|(_, error)| error)?
        .pop()
        .ok_or_else(|| CosmosError::bad_request("The transaction is empty."))
}

/// What the operations of one partition key do; an error names the operation at fault by its index.
fn writes_of(
    operations: &[Operation<'_>],
    definition: &KeyDefinition,
    key: &Key,
    state: &State,
) -> Result<Vec<Write>, (usize, CosmosError)> {
    // What the operations so far leave, because a patch is computed from it; `None` is a deleted item.
    let mut texts: HashMap<String, Option<String>> = HashMap::new();
    let mut writes = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        let current = |id: &str| match texts.get(id) {
            Some(text) => text.clone(),
            None => patch::current(state, key, id),
        };
        let mut write = write_of(operation, definition, key, &current).map_err(|error| (index, error))?;
        if write.if_match.is_some() {
            let exists = current(&write.id).is_some();
            item::waive_if_new(&mut write, exists);
        }
        match &write.kind {
            WriteKind::Create(text) | WriteKind::Upsert(text) | WriteKind::Replace(text) => {
                texts.insert(write.id.clone(), Some(text.clone()));
            }
            WriteKind::Delete => {
                texts.insert(write.id.clone(), None);
            }
            WriteKind::Read => {}
        }
        writes.push(write);
    }
    Ok(writes)
}

fn write_of(
    operation: &Operation<'_>,
    definition: &KeyDefinition,
    key: &Key,
    current: &dyn Fn(&str) -> Option<String>,
) -> Result<Write, CosmosError> {
    let kind = operation.operation_type.as_str();
    let lacks = |what: &str| CosmosError::bad_request(format!("{kind} needs {what}."));
    let named = || operation.id.clone().ok_or_else(|| lacks("an id"));
    let body = || operation.resource_body.map(RawValue::get).ok_or_else(|| lacks("a resourceBody"));
    let draft = || {
        let draft = Draft::parse(body()?.as_bytes(), definition)?;
        item::check_key(key, Some(&draft))?;
        Ok::<_, CosmosError>(draft)
    };
    let (id, kind) = match kind {
        "Create" => draft().map(|draft| (draft.id, WriteKind::Create(draft.text)))?,
        "Upsert" => draft().map(|draft| (draft.id, WriteKind::Upsert(draft.text)))?,
        "Replace" => {
            let (id, draft) = (named()?, draft()?);
            if id != draft.id {
                return Err(CosmosError::bad_request("The id in the document is not the id of the operation."));
            }
            (id, WriteKind::Replace(draft.text))
        }
        "Patch" => {
            let id = named()?;
            let document = current(&id).ok_or_else(|| CosmosError::not_found(&id))?;
            let patched = Patch::parse(body()?)?.apply(&document, definition)?;
            (id, WriteKind::Replace(patched))
        }
        "Delete" => (named()?, WriteKind::Delete),
        "Read" => (named()?, WriteKind::Read),
        other => return Err(CosmosError::not_implemented(format!("Batch operation {other:?}"))),
    };
    Ok(Write { id, kind, if_match: operation.if_match.clone(), if_none_match: operation.if_none_match.clone() })
}
