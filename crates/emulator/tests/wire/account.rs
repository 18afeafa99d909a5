//! Accounts, databases, containers and their ranges.

use serde_json::json;

use crate::support::{sign, start};

#[tokio::test]
async fn the_account_points_back_at_the_address_the_client_used() {
    let emulator = start().await;
    let account = emulator.send("GET", "/", &[], "").await;
    assert_eq!(account.status, 200, "{}", account.text);
    let location = &account.json()["writableLocations"][0]["databaseAccountEndpoint"];
    assert_eq!(location, &json!(emulator.endpoint()));
    emulator.stop().await;
}

#[tokio::test]
async fn several_write_regions_are_told_of_and_the_other_setting_stays() {
    let emulator = start().await;
    let several = async || emulator.send("GET", "/", &[], "").await.json()["enableMultipleWriteLocations"].clone();
    assert_eq!(several().await, json!(false));
    emulator.control("POST", "account", r#"{"multipleWriteLocations":true}"#).await;
    emulator.control("POST", "account", r#"{"allVersions":false}"#).await;
    assert_eq!(several().await, json!(true));
    emulator.stop().await;
}

#[tokio::test]
async fn a_request_signed_with_another_key_is_refused_with_a_message() {
    let emulator = start().await;
    let wrong = sign("GET", &["dbs"], "d3Jvbmc=");
    for authorization in [wrong.as_str(), "type%3Daad%26ver%3D1.0%26sig%3Dabc", "garbage"] {
        let refused = emulator.raw("GET", "/dbs", &[("authorization", authorization)], "").await.unwrap();
        assert_eq!(refused.status, 401);
        assert_eq!(refused.json()["code"], "Unauthorized");
        assert!(!refused.json()["message"].as_str().unwrap().is_empty());
    }
    let unsigned = emulator.raw("GET", "/dbs", &[], "").await.unwrap();
    assert_eq!(unsigned.status, 401);
}

#[tokio::test]
async fn databases_and_containers_live_and_die() {
    let emulator = start().await;
    let database = emulator.send("POST", "/dbs", &[], r#"{"id":"d"}"#).await;
    assert_eq!(database.status, 201);
    assert_eq!(emulator.send("POST", "/dbs", &[], r#"{"id":"d"}"#).await.status, 409);
    assert_eq!(emulator.send("GET", "/dbs/d", &[], "").await.json(), database.json());
    assert_eq!(emulator.send("GET", "/dbs/", &[], "").await.json()["Databases"], json!([database.json()]));

    let description = r#"{"id":"c","partitionKey":{"paths":["/pk"]},"uniqueKeyPolicy":{"uniqueKeys":[]},"x":[1]}"#;
    let container = emulator.send("POST", "/dbs/d/colls", &[], description).await;
    assert_eq!(container.status, 201);
    assert_eq!(container.json()["x"], json!([1]), "unknown properties are kept");
    assert_eq!(container.json()["partitionKey"], json!({"paths":["/pk"],"kind":"Hash"}));
    assert_eq!(emulator.send("POST", "/dbs/d/colls", &[], description).await.status, 409);
    let listed = emulator.send("GET", "/dbs/d/colls", &[], "").await;
    assert_eq!(listed.json()["DocumentCollections"], json!([container.json()]));

    let body = r#"{"id":"c","partitionKey":{"paths":["/pk"]},"defaultTtl":60}"#;
    let replaced = emulator.send("PUT", "/dbs/d/colls/c", &[], body).await;
    assert_eq!((replaced.status, &replaced.json()["defaultTtl"]), (200, &json!(60)));
    let other_key = r#"{"id":"c","partitionKey":{"paths":["/other"]}}"#;
    assert_eq!(emulator.send("PUT", "/dbs/d/colls/c", &[], other_key).await.status, 400);

    assert_eq!(emulator.send("DELETE", "/dbs/d/colls/c", &[], "").await.status, 204);
    assert_eq!(emulator.send("GET", "/dbs/d/colls/c", &[], "").await.status, 404);
    let again = emulator.send("POST", "/dbs/d/colls", &[], description).await;
    assert_ne!(again.json()["_rid"], container.json()["_rid"], "a recreated container is another one");
    assert_eq!(emulator.send("DELETE", "/dbs/d", &[], "").await.status, 204);
    let orphan = emulator.send("GET", "/dbs/d/colls/c", &[], "").await;
    assert_eq!((orphan.status, orphan.substatus()), (404, "1003"));
}

#[tokio::test]
async fn resources_answer_to_their_resource_ids() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    let container = emulator.send("GET", "/dbs/d/colls/c", &[], "").await.json();
    let database = emulator.send("GET", "/dbs/d", &[], "").await.json();
    let (database, container_rid) = (database["_rid"].as_str().unwrap(), container["_rid"].as_str().unwrap());
    let path = format!("/dbs/{database}/colls/{container_rid}");
    assert_eq!(emulator.send("GET", &path, &[], "").await.json(), container);
    assert_eq!(emulator.send("GET", &format!("{path}/pkranges"), &[], "").await.status, 200);
    let stale = [("x-ms-cosmos-intended-collection-rid", "AAAAAYAAAAE=")];
    let refused = emulator.send("GET", "/dbs/d/colls/c/docs", &stale, "").await;
    assert_eq!((refused.status, refused.substatus()), (400, "1024"));
}

#[tokio::test]
async fn ranges_are_a_feed_that_ends_with_not_modified() {
    let emulator = start().await;
    let seed = r#"{"database":"d","container":"c","count":0,"partitions":2}"#;
    assert_eq!(emulator.control("POST", "seed", seed).await.status, 200);
    let first = emulator.send("GET", "/dbs/d/colls/c/pkranges", &[("a-im", "Incremental Feed")], "").await;
    let bounds: Vec<_> = first.json()["PartitionKeyRanges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|range| [range["id"].clone(), range["minInclusive"].clone(), range["maxExclusive"].clone()])
        .collect();
    let middle = format!("2{}", "0".repeat(31));
    assert_eq!(json!(bounds), json!([["0", "", middle], ["1", middle, "FF"]]));
    let known = [("a-im", "Incremental Feed"), ("if-none-match", first.header("etag"))];
    let second = emulator.send("GET", "/dbs/d/colls/c/pkranges", &known, "").await;
    assert_eq!((second.status, second.text.as_str(), second.header("etag")), (304, "", first.header("etag")));
}

#[tokio::test]
async fn what_is_missing_is_refused_by_name() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"c","partitionKey":{"paths":["/pk"],"version":2}}"#).await;
    let key = ("x-ms-documentdb-partitionkey", "[\"p\"]");
    for (verb, path, headers, named) in [
        ("POST", "/dbs/d/colls/c/sprocs", &[][..], "sprocs"),
        ("GET", "/offers", &[], "offers"),
        ("OPTIONS", "/dbs/d/colls/c/docs/1", &[key], "OPTIONS"),
    ] {
        let refused = emulator.send(verb, path, headers, "[]").await;
        assert_eq!((refused.status, &refused.json()["code"]), (501, &json!("NotImplemented")));
        assert!(refused.json()["message"].as_str().unwrap().contains(named), "{}", refused.text);
    }
}

#[tokio::test]
async fn lists_of_databases_and_containers_come_in_pages() {
    let emulator = start().await;
    emulator.create_container(r#"{"id":"ä b","partitionKey":{"paths":["/pk"]}}"#).await;
    for id in ["c", "a", "b", "e"] {
        let description = json!({"id": id, "partitionKey": {"paths": ["/pk"]}}).to_string();
        assert_eq!(emulator.send("POST", "/dbs/d/colls", &[], &description).await.status, 201);
        assert_eq!(emulator.send("POST", "/dbs", &[], &json!({"id": id}).to_string()).await.status, 201);
    }
    for (path, feed, all) in [
        ("/dbs", "Databases", ["a", "b", "c", "d", "e"]),
        ("/dbs/d/colls", "DocumentCollections", ["a", "b", "c", "e", "ä b"]),
    ] {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let mut headers = vec![("x-ms-max-item-count", "2")];
            headers.extend((!token.is_empty()).then_some(("x-ms-continuation", token.as_str())));
            let page = emulator.send("GET", path, &headers, "").await;
            let body = page.json();
            let listed = body[feed].as_array().unwrap();
            assert!(listed.len() <= 2 && page.header("x-ms-item-count") == listed.len().to_string());
            ids.extend(listed.iter().map(|listed| listed["id"].as_str().unwrap().to_owned()));
            token = page.header("x-ms-continuation").to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(ids, all);
    }
    assert_eq!(emulator.send("GET", "/dbs", &[("x-ms-continuation", "?")], "").await.status, 400);
}
