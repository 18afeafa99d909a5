//! What listings and reads of versions tell.

use cosmirror::store::{Condition, Head, Listing, Put, Stored, VersionStore as _};

use super::puts::stored;
use crate::belief::{Seen, Unsettled, ensure, expect};
use crate::blob_wire::elements;
use crate::kit::Kit;

async fn store_versions(kit: &Kit, name: &str, count: usize) -> Result<Vec<Stored>, Unsettled> {
    let mut stored: Vec<Stored> = Vec::new();
    for n in 0..count {
        let condition = stored.last().map_or(Condition::Absent, |last| Condition::Matches(last.etag.clone()));
        let metadata = [("n".to_owned(), n.to_string())].into();
        let put = Put { name: name.to_owned(), body: n.to_string().into(), metadata, condition };
        stored.push(kit.store.put(put).await?);
    }
    Ok(stored)
}

async fn list(kit: &Kit, prefix: &str) -> Result<Vec<Head>, Unsettled> {
    let (mut heads, mut next) = (Vec::new(), None);
    loop {
        let page = kit.store.list(prefix, Listing::Versions, next).await?;
        heads.extend(page.heads);
        next = page.next;
        if next.is_none() {
            return Ok(heads);
        }
    }
}

/// Versions of one name are listed oldest first, each with its own metadata, over pages that cut through them. Histories are read by listings alone
/// (`src/history/reader.rs`, `src/history/groups.rs`), and restores are planned so.
pub(crate) async fn versions_are_listed_oldest_first_with_metadata(kit: &Kit) -> Seen {
    let stored = store_versions(kit, "listed/many", 8).await?;
    let heads = list(kit, "listed/many").await?;
    let seen: Vec<_> = heads.iter().map(|head| (&head.version, head.metadata.get("n").cloned())).collect();
    let expected: Vec<_> = stored.iter().enumerate().map(|(n, one)| (&one.version, Some(n.to_string()))).collect();
    ensure(seen == expected, || format!("{seen:?}, not {expected:?}"))?;
    let current: Vec<_> = heads.iter().map(|head| head.current).collect();
    ensure(current.iter().filter(|is| **is).count() == 1 && current[7], || format!("current: {current:?}"))?;
    Ok("8 quick versions over pages of 3, each with its metadata; only the last is current".to_owned())
}

/// A listing shows a put that was answered before. A reconciliation (`src/reconcile/compare.rs`) and the search for an identity
/// (`src/mirror/write.rs`) rely on it.
pub(crate) async fn a_listing_shows_a_put_at_once(kit: &Kit) -> Seen {
    for n in 0..20 {
        let name = format!("at-once/{n}");
        let stored = store_versions(kit, &name, 1).await?;
        let heads = list(kit, &name).await?;
        let shown = heads.iter().any(|head| head.name == name && head.etag == stored[0].etag);
        ensure(shown, || format!("put {n} was not listed"))?;
    }
    Ok("20 times of 20, by the same etag".to_owned())
}

/// A version that was overwritten is read by its id, and says by its headers that it is not current (`src/store/azure/heads.rs`).
pub(crate) async fn an_older_version_is_read_by_its_id_and_is_not_current(kit: &Kit) -> Seen {
    let name = "listed/older";
    let stored = store_versions(kit, name, 2).await?;
    for (n, one) in stored.iter().enumerate() {
        let (head, body) = expect(kit.store.get(name, Some(&one.version)).await?, "the version")?;
        ensure(body == n.to_string() && head.etag == one.etag, || format!("version {n} came back as another"))?;
        ensure(head.current == (n == 1), || format!("version {n}: current is {}", head.current))?;
    }
    let query = format!("versionid={}", stored[0].version.replace(':', "%3A"));
    let raw = kit.blob.send("HEAD", &[&kit.database, name], &query, &[], "").await?.expect(&[200], "a head")?;
    let current = raw.header("x-ms-is-current-version").unwrap_or("absent");
    Ok(format!("the older one's x-ms-is-current-version is {current}"))
}

/// A blob that somebody deleted is still listed with its versions, none of which is current, and as `HasVersionsOnly` where that is asked for: its
/// history can be read and restored (`src/history/reader.rs`, `src/store.rs`).
pub(crate) async fn a_blob_without_current_version_is_listed_with_its_versions(kit: &Kit) -> Seen {
    let name = "listed/gone";
    stored(kit, name, &[], "1").await?;
    let deleted = kit.blob.send("DELETE", &[&kit.database, name], "", &[], "").await?;
    deleted.expect(&[202], "a delete")?;
    let heads = list(kit, name).await?;
    ensure(heads.len() == 1 && !heads[0].current, || format!("{} versions, or a current one", heads.len()))?;
    let version = heads[0].version.clone();
    let body = kit.store.get(name, Some(&version)).await?;
    ensure(body.is_some_and(|(_, body)| body == "1"), || "the version cannot be read".to_owned())?;
    let query = format!("restype=container&comp=list&include=deletedwithversions&prefix={name}");
    let xml = kit.blob.send("GET", &[&kit.database], &query, &[], "").await?.expect(&[200], "a listing")?;
    let only = String::from_utf8_lossy(&xml.body).into_owned();
    let only = elements(&only, "HasVersionsOnly").first().copied().unwrap_or("absent").to_owned();
    ensure(only == "true", || format!("HasVersionsOnly is {only}"))?;
    Ok("one version, not current, readable; HasVersionsOnly is true".to_owned())
}
