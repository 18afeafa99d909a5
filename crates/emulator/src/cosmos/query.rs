//! Queries over documents, pages with continuations, and the plans the SDKs ask for. The language is `cosmirror_sql`'s.

mod cursor;
mod page;
mod plan;

use std::collections::HashMap;

use cosmirror_sql::ast::Query;
use cosmirror_sql::{Fault, QueryError};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Call;
use super::errors::CosmosError;
use super::feed::reach;
use super::headers;
use super::json;
use super::respond::{Position, Reply};
use super::store::Container;
use cursor::Cursor;
use page::{Resume, Rows};

pub(super) use plan::plan;

impl From<QueryError> for CosmosError {
    fn from(error: QueryError) -> Self {
        match error.fault {
            Fault::Unsupported(_) | Fault::UnknownFunction(_) => {
                Self::not_implemented(format!("In a query, {}", error.fault))
            }
            _ => Self::bad_request(error.to_string()),
        }
    }
}

/// The body of a query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    query: String,
    #[serde(default, borrow)]
    parameters: Vec<Parameter<'a>>,
    #[serde(default)]
    resume_filter: Option<Resume>,
}

#[derive(Deserialize)]
struct Parameter<'a> {
    name: String,
    /// Absent for an undefined value.
    #[serde(default, borrow, deserialize_with = "json::present")]
    value: Option<&'a RawValue>,
}

/// `POST …/docs` with a query.
pub(super) fn run(call: &Call<'_>, container: &Container) -> Result<Reply, CosmosError> {
    let (query, spec) = parse(call)?;
    serve(call, container, &query, &spec.query, spec.resume_filter)
}

/// `GET …/docs` without `A-IM`: all items.
pub(super) fn read_all(call: &Call<'_>, container: &Container) -> Result<Reply, CosmosError> {
    const EVERYTHING: &str = "SELECT * FROM c";
    let query = cosmirror_sql::parse(EVERYTHING, &HashMap::new())?;
    serve(call, container, &query, EVERYTHING, None)
}

/// Runs a query over descriptions of databases or containers.
pub(super) fn run_over(
    call: &Call<'_>,
    feed: &str,
    rid: &str,
    descriptions: &[serde_json::Value],
) -> Result<Reply, CosmosError> {
    let (query, _) = parse(call)?;
    let texts: Vec<String> = descriptions.iter().map(ToString::to_string).collect();
    let rows = page::all_rows(&query, texts.iter().map(String::as_str));
    Ok(reply(feed, rid, &rows))
}

/// Whether a condition, as `FROM c WHERE …`, holds of a document.
pub(super) fn holds(condition: &str, document: &str) -> Result<bool, CosmosError> {
    let query = cosmirror_sql::parse(&format!("SELECT * {condition}"), &HashMap::new())?;
    Ok(page::matches(&query, document))
}

fn parse<'a>(call: &Call<'a>) -> Result<(Query, Spec<'a>), CosmosError> {
    let spec = spec(call)?;
    Ok((cosmirror_sql::parse(&spec.query, &parameters(&spec))?, spec))
}

fn spec<'a>(call: &Call<'a>) -> Result<Spec<'a>, CosmosError> {
    serde_json::from_slice(call.body)
        .map_err(|error| CosmosError::bad_request(format!("The query's body is not valid: {error}.")))
}

fn parameters(spec: &Spec<'_>) -> HashMap<String, String> {
    spec.parameters
        .iter()
        .filter_map(|parameter| Some((parameter.name.clone(), parameter.value?.get().to_owned())))
        .collect()
}

fn serve(
    call: &Call<'_>,
    container: &Container,
    query: &Query,
    text: &str,
    resume: Option<Resume>,
) -> Result<Reply, CosmosError> {
    let items_max = headers::page_items(call.parts)?;
    let cursor = headers::text(call.parts, headers::CONTINUATION).map(Cursor::decode).transpose()?;
    let state = container.current(call.now);
    let (partitions, scope) = reach(call.parts, &state)?;
    let global =
        !query.order_by.is_empty() || query.aggregates() || query.top.is_some() || query.offset_limit.is_some();
    if partitions.len() > 1 && global {
        return Err(CosmosError::needs_query_plan(plan::plan_of(query, text)?));
    }
    let rows = page::rows(query, &partitions, &scope, cursor, resume, items_max)?;
    let reply = reply("Documents", &state.numbers.rid(), &rows)
        .with_charge(2.0 + 0.5 * rows.texts.len() as f64)
        .with_paths(container);
    Ok(match partitions[..] {
        [partition] => reply.at(&Position { range: partition.id.to_string(), lsn: partition.lsn(), item_lsn: None }),
        _ => reply.with_session(partitions.iter().map(|partition| (&*partition.id, partition.lsn()))),
    })
}

fn reply(feed: &str, rid: &str, rows: &Rows) -> Reply {
    let count = rows.texts.len();
    let body = format!("{{\"_rid\":\"{rid}\",\"{feed}\":[{}],\"_count\":{count}}}", rows.texts.join(","));
    let reply = Reply::json(StatusCode::OK, body).with_count(count);
    match &rows.next {
        Some(cursor) => reply.with(headers::CONTINUATION, cursor.encode()),
        None => reply,
    }
}
