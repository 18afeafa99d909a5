//! Listings with versions and metadata over many pages, and names that are hard to carry.

use std::collections::HashMap;

use azure_storage_blob::BlobContainerClient;
use azure_storage_blob::models::{
    BlobContainerClientListBlobsOptions, BlobItem, BlockBlobClientUploadOptions, ListBlobsIncludeItem,
};
use futures::TryStreamExt;

use crate::client::{Running, download, upload};

async fn list(container: &BlobContainerClient, options: BlobContainerClientListBlobsOptions<'_>) -> Vec<BlobItem> {
    let pages = container.list_blobs(Some(options)).unwrap().into_pages();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    let models = pages.into_iter().map(|page| page.into_model().unwrap());
    models.flat_map(|page| page.blob_items).collect()
}

fn names(items: &[BlobItem]) -> Vec<&str> {
    items.iter().map(|item| item.name.as_deref().unwrap()).collect()
}

#[tokio::test]
async fn versions_and_metadata_are_listed_completely_by_pages_of_any_size() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    let mut expected = Vec::new();
    for name in ["a", "b/1", "b/2"] {
        for n in 0..4 {
            let options = BlockBlobClientUploadOptions {
                metadata: Some(HashMap::from([("n".to_owned(), n.to_string())])),
                ..Default::default()
            };
            let id = upload(&container.blob_client(name), "x", options).await;
            expected.push((name.to_owned(), id, n.to_string(), (n == 3).then_some(true)));
        }
    }
    for page in [1, 3, 5_000] {
        let options = BlobContainerClientListBlobsOptions {
            include: Some(vec![ListBlobsIncludeItem::Versions, ListBlobsIncludeItem::Metadata]),
            maxresults: Some(page),
            ..Default::default()
        };
        let items = list(&container, options).await;
        let found: Vec<_> = items
            .into_iter()
            .map(|item| {
                let metadata = item.metadata.unwrap().values.unwrap();
                let (name, id) = (item.name.unwrap(), item.version_id.unwrap());
                (name, id, metadata["n"].clone(), item.is_current_version)
            })
            .collect();
        assert_eq!(found, expected, "pages of {page}");
    }
}

#[tokio::test]
async fn a_listing_begins_where_it_is_told_to() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    for name in ["a", "b/1", "b/2", "c"] {
        upload(&container.blob_client(name), "x", BlockBlobClientUploadOptions::default()).await;
    }
    let prefix = BlobContainerClientListBlobsOptions { prefix: Some("b/".to_owned()), ..Default::default() };
    assert_eq!(names(&list(&container, prefix).await), ["b/1", "b/2"]);
    let start = BlobContainerClientListBlobsOptions { start_from: Some("b/2".to_owned()), ..Default::default() };
    assert_eq!(names(&list(&container, start).await), ["b/2", "c"]);
}

#[tokio::test]
async fn hostile_names_are_written_listed_and_read_under_their_own_name() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    let mut expected = vec![
        "100%",
        "%41",
        "a#b",
        "a?b",
        "a b",
        "a+b",
        "a&b<c>\"d'",
        "~7E~n1.5",
        "été/日本/😀",
        "a;b=c,d",
        "a//b",
        "a:b@c!$(*)",
        "\u{FFFE}\u{1}",
    ];
    for name in &expected {
        upload(&container.blob_client(name), name, BlockBlobClientUploadOptions::default()).await;
    }
    expected.sort_unstable();
    let items = list(&container, BlobContainerClientListBlobsOptions::default()).await;
    assert_eq!(names(&items), expected);
    for name in expected {
        assert_eq!(download(&container.blob_client(name)).await, *name);
        let options = BlobContainerClientListBlobsOptions {
            prefix: Some(name.to_owned()),
            maxresults: Some(1),
            ..Default::default()
        };
        assert_eq!(names(&list(&container, options).await)[0], name);
    }
}

#[tokio::test]
async fn deleted_versions_and_bare_names_are_listed_on_demand() {
    let emulator = Running::start().await;
    let container = emulator.container().await;
    let blob = container.blob_client("b");
    let first = upload(&blob, "one", BlockBlobClientUploadOptions::default()).await;
    upload(&blob, "two", BlockBlobClientUploadOptions::default()).await;
    blob.delete(None).await.unwrap();
    blob.with_version(&first).unwrap().delete(None).await.unwrap();
    let with = |include| BlobContainerClientListBlobsOptions { include: Some(include), ..Default::default() };
    assert_eq!(list(&container, BlobContainerClientListBlobsOptions::default()).await.len(), 0);
    let all = list(&container, with(vec![ListBlobsIncludeItem::Versions, ListBlobsIncludeItem::Deleted])).await;
    let deleted: Vec<_> = all.iter().map(|item| item.deleted).collect();
    assert_eq!(deleted, [Some(true), None]);
    let properties = all[0].properties.as_ref().unwrap();
    assert!(properties.deleted_time.is_some() && properties.remaining_retention_days.is_some());
    let bare = list(&container, with(vec![ListBlobsIncludeItem::DeletedWithVersions])).await;
    assert_eq!((bare.len(), bare[0].has_versions_only), (1, Some(true)));
}
