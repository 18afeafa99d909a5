//! Blob index tags through the client: set, read, found and demanded.

use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobClientGetPropertiesResultHeaders, BlobTag, BlobTags, BlockBlobClientUploadOptions,
};
use futures::TryStreamExt;

use crate::client::{Running, download, refusal, upload};

fn tags(pairs: &[(&str, &str)]) -> BlobTags {
    let tag = |(key, value): &(&str, &str)| BlobTag { key: Some((*key).to_owned()), value: Some((*value).to_owned()) };
    BlobTags { blob_tag_set: Some(pairs.iter().map(tag).collect()) }
}

#[tokio::test]
async fn tags_are_set_read_and_found() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    for (name, state) in [("a", "open"), ("b", "shut"), ("c", "open")] {
        let blob = container.blob_client(name);
        upload(&blob, name, BlockBlobClientUploadOptions::default()).await;
        let tags = tags(&[("state", state), ("a b", "x/y")]);
        blob.set_tags(tags.try_into().unwrap(), None).await.unwrap();
    }
    let blob = container.blob_client("a");
    let read = blob.get_tags(None).await.unwrap().into_model().unwrap();
    let pairs: Vec<_> = read.blob_tag_set.unwrap().into_iter().map(|tag| (tag.key, tag.value)).collect();
    let pair = |key: &str, value: &str| (Some(key.to_owned()), Some(value.to_owned()));
    assert_eq!(pairs, [pair("a b", "x/y"), pair("state", "open")]);
    assert_eq!(blob.get_properties(None).await.unwrap().tag_count().unwrap(), Some(2));
    let pages = emulator.service().find_blobs_by_tags("\"state\" = 'open'", None).unwrap().into_pages();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    let models = pages.into_iter().map(|page| page.into_model().unwrap());
    let names: Vec<_> = models.flat_map(|page| page.blob_items).map(|blob| blob.name.unwrap()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[tokio::test]
async fn an_upload_carries_tags_and_a_download_may_demand_them() {
    let emulator = Running::start().await;
    let blob = emulator.container().await.blob_client("b");
    let options = BlockBlobClientUploadOptions::default().with_tags(tags(&[("state", "open")]));
    upload(&blob, "one", options).await;
    let demand =
        |expression: &str| BlobClientDownloadOptions { if_tags: Some(expression.to_owned()), ..Default::default() };
    blob.download(Some(demand("\"state\" = 'open' AND \"state\" <> 'shut'"))).await.unwrap();
    let refused = blob.download(Some(demand("\"state\" = 'shut'"))).await;
    assert_eq!(refusal(refused), (412, "ConditionNotMet".to_owned()));
    assert_eq!(download(&blob).await, "one");
}
