//! Atomic batches: up to a hundred operations on one partition key, all or nothing, in one transaction.

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Call;
use super::errors::CosmosError;
use super::headers;
use super::item::{self, Draft};
use super::keys::{Key, KeyDefinition};
use super::respond::{Position, Reply};
use super::state::{Write, WriteKind, Written};
use super::store::Container;

/// The most operations in one batch.
const OPERATIONS_MAX: usize = 100;

/// One operation, as sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation<'a> {
    operation_type: String,
    id: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    #[serde(borrow)]
    resource_body: Option<&'a RawValue>,
}

/// `POST …/docs` with a batch.
pub(super) fn run(call: &Call<'_>, container: &Container) -> Result<Reply, CosmosError> {
    if !headers::flag(call.parts, "x-ms-cosmos-batch-atomic") {
        return Err(CosmosError::not_implemented("A batch that is not atomic (bulk)"));
    }
    let operations: Vec<Operation<'_>> = serde_json::from_slice(call.body)
        .map_err(|error| CosmosError::bad_request(format!("The batch is not valid: {error}.")))?;
    if operations.is_empty() || operations.len() > OPERATIONS_MAX {
        return Err(CosmosError::bad_request(format!("A batch has between 1 and {OPERATIONS_MAX} operations.")));
    }
    let definition = &container.definition;
    let key = item::key_in(call.parts, definition, None)?;
    let count = operations.len();
    let writes = operations
        .iter()
        .enumerate()
        .map(|(index, operation)| write_of(operation, definition, &key).map_err(|error| (index, error)))
        .collect::<Result<Vec<_>, _>>();
    let mut state = container.current(call.now);
    let outcome = writes.and_then(|writes| state.transact(&key, writes, &call.service.store.etags, call.now));
    let partition = state.partition_of(&key.epk);
    let position = Position { range: partition.id.to_string(), lsn: partition.lsn(), item_lsn: None };
    drop(state);
    let minimal = headers::wants_minimal(call.parts);
    let (status, results, charge): (_, Vec<String>, f64) = match &outcome {
        Ok(written) => {
            let results = written.iter().map(|written| result_of(written, minimal)).collect();
            (StatusCode::OK, results, written.iter().map(item::charge).sum())
        }
        Err((index, error)) => (StatusCode::MULTI_STATUS, refusals(count, *index, error), 1.0),
    };
    let body = format!("[{}]", results.join(","));
    Ok(Reply::json(status, body).with_charge(charge).with_count(count).with_paths(container).at(&position))
}

fn write_of(operation: &Operation<'_>, definition: &KeyDefinition, key: &Key) -> Result<Write, CosmosError> {
    let named = || {
        operation
            .id
            .clone()
            .ok_or_else(|| CosmosError::bad_request(format!("{} needs an id.", operation.operation_type)))
    };
    let draft = || {
        let body = operation
            .resource_body
            .ok_or_else(|| CosmosError::bad_request(format!("{} needs a resourceBody.", operation.operation_type)))?;
        let draft = Draft::parse(body.get().as_bytes(), definition)?;
        item::check_key(key, Some(&draft))?;
        Ok::<_, CosmosError>(draft)
    };
    let (id, kind) = match operation.operation_type.as_str() {
        "Create" => draft().map(|draft| (draft.id, WriteKind::Create(draft.text)))?,
        "Upsert" => draft().map(|draft| (draft.id, WriteKind::Upsert(draft.text)))?,
        "Replace" => {
            let (id, draft) = (named()?, draft()?);
            if id != draft.id {
                return Err(CosmosError::bad_request("The id in the document is not the id of the operation."));
            }
            (id, WriteKind::Replace(draft.text))
        }
        "Delete" => (named()?, WriteKind::Delete),
        "Read" => (named()?, WriteKind::Read),
        other => return Err(CosmosError::not_implemented(format!("Batch operation {other:?}"))),
    };
    Ok(Write { id, kind, if_match: operation.if_match.clone(), if_none_match: operation.if_none_match.clone() })
}

fn result_of(written: &Written, minimal: bool) -> String {
    let change = written.change();
    let mut result =
        format!("{{\"statusCode\":{},\"requestCharge\":{:.2}", item::status(written).as_u16(), item::charge(written));
    if !change.op.removes() {
        result.push_str(&format!(",\"eTag\":{}", serde_json::Value::from(&*change.etag)));
    }
    let shown = matches!(written, Written::Read(_))
        || (!minimal && matches!(written, Written::Created(_) | Written::Replaced(_)));
    if shown {
        result.push_str(&format!(",\"resourceBody\":{}", change.text()));
    }
    result.push('}');
    result
}

/// The failing operation with its own status, all others with 424.
fn refusals(count: usize, failed: usize, error: &CosmosError) -> Vec<String> {
    let substatus = error.substatus.map_or_else(String::new, |substatus| format!(",\"subStatusCode\":{substatus}"));
    let own = format!("{{\"statusCode\":{},\"requestCharge\":0{substatus}}}", error.status.as_u16());
    (0..count)
        .map(|index| if index == failed { own.clone() } else { "{\"statusCode\":424,\"requestCharge\":0}".to_owned() })
        .collect()
}
