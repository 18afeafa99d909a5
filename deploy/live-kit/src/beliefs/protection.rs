//! What protects history from whoever writes it.

use std::time::Duration;

use bytes::Bytes;
use cosmirror::config::Target;
use cosmirror::store::azure::{AzureAuth, AzureStore};
use cosmirror::store::{Condition, Put, VersionStore as _};
use cosmirror::time;
use jiff::ToSpan as _;

use crate::belief::{Seen, Unsettled, ensure, expect};
use crate::blob_wire::{WITHOUT_DELETE, code, elements};
use crate::cosmos_wire::Answer;
use crate::kit::Kit;
use crate::settings::IMMUTABLE;

/// How long a locked policy of the kit's lasts, and is waited for.
const LOCKED: Duration = Duration::from_secs(20);

/// Without the permission to delete, the daemon does its work and cannot remove a blob or a version, so such a role keeps history from a program that
/// was taken over. Its only delete is that of a probe (`src/store/azure/prepare.rs`).
pub(crate) async fn without_the_permission_to_delete_history_stays(kit: &Kit) -> Seen {
    let signature = AzureAuth::Sas(kit.blob.signature(WITHOUT_DELETE).into());
    let store = AzureStore::new(&kit.target, signature)?;
    store.prepare(false).await?;
    let name = "protected/no-delete";
    let put = |condition: Condition| Put { name: name.to_owned(), body: "1".into(), metadata: [].into(), condition };
    let first = store.put(put(Condition::Absent)).await?;
    store.put(put(Condition::Matches(first.etag))).await?;
    let mut seen = Vec::new();
    for query in [String::new(), format!("versionid={}", first.version.replace(':', "%3A"))] {
        let path = [kit.database.as_str(), name];
        let answer = kit.blob.send_with(WITHOUT_DELETE, "DELETE", &path, &query, &[], Bytes::new()).await?;
        ensure(answer.status == 403, || format!("a delete was answered {} {}", answer.status, code(&answer)))?;
        seen.push(format!("{} {}", answer.status, code(&answer)));
    }
    Ok(format!("put and overwritten; delete of the blob {}, of a version {}", seen[0], seen[1]))
}

/// Whether a credential may delete is told before a condition is looked at, so `may_delete` in `src/store/azure/audit.rs` finds out without deleting
/// anything, and `src/check/target/azure.rs` advises by it.
pub(crate) async fn rights_are_looked_at_before_conditions(kit: &Kit) -> Seen {
    let signature = AzureAuth::Sas(kit.blob.signature(WITHOUT_DELETE).into());
    let without = AzureStore::new(&kit.target, signature)?.may_delete().await?.blobs;
    let with = kit.store.may_delete().await?.blobs;
    ensure(with && !without, || format!("with the right {with}, without it {without}"))?;
    ensure(kit.store.read_probe().await?, || "the probe was deleted".to_owned())?;
    Ok("a delete under a condition that cannot hold: refused with 403 without the right, by the condition with it"
        .to_owned())
}

/// The account tells its kind, its redundancy and whether names are a tree of directories, which keeps no versions
/// (`src/store/azure/audit.rs`, `src/check/target/azure.rs`).
pub(crate) async fn the_account_tells_its_kind_and_hierarchy(kit: &Kit) -> Seen {
    let account = kit.store.account_information().await?;
    ensure(!account.kind.is_empty() && !account.sku.is_empty() && !account.hierarchical, || format!("{account:?}"))?;
    let raw =
        kit.blob.send("GET", &[], "restype=account&comp=properties", &[], "").await?.expect(&[200], "the account")?;
    let hierarchical = expect(raw.header("x-ms-is-hns-enabled"), "x-ms-is-hns-enabled")?;
    Ok(format!("{} {}, x-ms-is-hns-enabled is {hierarchical}", account.kind, account.sku))
}

/// The days of soft delete can be read from the blob service's properties, for `src/check/target/azure.rs`. Of what was deleted by somebody
/// else they are the second net.
pub(crate) async fn soft_delete_days_can_be_read(kit: &Kit) -> Seen {
    let answer = kit.blob.send("GET", &[], "restype=service&comp=properties", &[], "").await?;
    let answer = answer.expect(&[200], "the blob service's properties")?;
    let xml = String::from_utf8_lossy(&answer.body).into_owned();
    let policy = expect(elements(&xml, "DeleteRetentionPolicy").first().copied(), "DeleteRetentionPolicy")?;
    let enabled = elements(policy, "Enabled").first().copied().unwrap_or_default();
    let days = elements(policy, "Days").first().copied().unwrap_or("none");
    ensure(enabled == "false" || days.parse::<u32>().is_ok(), || format!("enabled {enabled:?}, days {days:?}"))?;
    let told = kit.store.soft_delete().await?;
    Ok(format!("enabled {enabled}, days {days}; the daemon's client reads {told:?}"))
}

/// A put may bring a policy that is locked from the start, so no second request has to lock it (`src/store/azure/riders.rs`,
/// `src/check/target/azure/riders.rs`). The documentation has it that what a put brings is unlocked.
pub(crate) async fn a_put_locks_its_own_policy(kit: &Kit) -> Seen {
    let container = immutable_container(kit)?;
    let name = format!("{}/locked", kit.database);
    let until = time::now() + LOCKED;
    let until = until.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = [
        ("x-ms-blob-type", "BlockBlob"),
        ("x-ms-immutability-policy-until-date", until.as_str()),
        ("x-ms-immutability-policy-mode", "locked"),
    ];
    let put = kit.blob.send("PUT", &[&container, &name], "", &headers, "1").await?;
    let put = put.expect(&[201], "a put with a locked policy")?;
    let version = expect(put.header("x-ms-version-id"), "the version id")?.replace(':', "%3A");
    let looked = kit.blob.send("HEAD", &[&container, &name], "", &[], "").await;
    tokio::time::sleep(LOCKED).await;
    if let Err(Unsettled::Failed(why) | Unsettled::Skipped { reason: why, .. }) =
        remove(kit, &container, &name, &[&version]).await
    {
        kit.leave(format!("a version of {name} in the container {container}: {why}"));
    }
    let looked = looked?.expect(&[200], "its properties")?;
    let mode = looked.header("x-ms-immutability-policy-mode").unwrap_or("none").to_owned();
    ensure(mode.eq_ignore_ascii_case("locked"), || format!("its mode is {mode}"))?;
    Ok(format!("its mode is {mode}"))
}

/// The container whose versions can be protected.
fn immutable_container(kit: &Kit) -> Result<String, Unsettled> {
    match (&kit.settings.immutable_container, kit.settings.is_emulator) {
        (Some(container), _) => Ok(container.clone()),
        (None, true) => Ok(kit.database.clone()),
        (None, false) => Err(Unsettled::Skipped {
            reason: "needs a container with version-level immutability".to_owned(),
            variable: IMMUTABLE,
        }),
    }
}

/// A version under an immutability policy cannot be deleted, and a conditional put makes a new version over it, so a mirror can be immutable and
/// still grow (`src/store/azure.rs`, `docs/operations.md`).
pub(crate) async fn an_immutable_version_is_overwritten_by_a_new_one(kit: &Kit) -> Seen {
    let container = immutable_container(kit)?;
    let name = format!("{}/immutable", kit.database);
    let until = (time::now() + 24.hours()).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = [
        ("x-ms-blob-type", "BlockBlob"),
        ("x-ms-immutability-policy-until-date", until.as_str()),
        ("x-ms-immutability-policy-mode", "unlocked"),
    ];
    let first = kit.blob.send("PUT", &[&container, &name], "", &headers, "1").await?;
    let first = first.expect(&[201], "a put with an immutability policy")?;
    let version = expect(first.header("x-ms-version-id"), "the version id")?.replace(':', "%3A");
    let overwritten = overwrite(kit, &container, &name, &first).await;
    let versions: Vec<&str> = [Some(version.as_str()), overwritten.as_deref().ok()].into_iter().flatten().collect();
    let looked = match &overwritten {
        Ok(_) => refuse_delete(kit, &container, &name, &version).await,
        Err(_) => Ok(String::new()),
    };
    let removed = remove(kit, &container, &name, &versions).await;
    if let Err(Unsettled::Failed(why) | Unsettled::Skipped { reason: why, .. }) = &removed {
        kit.leave(format!("versions of {name} in the container {container}, until the policy of a day is over: {why}"));
    }
    overwritten?;
    let seen = looked?;
    // On an account a lock or a policy of its own may keep them; here nothing does.
    if kit.settings.is_emulator {
        removed?;
    }
    Ok(seen)
}

/// Puts a second version over the first one; its id.
async fn overwrite(kit: &Kit, container: &str, name: &str, first: &Answer) -> Seen {
    let target = Target { container: container.to_owned(), ..kit.target.clone() };
    let store = AzureStore::new(&target, AzureAuth::resolve(&target)?)?;
    let etag = expect(first.header("etag"), "the etag")?.to_owned();
    let put = Put { name: name.to_owned(), body: "2".into(), metadata: [].into(), condition: Condition::Matches(etag) };
    Ok(store.put(put).await?.version.replace(':', "%3A"))
}

async fn refuse_delete(kit: &Kit, container: &str, name: &str, version: &str) -> Seen {
    let query = format!("versionid={version}");
    let deleted = kit.blob.send("DELETE", &[container, name], &query, &[], "").await?;
    ensure(deleted.status == 409, || format!("its delete was answered {} {}", deleted.status, code(&deleted)))?;
    Ok(format!("overwritten by a new version; its delete: {} {}", deleted.status, code(&deleted)))
}

/// Lifts the policies, which are not locked, and removes the blob and then its versions: the delete of a blob makes its newest version a previous one.
async fn remove(kit: &Kit, container: &str, name: &str, versions: &[&str]) -> Result<(), Unsettled> {
    let path = [container, name];
    for version in versions {
        // A version without a policy has none to lift; whether it can be removed is told below.
        kit.blob.send("DELETE", &path, &format!("comp=immutabilityPolicies&versionid={version}"), &[], "").await?;
    }
    let mut refused = Vec::new();
    let queries = versions.iter().map(|version| format!("versionid={version}"));
    for query in std::iter::once(String::new()).chain(queries) {
        let answer = kit.blob.send("DELETE", &path, &query, &[], "").await?;
        if !matches!(answer.status, 202 | 404) {
            refused.push(format!("{} {}", answer.status, code(&answer)));
        }
    }
    let list = format!("restype=container&comp=list&include=versions&prefix={name}");
    let listed = kit.blob.send("GET", &[container], &list, &[], "").await?.expect(&[200], "a listing of versions")?;
    let there = elements(&String::from_utf8_lossy(&listed.body), "Name").len();
    ensure(refused.is_empty() && there == 0, || format!("{there} are there, refused with {refused:?}"))
}
