//! Leases of blobs and containers, as requests see them.

use super::client::{Answer, Client};

const A: &str = "00000000-0000-0000-0000-00000000000a";
const B: &str = "00000000-0000-0000-0000-00000000000b";

impl Client {
    async fn lease(&self, path: &str, action: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("x-ms-lease-action", action)];
        all.extend_from_slice(headers);
        self.send("PUT", &format!("{path}comp=lease"), &all, "").await
    }
}

#[tokio::test]
async fn a_leased_blob_is_written_with_the_lease_only() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let acquire = [("x-ms-lease-duration", "15"), ("x-ms-proposed-lease-id", A)];
    let lease = client.lease("/con/b?", "acquire", &acquire).await;
    assert_eq!((lease.status.as_u16(), lease.header("x-ms-lease-id")), (201, A), "{}", lease.body);
    let other = [acquire[0], ("x-ms-proposed-lease-id", B)];
    assert_eq!(client.lease("/con/b?", "acquire", &other).await.refusal(), (409, "LeaseAlreadyPresent"));
    for (method, path) in [
        ("PUT", "/con/b"),
        ("PUT", "/con/b?comp=metadata"),
        ("PUT", "/con/b?comp=properties"),
        ("PUT", "/con/b?comp=block&blockid=MQ=="),
        ("DELETE", "/con/b"),
    ] {
        let block = ("x-ms-blob-type", "BlockBlob");
        let missing = client.send(method, path, &[block], "").await;
        assert_eq!(missing.refusal(), (412, "LeaseIdMissing"), "{method} {path}");
        let wrong = client.send(method, path, &[block, ("x-ms-lease-id", B)], "").await;
        assert_eq!(wrong.refusal(), (412, "LeaseIdMismatchWithBlobOperation"), "{method} {path}");
    }
    let read = client.get("/b").await;
    assert_eq!((read.header("x-ms-lease-status"), read.header("x-ms-lease-duration")), ("locked", "fixed"));
    assert_eq!(client.list("").await.elements("LeaseState"), ["leased"]);
    let wrong = client.send("GET", "/con/b", &[("x-ms-lease-id", B)], "").await;
    assert_eq!(wrong.refusal(), (412, "LeaseIdMismatchWithBlobOperation"));
    assert_eq!(client.put_with("b", "two", &[("x-ms-lease-id", A)]).await.status.as_u16(), 201);
    assert_eq!(client.get("/b").await.header("x-ms-lease-state"), "leased", "a write keeps the lease");
    client.clock.advance_ms(15_000);
    assert_eq!(client.get("/b").await.header("x-ms-lease-state"), "expired");
    client.put("b", "three").await;
    let renew = client.lease("/con/b?", "renew", &[("x-ms-lease-id", A)]).await;
    assert_eq!(renew.refusal(), (409, "LeaseIdMismatchWithLeaseOperation"), "a write ended the lease");
}

#[tokio::test]
async fn leases_are_changed_broken_and_released() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let acquire = [("x-ms-lease-duration", "-1"), ("x-ms-proposed-lease-id", A)];
    client.lease("/con/b?", "acquire", &acquire).await;
    let change = [("x-ms-lease-id", A), ("x-ms-proposed-lease-id", B)];
    let changed = client.lease("/con/b?", "change", &change).await;
    assert_eq!((changed.status.as_u16(), changed.header("x-ms-lease-id")), (200, B));
    let broken = client.lease("/con/b?", "break", &[("x-ms-lease-break-period", "10")]).await;
    assert_eq!((broken.status.as_u16(), broken.header("x-ms-lease-time")), (202, "10"));
    assert_eq!(client.get("/b").await.header("x-ms-lease-state"), "breaking");
    client.clock.advance_ms(10_000);
    assert_eq!(client.get("/b").await.header("x-ms-lease-state"), "broken");
    let released = client.lease("/con/b?", "release", &[("x-ms-lease-id", B)]).await;
    assert_eq!((released.status.as_u16(), released.header("x-ms-lease-id")), (200, ""));
    let again = client.lease("/con/b?", "acquire", &[("x-ms-lease-duration", "60")]).await;
    assert_eq!((again.status.as_u16(), again.header("x-ms-lease-id").len()), (201, 36));
    for (action, header) in [("acquire", ("x-ms-lease-duration", "14")), ("steal", ("x-ms-lease-id", A))] {
        assert_eq!(client.lease("/con/b?", action, &[header]).await.refusal(), (400, "InvalidHeaderValue"));
    }
    assert_eq!(client.lease("/con/c?", "break", &[]).await.refusal(), (404, "BlobNotFound"));
}

#[tokio::test]
async fn a_leased_container_is_deleted_with_the_lease_only() {
    let client = Client::new().await;
    let path = "/con?restype=container&";
    let acquire = [("x-ms-lease-duration", "-1"), ("x-ms-proposed-lease-id", A)];
    assert_eq!(client.lease(path, "acquire", &acquire).await.status.as_u16(), 201);
    client.put("b", "one").await;
    assert_eq!(client.get("?restype=container").await.header("x-ms-lease-duration"), "infinite");
    let delete = |lease: Option<&'static str>| {
        let client = &client;
        let headers: Vec<_> = lease.into_iter().map(|id| ("x-ms-lease-id", id)).collect();
        async move { client.send("DELETE", "/con?restype=container", &headers, "").await }
    };
    assert_eq!(delete(None).await.refusal(), (412, "LeaseIdMissing"));
    assert_eq!(delete(Some(B)).await.refusal(), (412, "LeaseIdMismatchWithContainerOperation"));
    let metadata = client.send("PUT", "/con?restype=container&comp=metadata", &[("x-ms-lease-id", B)], "").await;
    assert_eq!(metadata.refusal(), (412, "LeaseIdMismatchWithContainerOperation"));
    assert_eq!(delete(Some(A)).await.status.as_u16(), 202);
}
