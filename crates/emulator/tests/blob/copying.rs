//! Copies within the account: a version brought back, blobs and blocks from an address.

use azure_storage_blob::models::{
    BlobClientGetPropertiesResultHeaders, BlobClientStartCopyFromUrlResultHeaders, BlockBlobClientUploadOptions,
    BlockLookupList, CopyStatus,
};

use crate::client::{Running, download, refusal, upload};

#[tokio::test]
async fn a_version_is_brought_back_by_copying_it_onto_its_blob() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("a/b");
    let first = upload(&blob, "one", BlockBlobClientUploadOptions::default()).await;
    upload(&blob, "two", BlockBlobClientUploadOptions::default()).await;
    let mut source = emulator.url("/mirror/a%2Fb", "r");
    source.query_pairs_mut().append_pair("versionid", &first);
    let copied = blob.start_copy_from_url(source.to_string(), None).await.unwrap();
    assert_eq!(copied.copy_status().unwrap(), Some(CopyStatus::Success));
    assert!(copied.version_id().unwrap().unwrap() > first);
    assert_eq!(download(&blob).await, "one");
    let properties = blob.get_properties(None).await.unwrap();
    assert_eq!(properties.copy_id().unwrap(), copied.copy_id().unwrap());
}

#[tokio::test]
async fn blobs_and_blocks_take_their_bytes_from_an_address() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    upload(&container.blob_client("a"), "0123456789", BlockBlobClientUploadOptions::default()).await;
    let source = || emulator.url("/mirror/a", "r").to_string();
    let whole = container.blob_client("whole");
    whole.block_blob_client().upload_blob_from_url(source(), None).await.unwrap();
    assert_eq!(download(&whole).await, "0123456789");
    let blocks = container.blob_client("blocks");
    let client = blocks.block_blob_client();
    client.stage_block_from_url(b"1", 0, source(), None).await.unwrap();
    let list = BlockLookupList { latest: Some(vec![b"1".to_vec(), b"1".to_vec()]), ..Default::default() };
    client.commit_block_list(list.try_into().unwrap(), None).await.unwrap();
    assert_eq!(download(&blocks).await, "01234567890123456789");
    let missing = emulator.url("/mirror/missing", "r").to_string();
    let refused = whole.block_blob_client().upload_blob_from_url(missing, None).await;
    assert_eq!(refusal(refused), (404, "CannotVerifyCopySource".to_owned()));
}
