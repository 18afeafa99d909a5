//! Containers: create, read, list, query, replace, delete.

use http::StatusCode;
use serde_json::Value;

use super::Call;
use super::database::{describe, list_page, object_in};
use super::errors::CosmosError;
use super::headers;
use super::query;
use super::respond::Reply;

/// `POST /dbs/{database}/colls`.
pub(super) fn create(call: &Call<'_>, database: &str) -> Result<Reply, CosmosError> {
    let container = call.service.store.create_container(database, object_in(call)?, 1, call.now)?;
    Ok(describe(StatusCode::CREATED, &container.describe()))
}

/// `GET /dbs/{database}/colls/{name}`.
pub(super) fn read(call: &Call<'_>, database: &str, name: &str) -> Result<Reply, CosmosError> {
    let container = call.service.store.addressed_container(database, name)?;
    container.check_intended(call.parts)?;
    Ok(describe(StatusCode::OK, &container.describe()))
}

/// `GET /dbs/{database}/colls`.
pub(super) fn list(call: &Call<'_>, database: &str) -> Result<Reply, CosmosError> {
    let (rid, descriptions) = descriptions(call, database)?;
    list_page(call, "DocumentCollections", &rid, descriptions)
}

/// `POST /dbs/{database}/colls` with a query.
pub(super) fn query(call: &Call<'_>, database: &str) -> Result<Reply, CosmosError> {
    let (rid, descriptions) = descriptions(call, database)?;
    query::run_over(call, "DocumentCollections", &rid, &descriptions)
}

/// `PUT /dbs/{database}/colls/{name}`.
pub(super) fn replace(call: &Call<'_>, database: &str, name: &str) -> Result<Reply, CosmosError> {
    let container = call.service.store.addressed_container(database, name)?;
    let if_match = headers::text(call.parts, headers::IF_MATCH);
    let etag = call.service.store.etags.next(call.now);
    container.replace(object_in(call)?, if_match, etag, call.now)?;
    Ok(describe(StatusCode::OK, &container.describe()))
}

/// `DELETE /dbs/{database}/colls/{name}`.
pub(super) fn delete(call: &Call<'_>, database: &str, name: &str) -> Result<Reply, CosmosError> {
    call.service.store.delete_container(database, name)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn descriptions(call: &Call<'_>, database: &str) -> Result<(String, Vec<Value>), CosmosError> {
    let (rid, containers) = call.service.store.containers(database)?;
    Ok((rid, containers.iter().map(|container| container.describe()).collect()))
}
