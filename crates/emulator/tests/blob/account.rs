//! Properties of the service, customers' keys, and a listing with everything in it.

use azure_core::time::OffsetDateTime;
use azure_storage_blob::models::{
    BlobClientGetPropertiesOptions, BlobClientGetPropertiesResultHeaders, BlobContainerClientListBlobsOptions,
    BlockBlobClientUploadOptions, CorsRule, EncryptionAlgorithmType, ImmutabilityPolicyMode, ListBlobsIncludeItem,
    RetentionPolicy,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::client::{Running, refusal, upload};

#[tokio::test]
async fn service_properties_that_were_read_and_changed_are_taken_back() {
    let emulator = Running::start().await;
    let service = emulator.service();
    let mut properties = service.get_properties(None).await.unwrap().into_model().unwrap();
    let rule = CorsRule {
        allowed_headers: Some("*".to_owned()),
        allowed_methods: Some("GET,PUT".to_owned()),
        allowed_origins: Some("http://example.com".to_owned()),
        exposed_headers: Some(String::new()),
        max_age_in_seconds: Some(60),
    };
    properties.cors = Some(vec![rule]);
    properties.delete_retention_policy =
        Some(RetentionPolicy { enabled: Some(true), days: Some(30), ..Default::default() });
    service.set_properties(properties.try_into().unwrap(), None).await.unwrap();
    let read = service.get_properties(None).await.unwrap().into_model().unwrap();
    let policy = read.delete_retention_policy.unwrap();
    assert_eq!((policy.enabled, policy.days), (Some(true), Some(30)));
    assert_eq!(read.cors.unwrap()[0].allowed_origins.as_deref(), Some("http://example.com"));
}

#[tokio::test]
async fn a_customers_key_is_needed_to_read_what_it_encrypts() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    let (key, sha256) = (BASE64.encode([7; 32]), BASE64.encode(Sha256::digest([7; 32])));
    let options = BlockBlobClientUploadOptions {
        encryption_algorithm: Some(EncryptionAlgorithmType::Aes256),
        encryption_key: Some(key.clone()),
        encryption_key_sha256: Some(sha256.clone()),
        ..Default::default()
    };
    upload(&blob, "one", options).await;
    let without = blob.get_properties(None).await;
    assert_eq!(refusal(without), (409, "BlobUsesCustomerSpecifiedEncryption".to_owned()));
    let options = BlobClientGetPropertiesOptions {
        encryption_algorithm: Some(EncryptionAlgorithmType::Aes256),
        encryption_key: Some(key),
        encryption_key_sha256: Some(sha256.clone()),
        ..Default::default()
    };
    let with = blob.get_properties(Some(options)).await.unwrap();
    assert_eq!(with.encryption_key_sha256().unwrap(), Some(sha256));
}

#[tokio::test]
async fn a_listing_with_everything_in_it_is_understood() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    let until = OffsetDateTime::now_utc() + std::time::Duration::from_secs(3_600);
    let options = BlockBlobClientUploadOptions {
        blob_tags_string: Some("a=1&b=2".to_owned()),
        encryption_scope: Some("scope".to_owned()),
        immutability_policy_expiry: Some(until),
        immutability_policy_mode: Some(ImmutabilityPolicyMode::Locked),
        legal_hold: Some(true),
        ..Default::default()
    };
    upload(&container.blob_client("a"), "one", options).await;
    let source = emulator.url("/mirror/a", "r").to_string();
    container.blob_client("b").start_copy_from_url(source, None).await.unwrap();
    container.blob_client("b").create_snapshot(None).await.unwrap();
    let waiting = container.blob_client("waiting").block_blob_client();
    waiting.stage_block(b"1", 3, bytes::Bytes::from_static(b"xyz").into(), None).await.unwrap();
    use ListBlobsIncludeItem as Item;
    let include = vec![
        Item::Copy,
        Item::Deleted,
        Item::DeletedWithVersions,
        Item::ImmutabilityPolicy,
        Item::LegalHold,
        Item::Metadata,
        Item::Snapshots,
        Item::Tags,
        Item::UncommittedBlobs,
        Item::Versions,
    ];
    let options = BlobContainerClientListBlobsOptions { include: Some(include), ..Default::default() };
    let pages: Vec<_> = container.list_blobs(Some(options)).unwrap().into_pages().try_collect().await.unwrap();
    let items: Vec<_> = pages.into_iter().flat_map(|page| page.into_model().unwrap().blob_items).collect();
    let names: Vec<_> = items.iter().map(|item| item.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["a", "b", "b", "b", "waiting"]);
    assert_eq!(items[0].blob_tags.as_ref().unwrap().blob_tag_set.as_ref().unwrap().len(), 2);
    let protected = items[0].properties.as_ref().unwrap();
    assert_eq!(protected.immutability_policy_mode, Some(ImmutabilityPolicyMode::Locked));
    assert_eq!((protected.legal_hold, protected.tag_count), (Some(true), Some(2)));
    assert_eq!(protected.encryption_scope.as_deref(), Some("scope"));
    assert!(items[2].snapshot.is_some() && items[3].is_current_version == Some(true));
    let copied = items[3].properties.as_ref().unwrap();
    assert_eq!(copied.copy_progress.as_deref(), Some("3/3"));
    assert_eq!(items[4].properties.as_ref().unwrap().content_length, Some(0));
}
