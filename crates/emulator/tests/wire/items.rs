//! Items: conflicts, preconditions, exact bytes, partition keys, batches.

use azure_data_cosmos_driver::models::{CosmosOperation, ItemReference, PartitionKey, Precondition};
use serde_json::{Value, json};

use crate::support::{start, status};

const CONTAINER: &str = r#"{"id":"c","partitionKey":{"paths":["/pk"],"kind":"Hash","version":2}}"#;
const DOCS: &str = "/dbs/d/colls/c/docs";

#[tokio::test]
async fn a_document_keeps_the_bytes_it_was_sent_with() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let container = driver.container(CONTAINER).await;
    let sent = "{ \"z\" : 1.10,\"id\":\"1\",\"big\":12345678901234567890123,\"pk\":\"p\",\t\"n\":{\"a\":1,\"a\":2},\"u\":\"\\u00e9é\"}";
    driver.upsert(&container, "p".into(), "1", sent).await;
    let read = driver.read(&container, "p".into(), "1").await;
    assert_eq!(read[..sent.len()], format!("{},", &sent[..sent.len() - 1]));
    let system: Value = serde_json::from_str(&format!("{{{}", &read[sent.len()..])).unwrap();
    assert_eq!(system.as_object().unwrap().len(), 5, "{system}");

    // Sent back as it was read, it is the same document again.
    driver.upsert(&container, "p".into(), "1", &read).await;
    let again = driver.read(&container, "p".into(), "1").await;
    assert_eq!(again[..sent.len()], read[..sent.len()]);
    assert_eq!(again.len(), read.len());
    assert_ne!(again, read, "a new version has a new entity tag");
    emulator.stop().await;
}

#[tokio::test]
async fn conflicts_and_preconditions_are_told() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let container = driver.container(CONTAINER).await;
    let item = ItemReference::from_name(&container, PartitionKey::from("p"), "1");
    let body = br#"{"id":"1","pk":"p"}"#.to_vec();
    let created = driver.run(CosmosOperation::create_item(item.clone()).with_body(body.clone())).await.unwrap();
    assert_eq!(u16::from(created.status().status_code()), 201);
    let etag = created.headers().etag.clone().unwrap();
    let twice = driver.run(CosmosOperation::create_item(item.clone()).with_body(body.clone())).await.unwrap_err();
    assert_eq!(status(&twice), 409);

    let replace = |condition: Precondition| {
        CosmosOperation::replace_item(item.clone()).with_body(body.clone()).with_precondition(condition)
    };
    driver.run(replace(Precondition::if_match(etag.clone()))).await.unwrap();
    let stale = driver.run(replace(Precondition::if_match(etag.clone()))).await.unwrap_err();
    assert_eq!(status(&stale), 412);
    let delete = CosmosOperation::delete_item(item.clone()).with_precondition(Precondition::if_match(etag));
    assert_eq!(status(&driver.run(delete).await.unwrap_err()), 412);
    driver.run(CosmosOperation::delete_item(item.clone())).await.unwrap();
    for missing in [
        CosmosOperation::delete_item(item.clone()),
        CosmosOperation::read_item(item.clone()),
        CosmosOperation::replace_item(item.clone()).with_body(body.clone()),
    ] {
        assert_eq!(status(&driver.run(missing).await.unwrap_err()), 404);
    }
}

#[tokio::test]
async fn a_reader_with_the_current_version_gets_no_body() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    let written = emulator.upsert("[\"p\"]", r#"{"id":"1","pk":"p"}"#).await;
    assert_eq!(written.status, 201);
    assert_eq!(emulator.upsert("[\"p\"]", r#"{"id":"1","pk":"p"}"#).await.status, 200);
    let key = ("x-ms-documentdb-partitionkey", "[\"p\"]");
    let read = emulator.send("GET", &format!("{DOCS}/1"), &[key], "").await;
    assert_eq!(read.json()["_etag"], read.header("etag"));
    let known = [key, ("if-none-match", read.header("etag"))];
    let unchanged = emulator.send("GET", &format!("{DOCS}/1"), &known, "").await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    let minimal = [key, ("prefer", "return=minimal")];
    let replaced = emulator.send("PUT", &format!("{DOCS}/1"), &minimal, r#"{"id":"1","pk":"p"}"#).await;
    assert_eq!((replaced.status, replaced.text.as_str()), (200, ""));
    assert!(!replaced.header("etag").is_empty());
}

#[tokio::test]
async fn every_kind_of_partition_key_finds_its_items() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let container = driver.container(CONTAINER).await;
    let keys: [(PartitionKey, &str); 6] = [
        (PartitionKey::from("ünï\"\\"), "\"ünï\\\"\\\\\""),
        (PartitionKey::from(3), "3.0"),
        (PartitionKey::try_from(-0.5).unwrap(), "-5e-1"),
        (PartitionKey::from(true), "true"),
        (PartitionKey::from(None::<String>), "null"),
        (PartitionKey::from(PartitionKey::UNDEFINED), "{\"not\":\"a scalar\"}"),
    ];
    for (index, (key, json)) in keys.iter().enumerate() {
        let document = format!("{{\"id\":\"{index}\",\"pk\":{json}}}");
        driver.upsert(&container, key.clone(), &index.to_string(), &document).await;
        assert!(
            driver.read(&container, key.clone(), &index.to_string()).await.starts_with(&document[..document.len() - 1])
        );
    }
    driver.upsert(&container, PartitionKey::UNDEFINED.into(), "none", r#"{"id":"none"}"#).await;
    driver.read(&container, PartitionKey::UNDEFINED.into(), "none").await;
    let wrong = ItemReference::from_name(&container, PartitionKey::from("other"), "x");
    let operation = CosmosOperation::upsert_item(wrong).with_body(br#"{"id":"x","pk":"p"}"#.to_vec());
    assert_eq!(status(&driver.run(operation).await.unwrap_err()), 400);
}

#[tokio::test]
async fn hierarchical_keys_need_all_their_components() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let description = r#"{"id":"c","partitionKey":{"paths":["/t","/u/v"],"kind":"MultiHash","version":2}}"#;
    let container = driver.container(description).await;
    let document = r#"{"id":"1","t":"a","u":{"v":7}}"#;
    driver.upsert(&container, PartitionKey::from(("a", 7)), "1", document).await;
    driver.read(&container, PartitionKey::from(("a", 7)), "1").await;
    let partial = [("x-ms-documentdb-partitionkey", "[\"a\"]")];
    assert_eq!(emulator.send("GET", &format!("{DOCS}/1"), &partial, "").await.status, 400);
}

#[tokio::test]
async fn hostile_ids_are_items_like_others() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    let key = ("x-ms-documentdb-partitionkey", "[\"p\"]");
    for id in ["a b", "#", "%", "100%25", "...", "a\tb", "?x=1", "é", &"☃".repeat(255), "con", "a+b", "\"'"] {
        let document = json!({"id": id, "pk": "p"}).to_string();
        let created = emulator.send("POST", DOCS, &[key], &document).await;
        assert_eq!(created.status, 201, "{id:?}: {}", created.text);
        let read = emulator.send("GET", &format!("{DOCS}/{id}"), &[key], "").await;
        assert_eq!(read.json()["id"], json!(id));
        assert_eq!(emulator.send("DELETE", &format!("{DOCS}/{id}"), &[key], "").await.status, 204);
    }
    for id in [json!("a/b"), json!("a\\b"), json!(""), json!("x".repeat(1024)), json!(5), Value::Null] {
        let refused = emulator.send("POST", DOCS, &[key], &json!({"id": id, "pk": "p"}).to_string()).await;
        assert_eq!(refused.status, 400, "{id}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_documents_are_refused() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    let key = ("x-ms-documentdb-partitionkey", "[\"p\"]");
    for body in ["", "[]", "{\"id\":\"1\",\"pk\":\"p\"", "{\"pk\":\"p\"}", "{\"id\":\"1\",\"pk\":\"p\"} {}"] {
        assert_eq!(emulator.send("POST", DOCS, &[key], body).await.status, 400, "{body:?}");
    }
    assert_eq!(emulator.send("POST", DOCS, &[], r#"{"id":"1","pk":"p"}"#).await.status, 400);
    let large = |bytes: usize| json!({"id": "1", "pk": "p", "x": "x".repeat(bytes)}).to_string();
    assert_eq!(emulator.send("POST", DOCS, &[key], &large(2_000_000)).await.status, 201);
    assert_eq!(emulator.send("POST", DOCS, &[key], &large(2 << 20)).await.status, 413);
    assert_eq!(emulator.send("POST", DOCS, &[key], &large(5 << 20)).await.status, 413);
    let mismatch = emulator.send("POST", DOCS, &[key], r#"{"id":"1","pk":"q"}"#).await;
    assert_eq!((mismatch.status, mismatch.substatus()), (400, "1001"));
    let orphan = emulator.send("POST", "/dbs/d/colls/none/docs", &[key], "{}").await;
    assert_eq!((orphan.status, orphan.substatus()), (404, "1003"));
}

#[tokio::test]
async fn binary_bodies_are_refused_with_the_way_out() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let container = driver.container(CONTAINER).await;
    let item = ItemReference::from_name(&container, PartitionKey::from("p"), "1");
    let operation = CosmosOperation::create_item(item).with_body(br#"{"id":"1","pk":"p"}"#.to_vec());
    let refused = driver.driver.execute_singleton_operation(operation, Default::default()).await.unwrap_err();
    assert_eq!(status(&refused), 400);
    assert!(format!("{refused:?}").contains("turn binary encoding off"), "{refused:?}");
}

#[tokio::test]
async fn a_batch_is_committed_whole_or_not_at_all() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    emulator.upsert("[\"p\"]", r#"{"id":"old","pk":"p"}"#).await;
    let headers = [
        ("x-ms-documentdb-partitionkey", "[\"p\"]"),
        ("x-ms-cosmos-is-batch-request", "True"),
        ("x-ms-cosmos-batch-atomic", "True"),
    ];
    let failing = r#"[{"operationType":"Create","resourceBody":{"id":"a","pk":"p"}},
        {"operationType":"Delete","id":"old"},{"operationType":"Replace","id":"none","resourceBody":{"id":"none","pk":"p"}}]"#;
    let refused = emulator.send("POST", DOCS, &headers, failing).await;
    assert_eq!(refused.status, 207);
    let codes = |text: &Value| text.as_array().unwrap().iter().map(|r| r["statusCode"].clone()).collect::<Vec<_>>();
    assert_eq!(codes(&refused.json()), [json!(424), json!(424), json!(404)]);
    let key = [headers[0]];
    assert_eq!(emulator.send("GET", &format!("{DOCS}/a"), &key, "").await.status, 404);
    assert_eq!(emulator.send("GET", &format!("{DOCS}/old"), &key, "").await.status, 200);

    let passing = r#"[{"operationType":"Create","resourceBody":{"id":"a","pk":"p","n":1.0}},
        {"operationType":"Read","id":"a"},{"operationType":"Upsert","resourceBody":{"id":"a","pk":"p","n":2.0}},
        {"operationType":"Delete","id":"old"}]"#;
    let done = emulator.send("POST", DOCS, &headers, passing).await;
    assert_eq!((done.status, codes(&done.json())), (200, vec![json!(201), json!(200), json!(200), json!(204)]));
    assert!(done.text.contains("\"n\":1.0"), "{}", done.text);
    let history = emulator.control("GET", "history?database=d&container=c", "").await.text;
    let lines: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lsns: Vec<_> = lines.iter().map(|line| (line["op"].as_str().unwrap(), line["lsn"].as_u64().unwrap())).collect();
    assert_eq!(lsns, [("create", 1), ("create", 2), ("replace", 2), ("delete", 2)]);
}

#[tokio::test]
async fn an_item_answers_to_its_resource_id() {
    let emulator = start().await;
    let driver = emulator.driver().await;
    let by_name = driver.container(CONTAINER).await;
    let described = emulator.send("GET", "/dbs/d/colls/c", &[], "").await.json();
    let rid = |resource: &Value| resource["_rid"].as_str().unwrap().to_owned();
    let options = crate::support::text_options();
    let container = driver.driver.resolve_container_by_rid(&rid(&described), options).await.unwrap();
    driver.upsert(&by_name, "p".into(), "1", r#"{"id":"1","pk":"p"}"#).await;
    let document: Value = serde_json::from_str(&driver.read(&by_name, "p".into(), "1").await).unwrap();
    let by_rid = ItemReference::from_rid(&container, PartitionKey::from("p"), rid(&document));
    let read = driver.run(CosmosOperation::read_item(by_rid.clone())).await.unwrap();
    let read: Value = serde_json::from_slice(&read.into_body().single().unwrap()).unwrap();
    assert_eq!(read, document);
    driver.run(CosmosOperation::delete_item(by_rid)).await.unwrap();
}

#[tokio::test]
async fn reads_and_refusals_know_the_session() {
    let emulator = start().await;
    emulator.create_container(CONTAINER).await;
    let key = ("x-ms-documentdb-partitionkey", "[\"p\"]");
    let created = emulator.send("POST", DOCS, &[key], r#"{"id":"1","pk":"p"}"#).await;
    let token = created.header("x-ms-session-token");
    for (verb, path, body, status) in [
        ("POST", DOCS.to_owned(), r#"{"id":"1","pk":"p"}"#, 409),
        ("GET", format!("{DOCS}/none"), "", 404),
        ("DELETE", format!("{DOCS}/none"), "", 404),
    ] {
        let refused = emulator.send(verb, &path, &[key], body).await;
        assert_eq!((refused.status, refused.header("x-ms-session-token")), (status, token));
    }
    let path = format!("{DOCS}/1");
    let future = ("x-ms-session-token", "0:0#1000#0=1000");
    let refused = emulator.send("GET", &path, &[key, future], "").await;
    assert_eq!((refused.status, refused.substatus()), (404, "1002"));
    let eventual = [key, future, ("x-ms-consistency-level", "Eventual")];
    assert_eq!(emulator.send("GET", &path, &eventual, "").await.status, 200);
    let conditional = [key, ("if-match", "\"other\"")];
    assert_eq!(emulator.send("GET", &path, &conditional, "").await.status, 200, "If-Match is a condition of writes");
    let upsert = [key, ("x-ms-documentdb-is-upsert", "true"), ("if-match", "\"other\"")];
    assert_eq!(emulator.send("POST", DOCS, &upsert, r#"{"id":"1","pk":"p"}"#).await.status, 412);
    let new = emulator.send("POST", DOCS, &upsert, r#"{"id":"2","pk":"p"}"#).await;
    assert_eq!(new.status, 201, "an upsert creates what is not there, whatever its condition");
}

#[tokio::test]
async fn unique_values_are_those_of_one_item_of_a_key() {
    let emulator = start().await;
    let policy = r#"{"uniqueKeys":[{"paths":["/mail","/of/kind"]},{"paths":["/serial"]}]}"#;
    let container = |policy: &str| {
        format!(r#"{{"id":"c","partitionKey":{{"paths":["/pk"],"version":2}},"uniqueKeyPolicy":{policy}}}"#)
    };
    emulator.create_container(&container(policy)).await;
    for (key, document, status) in [
        ("p", r#"{"id":"1","pk":"p","mail":"a","of":{"kind":1},"serial":1}"#, 201),
        ("p", r#"{"id":"2","pk":"p","mail":"a","of":{"kind":1.0},"serial":2}"#, 409),
        ("p", r#"{"id":"2","pk":"p","mail":"a","of":{"kind":2},"serial":1}"#, 409),
        ("p", r#"{"id":"2","pk":"p","mail":"a","of":{"kind":2},"serial":2}"#, 201),
        ("p", r#"{"id":"2","pk":"p","mail":"a","of":{"kind":2},"serial":2,"again":true}"#, 200),
        ("q", r#"{"id":"1","pk":"q","mail":"a","of":{"kind":1},"serial":1}"#, 201),
        ("q", r#"{"id":"2","pk":"q","mail":"b"}"#, 201),
        ("q", r#"{"id":"3","pk":"q","mail":"c","serial":null}"#, 409),
    ] {
        let answer = emulator.upsert(&format!("[\"{key}\"]"), document).await;
        assert_eq!(answer.status, status, "{document}: {}", answer.text);
    }
    // Within a transaction what an operation before freed is free.
    let batch = json!([
        {"operationType": "Delete", "id": "1"},
        {"operationType": "Create", "resourceBody": {"id": "4", "pk": "p", "mail": "a", "of": {"kind": 1}, "serial": 1}},
        {"operationType": "Create", "resourceBody": {"id": "5", "pk": "p", "mail": "z", "serial": 1}},
    ]);
    let headers = [
        ("x-ms-documentdb-partitionkey", "[\"p\"]"),
        ("x-ms-cosmos-is-batch-request", "True"),
        ("x-ms-cosmos-batch-atomic", "True"),
    ];
    let refused = emulator.send("POST", "/dbs/d/colls/c/docs", &headers, &batch.to_string()).await;
    let codes: Vec<_> = refused.json().as_array().unwrap().iter().map(|result| result["statusCode"].clone()).collect();
    assert_eq!((refused.status, codes), (207, vec![json!(424), json!(424), json!(409)]));
    let batch = json!([batch[0], batch[1]]);
    assert_eq!(emulator.send("POST", "/dbs/d/colls/c/docs", &headers, &batch.to_string()).await.status, 200);

    let other = emulator.send("PUT", "/dbs/d/colls/c", &[], &container(r#"{"uniqueKeys":[]}"#)).await;
    assert_eq!(other.status, 400, "unique keys cannot change");
    let bad = container(r#"{"uniqueKeys":[{"paths":["mail"]}]}"#).replace("\"c\"", "\"bad\"");
    assert_eq!(emulator.send("POST", "/dbs/d/colls", &[], &bad).await.status, 400);
}

#[tokio::test]
async fn answers_tell_how_much_a_container_holds() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    for id in 0..3 {
        emulator.upsert("[\"p\"]", &format!("{{\"id\":\"{id}\",\"pk\":\"p\"}}")).await;
    }
    let key = [("x-ms-documentdb-partitionkey", "[\"p\"]")];
    let deleted = emulator.send("DELETE", "/dbs/d/colls/c/docs/1", &key, "").await;
    assert!(deleted.header("x-ms-resource-usage").contains("documentsCount=2;"), "{:?}", deleted.headers);
    assert!(deleted.header("x-ms-resource-quota").contains("documentsCount=-1;"));
}
