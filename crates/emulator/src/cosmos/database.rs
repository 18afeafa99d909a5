//! Databases: create, read, list, query, delete.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Call;
use super::errors::CosmosError;
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
    let databases = call.service.store.databases();
    let count = databases.len();
    let body = json!({ "_rid": "", "Databases": databases, "_count": count });
    Ok(Reply::json(StatusCode::OK, body.to_string()).with_count(count))
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
