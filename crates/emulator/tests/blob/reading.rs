//! Downloads of every size, and what the client reads of account and container.

use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobServiceClientGetAccountInfoResultHeaders, BlockBlobClientUploadOptions,
};
use bytes::Bytes;

use crate::client::{Running, download, upload};

#[tokio::test]
async fn bodies_come_back_to_the_byte_whatever_their_size() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    // The largest is uploaded in blocks and downloaded in ranges. Empty: the client's ranged read is refused and repeated without a range.
    for bytes in [0, 1, 5_000, 3 * 1024 * 1024, 9 * 1024 * 1024] {
        let body: Bytes = (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let blob = container.blob_client(&format!("{bytes}"));
        blob.upload(body.clone().into(), None).await.unwrap();
        assert!(download(&blob).await == body, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_download_in_parts_is_put_together_from_ranges_of_one_version() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    upload(&blob, "0123456789abcdef", BlockBlobClientUploadOptions::default()).await;
    let options = BlobClientDownloadOptions { partition_size: std::num::NonZero::new(5), ..Default::default() };
    let downloaded = blob.download(Some(options)).await.unwrap();
    assert_eq!(downloaded.body.collect().await.unwrap(), "0123456789abcdef");
}

#[tokio::test]
async fn the_account_tells_its_kind_and_its_soft_delete() {
    let emulator = Running::start().await;
    let service = emulator.service();
    let properties = service.get_properties(None).await.unwrap().into_model().unwrap();
    let policy = properties.delete_retention_policy.unwrap();
    assert_eq!((policy.enabled, policy.days), (Some(true), Some(7)));
    let account = service.get_account_info(None).await.unwrap();
    assert_eq!(account.is_hierarchical_namespace_enabled().unwrap(), Some(false));
}

#[tokio::test]
async fn containers_exist_once_created_and_until_deleted() {
    let emulator = Running::start().await;
    let container = emulator.container_with("mirror", "rwdxyl");
    assert!(!container.exists().await.unwrap());
    container.create(None).await.unwrap();
    assert!(container.exists().await.unwrap());
    container.delete(None).await.unwrap();
    assert!(!container.exists().await.unwrap());
}
