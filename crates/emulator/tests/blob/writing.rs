//! Uploads, their conditions, deletion and the versions they leave.

use std::collections::HashMap;

use azure_storage_blob::models::BlockBlobClientUploadOptions;
use bytes::Bytes;

use crate::client::{Running, download, refusal, upload};

#[tokio::test]
async fn each_upload_makes_a_version_and_all_of_them_stay_readable() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    let blob = container.blob_client("documents/p1/1.json");
    let mut versions = Vec::new();
    for body in ["one", "two", "three"] {
        versions.push((upload(&blob, body, BlockBlobClientUploadOptions::default()).await, body));
    }
    assert!(versions.is_sorted());
    for (id, body) in &versions {
        let version = blob.with_version(id).unwrap();
        assert_eq!(download(&version).await, *body);
    }
    assert_eq!(download(&blob).await, "three");
}

#[tokio::test]
async fn conditional_uploads_see_exactly_the_state_they_name() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    let body = || Bytes::from_static(b"body").into();
    let absent = || Some(BlockBlobClientUploadOptions::default().if_not_exists());
    let first = blob.upload(body(), absent()).await.unwrap();
    assert_eq!(refusal(blob.upload(body(), absent()).await), (409, "BlobAlreadyExists".to_owned()));
    let matching = || Some(BlockBlobClientUploadOptions { if_match: first.etag.clone(), ..Default::default() });
    blob.upload(body(), matching()).await.unwrap();
    assert_eq!(refusal(blob.upload(body(), matching()).await), (412, "ConditionNotMet".to_owned()));
}

#[tokio::test]
async fn of_many_uploads_that_name_one_state_one_succeeds() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    let uploads = (0..16).map(|n| {
        let options = BlockBlobClientUploadOptions::default().if_not_exists();
        blob.upload(Bytes::from(format!("{n}")).into(), Some(options))
    });
    let results = futures::future::join_all(uploads).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn metadata_and_content_type_ride_with_the_bytes_of_their_version() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    let with = |op: &str| BlockBlobClientUploadOptions {
        metadata: Some(HashMap::from([("op".to_owned(), op.to_owned())])),
        blob_content_type: Some("application/json".to_owned()),
        ..Default::default()
    };
    let first = upload(&blob, "{}", with("create")).await;
    upload(&blob, "{\"a\":1}", with("replace")).await;
    for (client, op) in [(blob.with_version(&first).unwrap(), "create"), (blob, "replace")] {
        let properties = client.download(None).await.unwrap().properties;
        assert_eq!(properties.metadata["op"], op);
        assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_and_its_versions_are_not() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    let id = upload(&blob, "one", BlockBlobClientUploadOptions::default()).await;
    blob.delete(None).await.unwrap();
    assert!(!blob.exists().await.unwrap());
    assert_eq!(refusal(blob.download(None).await), (404, "BlobNotFound".to_owned()));
    let version = blob.with_version(&id).unwrap();
    assert_eq!(download(&version).await, "one");
    version.delete(None).await.unwrap();
    assert!(!version.exists().await.unwrap());
    blob.undelete(None).await.unwrap();
    assert_eq!(download(&version).await, "one");
}
