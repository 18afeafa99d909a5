//! Service properties, stored access policies, and what Azure's own clients and Azurite were found to do otherwise.

use super::client::{Client, container_signature};
use crate::blob::StorageSettings;

#[tokio::test]
async fn service_properties_are_kept_and_the_retention_is_the_accounts_own() {
    let client = Client::new().await;
    let rule = "<CorsRule><AllowedOrigins>*</AllowedOrigins><AllowedMethods>GET</AllowedMethods>\
        <AllowedHeaders /><ExposedHeaders /><MaxAgeInSeconds>5</MaxAgeInSeconds></CorsRule>";
    let body = format!(
        "<?xml version=\"1.0\"?><StorageServiceProperties><Cors>{rule}</Cors><DefaultServiceVersion>2024-11-04\
         </DefaultServiceVersion><DeleteRetentionPolicy><Enabled>true</Enabled><Days>30</Days>\
         </DeleteRetentionPolicy></StorageServiceProperties>"
    );
    let path = "/?restype=service&comp=properties";
    let set = client.send("PUT", path, &[], &body).await;
    assert_eq!(set.status.as_u16(), 202, "{}", set.body);
    assert_eq!(client.service.storage().soft_delete_days, 30);
    let read = client.send("GET", path, &[], "").await;
    assert_eq!(read.elements("Cors"), [rule]);
    assert_eq!(read.elements("DefaultServiceVersion"), ["2024-11-04"]);
    assert_eq!(read.elements("DeleteRetentionPolicy"), ["<Enabled>true</Enabled><Days>30</Days>"]);
    let rest = "<StorageServiceProperties><StaticWebsite><Enabled>true</Enabled></StaticWebsite>\
        </StorageServiceProperties>";
    client.send("PUT", path, &[], rest).await;
    let read = client.send("GET", path, &[], "").await;
    assert_eq!((read.elements("Cors"), read.elements("StaticWebsite")), (vec![rule], vec!["<Enabled>true</Enabled>"]));
    let broken = client.send("PUT", path, &[], "<StorageServiceProperties>").await;
    assert_eq!(broken.refusal(), (400, "InvalidXmlDocument"));
}

#[tokio::test]
async fn a_signature_takes_its_terms_from_the_stored_policy_it_names() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let store = |identifiers: &'static str| {
        let client = &client;
        let body = format!("<SignedIdentifiers>{identifiers}</SignedIdentifiers>");
        let query = [("comp", "acl"), ("restype", "container")];
        async move {
            let set = client.send_with_key("PUT", "/con", &query, &[], &body).await;
            assert_eq!(set.status.as_u16(), 200, "{}", set.body);
            let read = client.send_with_key("GET", "/con", &query, &[], "").await;
            assert_eq!(read.elements("SignedIdentifier").len(), identifiers.matches("<Id>").count());
        }
    };
    const READERS: &str = "<SignedIdentifier><Id>readers</Id><AccessPolicy><Expiry>2999-01-01</Expiry>\
        <Permission>r</Permission></AccessPolicy></SignedIdentifier>";
    let named = container_signature("", "", "readers");
    assert_eq!(client.send_with(&named, "GET", "/con/b", &[], "").await.refusal(), (403, "AuthenticationFailed"));
    store(READERS).await;
    assert_eq!(client.send_with(&named, "GET", "/con/b", &[], "").await.body, "one");
    let delete = client.send_with(&named, "DELETE", "/con/b", &[], "").await;
    assert_eq!(delete.refusal(), (403, "AuthorizationPermissionMismatch"));
    let twice = container_signature("rd", "", "readers");
    assert_eq!(client.send_with(&twice, "GET", "/con/b", &[], "").await.refusal(), (403, "AuthenticationFailed"));
    store("").await;
    assert_eq!(client.send_with(&named, "GET", "/con/b", &[], "").await.refusal(), (403, "AuthenticationFailed"));
}

#[tokio::test]
async fn checksums_are_told_as_documented() {
    let client = Client::new().await;
    let block = "/con/b?comp=block&blockid=MQ==";
    let plain = client.send("PUT", block, &[], "one").await;
    assert_eq!((plain.header("content-md5"), plain.header("x-ms-content-crc64")), ("", "szvLqgqeSbE="));
    let md5 = [("content-md5", "+XxdKZQb+xsv2rCHSQargg==")];
    assert_eq!(client.send("PUT", block, &md5, "one").await.header("content-md5"), md5[0].1);
    let list = "<BlockList><Latest>MQ==</Latest></BlockList>";
    let committed = client.send("PUT", "/con/b?comp=blocklist", &[], list).await;
    assert_eq!((committed.header("content-md5"), committed.header("x-ms-content-crc64").len()), ("", 12));
    let wrong = client.put_with("b", "one", &[("content-md5", "AAAA")]).await;
    assert_eq!(wrong.elements("UserSpecifiedMd5"), ["AAAA"]);
    assert_eq!(wrong.elements("ServerCalculatedMd5"), [md5[0].1]);
    let both =
        [("range", "bytes=0-1"), ("x-ms-range-get-content-md5", "true"), ("x-ms-range-get-content-crc64", "true")];
    assert_eq!(client.send("GET", "/con/b", &both, "").await.refusal(), (400, "InvalidHeaderValue"));
}

#[tokio::test]
async fn metadata_alone_is_metadata_alone() {
    let client = Client::new().await;
    client.put_with("b", "one", &[("x-ms-meta-k", "v")]).await;
    let read = client.get("/b?comp=metadata").await;
    assert_eq!((read.header("x-ms-meta-k"), read.body.as_str()), ("v", ""));
    assert!(!read.header("etag").is_empty() && !read.header("last-modified").is_empty());
    for name in ["content-type", "x-ms-blob-type", "x-ms-access-tier", "x-ms-lease-state", "content-md5"] {
        assert_eq!(read.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn what_other_clients_send_is_answered_as_the_service_does() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let empty = client.send("GET", "/?comp=list&prefix=c&include=", &[], "").await;
    assert_eq!(empty.elements("Name"), ["con"]);
    assert_eq!(client.list("include=").await.elements("Name"), ["b"]);
    let snapshot = client.send("PUT", "/con/b?comp=snapshot", &[], "").await;
    let path = format!("/con/b?snapshot={}", snapshot.header("x-ms-snapshot"));
    let both = client.send("DELETE", &path, &[("x-ms-delete-snapshots", "include")], "").await;
    assert_eq!(both.refusal(), (400, "InvalidOperation"));
    let missing = client.get("/missing").await;
    assert!(missing.body.contains(".\nRequestId:"), "{}", missing.body);
    let preflight = client.send_raw("OPTIONS", "/devstoreaccount1/con/b", &[("origin", "http://a")], "").await;
    assert_eq!(preflight.refusal(), (403, "CorsPreflightFailure"));
}

#[tokio::test]
async fn the_accounts_kind_and_what_containers_say_of_themselves_are_as_they_were_set() {
    let client = Client::new().await;
    let set = |json: &str| client.service.set_storage(serde_json::from_str::<StorageSettings>(json).unwrap()).unwrap();
    set(r#"{"sku":"Standard_RAGZRS","hierarchicalNamespace":true,"immutability":"policy"}"#);
    let account = client.get("?restype=account&comp=properties").await;
    assert_eq!((account.header("x-ms-sku-name"), account.header("x-ms-is-hns-enabled")), ("Standard_RAGZRS", "true"));
    let properties = async || client.get("?restype=container").await;
    let policy_and_hold = async || {
        let said = properties().await;
        ["x-ms-has-immutability-policy", "x-ms-has-legal-hold"].map(|name| said.header(name).to_owned())
    };
    assert_eq!(policy_and_hold().await, ["true", "false"]);
    set(r#"{"immutability":"legal-hold"}"#);
    assert_eq!(policy_and_hold().await, ["false", "true"]);
    set("{}");
    assert_eq!(policy_and_hold().await, ["false", "false"]);
}

#[tokio::test]
async fn without_the_permission_nothing_is_deleted_whatever_the_condition() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let other = [("if-match", "\"0x0\"")];
    assert_eq!(client.send("DELETE", "/con/b", &other, "").await.refusal(), (412, "ConditionNotMet"));
    let settings = StorageSettings { delete_allowed: false, ..StorageSettings::default() };
    client.service.set_storage(settings).unwrap();
    let refused = (403, "AuthorizationPermissionMismatch");
    for path in ["/con/b", "/con/missing", "/con?restype=container"] {
        assert_eq!(client.send("DELETE", path, &[], "").await.refusal(), refused, "{path}");
        assert_eq!(client.send("DELETE", path, &other, "").await.refusal(), refused, "{path}");
    }
    assert_eq!(client.get("/b").await.body, "one");
}
