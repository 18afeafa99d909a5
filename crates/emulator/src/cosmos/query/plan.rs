//! Query plans: what an SDK must do with the rows of each range to answer the whole query.

use cosmirror_sql::ast::{Query, Select};
use http::StatusCode;
use serde_json::{Value, json};

use super::super::Call;
use super::super::errors::CosmosError;
use super::super::respond::Reply;
use super::{parameters, spec};

/// What the SDKs replace to resume an ORDER BY query.
const RESUME_PLACE: &str = "{documentdb-formattableorderbyquery-filter}";

/// `POST …/docs` with a request for a plan.
pub(in super::super) fn plan(call: &Call<'_>) -> Result<Reply, CosmosError> {
    let spec = spec(call)?;
    let query = cosmirror_sql::parse(&spec.query, &parameters(&spec))?;
    Ok(Reply::json(StatusCode::OK, plan_of(&query, &spec.query)?).with_count(1))
}

/// The plan as JSON.
pub(super) fn plan_of(query: &Query, text: &str) -> Result<String, CosmosError> {
    let plan = json!({
        "partitionedQueryExecutionInfoVersion": 2,
        "queryInfo": info(query, text)?,
        "queryRanges": [{ "min": "", "max": "FF", "isMinInclusive": true, "isMaxInclusive": false }],
        "hybridSearchQueryInfo": null,
    });
    Ok(plan.to_string())
}

fn info(query: &Query, text: &str) -> Result<Value, CosmosError> {
    let aggregates: &[&str] = match &query.select {
        Select::Value(value) if value.expression.aggregates() => &["Count"],
        _ if query.aggregates() => {
            return Err(CosmosError::not_implemented("In a query, a plan for COUNT without VALUE"));
        }
        _ => &[],
    };
    let order_by: Vec<_> =
        query.order_by.iter().map(|order| if order.descending { "Descending" } else { "Ascending" }).collect();
    let expressions: Vec<_> = query.order_by.iter().map(|order| &text[order.by.span.clone()]).collect();
    Ok(json!({
        "distinctType": "None",
        "top": query.top,
        "offset": query.offset_limit.map(|(offset, _)| offset),
        "limit": query.offset_limit.map(|(_, limit)| limit),
        "orderBy": order_by,
        "orderByExpressions": expressions,
        "groupByExpressions": [],
        "groupByAliases": [],
        "aggregates": aggregates,
        "groupByAliasToAggregateType": {},
        "rewrittenQuery": rewritten(query, text),
        "hasSelectValue": matches!(query.select, Select::Value(_)),
        "hasNonStreamingOrderBy": false,
        "dCountInfo": null,
    }))
}

/// The query to send to each range, empty if it is the original one.
fn rewritten(query: &Query, text: &str) -> String {
    let from = &text[query.from.clone()];
    let filter = query.filter.as_ref().map(|filter| &text[filter.span.clone()]);
    if query.aggregates() {
        let value = payload(query, text);
        let filter = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        return format!("SELECT VALUE [{{\"item\": {value}}}] {from}{filter}");
    }
    if query.order_by.is_empty() {
        // Each range must give all rows up to the end of the window; the SDK skips.
        return match (query.window, query.offset_limit) {
            (Some(window), Some((offset, limit))) => {
                format!("{} OFFSET 0 LIMIT {}", text[..window].trim_end(), offset.saturating_add(limit))
            }
            _ => String::new(),
        };
    }
    let items: Vec<String> =
        query.order_by.iter().map(|order| format!("{{\"item\": {}}}", &text[order.by.span.clone()])).collect();
    let orders: Vec<String> = query
        .order_by
        .iter()
        .map(|order| format!("{} {}", &text[order.by.span.clone()], if order.descending { "DESC" } else { "ASC" }))
        .collect();
    let filter = filter.map_or_else(|| RESUME_PLACE.to_owned(), |filter| format!("({filter}) AND {RESUME_PLACE}"));
    format!(
        "SELECT VALUE {{\"_rid\": {alias}._rid, \"orderByItems\": [{items}], \"payload\": {payload}}} {from} WHERE {filter} ORDER BY {orders}",
        alias = query.alias,
        items = items.join(", "),
        payload = payload(query, text),
        orders = orders.join(", "),
    )
}

/// What the query selects, as one expression.
fn payload(query: &Query, text: &str) -> String {
    match &query.select {
        Select::All => query.alias.clone(),
        Select::Value(value) => text[value.span.clone()].to_owned(),
        Select::List(items) => {
            let members: Vec<String> = items
                .iter()
                .map(|(name, item)| format!("{}: {}", Value::from(name.as_str()), &text[item.span.clone()]))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info_of(text: &str) -> Value {
        info(&cosmirror_sql::parse(text, &[].into()).unwrap(), text).unwrap()
    }

    #[test]
    fn an_order_by_query_is_wrapped_for_the_merge() {
        let plan = info_of("SELECT c.a, c.b x FROM c WHERE c.v > 1 OR c.w ORDER BY c.id DESC, c.a OFFSET 1 LIMIT 2");
        assert_eq!(plan["orderBy"], json!(["Descending", "Ascending"]));
        assert_eq!(plan["orderByExpressions"], json!(["c.id", "c.a"]));
        assert_eq!((&plan["offset"], &plan["limit"]), (&json!(1), &json!(2)));
        let rewritten = plan["rewrittenQuery"].as_str().unwrap();
        assert_eq!(
            rewritten,
            r#"SELECT VALUE {"_rid": c._rid, "orderByItems": [{"item": c.id}, {"item": c.a}], "payload": {"a": c.a, "x": c.b}} FROM c WHERE (c.v > 1 OR c.w) AND {documentdb-formattableorderbyquery-filter} ORDER BY c.id DESC, c.a ASC"#
        );
        assert!(cosmirror_sql::parse(&rewritten.replace(RESUME_PLACE, "true"), &[].into()).is_ok());
    }

    #[test]
    fn windows_and_counts_are_rewritten_and_plain_queries_are_not() {
        assert_eq!(info_of("SELECT * FROM c OFFSET 3 LIMIT 4")["rewrittenQuery"], "SELECT * FROM c OFFSET 0 LIMIT 7");
        let count = info_of("SELECT VALUE COUNT(1) FROM c WHERE c.a");
        assert_eq!(count["rewrittenQuery"], r#"SELECT VALUE [{"item": COUNT(1)}] FROM c WHERE c.a"#);
        assert_eq!(count["aggregates"], json!(["Count"]));
        assert_eq!(info_of("SELECT TOP 5 * FROM c")["rewrittenQuery"], "");
        assert_eq!(info_of("SELECT TOP 5 * FROM c")["top"], 5);
    }
}
