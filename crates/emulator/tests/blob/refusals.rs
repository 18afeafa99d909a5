//! What a signature does not grant, and what is not there.

use bytes::Bytes;

use crate::client::{Running, refusal};

#[tokio::test]
async fn a_signature_opens_only_what_it_grants() {
    let emulator = Running::start().await;
    emulator.container().await;
    let reader = emulator.container_with("mirror", "rl");
    let upload = reader.blob_client("b").upload(Bytes::new().into(), None).await;
    assert_eq!(refusal(upload), (403, "AuthorizationPermissionMismatch".to_owned()));
    let writer = emulator.container_with("mirror", "w");
    writer.blob_client("b").upload(Bytes::new().into(), None).await.unwrap();
    let delete = writer.blob_client("b").delete(None).await;
    assert_eq!(refusal(delete), (403, "AuthorizationPermissionMismatch".to_owned()));
}

#[tokio::test]
async fn a_creator_without_write_may_not_overwrite() {
    let emulator = Running::start().await;
    emulator.container().await;
    let blob = emulator.container_with("mirror", "c").blob_client("b");
    blob.upload(Bytes::new().into(), None).await.unwrap();
    let again = blob.upload(Bytes::new().into(), None).await;
    assert_eq!(refusal(again), (403, "UnauthorizedBlobOverwrite".to_owned()));
}

#[tokio::test]
async fn missing_containers_and_blobs_are_told_apart() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    let blob = container.blob_client("b").get_properties(None).await;
    assert_eq!(refusal(blob), (404, "BlobNotFound".to_owned()));
    let other = emulator.container_with("other", "rl");
    let blob = other.blob_client("b").get_properties(None).await;
    assert_eq!(refusal(blob), (404, "ContainerNotFound".to_owned()));
    assert_eq!(refusal(container.create(None).await), (409, "ContainerAlreadyExists".to_owned()));
}
