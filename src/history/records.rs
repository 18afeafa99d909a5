//! Reading the mirror's own records: JSON files under a prefix.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::de::DeserializeOwned;

use super::{groups, persist};
use crate::failure::{Failure, Kind};
use crate::store::{Listing, VersionStore};

const READS_AT_ONCE: usize = 16;

/// The record of this name, or none.
pub(crate) async fn read<T: DeserializeOwned>(store: &dyn VersionStore, name: &str) -> Result<Option<T>, Failure> {
    let Some((_, bytes)) = persist(|| store.get(name, None)).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Failure::new(Kind::Integrity, format!("the record {name} cannot be read: {error}"))
            .remedy("use the release that wrote it, or bring back its previous version")
    })
}

/// What `keep` makes of every current record under `prefix`, in the order of their names. More than `count_max` is an error.
pub(crate) async fn read_all<T: DeserializeOwned, U>(
    store: &dyn VersionStore,
    prefix: &str,
    count_max: usize,
    keep: impl Fn(String, T) -> U,
) -> Result<Vec<U>, Failure> {
    let listed = groups(store, prefix.to_owned(), Listing::Current)
        .map_ok(|group| stream::iter(group.into_iter().map(|head| Ok(head.name))))
        .try_flatten();
    let names: Vec<String> = listed.take(count_max + 1).try_collect().await?;
    if names.len() > count_max {
        return Err(Failure::new(Kind::Internal, format!("there are more than {count_max} records under {prefix}")));
    }
    let reads = names.into_iter().map(|name| async {
        let record = read::<T>(store, &name).await?;
        Ok::<_, Failure>(record.map(|record| (name, record)))
    });
    let keep = &keep;
    stream::iter(reads)
        .buffered(READS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found.map(|(name, record)| keep(name, record))) })
        .try_collect()
        .await
}
