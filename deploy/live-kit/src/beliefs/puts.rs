//! What puts of Blob Storage answer and refuse.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror::store::VersionStore as _;
use jiff::Timestamp;
use md5::{Digest as _, Md5};

use crate::belief::{Seen, Unsettled, ensure, expect};
use crate::blob_wire::{code, elements};
use crate::cosmos_wire::Answer;
use crate::kit::Kit;

/// Largest metadata of one blob, names and values together.
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// Version ids and dates come from several machines, and dates are cut to seconds.
const SKEW_SECONDS: i64 = 5;

/// Puts a blob under these headers.
pub(super) async fn put(kit: &Kit, name: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer, Unsettled> {
    let headers: Vec<_> = headers.iter().copied().chain([("x-ms-blob-type", "BlockBlob")]).collect();
    kit.blob.send("PUT", &[&kit.database, name], "", &headers, body.to_owned()).await
}

/// The same, which must succeed.
pub(super) async fn stored(kit: &Kit, name: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer, Unsettled> {
    put(kit, name, headers, body).await?.expect(&[201], "a put")
}

fn refused(answer: &Answer, status: u16, expected: &str) -> Seen {
    let seen = format!("{} {}", answer.status, code(answer));
    ensure(answer.status == status && code(answer) == expected, || format!("{seen}, not {status} {expected}"))?;
    Ok(seen)
}

/// The answer to a put has the version's id and its etag: the only sign that versions are kept (`src/store/azure/prepare.rs`,
/// `src/store/azure/versioning.rs`), and a put without one stops all writing.
pub(crate) async fn a_put_answers_a_version_id(kit: &Kit) -> Seen {
    let answer = stored(kit, "put/id", &[], "1").await?;
    let version = expect(answer.header("x-ms-version-id"), "the version id")?;
    let etag = expect(answer.header("etag"), "the etag")?;
    ensure(etag.starts_with('"') && etag.ends_with('"'), || format!("the etag {etag} has no quotes"))?;
    Ok(format!("{version} with etag {etag}"))
}

/// A version's id is an instant of RFC 3339. Commands that take an instant or a version's name tell them apart by it
/// (`src/cli/show.rs`, `docs/decisions.md`).
pub(crate) async fn a_version_id_is_an_instant_near_the_services_date(kit: &Kit) -> Seen {
    let answer = stored(kit, "put/instant", &[], "1").await?;
    let version = expect(answer.header("x-ms-version-id"), "the version id")?;
    let instant: Timestamp = version.parse().map_err(|_| Unsettled::Failed(format!("{version} is no instant")))?;
    let apart = answer.date()? - instant.as_second();
    ensure((-SKEW_SECONDS..=SKEW_SECONDS).contains(&apart), || format!("{version} is {apart} s before its Date"))?;
    Ok(format!("{version}, {apart} s before the Date"))
}

/// A create where a blob is answers 409 BlobAlreadyExists; `src/store/azure/errors.rs` takes it for a conflict, upon which `src/mirror/write.rs` looks
/// at what is stored.
pub(crate) async fn a_create_over_a_blob_is_409(kit: &Kit) -> Seen {
    stored(kit, "put/create", &[("if-none-match", "*")], "1").await?;
    refused(&put(kit, "put/create", &[("if-none-match", "*")], "2").await?, 409, "BlobAlreadyExists")
}

/// An overwrite by an etag that is no longer current answers 412 ConditionNotMet and changes nothing: the guard against a stale owner
/// (`src/mirror/write.rs`, `src/store/azure/errors.rs`).
pub(crate) async fn an_overwrite_by_an_old_etag_is_412(kit: &Kit) -> Seen {
    let first = stored(kit, "put/overwrite", &[], "1").await?;
    let old = expect(first.header("etag"), "the etag")?.to_owned();
    stored(kit, "put/overwrite", &[("if-match", &old)], "2").await?;
    let seen = refused(&put(kit, "put/overwrite", &[("if-match", &old)], "3").await?, 412, "ConditionNotMet")?;
    let (_, current) = expect(kit.store.get("put/overwrite", None).await?, "the blob")?;
    ensure(current == "2", || "it was overwritten all the same".to_owned())?;
    Ok(seen)
}

/// An overwrite of a blob that is not there is refused as a condition (412), not as missing (404), which `src/store/azure/errors.rs` takes for a
/// container that is not there.
pub(crate) async fn an_overwrite_of_nothing_is_412(kit: &Kit) -> Seen {
    refused(&put(kit, "put/nothing", &[("if-match", "\"0x8D0000000000000\"")], "1").await?, 412, "ConditionNotMet")
}

/// A name whose blob somebody deleted, so that only older versions are left, can be created: `Absent` in `src/store.rs` is about the current
/// version. Otherwise `src/mirror/write.rs` would never store that document again.
pub(crate) async fn a_name_whose_blob_was_deleted_can_be_created_again(kit: &Kit) -> Seen {
    let name = "put/deleted";
    stored(kit, name, &[], "1").await?;
    let deleted = kit.blob.send("DELETE", &[&kit.database, name], "", &[], "").await?;
    deleted.expect(&[202], "a delete")?;
    ensure(kit.store.head(name).await?.is_none(), || "a deleted blob has a head".to_owned())?;
    stored(kit, name, &[("if-none-match", "*")], "2").await?;
    let list = format!("restype=container&comp=list&include=versions&prefix={name}");
    let xml = kit.blob.send("GET", &[&kit.database], &list, &[], "").await?.expect(&[200], "a listing")?;
    let versions = elements(&String::from_utf8_lossy(&xml.body), "VersionId").len();
    ensure(versions == 2, || format!("{versions} versions are listed, not 2"))?;
    Ok("created again; both versions are listed".to_owned())
}

/// A body that does not fit the MD5 sum sent with it is refused, so what a proxy damages is not stored. The client signs the header
/// (`src/store/azure/shared_key.rs`); the mirror's own proof is the hash in the metadata (`crates/formats/src/version.rs`).
pub(crate) async fn a_put_is_checked_by_its_md5(kit: &Kit) -> Seen {
    let sum = |body: &str| STANDARD.encode(Md5::digest(body));
    let seen = refused(&put(kit, "put/md5", &[("content-md5", &sum("other"))], "1").await?, 400, "Md5Mismatch")?;
    let answer = stored(kit, "put/md5", &[("content-md5", &sum("1"))], "1").await?;
    let told = answer.header("content-md5").unwrap_or("none");
    ensure(told == sum("1"), || format!("the answer's sum is {told}"))?;
    Ok(format!("{seen}; the right one is answered"))
}

/// 8 KiB of metadata are kept, and more is refused with 400, which makes a dead letter of that one document (`src/failure.rs`). The mirror's own
/// stays far below (`crates/formats/src/version.rs`).
pub(crate) async fn metadata_of_8_kib_is_kept_and_more_is_refused(kit: &Kit) -> Seen {
    let values = |bytes: usize| [bytes / 2, bytes - bytes / 2].map(|length| "x".repeat(length - 1));
    let [first, second] = values(METADATA_BYTES_MAX);
    stored(kit, "put/metadata", &[("x-ms-meta-a", &first), ("x-ms-meta-b", &second)], "1").await?;
    let head = expect(kit.store.head("put/metadata").await?, "the blob")?;
    ensure(head.metadata.get("a") == Some(&first) && head.metadata.get("b") == Some(&second), || {
        format!("{} of 2 values came back", head.metadata.len())
    })?;
    let [first, second] = values(METADATA_BYTES_MAX + 1);
    let answer = put(kit, "put/metadata", &[("x-ms-meta-a", &first), ("x-ms-meta-b", &second)], "1").await?;
    ensure(answer.status == 400, || format!("one byte more: {} {}", answer.status, code(&answer)))?;
    Ok(format!("8,192 bytes kept, 8,193: {} {}", answer.status, code(&answer)))
}

/// Names of metadata come back the same but for their case, in heads and listings. `src/store/azure/heads.rs` compares them in lower case.
pub(crate) async fn metadata_names_differ_by_case_at_most(kit: &Kit) -> Seen {
    stored(kit, "put/case", &[("x-ms-meta-CamelCase_1", "Value")], "1").await?;
    let head = kit.blob.send("HEAD", &[&kit.database, "put/case"], "", &[], "").await?.expect(&[200], "a head")?;
    let list = "restype=container&comp=list&include=metadata&prefix=put/case";
    let xml = kit.blob.send("GET", &[&kit.database], list, &[], "").await?.expect(&[200], "a listing")?;
    let xml = String::from_utf8_lossy(&xml.body).into_owned();
    let listed =
        elements(&xml, "Metadata").first().and_then(|members| members.split(['<', '>']).nth(1)).unwrap_or_default();
    ensure(listed.eq_ignore_ascii_case("CamelCase_1"), || format!("listed as {listed:?}"))?;
    ensure(head.header("x-ms-meta-camelcase_1") == Some("Value"), || "the head lacks it".to_owned())?;
    let page = kit.store.list("put/case", cosmirror::store::Listing::Current, None).await?;
    let value = page.heads.first().and_then(|head| head.metadata.get("camelcase_1"));
    ensure(value.is_some_and(|value| value == "Value"), || "the daemon's listing lacks it".to_owned())?;
    Ok(format!("sent CamelCase_1, listed {listed}"))
}

/// Names of 1,024 characters, with `~XX` as the mirror escapes, are stored, found and listed as they are (`crates/formats/src/blob_name.rs`,
/// `src/store/azure/heads.rs`).
pub(crate) async fn names_of_1024_characters_and_with_tildes_are_kept(kit: &Kit) -> Seen {
    let long = format!("names/{}", "~2F".repeat(400)).chars().take(1_024).collect::<String>();
    let names = [long.as_str(), "names/~7E~20.json", "names/a~", "names/~0/b"];
    for name in names {
        let head = cosmirror::store::Put {
            name: name.to_owned(),
            body: "1".into(),
            metadata: [("op".to_owned(), "create".to_owned())].into(),
            condition: cosmirror::store::Condition::Absent,
        };
        kit.store.put(head).await?;
        ensure(kit.store.head(name).await?.is_some(), || format!("{name:?} is not found"))?;
    }
    let mut listed = Vec::new();
    let mut next = None;
    loop {
        let page = kit.store.list("names/", cosmirror::store::Listing::Current, next).await?;
        listed.extend(page.heads.into_iter().map(|head| head.name));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let mut expected = names.map(str::to_owned);
    expected.sort();
    ensure(listed == expected, || format!("listed as {listed:?}"))?;
    Ok(format!("{} names, the longest of {} characters", names.len(), long.len()))
}
