//! Immutability policies, legal holds, leases and tiers through the client.

use std::time::Duration;

use azure_core::time::OffsetDateTime;
use azure_storage_blob::models::{
    AccessTier, BlobClientAcquireLeaseResultHeaders, BlobClientGetPropertiesResultHeaders,
    BlockBlobClientUploadOptions, ImmutabilityPolicyMode, LeaseState,
};
use bytes::Bytes;

use crate::client::{Running, download, refusal, upload};

#[tokio::test]
async fn what_is_protected_is_not_deleted_until_it_is_free() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    upload(&blob, "one", BlockBlobClientUploadOptions::default()).await;
    let until = OffsetDateTime::now_utc() + Duration::from_secs(3_600);
    blob.set_immutability_policy(&until, None).await.unwrap();
    let properties = blob.get_properties(None).await.unwrap();
    assert_eq!(properties.immutability_policy_mode().unwrap(), Some(ImmutabilityPolicyMode::Unlocked));
    assert_eq!(refusal(blob.delete(None).await), (409, "BlobImmutableDueToPolicy".to_owned()));
    blob.delete_immutability_policy(None).await.unwrap();
    blob.set_legal_hold(true, None).await.unwrap();
    assert_eq!(refusal(blob.delete(None).await), (409, "BlobImmutableDueToLegalHold".to_owned()));
    blob.set_legal_hold(false, None).await.unwrap();
    blob.delete(None).await.unwrap();
}

#[tokio::test]
async fn a_leased_blob_is_written_by_the_holder_of_the_lease() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    upload(&blob, "one", BlockBlobClientUploadOptions::default()).await;
    let id = blob.acquire_lease(-1, None).await.unwrap().lease_id().unwrap().unwrap();
    let properties = blob.get_properties(None).await.unwrap();
    assert_eq!(properties.lease_state().unwrap(), Some(LeaseState::Leased));
    let refused = blob.upload(Bytes::new().into(), None).await;
    assert_eq!(refusal(refused), (412, "LeaseIdMissing".to_owned()));
    let options = BlockBlobClientUploadOptions { lease_id: Some(id.clone()), ..Default::default() };
    upload(&blob, "two", options).await;
    blob.release_lease(id, None).await.unwrap();
    upload(&blob, "three", BlockBlobClientUploadOptions::default()).await;
    assert_eq!(download(&blob).await, "three");
}

#[tokio::test]
async fn a_tier_is_set_and_shown() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    upload(&blob, "one", BlockBlobClientUploadOptions::default()).await;
    blob.set_tier(AccessTier::Cold, None).await.unwrap();
    let properties = blob.get_properties(None).await.unwrap();
    assert_eq!(properties.access_tier().unwrap().as_deref(), Some("Cold"));
}
