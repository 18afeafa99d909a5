//! Copies, and blobs and blocks that take their bytes from another blob.

use super::client::{Client, signature};

#[tokio::test]
async fn a_copy_takes_bytes_headers_and_metadata_and_tells_where_they_came_from() {
    let client = Client::new().await;
    let headers = [("content-type", "text/plain"), ("x-ms-meta-k", "v"), ("x-ms-tags", "t=1")];
    client.put_with("a", "one", &headers).await;
    let source = client.source("/con/a");
    let copy = client.send("PUT", "/con/dir/b", &[("x-ms-copy-source", &source)], "").await;
    assert_eq!((copy.status.as_u16(), copy.header("x-ms-copy-status")), (202, "success"), "{}", copy.body);
    let read = client.get("/dir/b").await;
    assert_eq!((read.body.as_str(), read.header("content-type")), ("one", "text/plain"));
    assert_eq!((read.header("x-ms-meta-k"), read.header("x-ms-tag-count")), ("v", ""));
    assert_eq!(read.header("x-ms-copy-id"), copy.header("x-ms-copy-id"));
    assert_eq!(read.header("x-ms-copy-progress"), "3/3");
    assert_eq!(read.header("x-ms-copy-source"), "http://127.0.0.1:10000/devstoreaccount1/con/a");
    assert_eq!(client.list("include=copy").await.elements("CopyStatus"), ["success"]);
    assert!(client.list("").await.elements("CopyId").is_empty());
    let given = [("x-ms-copy-source", source.as_str()), ("x-ms-meta-own", "w")];
    client.send("PUT", "/con/dir/b", &given, "").await;
    let read = client.get("/dir/b").await;
    assert_eq!((read.header("x-ms-meta-k"), read.header("x-ms-meta-own")), ("", "w"));
    client.put("dir/b", "two").await;
    assert_eq!(client.get("/dir/b").await.header("x-ms-copy-id"), "");
}

#[tokio::test]
async fn a_version_copied_onto_its_blob_is_the_current_state_again() {
    let client = Client::new().await;
    let id = client.put("b", "one").await.header("x-ms-version-id").to_owned();
    client.put("b", "two").await;
    client.send("DELETE", "/con/b", &[], "").await;
    let source = client.source(&format!("/con/b?versionid={id}"));
    let copy = client.send("PUT", "/con/b", &[("x-ms-copy-source", &source)], "").await;
    assert_eq!(copy.status.as_u16(), 202, "{}", copy.body);
    assert!(copy.header("x-ms-version-id") > id.as_str());
    assert_eq!(client.get("/b").await.body, "one");
    assert_eq!(client.list("include=versions").await.elements("VersionId").len(), 3);
}

#[tokio::test]
async fn conditions_on_source_and_target_have_their_own_codes() {
    let client = Client::new().await;
    client.put("a", "one").await;
    client.put("b", "two").await;
    let source = client.source("/con/a");
    let copy = |name: &'static str, value: &'static str| {
        let (client, source) = (&client, &source);
        async move { client.send("PUT", "/con/b", &[("x-ms-copy-source", source), (name, value)], "").await }
    };
    assert_eq!(copy("x-ms-source-if-match", "\"0x1\"").await.refusal(), (412, "SourceConditionNotMet"));
    assert_eq!(copy("x-ms-source-if-none-match", "*").await.refusal(), (412, "SourceConditionNotMet"));
    assert_eq!(copy("if-match", "\"0x1\"").await.refusal(), (412, "TargetConditionNotMet"));
    assert_eq!(copy("if-none-match", "*").await.refusal(), (409, "BlobAlreadyExists"));
    assert_eq!(copy("x-ms-source-if-match", "*").await.status.as_u16(), 202);
}

#[tokio::test]
async fn what_cannot_be_read_is_no_source() {
    let client = Client::new().await;
    client.put("a", "one").await;
    let copy = |source: String, sync: &'static str| {
        let client = &client;
        let headers = move |source: String| [("x-ms-copy-source", source), ("x-ms-requires-sync", sync.to_owned())];
        async move {
            let headers = headers(source);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.send("PUT", "/con/b", &headers, "").await
        }
    };
    let missing = client.source("/con/missing");
    assert_eq!(copy(missing.clone(), "false").await.refusal(), (404, "BlobNotFound"));
    assert_eq!(copy(missing, "true").await.refusal(), (404, "CannotVerifyCopySource"));
    let unsigned = "http://127.0.0.1:10000/devstoreaccount1/con/a".to_owned();
    assert_eq!(copy(unsigned, "false").await.refusal(), (401, "CannotVerifyCopySource"));
    let writer = format!("http://127.0.0.1:10000/devstoreaccount1/con/a?{}", signature("w"));
    assert_eq!(copy(writer, "false").await.refusal(), (403, "CannotVerifyCopySource"));
    let elsewhere = copy("http://example.com/c/b".to_owned(), "false").await;
    assert_eq!(elsewhere.refusal(), (501, "NotImplemented"));
    assert!(elsewhere.body.contains("another host (example.com)"));
    for nonsense in ["con/a", "/con/a", "nonsense", "http://"] {
        assert_eq!(copy(nonsense.to_owned(), "false").await.refusal(), (400, "InvalidHeaderValue"), "{nonsense}");
    }
}

#[tokio::test]
async fn the_accounts_key_opens_the_source_of_a_copy_and_of_nothing_else() {
    let client = Client::new().await;
    client.put("a", "one").await;
    let source = "http://127.0.0.1:10000/devstoreaccount1/con/a";
    let copy = [("x-ms-copy-source", source)];
    assert_eq!(client.send_with_key("PUT", "/con/b", &[], &copy, "").await.status.as_u16(), 202);
    let sync = [copy[0], ("x-ms-requires-sync", "true")];
    let refused = client.send_with_key("PUT", "/con/b", &[], &sync, "").await;
    assert_eq!(refused.refusal(), (401, "CannotVerifyCopySource"));
}

#[tokio::test]
async fn a_synchronous_copy_checks_the_bytes_and_may_take_the_tags() {
    let client = Client::new().await;
    client.put_with("a", "one", &[("x-ms-tags", "t=1")]).await;
    let source = client.source("/con/a");
    let sync = [("x-ms-copy-source", source.as_str()), ("x-ms-requires-sync", "true")];
    let wrong = [sync[0], sync[1], ("x-ms-source-content-md5", "AAAA")];
    assert_eq!(client.send("PUT", "/con/b", &wrong, "").await.refusal(), (400, "Md5Mismatch"));
    let right = [sync[0], sync[1], ("x-ms-copy-source-tag-option", "COPY")];
    let copy = client.send("PUT", "/con/b", &right, "").await;
    // The MD5 of "one".
    assert_eq!((copy.status.as_u16(), copy.header("content-md5")), (202, "+XxdKZQb+xsv2rCHSQargg=="), "{}", copy.body);
    assert_eq!(client.get("/b").await.header("x-ms-tag-count"), "1");
    let both = [right[0], right[1], right[2], ("x-ms-tags", "u=2")];
    assert_eq!(client.send("PUT", "/con/b", &both, "").await.status.as_u16(), 400);
}

#[tokio::test]
async fn there_is_never_a_copy_to_abort() {
    let client = Client::new().await;
    let abort = |name: &'static str| {
        let client = &client;
        let path = format!("/con/{name}?comp=copy&copyid=1");
        async move { client.send("PUT", &path, &[("x-ms-copy-action", "abort")], "").await }
    };
    assert_eq!(abort("b").await.refusal(), (404, "BlobNotFound"));
    client.put("b", "one").await;
    assert_eq!(abort("b").await.refusal(), (409, "NoPendingCopyOperation"));
}

#[tokio::test]
async fn a_blob_put_from_an_address_takes_the_properties_unless_told_otherwise() {
    let client = Client::new().await;
    client.put_with("a", "one", &[("content-type", "text/plain"), ("x-ms-meta-k", "v")]).await;
    let source = client.source("/con/a");
    let put = |extra: &'static [(&'static str, &'static str)]| {
        let (client, source) = (&client, &source);
        async move {
            let mut headers = vec![("x-ms-blob-type", "BlockBlob"), ("x-ms-copy-source", source.as_str())];
            headers.extend_from_slice(extra);
            client.send("PUT", "/con/b", &headers, "").await
        }
    };
    assert_eq!(put(&[]).await.status.as_u16(), 201);
    let read = client.get("/b").await;
    assert_eq!((read.body.as_str(), read.header("content-type")), ("one", "text/plain"));
    assert_eq!((read.header("x-ms-meta-k"), read.header("x-ms-copy-id")), ("v", ""));
    put(&[("x-ms-copy-source-blob-properties", "false"), ("x-ms-meta-own", "w")]).await;
    let read = client.get("/b").await;
    assert_eq!((read.header("content-type"), read.header("x-ms-meta-own")), ("application/octet-stream", "w"));
    assert_eq!(put(&[("if-match", "\"0x1\"")]).await.refusal(), (412, "ConditionNotMet"));
}

#[tokio::test]
async fn a_block_may_be_a_range_of_another_blob() {
    let client = Client::new().await;
    client.put("a", "0123456789").await;
    let source = client.source("/con/a");
    for (id, range) in [("MQ==", "bytes=2-4"), ("Mg==", "bytes=8-")] {
        let headers = [("x-ms-copy-source", source.as_str()), ("x-ms-source-range", range)];
        let staged = client.send("PUT", &format!("/con/b?comp=block&blockid={id}"), &headers, "").await;
        assert_eq!(staged.status.as_u16(), 201, "{}", staged.body);
        assert!(!staged.header("x-ms-content-crc64").is_empty());
    }
    let past = [("x-ms-copy-source", source.as_str()), ("x-ms-source-range", "bytes=10-")];
    let past = client.send("PUT", "/con/b?comp=block&blockid=Mw==", &past, "").await;
    assert_eq!(past.refusal(), (416, "InvalidRange"));
    let list = "<BlockList><Latest>Mg==</Latest><Latest>MQ==</Latest></BlockList>";
    assert_eq!(client.send("PUT", "/con/b?comp=blocklist", &[], list).await.status.as_u16(), 201);
    assert_eq!(client.get("/b").await.body, "89234");
}
