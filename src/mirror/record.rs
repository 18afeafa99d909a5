//! Reading and writing the mirror's own records: small JSON documents, written conditionally.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Kind};
use crate::store::{Condition, Listing, Put, VersionStore};

/// The put of a record.
pub fn put<T: Serialize>(name: String, record: &T, condition: Condition) -> Put {
    // Records are structs of strings, numbers and JSON values; none of them fails to serialise.
    let body = serde_json::to_vec(record).unwrap_or_default();
    let metadata = [("format".to_owned(), cosmirror_formats::version::FORMAT.to_owned())].into();
    Put { name, body: Bytes::from(body), metadata, condition }
}

/// A record and the etag to replace it by; none if it is not there.
pub async fn get<T: DeserializeOwned>(store: &dyn VersionStore, name: &str) -> Result<Option<(T, String)>, Failure> {
    let Some((head, body)) = store.get(name, None).await? else { return Ok(None) };
    let record = serde_json::from_slice(&body)
        .map_err(|e| Failure::new(Kind::Integrity, format!("the mirror's record {name:?} is not readable: {e}")))?;
    Ok(Some((record, head.etag)))
}

/// Every record whose name begins with `prefix`.
pub async fn all<T: DeserializeOwned>(store: &dyn VersionStore, prefix: &str) -> Result<Vec<T>, Failure> {
    let (mut records, mut next) = (Vec::new(), None);
    loop {
        let page = store.list(prefix, Listing::Current, next).await?;
        for head in page.heads {
            if let Some((record, _)) = get(store, &head.name).await? {
                records.push(record);
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(records);
        }
    }
}
