//! Blob index tags, conditions on them and searches by them.

use super::client::{Client, signature};

const TAGS: &str = "<Tags><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b c</Key><Value></Value></Tag>\
    </TagSet></Tags>";

#[tokio::test]
async fn tags_belong_to_one_version_and_setting_them_makes_none() {
    let client = Client::new().await;
    let first = client.put_with("b", "one", &[("x-ms-tags", "a=0")]).await.header("x-ms-version-id").to_owned();
    let etag = client.put("b", "two").await.header("etag").to_owned();
    let set = client.send("PUT", "/con/b?comp=tags", &[], TAGS).await;
    assert_eq!(set.status.as_u16(), 204, "{}", set.body);
    let read = client.get("/b").await;
    assert_eq!((read.header("etag"), read.header("x-ms-tag-count")), (etag.as_str(), "2"));
    assert_eq!(client.get("/b?comp=tags").await.elements("Key"), ["a", "b c"]);
    assert_eq!(client.get(&format!("/b?comp=tags&versionid={first}")).await.elements("Value"), ["0"]);
    let listed = client.list("include=versions,tags").await;
    assert_eq!(listed.elements("TagCount"), ["1", "2"]);
    assert_eq!(listed.elements("Key"), ["a", "a", "b c"]);
    assert!(client.list("include=versions").await.elements("Key").is_empty());
    client.put("b", "three").await;
    assert_eq!(client.get("/b").await.header("x-ms-tag-count"), "");
    assert_eq!(client.send("PUT", "/con/c?comp=tags", &[], TAGS).await.refusal(), (404, "BlobNotFound"));
}

#[tokio::test]
async fn conditions_on_tags_decide_reads_and_writes() {
    let client = Client::new().await;
    client.put_with("b", "one", &[("x-ms-tags", "state=open")]).await;
    let with = |method: &'static str, path: &'static str, condition: &'static str| {
        let client = &client;
        let headers = [("x-ms-if-tags", condition), ("x-ms-blob-type", "BlockBlob"), ("x-ms-meta-a", "1")];
        async move { client.send(method, path, &headers, "").await }
    };
    const OPEN: &str = "\"state\" = 'open'";
    const SHUT: &str = "\"state\" = 'shut'";
    for (method, path) in [
        ("GET", "/con/b"),
        ("HEAD", "/con/b"),
        ("GET", "/con/b?comp=tags"),
        ("PUT", "/con/b?comp=metadata"),
        ("PUT", "/con/b?comp=properties"),
        ("PUT", "/con/b?comp=snapshot"),
        ("PUT", "/con/b"),
        ("DELETE", "/con/b"),
    ] {
        assert_eq!(with(method, path, SHUT).await.refusal(), (412, "ConditionNotMet"), "{method} {path}");
        assert_eq!(with(method, path, "state =").await.refusal(), (400, "InvalidHeaderValue"), "{method} {path}");
    }
    assert_eq!(with("GET", "/con/b", OPEN).await.body, "one");
    assert_eq!(with("PUT", "/con/b?comp=metadata", OPEN).await.status.as_u16(), 200);
    assert_eq!(with("PUT", "/con/b", OPEN).await.status.as_u16(), 201);
    assert_eq!(with("PUT", "/con/b", OPEN).await.refusal(), (412, "ConditionNotMet"), "the new state has no tags");
    assert_eq!(with("PUT", "/con/new", OPEN).await.refusal(), (412, "ConditionNotMet"));
}

#[tokio::test]
async fn tags_need_their_own_permission() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let without = signature("rwdxyl");
    let get = client.send_with(&without, "GET", "/con/b?comp=tags", &[], "").await;
    assert_eq!(get.refusal(), (403, "AuthorizationPermissionMismatch"));
    let headers = [("x-ms-blob-type", "BlockBlob"), ("x-ms-tags", "a=1")];
    let put = client.send_with(&without, "PUT", "/con/b", &headers, "").await;
    assert_eq!(put.refusal(), (403, "AuthorizationPermissionMismatch"));
    let find = client.send_with(&without, "GET", "/?comp=blobs&where=a%3D'1'", &[], "").await;
    assert_eq!(find.refusal(), (403, "AuthorizationPermissionMismatch"));
}

#[tokio::test]
async fn blobs_are_found_by_their_current_tags_page_by_page() {
    let client = Client::new().await;
    client.send("PUT", "/other?restype=container", &[], "").await;
    for n in 0..5 {
        let tag = format!("n={n}");
        client.put_with(&format!("dir/{n}"), "", &[("x-ms-tags", &tag)]).await;
    }
    client.put("dir/3", "without").await;
    let headers = [("x-ms-blob-type", "BlockBlob"), ("x-ms-tags", "n=2&x=y")];
    client.send("PUT", "/other/b", &headers, "").await;
    let find = |path: &'static str, expression: &'static str, marker: String| {
        let client = &client;
        let path = format!("{path}comp=blobs&maxresults=2&where={expression}&marker={marker}");
        async move { client.send("GET", &path, &[], "").await }
    };
    let mut names = Vec::new();
    let mut marker = String::new();
    loop {
        let page = find("/?", "n%3E%3D'1'", marker).await;
        assert_eq!(page.status.as_u16(), 200, "{}", page.body);
        names.extend(page.elements("Name").into_iter().map(str::to_owned));
        match page.elements("NextMarker").first() {
            Some(next) => marker = (*next).to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["dir/1", "dir/2", "dir/4", "b"]);
    let one = find("/?", "n%3D'2'%20AND%20x%3D'y'", String::new()).await;
    assert_eq!(one.elements("ContainerName"), ["other"]);
    assert_eq!(one.elements("Key"), ["n", "x"]);
    let inside = find("/con?restype=container&", "%22n%22%3D'2'", String::new()).await;
    assert_eq!(inside.elements("Name"), ["dir/2"]);
    let container = find("/?", "%40container%3D'other'%20AND%20n%3E'0'", String::new()).await;
    assert_eq!((container.elements("Name"), container.elements("Key")), (vec!["b"], vec!["n"]), "of two tags");
    assert_eq!(find("/?", "n%3D'1'%20OR%20n%3D'2'", String::new()).await.refusal().0, 400);
}
