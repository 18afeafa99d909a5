//! Which containers a place holds mirrors of, as the mirrors themselves say.
//!
//! Only folders are listed, never what is in them: of a mirror of millions of documents as few requests are made as of an empty one.

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::records::ContainerRecord;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::failure::{Failure, Kind};
use crate::retry::persist;
use crate::store::VersionStore;

/// Folders of databases, and of containers of one database; more of them are no mirror's.
const FOLDERS_MAX: usize = 10_000;
const READS_AT_ONCE: usize = 16;
/// The folder of a mirror's own records.
const RECORDS: &str = "_mirror";

/// A mirror that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirrored {
    /// Its description of itself.
    pub record: ContainerRecord,
    /// The store's name of the version that this is; empty where the store keeps none.
    pub version: String,
}

/// The mirrors whose names begin with `prefix`, in the order of their names. `Kind::NotFound` where there is none, with the remedy.
pub async fn mirrored(store: &dyn VersionStore, prefix: &str) -> Result<Vec<Mirrored>, Failure> {
    let prefix = prefix.trim_matches('/');
    let base = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let databases = persist(|| store.folders(&base, FOLDERS_MAX)).await.map_err(nowhere)?;
    if databases.iter().any(|name| name == RECORDS) {
        return Err(none(&base).remedy(
            "this is one container's mirror: leave out its last two names and say --source DATABASE/CONTAINER",
        ));
    }
    let of_database = |database: &String| {
        let below = format!("{base}{database}/");
        async move {
            let containers = persist(|| store.folders(&below, FOLDERS_MAX)).await?;
            Ok::<_, Failure>(
                containers.into_iter().map(move |container| format!("{below}{container}")).collect::<Vec<_>>(),
            )
        }
    };
    let folders: Vec<Vec<String>> =
        stream::iter(databases.iter().map(of_database)).buffered(READS_AT_ONCE).try_collect().await?;
    let folders: Vec<String> = folders.into_iter().flatten().collect();
    let at_container = folders.iter().any(|folder| folder.ends_with(&format!("/{RECORDS}")));
    let reads = folders.into_iter().map(|folder| described_in(store, prefix, folder));
    let found: Vec<Option<Mirrored>> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
    let found: Vec<Mirrored> = found.into_iter().flatten().collect();
    match (found.is_empty(), at_container) {
        (false, _) => Ok(found),
        (true, true) => Err(none(&base).remedy("this is one database's mirrors: leave out its last name")),
        (true, false) => Err(none(&base)
            .remedy("name what stands before <database>/<container>/_mirror/container.json, and nothing behind it")),
    }
}

/// Whoever only reads makes nothing.
fn nowhere(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => failure.remedy("check where the mirror is: that place is not there, or not mounted"),
        _ => failure,
    }
}

fn none(base: &str) -> Failure {
    Failure::new(
        Kind::NotFound,
        format!("there is no mirror here: nothing is named {base}<database>/<container>/_mirror/container.json"),
    )
}

/// The mirror in a folder; none where there is none. One that cannot be read hides no other, and is named.
async fn described_in(store: &dyn VersionStore, prefix: &str, folder: String) -> Result<Option<Mirrored>, Failure> {
    let name = format!("{folder}/{RECORDS}/container.json");
    let Some((head, body)) = persist(|| store.get(&name, None)).await? else { return Ok(None) };
    let record: ContainerRecord = match serde_json::from_slice(&body) {
        Ok(record) => record,
        Err(error) => {
            tracing::error!(name, %error, "a mirror is left out: its description cannot be read; bring back the version before");
            return Ok(None);
        }
    };
    if MirrorPaths::new(prefix, &record.database, &record.container).base() != folder {
        tracing::error!(
            name,
            database = record.database,
            container = record.container,
            "a mirror is left out: it was copied to another name than its container's"
        );
        return Ok(None);
    }
    Ok(Some(Mirrored { record, version: head.version }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::memory::MemoryStore;

    fn store(folders: &[(&str, &str, &str)]) -> MemoryStore {
        let store = MemoryStore::default();
        for (folder, database, container) in folders {
            let record = json!({ "format": 1, "account": "https://a/", "database": database, "container": container, "generations": [] });
            store.add_record(&format!("{folder}/_mirror/container.json"), &record);
            store.add_record(&format!("{folder}/documents/p/d.json"), &json!({}));
        }
        store
    }

    async fn names(store: &MemoryStore, prefix: &str) -> Result<Vec<String>, Failure> {
        let found = mirrored(store, prefix).await?;
        Ok(found.into_iter().map(|found| format!("{}/{}", found.record.database, found.record.container)).collect())
    }

    #[tokio::test]
    async fn every_mirror_beneath_a_prefix_is_found_and_no_other() {
        let store = store(&[
            ("shop/orders", "shop", "orders"),
            ("shop/a~2Fb", "shop", "a/b"),
            ("crm/people", "crm", "people"),
            ("deep/er/shop/orders", "shop", "orders"),
        ]);
        assert_eq!(names(&store, "").await.unwrap(), ["crm/people", "shop/a/b", "shop/orders"]);
        assert_eq!(names(&store, "/deep/er/").await.unwrap(), ["shop/orders"]);
    }

    #[tokio::test]
    async fn what_is_no_place_of_mirrors_says_what_to_leave_out() {
        let store = store(&[("deep/shop/orders", "shop", "orders")]);
        for (prefix, part) in [
            ("deep/shop/orders", "last two names"),
            ("deep/shop", "last name"),
            ("shop", "stands before"),
            ("", "stands before"),
        ] {
            let failure = names(&store, prefix).await.unwrap_err();
            assert!(failure.kind == Kind::NotFound && failure.remedy.contains(part), "{prefix}: {failure:?}");
        }
    }

    #[tokio::test]
    async fn a_mirror_that_cannot_be_read_hides_no_other() {
        let store = store(&[("shop/orders", "shop", "orders"), ("shop/copied", "shop", "orders")]);
        store.add_record("shop/broken/_mirror/container.json", &json!([]));
        assert_eq!(names(&store, "").await.unwrap(), ["shop/orders"]);
    }
}
