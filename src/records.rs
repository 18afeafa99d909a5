//! Reading and writing the mirror's own records: small JSON documents, written conditionally.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Kind};
use crate::retry::persist;
use crate::store::{Condition, Head, Listing, Put, VersionStore};

const READS_AT_ONCE: usize = 16;

/// The put of a record.
pub fn put<T: Serialize>(name: String, record: &T, condition: Condition) -> Put {
    // Records are structs of strings, numbers and JSON values; none of them fails to serialise.
    let body = serde_json::to_vec(record).unwrap_or_default();
    let metadata = [("format".to_owned(), cosmirror_formats::version::FORMAT.to_owned())].into();
    Put { name, body: Bytes::from(body), metadata, condition }
}

/// A record and the etag to replace it by; none if it is not there. One attempt.
pub async fn get<T: DeserializeOwned>(store: &dyn VersionStore, name: &str) -> Result<Option<(T, String)>, Failure> {
    get_version(store, name, None).await
}

/// The same of one of its versions, by the store's name of it.
async fn get_version<T: DeserializeOwned>(
    store: &dyn VersionStore,
    name: &str,
    version: Option<&str>,
) -> Result<Option<(T, String)>, Failure> {
    let Some((head, body)) = store.get(name, version).await? else { return Ok(None) };
    let record = serde_json::from_slice(&body)
        .map_err(|e| Failure::new(Kind::Integrity, format!("the record {name} cannot be read: {e}")))
        .map_err(|f| f.remedy("use the release that wrote it, or bring back its previous version"))?;
    Ok(Some((record, head.etag)))
}

/// The record of this name, or none; patient with a busy store.
pub async fn read<T: DeserializeOwned>(store: &dyn VersionStore, name: &str) -> Result<Option<T>, Failure> {
    Ok(persist(|| get(store, name)).await?.map(|(record, _)| record))
}

/// What `keep` makes of every current record under `prefix`, in the order of their names; patient with a busy store. More than
/// `count_max` is an error.
pub async fn all<T: DeserializeOwned, U>(
    store: &dyn VersionStore,
    prefix: &str,
    count_max: usize,
    keep: impl Fn(String, T) -> U,
) -> Result<Vec<U>, Failure> {
    all_where(store, prefix, count_max, |_| true, keep).await
}

/// The same of the newest version that is left of every record, also of those that have no current one.
pub async fn all_left<T: DeserializeOwned, U>(
    store: &dyn VersionStore,
    prefix: &str,
    count_max: usize,
    keep: impl Fn(String, T) -> U,
) -> Result<Vec<U>, Failure> {
    gathered(store, prefix, count_max, Listing::Versions, |_| true, keep).await
}

/// What [`all`] gives, of those whose head is `wanted`; the others are not read and do not count.
pub async fn all_where<T: DeserializeOwned, U>(
    store: &dyn VersionStore,
    prefix: &str,
    count_max: usize,
    wanted: impl Fn(&Head) -> bool,
    keep: impl Fn(String, T) -> U,
) -> Result<Vec<U>, Failure> {
    gathered(store, prefix, count_max, Listing::Current, wanted, keep).await
}

async fn gathered<T: DeserializeOwned, U>(
    store: &dyn VersionStore,
    prefix: &str,
    count_max: usize,
    listing: Listing,
    wanted: impl Fn(&Head) -> bool,
    keep: impl Fn(String, T) -> U,
) -> Result<Vec<U>, Failure> {
    let (mut found, mut next): (Vec<(String, Option<String>)>, _) = (Vec::new(), None);
    loop {
        let page = persist(|| store.list(prefix, listing, next.clone())).await?;
        for head in page.heads.into_iter().filter(&wanted) {
            let version = matches!(listing, Listing::Versions).then_some(head.version);
            // Versions of a name come one behind the other, oldest first.
            match found.last_mut() {
                Some((name, last)) if *name == head.name => *last = version,
                _ => found.push((head.name, version)),
            }
        }
        if found.len() > count_max {
            return Err(Failure::new(
                Kind::Internal,
                format!("there are more than {count_max} records under {prefix}"),
            ));
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let reads = found.into_iter().map(|(name, version)| async move {
        let record = persist(|| get_version::<T>(store, &name, version.as_deref())).await?;
        Ok::<_, Failure>(record.map(|(record, _)| (name, record)))
    });
    let keep = &keep;
    stream::iter(reads)
        .buffered(READS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found.map(|(name, record)| keep(name, record))) })
        .try_collect()
        .await
}
