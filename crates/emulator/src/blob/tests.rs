//! The service through its one entrance, without a network.

mod account;
mod client;
mod copying;
mod encryption;
mod immutability;
mod keeping;
mod leasing;
mod listing;
mod model;
mod tagging;

use http::StatusCode;

use super::*;
use client::Client;

#[tokio::test]
async fn what_does_not_exist_is_refused_by_its_kind() {
    let client = Client::new().await;
    assert_eq!(client.get("/b").await.refusal(), (404, "BlobNotFound"));
    assert_eq!(client.send("HEAD", "/con/b", &[], "").await.refusal(), (404, "BlobNotFound"));
    assert_eq!(client.send("DELETE", "/con/b", &[], "").await.refusal(), (404, "BlobNotFound"));
    assert_eq!(client.send("GET", "/no/b", &[], "").await.refusal(), (404, "ContainerNotFound"));
    let head = client.send("HEAD", "/no?restype=container", &[], "").await;
    assert_eq!((head.refusal(), head.body.as_str()), ((404, "ContainerNotFound"), ""));
    let again = client.send("PUT", "/con?restype=container", &[], "").await;
    assert_eq!(again.refusal(), (409, "ContainerAlreadyExists"));
}

#[tokio::test]
async fn callers_without_a_credential_or_with_a_token_are_refused() {
    let client = Client::new().await;
    let none = client.send_raw("GET", "/devstoreaccount1/con/b", &[], "").await;
    assert_eq!(none.refusal(), (401, "NoAuthenticationInformation"));
    let bearer = [("authorization", "Bearer abc")];
    let token = client.send_raw("GET", "/devstoreaccount1/con/b", &bearer, "").await;
    assert_eq!(token.refusal(), (401, "InvalidAuthenticationInfo"));
    let wrong = [("authorization", "SharedKey devstoreaccount1:AAAA")];
    let key = client.send_raw("GET", "/devstoreaccount1/con/b", &wrong, "").await;
    assert_eq!(key.refusal(), (403, "AuthenticationFailed"));
}

#[tokio::test]
async fn a_head_that_breaks_the_protocol_is_refused() {
    let client = Client::new().await;
    for version in ["nonsense", "2009-13-01"] {
        let answer = client.send("GET", "/con/b", &[("x-ms-version", version)], "").await;
        assert_eq!(answer.refusal(), (400, "InvalidHeaderValue"), "{version}");
        assert_eq!(answer.header("x-ms-version"), "");
    }
    let headers = [("x-ms-blob-type", "BlockBlob"), ("transfer-encoding", "chunked")];
    let answer = client.send("PUT", "/con/b", &headers, "of any length").await;
    assert_eq!(answer.refusal(), (411, "MissingContentLengthHeader"));
}

#[tokio::test]
async fn every_answer_carries_the_common_headers() {
    let client = Client::new().await;
    client.clock.set_offset_ms(86_400_000);
    let headers = [("x-ms-version", "2024-11-04"), ("x-ms-client-request-id", "mine")];
    let answer = client.send("GET", "/con/b", &headers, "").await;
    assert_eq!(answer.header("x-ms-version"), "2024-11-04");
    assert_eq!(answer.header("x-ms-client-request-id"), "mine");
    assert!(!answer.header("x-ms-request-id").is_empty());
    let date = time::parse_http_date(answer.header("date")).unwrap();
    let lead = client.clock.now().duration_since(date);
    assert!(lead.as_secs() < 60, "Date follows the service's clock");
}

#[tokio::test]
async fn a_write_is_read_back_with_its_properties_and_a_version_id() {
    let client = Client::new().await;
    let headers = [("x-ms-blob-type", "BlockBlob"), ("content-type", "application/json"), ("x-ms-meta-Op", "create")];
    let put = client.send("PUT", "/con/a%2Fb", &headers, "{}").await;
    assert_eq!(put.status, StatusCode::CREATED);
    for method in ["GET", "HEAD"] {
        let read = client.send(method, "/con/a/b", &[], "").await;
        assert_eq!(read.status, StatusCode::OK);
        for name in ["etag", "last-modified", "x-ms-version-id", "content-md5"] {
            assert_eq!(read.header(name), put.header(name), "{name}");
            assert!(!read.header(name).is_empty(), "{name}");
        }
        assert_eq!(read.header("content-length"), "2");
        assert_eq!(read.header("content-type"), "application/json");
        assert_eq!(read.header("x-ms-meta-op"), "create");
        assert_eq!(read.header("x-ms-is-current-version"), "true");
        assert_eq!(read.body, if method == "GET" { "{}" } else { "" });
    }
}

#[tokio::test]
async fn previous_versions_stay_readable_by_their_ids() {
    let client = Client::new().await;
    let first = client.put("b", "one").await;
    let second = client.put("b", "two").await;
    let id = first.header("x-ms-version-id");
    assert!(id < second.header("x-ms-version-id"));
    let old = client.get(&format!("/b?versionid={id}")).await;
    assert_eq!((old.body.as_str(), old.header("x-ms-is-current-version")), ("one", ""));
    assert_eq!(client.get("/b").await.body, "two");
    let unknown = client.get("/b?versionid=2020-01-01T00:00:00.0000000Z").await;
    assert_eq!(unknown.refusal(), (404, "BlobNotFound"));
    let malformed = client.get("/b?versionid=1").await;
    assert_eq!(malformed.refusal(), (400, "InvalidQueryParameterValue"));
}

#[tokio::test]
async fn conditional_requests_get_the_services_codes() {
    let client = Client::new().await;
    let etag = client.put("b", "one").await.header("etag").to_owned();
    let put = |name: &'static str, value: String| {
        let client = &client;
        async move {
            let headers = [("x-ms-blob-type", "BlockBlob"), (name, value.as_str())];
            client.send("PUT", "/con/b", &headers, "two").await
        }
    };
    assert_eq!(put("if-none-match", "*".into()).await.refusal(), (409, "BlobAlreadyExists"));
    assert_eq!(put("if-match", "\"0x1\"".into()).await.refusal(), (412, "ConditionNotMet"));
    let read = client.send("GET", "/con/b", &[("if-none-match", &etag)], "").await;
    assert_eq!((read.refusal(), read.body.as_str()), ((304, "ConditionNotMet"), ""));
    assert_eq!(put("if-match", etag.clone()).await.status, StatusCode::CREATED);
    assert_eq!(put("if-match", etag).await.refusal(), (412, "ConditionNotMet"));
    let missing = [("x-ms-blob-type", "BlockBlob"), ("if-match", "*")];
    let missing = client.send("PUT", "/con/new", &missing, "").await;
    assert_eq!(missing.refusal(), (412, "ConditionNotMet"));
}

#[tokio::test]
async fn ranges_are_cut_and_reported() {
    let client = Client::new().await;
    client.put("b", "0123456789").await;
    client.put("empty", "").await;
    let range = |path: &'static str, value: &'static str| {
        let client = &client;
        async move { client.send("GET", path, &[("range", "bytes=9-"), ("x-ms-range", value)], "").await }
    };
    let part = range("/con/b", "bytes=2-4").await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(range("/con/b", "bytes=8-99").await.header("content-range"), "bytes 8-9/10");
    let past = range("/con/b", "bytes=10-").await;
    assert_eq!(past.refusal(), (416, "InvalidRange"));
    assert_eq!(past.header("content-range"), "bytes */10");
    assert_eq!(range("/con/empty", "bytes=0-3").await.refusal(), (416, "InvalidRange"));
}

#[tokio::test]
async fn deleting_a_versioned_blob_leaves_its_versions_and_the_listing_says_so() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let id = client.put("b", "two").await.header("x-ms-version-id").to_owned();
    let root = client.send("DELETE", &format!("/con/b?versionid={id}"), &[], "").await;
    assert_eq!(root.refusal(), (403, "OperationNotAllowedOnRootBlob"));
    let deleted = client.send("DELETE", "/con/b", &[], "").await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert_eq!(client.get("/b").await.refusal(), (404, "BlobNotFound"));
    assert_eq!(client.get(&format!("/b?versionid={id}")).await.body, "two");
    assert!(client.list("").await.elements("Name").is_empty());
    assert_eq!(client.list("include=versions").await.elements("VersionId").len(), 2);
    let bare = client.list("include=deletedwithversions").await;
    assert_eq!(bare.elements("Name"), ["b"]);
    assert_eq!(bare.elements("HasVersionsOnly"), ["true"]);
}

#[tokio::test]
async fn a_deleted_version_is_listed_until_its_retention_ends_and_undelete_brings_it_back() {
    let client = Client::new().await;
    let id = client.put("b", "one").await.header("x-ms-version-id").to_owned();
    client.put("b", "two").await;
    let version = format!("/con/b?versionid={id}");
    assert_eq!(client.send("DELETE", &version, &[], "").await.status, StatusCode::ACCEPTED);
    assert_eq!(client.send("GET", &version, &[], "").await.refusal(), (404, "BlobNotFound"));
    assert_eq!(client.list("include=versions").await.elements("VersionId").len(), 1);
    let listed = client.list("include=versions,deleted").await;
    assert_eq!(listed.elements("Deleted"), ["true"]);
    assert_eq!(listed.elements("RemainingRetentionDays").len(), 1);
    let restored = client.send("PUT", "/con/b?comp=undelete", &[], "").await;
    assert_eq!(restored.status, StatusCode::OK);
    assert_eq!(client.send("GET", &version, &[], "").await.body, "one");
    client.send("DELETE", &version, &[], "").await;
    client.clock.advance_ms(7 * 86_400_000);
    assert!(client.list("include=versions,deleted").await.elements("Deleted").is_empty());
    client.send("PUT", "/con/b?comp=undelete", &[], "").await;
    assert_eq!(client.send("GET", &version, &[], "").await.refusal(), (404, "BlobNotFound"));
}

#[tokio::test]
async fn without_versioning_no_version_id_is_given_and_overwrites_replace() {
    let client = Client::new().await;
    for settings in [
        StorageSettings { versioning: false, soft_delete_days: 0, ..StorageSettings::default() },
        StorageSettings { soft_delete_days: 0, hierarchical_namespace: true, ..StorageSettings::default() },
    ] {
        client.service.set_storage(settings).unwrap();
        client.send("DELETE", "/con/b", &[], "").await;
        assert_eq!(client.put("b", "one").await.header("x-ms-version-id"), "");
        assert_eq!(client.put("b", "two").await.header("x-ms-version-id"), "");
        let listed = client.list("include=versions,snapshots,deleted").await;
        assert_eq!(listed.elements("Name"), ["b"]);
        assert!(listed.elements("VersionId").is_empty());
    }
}

#[tokio::test]
async fn snapshots_outlive_overwrites_and_guard_the_base() {
    let client = Client::new().await;
    client.set(false, 0);
    client.put("b", "one").await;
    let snapshot = client.send("PUT", "/con/b?comp=snapshot", &[], "").await;
    assert_eq!(snapshot.status, StatusCode::CREATED, "{}", snapshot.body);
    client.put("b", "two").await;
    let path = format!("/b?snapshot={}", snapshot.header("x-ms-snapshot"));
    assert_eq!(client.get(&path).await.body, "one");
    assert_eq!(client.list("include=snapshots").await.elements("Snapshot").len(), 1);
    let guarded = client.send("DELETE", "/con/b", &[], "").await;
    assert_eq!(guarded.refusal(), (409, "SnapshotsPresent"));
    let all = [("x-ms-delete-snapshots", "include")];
    assert_eq!(client.send("DELETE", "/con/b", &all, "").await.status, StatusCode::ACCEPTED);
    assert_eq!(client.get(&path).await.refusal(), (404, "BlobNotFound"));
}

#[tokio::test]
async fn set_metadata_makes_a_version_and_set_properties_does_not() {
    let client = Client::new().await;
    let first = client.put("b", "one").await;
    let metadata = [("x-ms-meta-k", "v")];
    let second = client.send("PUT", "/con/b?comp=metadata", &metadata, "").await;
    assert_eq!(second.status, StatusCode::OK);
    assert_ne!(second.header("x-ms-version-id"), first.header("x-ms-version-id"));
    let properties = [("x-ms-blob-content-type", "text/plain")];
    let third = client.send("PUT", "/con/b?comp=properties", &properties, "").await;
    assert_ne!(third.header("etag"), second.header("etag"));
    let read = client.get("/b").await;
    assert_eq!(read.header("x-ms-version-id"), second.header("x-ms-version-id"));
    assert_eq!((read.body.as_str(), read.header("content-type")), ("one", "text/plain"));
    assert_eq!(client.list("include=versions").await.elements("VersionId").len(), 2);
}

#[tokio::test]
async fn a_block_list_puts_waiting_and_committed_blocks_together_as_one_version() {
    let client = Client::new().await;
    // The ids are the base64 of 1, 2 and 3.
    for (id, body) in [("MQ==", "one "), ("Mg==", "two "), ("Mw==", "three ")] {
        let staged = client.send("PUT", &format!("/con/b?comp=block&blockid={id}"), &[], body).await;
        assert_eq!(staged.status, StatusCode::CREATED, "{}", staged.body);
    }
    assert_eq!(client.get("/b").await.refusal(), (404, "BlobNotFound"));
    assert!(client.list("").await.elements("Name").is_empty());
    let waiting = client.get("/b?comp=blocklist&blocklisttype=all").await;
    assert_eq!(waiting.elements("Size"), ["4", "4", "6"]);
    let commit = |list: &'static str| {
        let client = &client;
        let body = format!("<BlockList>{list}</BlockList>");
        let headers = [("x-ms-blob-content-type", "text/plain"), ("content-type", "application/xml")];
        async move { client.send("PUT", "/con/b?comp=blocklist", &headers, &body).await }
    };
    let first = commit("<Latest>Mg==</Latest><Uncommitted>MQ==</Uncommitted>").await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let read = client.get("/b").await;
    assert_eq!((read.body.as_str(), read.header("content-type")), ("two one ", "text/plain"));
    assert_eq!(commit("<Latest>Mw==</Latest>").await.refusal(), (400, "InvalidBlockList"));
    let second = commit("<Committed>MQ==</Committed>").await;
    assert!(second.header("x-ms-version-id") > first.header("x-ms-version-id"));
    assert_eq!(client.get("/b").await.body, "one ");
    assert_eq!(client.list("include=versions").await.elements("VersionId").len(), 2);
    let uneven = client.send("PUT", "/con/b?comp=block&blockid=MTI=", &[], "").await;
    assert_eq!(uneven.status, StatusCode::CREATED);
    let uneven = client.send("PUT", "/con/b?comp=block&blockid=MQ==", &[], "").await;
    assert_eq!(uneven.refusal(), (400, "InvalidBlobOrBlock"));
}

#[tokio::test]
async fn a_delimiter_folds_names_into_prefixes() {
    let client = Client::new().await;
    for name in ["a/1", "a/2", "b", "c/d/e"] {
        client.put(name, "").await;
    }
    let top = client.list("delimiter=/").await;
    assert_eq!(top.elements("Name"), ["a/", "b", "c/"]);
    assert_eq!(top.elements("BlobPrefix").len(), 2);
    assert_eq!(client.list("delimiter=/&prefix=a/").await.elements("Name"), ["a/1", "a/2"]);
    assert_eq!(client.list("startFrom=a/2").await.elements("Name"), ["a/2", "b", "c/d/e"]);
}

#[tokio::test]
async fn containers_are_listed_by_name_in_pages_and_deleted() {
    let client = Client::new().await;
    for name in ["abc", "xyz"] {
        let created = client.send("PUT", &format!("/{name}?restype=container"), &[], "").await;
        assert_eq!(created.status, StatusCode::CREATED);
    }
    let page = client.send("GET", "/?comp=list&maxresults=2", &[], "").await;
    assert_eq!(page.elements("Name"), ["abc", "con"]);
    assert_eq!(page.elements("NextMarker"), ["xyz"]);
    let rest = client.send("GET", "/?comp=list&marker=xyz", &[], "").await;
    assert_eq!((rest.elements("Name"), rest.elements("NextMarker").len()), (vec!["xyz"], 0));
    let deleted = client.send("DELETE", "/con?restype=container", &[], "").await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert_eq!(client.get("/b").await.refusal(), (404, "ContainerNotFound"));
}

#[tokio::test]
async fn the_account_tells_its_kind_and_its_soft_delete() {
    let client = Client::new().await;
    let information = client.send("HEAD", "/?restype=account&comp=properties", &[], "").await;
    assert_eq!(information.header("x-ms-account-kind"), "StorageV2");
    assert_eq!(information.header("x-ms-is-hns-enabled"), "false");
    let properties = client.send("GET", "/?restype=service&comp=properties", &[], "").await;
    assert_eq!(properties.elements("DeleteRetentionPolicy"), ["<Enabled>true</Enabled><Days>7</Days>"]);
    client.set(true, 0);
    let properties = client.send("GET", "/?restype=service&comp=properties", &[], "").await;
    assert_eq!(properties.elements("DeleteRetentionPolicy"), ["<Enabled>false</Enabled>"]);
}

#[tokio::test]
async fn what_is_lacking_is_refused_by_name() {
    let client = Client::new().await;
    let query = client.send("POST", "/con/b?comp=query", &[], "").await;
    assert_eq!(query.refusal(), (501, "NotImplemented"));
    assert!(query.body.contains("Query Blob Contents"));
    let page = client.send("PUT", "/con/b", &[("x-ms-blob-type", "PageBlob")], "").await;
    assert_eq!(page.refusal(), (501, "NotImplemented"));
    let nonsense = client.get("/b?comp=nonsense").await;
    assert_eq!(nonsense.refusal(), (400, "InvalidQueryParameterValue"));
}

#[test]
fn requests_have_a_class_for_faults_and_counters() {
    let class = |method: &str, path: &str| {
        let uri = format!("/devstoreaccount1{path}");
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        BlobService::operation(&request.into_parts().0)
    };
    assert_eq!(class("PUT", "/c/a/b"), "put");
    assert_eq!(class("HEAD", "/c/b"), "head");
    assert_eq!(class("GET", "/c/b?versionid=x"), "get");
    assert_eq!(class("DELETE", "/c/b"), "delete");
    assert_eq!(class("GET", "/c?restype=container&comp=list&prefix=p"), "list");
    assert_eq!(class("PUT", "/c?restype=container"), "container");
    assert_eq!(class("GET", "/?comp=list"), "account");
    assert_eq!(class("GET", "/c?restype=account&comp=properties"), "account");
}

#[test]
fn settings_have_defaults_and_no_unknown_fields() {
    let settings: StorageSettings = serde_json::from_str("{}").unwrap();
    assert_eq!(settings, StorageSettings::default());
    let settings: StorageSettings = serde_json::from_str(r#"{"softDeleteDays":0}"#).unwrap();
    assert_eq!((settings.versioning, settings.soft_delete_days), (true, 0));
    assert!(serde_json::from_str::<StorageSettings>(r#"{"retention":1}"#).is_err());
    assert_eq!(
        serde_json::to_string(&StorageSettings::default()).unwrap(),
        r#"{"versioning":true,"softDeleteDays":7,"hierarchicalNamespace":false,"versionLevelImmutability":true,"immutability":"none","deleteAllowed":true,"sku":"Standard_LRS"}"#
    );
}
