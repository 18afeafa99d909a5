//! A service that begins with another one's journal is that service.

use super::client::{Answer, Client};

/// Everything a listing tells, and what only reads tell.
async fn all(client: &Client) -> Vec<String> {
    const EVERYTHING: &str = "include=versions,snapshots,deleted,deletedwithversions,metadata,tags,copy,\
        uncommittedblobs,immutabilitypolicy,legalhold";
    let shown = |answer: Answer| {
        let names = ["x-ms-lease-state", "x-ms-copy-id", "x-ms-tag-count", "x-ms-immutability-policy-until-date"];
        let headers: Vec<_> = names.iter().map(|name| answer.header(name).to_owned()).collect();
        format!("{} {headers:?} {}", answer.status, answer.body)
    };
    vec![
        shown(client.list(EVERYTHING).await),
        shown(client.get("/a").await),
        shown(client.get("/b").await),
        shown(client.get("/a?comp=blocklist&blocklisttype=all").await),
        shown(client.get("?restype=container").await),
        shown(client.send("GET", "/?restype=service&comp=properties", &[], "").await),
        shown(client.send_with_key("GET", "/con", &[("comp", "acl"), ("restype", "container")], &[], "").await),
    ]
}

#[tokio::test]
async fn what_was_kept_is_there_again_with_the_same_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blobs");
    let client = Client::keeping(&path).await;
    client.put_with("a", "one", &[("x-ms-tags", "k=v"), ("x-ms-meta-m", "1")]).await;
    let source = client.source("/con/a");
    client.send("PUT", "/con/b", &[("x-ms-copy-source", &source), ("if-match", "\"0x1\"")], "").await;
    client.send("PUT", "/con/b", &[("x-ms-copy-source", &source)], "").await;
    client.send("PUT", "/con/a?comp=snapshot", &[], "").await;
    client.send("PUT", "/con/a?comp=block&blockid=MQ==", &[], "block").await;
    let lease = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    for _ in 0..2 {
        // The second is refused, and leaves no trace.
        client.send("PUT", "/con/a?comp=lease", &lease, "").await;
    }
    client.send("PUT", "/con/b?comp=legalhold", &[("x-ms-legal-hold", "true")], "").await;
    let properties = "<StorageServiceProperties><DeleteRetentionPolicy><Enabled>true</Enabled><Days>3</Days>\
        </DeleteRetentionPolicy></StorageServiceProperties>";
    client.send("PUT", "/?restype=service&comp=properties", &[], properties).await;
    let policies = "<SignedIdentifiers><SignedIdentifier><Id>p</Id></SignedIdentifier></SignedIdentifiers>";
    client.send_with_key("PUT", "/con", &[("comp", "acl"), ("restype", "container")], &[], policies).await;
    let before = all(&client).await;
    drop(client);
    let again = Client::reopened(&path);
    assert_eq!(all(&again).await, before);
    assert!(before[1].starts_with("200") && before[1].contains("leased") && before[6].contains("<Id>p</Id>"));
}
