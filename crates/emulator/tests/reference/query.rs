//! Queries, their plans, and reading all items.

use serde_json::json;

use crate::pair::{Ask, Pair};

const DOCS: &str = "/dbs/d/colls/queries/docs";

fn query(name: &str, text: &str) -> Ask {
    let body = json!({"query": text, "parameters": [{"name": "@n", "value": 3}]});
    Ask::post(name, DOCS, body.to_string())
        .with("x-ms-documentdb-isquery", "True")
        .with("content-type", "application/query+json")
        .with("x-ms-documentdb-query-enablecrosspartition", "True")
}

fn plan(name: &str, text: &str) -> Ask {
    let features = "NonValueAggregate, Aggregate, Distinct, MultipleOrderBy, OffsetAndLimit, OrderBy, Top, \
                    CompositeAggregate, GroupBy, MultipleAggregates";
    query(name, text)
        .with("x-ms-cosmos-is-query-plan-request", "True")
        .with("x-ms-cosmos-supported-query-features", features)
}

pub(crate) async fn ask(pair: &mut Pair) {
    pair.container("queries", &json!({"paths": ["/pk"], "kind": "Hash", "version": 2})).await;
    for number in 0..5 {
        // All under one key, where the order of a read is the order of the ids.
        let document = json!({"id": format!("i{number}"), "pk": "p", "n": number, "name": format!("Name {number}")});
        let name = format!("query: create item {number}");
        pair.ask(Ask::post(&name, DOCS, document.to_string()).key(r#"["p"]"#)).await;
    }
    select(pair).await;
    order_and_count(pair).await;
    pages(pair).await;
    plans(pair).await;
}

async fn select(pair: &mut Pair) {
    pair.ask_all([
        query("query: everything of a key", "SELECT * FROM c").key(r#"["p"]"#),
        query("query: everything of a key without items", "SELECT * FROM c").key(r#"["empty"]"#),
        query("query: everything of a range", "SELECT * FROM c").range("0"),
        query("query: everything of a range that never was", "SELECT * FROM c").range("77"),
        query("query: everything across partitions", "SELECT * FROM c"),
        query("query: some properties", "SELECT c.id, c.n, c.nothing FROM c WHERE c.n >= @n").range("0"),
        query("query: values", "SELECT VALUE c.n FROM c WHERE c.n IN (1, 2, 7)").range("0"),
        query("query: values that are not there", "SELECT VALUE c.nothing FROM c").range("0"),
        query(
            "query: functions",
            "SELECT VALUE LOWER(c.name) FROM c WHERE STARTSWITH(c.name, 'Name') AND CONTAINS(c.id, '2')",
        )
        .range("0"),
        query("query: a made object", "SELECT VALUE {twice: c.n * 2, what: c.id} FROM c WHERE c.n BETWEEN 1 AND 2")
            .range("0"),
        query(
            "query: patterns",
            "SELECT VALUE c.id FROM c WHERE c.name LIKE 'N_me%2' OR c.id LIKE '%!4' ESCAPE '!' OR c.id NOT LIKE 'i%'",
        )
        .range("0"),
        query("query: choices", "SELECT VALUE c.nothing ?? (c.n > 2 ? c.name : c.nothing ?? -c.n) FROM c").range("0"),
        query(
            "query: parts of texts",
            "SELECT LEFT(c.name, 2) a, RIGHT(c.name, 3) b, SUBSTRING(c.name, 2, 3) c, REPLACE(c.name, 'm', 'mm') d, \
             CONCAT(c.id, '-', c.pk) e, TRIM('  x ') f, LENGTH(c.name) g, LEFT(c.name, -1) h, CONCAT(c.id, c.n) i FROM c",
        )
        .range("0"),
        query(
            "query: numbers and arrays",
            "SELECT VALUE [ROUND(-c.n / 2 - 1), FLOOR(-c.n / 2 - 1), CEILING(-c.n / 2 - 1), ABS(-c.n - 1), ROUND(c.name), \
             ARRAY_LENGTH([c.n, c.name]), ARRAY_CONTAINS([1, 'a'], c.n), ARRAY_CONTAINS(c.name, 'N')] FROM c",
        )
        .range("0"),
        query("query: conditions that are not known", "SELECT VALUE c.id FROM c WHERE NOT (c.nothing = 1) OR c.n NOT IN ('1', 2)")
            .range("0"),
        query("query: whether something is defined", "SELECT VALUE c.id FROM c WHERE IS_DEFINED(c.nothing) OR c.n = 4")
            .range("0"),
        query("query: a comparison of different types", "SELECT VALUE c.id FROM c WHERE c.n > '1'").range("0"),
        query("query: null and missing", "SELECT VALUE c.id FROM c WHERE c.nothing = null OR c.nothing != 1")
            .range("0"),
        query("query: broken text", "SELEC * FROM c").range("0"),
        query("query: a parameter that is not given", "SELECT * FROM c WHERE c.n = @m").range("0"),
        query("query: an unknown function", "SELECT VALUE NOSUCH(c.n) FROM c").range("0"),
        Ask::post("query: no text", DOCS, r#"{"query":""}"#).with("x-ms-documentdb-isquery", "True").range("0"),
        Ask::post("query: no body", DOCS, "").with("x-ms-documentdb-isquery", "True").range("0"),
    ])
    .await;
}

async fn order_and_count(pair: &mut Pair) {
    pair.ask_all([
        query("query: descending order", "SELECT VALUE c.n FROM c ORDER BY c.n DESC").range("0"),
        query("query: order by a text", "SELECT c.id FROM c ORDER BY c.name").range("0"),
        query("query: order by what is not there", "SELECT c.id FROM c ORDER BY c.nothing").range("0"),
        query("query: the first two", "SELECT TOP 2 * FROM c").range("0"),
        query("query: a window", "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 1 LIMIT 2").range("0"),
        query("query: a count", "SELECT VALUE COUNT(1) FROM c").range("0"),
        query("query: a count by name", "SELECT COUNT(1) AS many FROM c WHERE c.n > 1").range("0"),
        query("query: a sum", "SELECT VALUE SUM(c.n) FROM c").range("0"),
        query("query: distinct values", "SELECT DISTINCT VALUE c.pk FROM c").range("0"),
        query("query: groups", "SELECT c.pk, COUNT(1) AS many FROM c GROUP BY c.pk").range("0"),
        query("query: a join", "SELECT VALUE t FROM c JOIN t IN c.tags").range("0"),
    ])
    .await;
}

async fn pages(pair: &mut Pair) {
    let all = "SELECT VALUE c.id FROM c";
    pair.ask_all([
        query("query: the first page", all).range("0").items_max("2"),
        query("query: the second page", all)
            .range("0")
            .items_max("2")
            .with("x-ms-continuation", "«query: the first page|x-ms-continuation»"),
        query("query: the last page", all)
            .range("0")
            .items_max("2")
            .with("x-ms-continuation", "«query: the second page|x-ms-continuation»"),
        query("query: a page from a continuation that is none", all).range("0").with("x-ms-continuation", "nonsense"),
        query("query: the first page of an order", "SELECT VALUE c.n FROM c ORDER BY c.n DESC")
            .range("0")
            .items_max("3"),
        query("query: the last page of an order", "SELECT VALUE c.n FROM c ORDER BY c.n DESC")
            .range("0")
            .items_max("3")
            .with("x-ms-continuation", "«query: the first page of an order|x-ms-continuation»"),
        query("query: pages as large as the server likes", all).range("0").items_max("-1"),
        query("query: pages of no items", all).range("0").items_max("0"),
        Ask::get("query: read all items", DOCS).range("0"),
        Ask::get("query: read the first of all items", DOCS).range("0").items_max("4"),
        Ask::get("query: read the last of all items", DOCS)
            .range("0")
            .items_max("4")
            .with("x-ms-continuation", "«query: read the first of all items|x-ms-continuation»"),
        Ask::get("query: read all items of a key", DOCS).key(r#"["p"]"#),
    ])
    .await;
}

async fn plans(pair: &mut Pair) {
    pair.ask_all([
        plan("plan: everything", "SELECT * FROM c"),
        plan("plan: one key", "SELECT * FROM c WHERE c.pk = 'p'"),
        plan("plan: two keys", "SELECT * FROM c WHERE c.pk IN ('p', 'q')"),
        plan("plan: an order", "SELECT * FROM c ORDER BY c.n DESC, c.id"),
        plan("plan: the first", "SELECT TOP 3 * FROM c"),
        plan("plan: a window", "SELECT * FROM c OFFSET 2 LIMIT 3"),
        plan("plan: a count", "SELECT VALUE COUNT(1) FROM c"),
        plan("plan: a sum by name", "SELECT SUM(c.n) AS total FROM c"),
        plan("plan: distinct values", "SELECT DISTINCT c.pk FROM c"),
        plan("plan: groups", "SELECT c.pk, COUNT(1) AS many FROM c GROUP BY c.pk"),
        plan("plan: broken text", "SELECT FROM WHERE"),
    ])
    .await;
}
