//! Version-level immutability policies and legal holds.

use super::super::StorageSettings;
use super::super::time::http_date;
use super::client::{Client, signature};

const DAY_MS: i64 = 86_400_000;
const POLICY: &str = "/con/b?comp=immutabilityPolicies";
const HOLD: &str = "/con/b?comp=legalhold";

impl Client {
    /// The HTTP date so many days from now.
    fn in_days(&self, days: i64) -> String {
        let second = self.clock.now().as_second() + days * DAY_MS / 1_000;
        http_date(jiff::Timestamp::from_second(second).unwrap())
    }

    async fn set_policy(&self, days: i64, mode: &str) -> (u16, String) {
        let until = self.in_days(days);
        let headers =
            [("x-ms-immutability-policy-until-date", until.as_str()), ("x-ms-immutability-policy-mode", mode)];
        let answer = self.send("PUT", POLICY, &headers, "").await;
        (answer.status.as_u16(), answer.header("x-ms-error-code").to_owned())
    }
}

#[tokio::test]
async fn a_protected_state_is_overwritten_by_a_new_version_and_refuses_all_else() {
    let client = Client::new().await;
    let until = client.in_days(2);
    let first = client.put_with("b", "one", &[("x-ms-immutability-policy-until-date", &until)]).await;
    assert_eq!(first.status.as_u16(), 201, "{}", first.body);
    let read = client.get("/b").await;
    assert_eq!(read.header("x-ms-immutability-policy-until-date"), until);
    assert_eq!(read.header("x-ms-immutability-policy-mode"), "unlocked");
    let properties = client.send("PUT", "/con/b?comp=properties", &[("x-ms-blob-content-type", "text/a")], "").await;
    assert_eq!(properties.status.as_u16(), 200, "properties are not among what is prohibited");
    for (method, path) in [("PUT", "/con/b?comp=metadata"), ("DELETE", "/con/b")] {
        let refused = client.send(method, path, &[], "").await;
        assert_eq!(refused.refusal(), (409, "BlobImmutableDueToPolicy"), "{method} {path}");
    }
    client.put("b", "two").await;
    assert_eq!(client.get("/b").await.header("x-ms-immutability-policy-mode"), "");
    let version = format!("/con/b?versionid={}", first.header("x-ms-version-id"));
    let refused = client.send("DELETE", &version, &[], "").await;
    assert_eq!(refused.refusal(), (409, "BlobImmutableDueToPolicy"));
    let container = client.send("DELETE", "/con?restype=container", &[], "").await;
    assert_eq!(container.refusal(), (409, "BlobImmutableDueToPolicy"));
    client.clock.advance_ms(2 * DAY_MS + 1_000);
    assert_eq!(client.send("DELETE", &version, &[], "").await.status.as_u16(), 202);
    let held = client.put_with("b", "three", &[("x-ms-legal-hold", "true")]).await;
    assert_eq!(held.status.as_u16(), 201, "{}", held.body);
    assert_eq!(client.send("DELETE", "/con/b", &[], "").await.refusal(), (409, "BlobImmutableDueToLegalHold"));
    let freed = client.send("PUT", HOLD, &[("x-ms-legal-hold", "false")], "").await;
    assert_eq!((freed.status.as_u16(), freed.header("x-ms-legal-hold")), (200, "false"));
    assert_eq!(client.send("DELETE", "/con/b", &[], "").await.status.as_u16(), 202);
}

#[tokio::test]
async fn a_locked_policy_is_only_extended_and_never_deleted() {
    let client = Client::new().await;
    let etag = client.put("b", "one").await.header("etag").to_owned();
    assert_eq!(client.set_policy(5, "Unlocked").await.0, 200);
    assert_eq!(client.set_policy(2, "Unlocked").await.0, 200);
    assert_eq!(client.send("DELETE", POLICY, &[], "").await.status.as_u16(), 200);
    assert_eq!(client.set_policy(2, "locked").await.0, 200);
    for (days, mode) in [(1, "locked"), (5, "unlocked")] {
        assert_eq!(client.set_policy(days, mode).await, (409, "BlobImmutableDueToPolicy".to_owned()));
    }
    assert_eq!(client.set_policy(3, "locked").await.0, 200);
    let refused = client.send("DELETE", POLICY, &[], "").await;
    assert_eq!(refused.refusal(), (409, "ImmutabilityPolicyDeleteOnLockedPolicy"));
    assert_eq!(client.get("/b").await.header("etag"), etag);
    assert_eq!(client.set_policy(-1, "locked").await.1, "InvalidHeaderValue");
    assert_eq!(client.set_policy(9, "mutable").await.1, "InvalidHeaderValue");
    assert_eq!(client.send("PUT", POLICY, &[], "").await.refusal(), (400, "MissingRequiredHeader"));
    assert_eq!(client.send("PUT", HOLD, &[], "").await.refusal(), (400, "MissingRequiredHeader"));
}

#[tokio::test]
async fn an_expired_policy_still_forbids_metadata_and_nothing_else() {
    let client = Client::new().await;
    let until = client.in_days(1);
    client.put_with("b", "one", &[("x-ms-immutability-policy-until-date", &until)]).await;
    client.clock.advance_ms(DAY_MS + 1_000);
    let metadata = client.send("PUT", "/con/b?comp=metadata", &[], "").await;
    assert_eq!(metadata.refusal(), (409, "BlobImmutableDueToPolicy"));
    assert_eq!(client.send("DELETE", "/con/b", &[], "").await.status.as_u16(), 202);
}

#[tokio::test]
async fn policies_and_holds_are_listed_on_demand_and_set_on_versions() {
    let client = Client::new().await;
    let id = client.put("b", "one").await.header("x-ms-version-id").to_owned();
    client.put("b", "two").await;
    let hold = format!("{HOLD}&versionid={id}");
    assert_eq!(client.send("PUT", &hold, &[("x-ms-legal-hold", "true")], "").await.status.as_u16(), 200);
    client.set_policy(5, "locked").await;
    let listed = client.list("include=versions,immutabilitypolicy,legalhold").await;
    assert_eq!(listed.elements("LegalHold"), ["true"]);
    assert_eq!(listed.elements("ImmutabilityPolicyMode"), ["locked"]);
    let bare = client.list("include=versions").await;
    assert!(bare.elements("LegalHold").is_empty() && bare.elements("ImmutabilityPolicyMode").is_empty());
}

#[tokio::test]
async fn protection_needs_versioning_support_and_permission() {
    let client = Client::new().await;
    client.put("b", "one").await;
    let off = StorageSettings { version_level_immutability: false, ..StorageSettings::default() };
    for settings in [off, StorageSettings { versioning: false, ..StorageSettings::default() }] {
        client.service.set_storage(settings).unwrap();
        assert_eq!(client.set_policy(1, "unlocked").await.0, 409);
        let put = client.put_with("b", "two", &[("x-ms-legal-hold", "true")]).await;
        assert_eq!(put.status.as_u16(), 409);
        let properties = client.get("?restype=container").await;
        assert_eq!(properties.header("x-ms-immutable-storage-with-versioning-enabled"), "false");
    }
    client.service.set_storage(StorageSettings::default()).unwrap();
    let without = signature("rwdxylt");
    let headers = [("x-ms-blob-type", "BlockBlob"), ("x-ms-legal-hold", "true")];
    let put = client.send_with(&without, "PUT", "/con/b", &headers, "").await;
    assert_eq!(put.refusal(), (403, "AuthorizationPermissionMismatch"));
}
