//! Encryption scopes and customer-provided keys; access tiers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::client::Client;

/// A key and its hash, in base64.
fn key(byte: u8) -> (String, String) {
    (BASE64.encode([byte; 32]), BASE64.encode(Sha256::digest([byte; 32])))
}

/// The headers of a key.
fn headers(key: &(String, String)) -> [(&'static str, &str); 3] {
    let algorithm = ("x-ms-encryption-algorithm", "AES256");
    [("x-ms-encryption-key", &key.0), ("x-ms-encryption-key-sha256", &key.1), algorithm]
}

#[tokio::test]
async fn a_scope_is_kept_and_shown_wherever_the_state_is() {
    let client = Client::new().await;
    let put = client.put_with("b", "one", &[("x-ms-encryption-scope", "mine")]).await;
    assert_eq!(put.header("x-ms-encryption-scope"), "mine");
    assert_eq!(client.get("/b").await.header("x-ms-encryption-scope"), "mine");
    assert_eq!(client.list("").await.elements("EncryptionScope"), ["mine"]);
}

#[tokio::test]
async fn a_containers_scope_is_inherited_and_may_be_binding() {
    let client = Client::new().await;
    let rule = [("x-ms-default-encryption-scope", "mine"), ("x-ms-deny-encryption-scope-override", "true")];
    let half = client.send("PUT", "/bound?restype=container", &rule[..1], "").await;
    assert_eq!(half.refusal(), (400, "MissingRequiredHeader"));
    client.send("PUT", "/bound?restype=container", &rule, "").await;
    let properties = client.send("GET", "/bound?restype=container", &[], "").await;
    assert_eq!(properties.header("x-ms-default-encryption-scope"), "mine");
    assert_eq!(properties.header("x-ms-deny-encryption-scope-override"), "true");
    let block = ("x-ms-blob-type", "BlockBlob");
    let inherits = client.send("PUT", "/bound/b", &[block], "").await;
    assert_eq!(inherits.header("x-ms-encryption-scope"), "mine");
    let other = client.send("PUT", "/bound/b", &[block, ("x-ms-encryption-scope", "other")], "").await;
    assert_eq!(other.refusal(), (403, "RequestForbiddenByContainerEncryptionPolicy"));
}

#[tokio::test]
async fn a_state_with_a_customers_key_is_read_with_that_key_alone() {
    let client = Client::new().await;
    let (own, other) = (key(1), key(2));
    let put = client.put_with("b", "one", &headers(&own)).await;
    assert_eq!((put.status.as_u16(), put.header("x-ms-encryption-key-sha256")), (201, own.1.as_str()), "{}", put.body);
    for method in ["GET", "HEAD"] {
        let read = client.send(method, "/con/b", &headers(&own), "").await;
        assert_eq!((read.status.as_u16(), read.header("x-ms-encryption-key-sha256")), (200, own.1.as_str()));
        let without = client.send(method, "/con/b", &[], "").await;
        assert_eq!(without.refusal(), (409, "BlobUsesCustomerSpecifiedEncryption"));
        let wrong = client.send(method, "/con/b", &headers(&other), "").await;
        assert_eq!(wrong.refusal(), (409, "BlobCustomerSpecifiedEncryptionMismatch"));
    }
    let metadata = client.send("PUT", "/con/b?comp=metadata", &[], "").await;
    assert_eq!(metadata.refusal(), (409, "BlobUsesCustomerSpecifiedEncryption"));
    assert_eq!(client.list("").await.elements("CustomerProvidedKeySha256"), [own.1.as_str()]);
    client.put("plain", "one").await;
    let plain = client.send("GET", "/con/plain", &headers(&own), "").await;
    assert_eq!(plain.refusal(), (409, "BlobDoesNotUseCustomerSpecifiedEncryption"));
    let broken = [("x-ms-encryption-key", own.0.as_str()), ("x-ms-encryption-key-sha256", &other.1)];
    let broken = client.put_with("b", "", &[broken[0], broken[1], ("x-ms-encryption-algorithm", "AES256")]).await;
    assert_eq!(broken.refusal(), (400, "InvalidHeaderValue"));
}

#[tokio::test]
async fn a_source_with_a_customers_key_is_copied_with_that_key() {
    let client = Client::new().await;
    let own = key(1);
    client.put_with("a", "one", &headers(&own)).await;
    let source = client.source("/con/a");
    let mut copy = vec![("x-ms-copy-source", source.as_str()), ("x-ms-requires-sync", "true")];
    let refused = client.send("PUT", "/con/b", &copy, "").await;
    assert_eq!(refused.refusal(), (409, "BlobUsesCustomerSpecifiedEncryption"));
    copy.push(("x-ms-source-encryption-key", &own.0));
    copy.push(("x-ms-source-encryption-key-sha256", &own.1));
    copy.push(("x-ms-source-encryption-algorithm", "AES256"));
    assert_eq!(client.send("PUT", "/con/b", &copy, "").await.status.as_u16(), 202);
    assert_eq!(client.get("/b").await.body, "one");
}

#[tokio::test]
async fn a_tier_changes_in_place_and_an_archived_state_is_not_read() {
    let client = Client::new().await;
    let etag = client.put("b", "one").await.header("etag").to_owned();
    let set = |tier: &'static str| {
        let client = &client;
        async move { client.send("PUT", "/con/b?comp=tier", &[("x-ms-access-tier", tier)], "").await }
    };
    assert_eq!(set("Cool").await.status.as_u16(), 200);
    let read = client.get("/b").await;
    assert_eq!((read.header("x-ms-access-tier"), read.header("etag")), ("Cool", etag.as_str()));
    assert_eq!((read.header("x-ms-access-tier-inferred"), read.header("x-ms-access-tier-change-time").len()), ("", 29));
    assert_eq!(client.list("").await.elements("AccessTier"), ["Cool"]);
    assert_eq!(set("Archive").await.status.as_u16(), 200);
    assert_eq!(client.get("/b").await.refusal(), (409, "BlobArchived"));
    assert_eq!(client.send("HEAD", "/con/b", &[], "").await.status.as_u16(), 200);
    let source = client.source("/con/b");
    let copy = client.send("PUT", "/con/c", &[("x-ms-copy-source", &source)], "").await;
    assert_eq!(copy.refusal(), (409, "BlobArchived"));
    assert_eq!(set("Hot").await.status.as_u16(), 202);
    assert_eq!(client.get("/b").await.body, "one");
    assert_eq!(set("Lukewarm").await.refusal(), (400, "InvalidHeaderValue"));
    let put = client.put_with("b", "", &[("x-ms-access-tier", "Lukewarm")]).await;
    assert_eq!(put.refusal(), (400, "InvalidHeaderValue"));
}
