//! Listings with every include, and of names with very many versions.

use super::client::Client;

#[tokio::test]
async fn blobs_that_were_never_committed_are_listed_on_demand() {
    let client = Client::new().await;
    client.put("committed", "one").await;
    for name in ["committed", "waiting"] {
        client.send("PUT", &format!("/con/{name}?comp=block&blockid=MQ=="), &[], "x").await;
    }
    assert_eq!(client.list("").await.elements("Name"), ["committed"]);
    let listed = client.list("include=uncommittedblobs").await;
    assert_eq!(listed.elements("Name"), ["committed", "waiting"]);
    assert_eq!(listed.elements("Content-Length"), ["3", "0"]);
    let page = client.list("include=uncommittedblobs&maxresults=1").await;
    let next = page.elements("NextMarker")[0];
    let rest = client.list(&format!("include=uncommittedblobs&maxresults=1&marker={next}")).await;
    assert_eq!((rest.elements("Name"), rest.elements("NextMarker").len()), (vec!["waiting"], 0));
}

#[tokio::test]
async fn a_name_with_more_versions_than_a_page_is_listed_completely() {
    let client = Client::new().await;
    let mut written = Vec::new();
    for _ in 0..5_003 {
        written.push(client.put("b", "").await.header("x-ms-version-id").to_owned());
    }
    client.put("c", "").await;
    let first = client.list("include=versions").await;
    let next = first.elements("NextMarker")[0];
    let second = client.list(&format!("include=versions&marker={next}")).await;
    let ids: Vec<_> = first.elements("VersionId").into_iter().chain(second.elements("VersionId")).collect();
    assert_eq!((first.elements("Name").len(), ids.len()), (5_000, 5_004));
    assert_eq!(ids[..5_003], written);
    assert_eq!(second.elements("IsCurrentVersion").len(), 2);
}

#[tokio::test]
async fn a_name_with_nothing_but_deleted_versions_is_bare_only_to_those_who_see_the_deleted() {
    let client = Client::new().await;
    let id = client.put("b", "one").await.header("x-ms-version-id").to_owned();
    client.send("DELETE", "/con/b", &[], "").await;
    assert_eq!(client.list("include=deletedwithversions").await.elements("HasVersionsOnly"), ["true"]);
    client.send("DELETE", &format!("/con/b?versionid={id}"), &[], "").await;
    assert!(client.list("include=deletedwithversions").await.elements("Name").is_empty());
    let seen = client.list("include=deletedwithversions,deleted").await;
    assert_eq!((seen.elements("HasVersionsOnly"), seen.elements("Deleted")), (vec!["true"], vec!["true"]));
}
