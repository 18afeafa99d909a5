//! Databases: create, read, list, query, delete.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Call;
use super::errors::CosmosError;
use super::headers;
use super::json as text;
use super::query;
use super::respond::Reply;
use super::store::name_in;

/// `POST /dbs`.
pub(super) fn create(call: &Call<'_>) -> Result<Reply, CosmosError> {
    let name = name_in(&object_in(call)?)?;
    let description = call.service.store.create_database(&name, call.now)?;
    Ok(describe(StatusCode::CREATED, &description))
}

/// `GET /dbs/{database}`.
pub(super) fn read(call: &Call<'_>, database: &str) -> Result<Reply, CosmosError> {
    Ok(describe(StatusCode::OK, &call.service.store.database(database)?))
}

/// `GET /dbs`.
pub(super) fn list(call: &Call<'_>) -> Result<Reply, CosmosError> {
    list_page(call, "Databases", "", call.service.store.databases())
}

/// A page of descriptions, which are in the order of their ids. The continuation is the last id, so that what is
/// created or deleted in between moves nothing else.
pub(super) fn list_page(
    call: &Call<'_>,
    feed: &str,
    rid: &str,
    mut descriptions: Vec<Value>,
) -> Result<Reply, CosmosError> {
    let items_max = headers::page_items(call.parts)?;
    if let Some(continuation) = headers::text(call.parts, headers::CONTINUATION) {
        let last = URL_SAFE_NO_PAD.decode(continuation).ok().and_then(|id| String::from_utf8(id).ok());
        let last = last.ok_or_else(|| CosmosError::bad_request("The continuation is not one of this emulator's."))?;
        descriptions.retain(|description| id_of(description) > last.as_str());
    }
    let more = descriptions.len() > items_max;
    descriptions.truncate(items_max);
    let count = descriptions.len();
    let last = descriptions.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(id_of(last)));
    let body = json!({ "_rid": rid, feed: descriptions, "_count": count });
    let reply = Reply::json(StatusCode::OK, body.to_string()).with_count(count);
    Ok(match last {
        Some(last) => reply.with(headers::CONTINUATION, last),
        None => reply,
    })
}

fn id_of(description: &Value) -> &str {
    description["id"].as_str().unwrap_or_default()
}

/// `POST /dbs` with a query.
pub(super) fn query(call: &Call<'_>) -> Result<Reply, CosmosError> {
    query::run_over(call, "Databases", "", &call.service.store.databases())
}

/// `DELETE /dbs/{database}`.
pub(super) fn delete(call: &Call<'_>, database: &str) -> Result<Reply, CosmosError> {
    call.service.store.delete_database(database)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// The JSON object in a request's body.
pub(super) fn object_in(call: &Call<'_>) -> Result<Map<String, Value>, CosmosError> {
    let invalid = |reason: String| CosmosError::bad_request(format!("The request body is invalid: {reason}."));
    let body = text::validate(call.body).map_err(invalid)?;
    serde_json::from_str(body).map_err(|error| invalid(error.to_string()))
}

/// A description as an answer, with its entity tag.
pub(super) fn describe(status: StatusCode, description: &Value) -> Reply {
    Reply::json(status, description.to_string()).with_etag(description["_etag"].as_str().unwrap_or_default())
}
