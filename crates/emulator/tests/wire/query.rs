//! Queries over the wire: by range, by key, over several ranges, in pages, and their plans.

use azure_data_cosmos_driver::models::{CosmosOperation, FeedRange, MaxItemCountHint, PartitionKey};
use azure_data_cosmos_driver::options::PlanOptions;
use serde_json::{Value, json};

use crate::support::{Answer, Driver, Running, start};

const DOCS: &str = "/dbs/d/colls/c/docs";
const QUERY: (&str, &str) = ("x-ms-documentdb-isquery", "True");

async fn seeded(partitions: u32) -> Running {
    let emulator = start().await;
    let seed =
        json!({"database": "d", "container": "c", "count": 50, "keys": 5, "partitions": partitions, "bytes": 300});
    assert_eq!(emulator.control("POST", "seed", &seed.to_string()).await.status, 200);
    emulator
}

async fn query(emulator: &Running, headers: &[(&str, &str)], text: &str) -> Answer {
    let body = json!({"query": text, "parameters": [{"name": "@n", "value": 47}]}).to_string();
    emulator.send("POST", DOCS, &[headers, &[QUERY]].concat(), &body).await
}

fn rows(answer: &Answer) -> Vec<Value> {
    answer.json()["Documents"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
}

async fn driven(driver: &Driver, text: &str, target: Option<FeedRange>) -> Vec<Value> {
    let container = driver.resolve().await;
    let body = json!({"query": text, "parameters": [{"name": "@n", "value": 47}]}).to_string();
    let operation = CosmosOperation::query_items(container.clone(), target).with_body(body.into_bytes());
    let mut plan = driver.plan(operation).await.unwrap();
    let mut found = Vec::new();
    loop {
        let options = crate::support::text_options();
        let response = driver.driver.execute_plan(&mut plan, Some(container.clone()), options).await.unwrap();
        let Some(response) = response else { return found };
        match response.body() {
            azure_data_cosmos_driver::models::ResponseBody::Items(_) => {
                let items = response.into_body().items().unwrap();
                found.extend(items.iter().map(|item| serde_json::from_slice::<Value>(item).unwrap()));
            }
            _ => {
                let page: Value = serde_json::from_slice(&response.into_body().single().unwrap()).unwrap();
                found.extend(page["Documents"].as_array().unwrap().iter().cloned());
            }
        }
    }
}

#[tokio::test]
async fn the_driver_queries_every_range() {
    let emulator = seeded(4).await;
    let driver = emulator.driver().await;
    let everything = Some(FeedRange::full());
    assert_eq!(driven(&driver, "SELECT * FROM c", everything.clone()).await.len(), 50);
    let some = driven(&driver, "SELECT * FROM c WHERE c.n >= @n AND STARTSWITH(c.id, 'd')", everything.clone()).await;
    let mut ids: Vec<_> = some.iter().map(|document| document["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["d47", "d48", "d49"]);
    let ordered = driven(&driver, "SELECT VALUE c.n FROM c ORDER BY c.n DESC", everything.clone()).await;
    assert_eq!(ordered, (0..50).rev().map(Value::from).collect::<Vec<_>>());
    let window = driven(&driver, "SELECT c.id FROM c ORDER BY c.n OFFSET 10 LIMIT 2", everything.clone()).await;
    assert_eq!(window, [json!({"id": "d10"}), json!({"id": "d11"})]);
    assert_eq!(driven(&driver, "SELECT TOP 3 * FROM c", everything).await.len(), 3);
    let container = driver.resolve().await;
    let key = FeedRange::for_partition(PartitionKey::from("p3"), container.partition_key_definition());
    let of_key = driven(&driver, "SELECT * FROM c", Some(key)).await;
    assert!(of_key.len() == 10 && of_key.iter().all(|document| document["pk"] == "p3"));
    emulator.stop().await;
}

#[tokio::test]
async fn an_ordered_query_of_the_driver_resumes_from_its_token() {
    let emulator = seeded(3).await;
    let driver = emulator.driver().await;
    let container = driver.resolve().await;
    let body = br#"{"query":"SELECT VALUE c.n FROM c ORDER BY c.pk DESC"}"#.to_vec();
    let operation = || {
        CosmosOperation::query_items(container.clone(), Some(FeedRange::full()))
            .with_body(body.clone())
            .with_max_item_count(MaxItemCountHint::Limit(7.try_into().unwrap()))
    };
    let options = crate::support::text_options();
    let mut found: Vec<Value> = Vec::new();
    let mut token = None;
    loop {
        let planned = PlanOptions::default();
        let mut plan = driver.driver.plan_operation(operation(), &options, token.as_ref(), &planned).await.unwrap();
        let page = driver.driver.execute_plan(&mut plan, Some(container.clone()), options.clone()).await.unwrap();
        let Some(page) = page else { break };
        let items = page.into_body().items().unwrap();
        found.extend(items.iter().map(|item| serde_json::from_slice::<Value>(item).unwrap()));
        if found.len() == 50 {
            break;
        }
        token = Some(plan.to_continuation_token().unwrap());
    }
    let keys: Vec<u64> = found.iter().map(|n| n.as_u64().unwrap() % 5).collect();
    assert!(keys.is_sorted_by(|left, right| left >= right), "{keys:?}");
    let mut numbers: Vec<u64> = found.iter().map(|n| n.as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_ends_with_a_continuation_until_the_last() {
    let emulator = seeded(3).await;
    let mut headers = vec![("x-ms-max-item-count", "7".to_owned())];
    let mut ids = Vec::new();
    loop {
        let sent: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page = query(&emulator, &sent, "SELECT VALUE c.id FROM c").await;
        assert!(rows(&page).len() <= 7);
        ids.extend(rows(&page));
        match page.header("x-ms-continuation") {
            "" => break,
            token => headers = vec![("x-ms-max-item-count", "7".to_owned()), ("x-ms-continuation", token.to_owned())],
        }
    }
    assert_eq!(ids.len(), 50);
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 50);
    let feed = emulator.send("GET", DOCS, &[("x-ms-max-item-count", "-1")], "").await;
    assert_eq!(rows(&feed).len(), 50);
}

#[tokio::test]
async fn an_ordered_page_resumes_after_its_last_row_though_rows_are_deleted() {
    let emulator = seeded(1).await;
    let text = "SELECT VALUE c.id FROM c ORDER BY c.pk DESC";
    let first = query(&emulator, &[("x-ms-max-item-count", "12")], text).await;
    let key = [("x-ms-documentdb-partitionkey", "[\"p4\"]")];
    assert_eq!(emulator.send("DELETE", &format!("{DOCS}/d4"), &key, "").await.status, 204);
    let token = first.header("x-ms-continuation").to_owned();
    let rest = query(&emulator, &[("x-ms-continuation", &token)], text).await;
    let mut all = rows(&first);
    assert_eq!(all[..2], [json!("d49"), json!("d44")], "ties follow the direction");
    all.extend(rows(&rest));
    all.sort_by_key(ToString::to_string);
    all.dedup();
    assert_eq!(all.len(), 50);
}

#[tokio::test]
async fn one_key_can_be_asked_for_anything() {
    let emulator = seeded(4).await;
    let key = ("x-ms-documentdb-partitionkey", "[\"p2\"]");
    for (text, expected) in [
        ("SELECT VALUE COUNT(1) FROM c", json!([10])),
        ("SELECT COUNT(1) AS n FROM c WHERE c.n > 20", json!([{"n": 6}])),
        ("SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n DESC", json!([47, 42])),
        ("SELECT VALUE c.n FROM c WHERE c.n IN (2, @n, 48) ORDER BY c.n", json!([2, 47])),
        ("SELECT VALUE c.n FROM c WHERE c.id LIKE 'd_7' AND (c.missing ?? c.n) > 20 ORDER BY c.n", json!([27, 37, 47])),
        ("SELECT r.id, r.n AS number FROM root r WHERE r.n = 7", json!([{"id": "d7", "number": 7}])),
        ("SELECT VALUE c.missing FROM c", json!([])),
        ("SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 8 LIMIT 5", json!([42, 47])),
    ] {
        let answer = query(&emulator, &[key], text).await;
        assert_eq!(json!(rows(&answer)), expected, "{text}");
    }
}

#[tokio::test]
async fn a_parameter_may_be_null() {
    // Read as an `Option`, null was an absent value, and the query was refused.
    let emulator = seeded(1).await;
    let body = r#"{"query":"SELECT VALUE @a FROM c WHERE c.id = 'd1'","parameters":[{"name":"@a","value":null}]}"#;
    let answer = emulator.send("POST", DOCS, &[QUERY], body).await;
    assert_eq!(rows(&answer), [Value::Null], "{}", answer.text);
}

#[tokio::test]
async fn what_a_query_cannot_is_said() {
    let emulator = seeded(2).await;
    for (text, status, named) in [
        ("SELECT DISTINCT c.a FROM c", 501, "DISTINCT"),
        ("SELECT * FROM c WHERE ST_DISTANCE(c.a, c.b) < 1", 501, "ST_DISTANCE"),
        ("SELEKT * FROM c", 400, "SELECT is expected"),
        ("SELECT * FROM c WHERE x.y = 1", 400, "Identifier 'x'"),
        ("SELECT * FROM c ORDER BY c.n", 400, "query plan"),
        ("SELECT VALUE t FROM c JOIN t IN c.tags", 501, "JOIN"),
    ] {
        let answer = query(&emulator, &[], text).await;
        assert_eq!(answer.status, status, "{text}");
        assert!(answer.text.contains(named), "{text}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_query_that_needs_a_plan_is_refused_with_it() {
    // The JavaScript SDK takes 400/1004 for an error of the query unless the body has additionalErrorInfo.
    let emulator = seeded(2).await;
    let refused = query(&emulator, &[], "SELECT VALUE COUNT(1) FROM c").await;
    assert_eq!((refused.status, refused.substatus()), (400, "1004"));
    let plan: Value = serde_json::from_str(refused.json()["additionalErrorInfo"].as_str().unwrap()).unwrap();
    assert_eq!(plan["queryInfo"]["aggregates"], json!(["Count"]));
    let summed = query(&emulator, &[], "SELECT COUNT(1) AS n FROM c").await;
    assert_eq!(summed.status, 501, "{}", summed.text);
}

#[tokio::test]
async fn a_page_over_several_ranges_tells_the_session_of_each() {
    let emulator = seeded(3).await;
    let token = query(&emulator, &[], "SELECT * FROM c").await.header("x-ms-session-token").to_owned();
    let ranges: Vec<_> = token.split(',').map(|token| token.split(':').next().unwrap()).collect();
    assert_eq!(ranges, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_continuation_goes_on_over_splits_and_merges() {
    for text in ["SELECT VALUE c.n FROM c", "SELECT VALUE c.n FROM c ORDER BY c.n"] {
        let emulator = seeded(2).await;
        let topology = emulator.send("GET", "/dbs/d/colls/c/pkranges", &[], "").await.json();
        let first = topology["PartitionKeyRanges"][0]["id"].as_str().unwrap().to_owned();
        let range = |id: &str| ("x-ms-documentdb-partitionkeyrangeid", id.to_owned());
        let page = |headers: Vec<(&'static str, String)>| {
            let emulator = &emulator;
            async move {
                let sent: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                query(emulator, &sent, text).await
            }
        };
        let whole = page(vec![range(&first)]).await;
        let started = page(vec![range(&first), ("x-ms-max-item-count", "3".to_owned())]).await;
        let token = ("x-ms-continuation", started.header("x-ms-continuation").to_owned());
        let split = json!({"database": "d", "container": "c", "range": first}).to_string();
        let children = emulator.control("POST", "split", &split).await;
        assert_eq!(children.status, 200, "{}", children.text);
        assert_eq!(page(vec![range(&first), token.clone()]).await.substatus(), "1002");
        let topology = emulator.send("GET", "/dbs/d/colls/c/pkranges", &[], "").await.json();
        let ids: Vec<String> =
            (0..3).map(|at| topology["PartitionKeyRanges"][at]["id"].as_str().unwrap().to_owned()).collect();

        let mut found = rows(&started);
        for child in &ids[..2] {
            found.extend(rows(&page(vec![range(child), token.clone()]).await));
        }
        assert_eq!(sorted(found), sorted(rows(&whole)), "{text} over a split");

        let merge = json!({"database": "d", "container": "c", "ranges": ids}).to_string();
        let merged = emulator.control("POST", "merge", &merge).await;
        assert_eq!(merged.status, 200, "{}", merged.text);
        let topology = emulator.send("GET", "/dbs/d/colls/c/pkranges", &[], "").await.json();
        let merged = topology["PartitionKeyRanges"][0]["id"].as_str().unwrap().to_owned();
        let mut found = rows(&started);
        found.extend(rows(&page(vec![range(&merged), token]).await));
        assert_eq!(sorted(found), sorted(rows(&whole)), "{text} over a merge, with the rows of the old range alone");
    }
}

fn sorted(rows: Vec<Value>) -> Vec<u64> {
    let mut numbers: Vec<u64> = rows.iter().map(|row| row.as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_plan_request_gets_a_plan() {
    let emulator = seeded(2).await;
    let headers = [("x-ms-cosmos-is-query-plan-request", "True")];
    let plan = emulator.send("POST", DOCS, &headers, r#"{"query":"SELECT * FROM c ORDER BY c.id DESC"}"#).await;
    assert_eq!(plan.status, 200, "{}", plan.text);
    let plan = plan.json();
    assert_eq!(plan["partitionedQueryExecutionInfoVersion"], 2);
    assert_eq!(plan["queryInfo"]["orderBy"], json!(["Descending"]));
    assert_eq!(plan["queryRanges"][0]["max"], "FF");
}

#[tokio::test]
async fn databases_and_containers_can_be_queried() {
    let emulator = seeded(1).await;
    let body = r#"{"query":"SELECT * FROM root r WHERE r.id = @id","parameters":[{"name":"@id","value":"c"}]}"#;
    let found = emulator.send("POST", "/dbs/d/colls", &[QUERY], body).await;
    assert_eq!(found.json()["DocumentCollections"][0]["id"], "c");
    let none = emulator.send("POST", "/dbs", &[QUERY], body).await;
    assert_eq!(none.json()["Databases"], json!([]));
}
