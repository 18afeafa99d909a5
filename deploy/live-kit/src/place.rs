//! One container of the source: the daemon's own clients, and what beliefs ask of them again and again.

use std::time::Duration;

use cosmirror::config::FeedMode;
use cosmirror::cosmos::{Account, Resolved};
use cosmirror::documents::Documents as _;
use cosmirror::documents::cosmos::CosmosDocuments;
use cosmirror::failure::Failure;
use cosmirror::feed::cosmos::CosmosFeed;
use cosmirror::feed::{ChangeFeed as _, FeedPage, Position};
use cosmirror_formats::feed_page::parse_change;
use cosmirror_formats::{EpkRange, KeyDefinition, Operation, PartitionKey};
use serde_json::{Value, json};

use crate::belief::Unsettled;

/// Entries of one page.
pub(crate) const PAGE: u32 = 100;
/// Time in which a change comes through the feed.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Pause between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(500);

/// One container.
pub(crate) struct Place {
    /// `database` and `container`.
    pub(crate) names: [String; 2],
    pub(crate) resolved: Resolved,
    pub(crate) feed: CosmosFeed,
    pub(crate) documents: CosmosDocuments,
}

/// One change as the daemon understands it, and its metadata as delivered.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) operation: Operation,
    pub(crate) lsn: Option<u64>,
    pub(crate) ts: i64,
    pub(crate) etag: Option<String>,
    pub(crate) id: String,
    pub(crate) pk: PartitionKey,
    pub(crate) document: String,
    pub(crate) metadata: Value,
    /// What stands for the document itself, as delivered.
    pub(crate) current: Option<Value>,
}

impl Place {
    /// Creates a container and connects to it.
    pub(crate) async fn make(account: &Account, database: &str, settings: Value) -> Result<Self, Failure> {
        let container = settings["id"].as_str().unwrap_or_default().to_owned();
        account.create_container(database, settings).await?;
        Self::of(account, database, &container).await
    }

    /// Connects to a container that exists.
    pub(crate) async fn of(account: &Account, database: &str, container: &str) -> Result<Self, Failure> {
        let resolved = account.resolve(database, container).await?;
        let name = format!("{database}/{container}");
        Ok(Self {
            names: [database.to_owned(), container.to_owned()],
            feed: CosmosFeed::new(account.clone(), resolved.clone(), name.clone()),
            documents: CosmosDocuments::new(account.clone(), resolved.clone(), name),
            resolved,
        })
    }

    /// The path of its documents.
    pub(crate) fn path<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        ["dbs", &self.names[0], "colls", &self.names[1]].into_iter().chain(more.iter().copied()).collect()
    }

    /// Creates a document whose key is `pk`; its etag.
    pub(crate) async fn put(&self, pk: &str, id: &str, body: String) -> Result<String, Unsettled> {
        let (key, body) = (of(pk), bytes::Bytes::from(body));
        Ok(patiently(|| self.documents.create(&key, id, body.clone())).await?)
    }

    /// Creates a small document; its etag.
    pub(crate) async fn create(&self, pk: &str, id: &str) -> Result<String, Unsettled> {
        self.put(pk, id, body(pk, id, 0)).await
    }

    /// Replaces it; its new etag.
    pub(crate) async fn replace(&self, pk: &str, id: &str, n: u32, etag: &str) -> Result<String, Unsettled> {
        let (key, body) = (of(pk), bytes::Bytes::from(body(pk, id, n)));
        Ok(patiently(|| self.documents.replace(&key, id, body.clone(), etag)).await?)
    }

    /// Deletes it.
    pub(crate) async fn delete(&self, pk: &str, id: &str, etag: &str) -> Result<(), Unsettled> {
        let key = of(pk);
        Ok(patiently(|| self.documents.delete(&key, id, etag)).await?)
    }

    /// One page of the whole container, which has one range.
    pub(crate) async fn read(&self, mode: FeedMode, position: &Position, count: u32) -> Result<FeedPage, Unsettled> {
        let range = EpkRange::full();
        Ok(patiently(|| self.feed.read(&range, mode, position, count)).await?)
    }

    /// The page at the end of the feed.
    pub(crate) async fn end(&self, mode: FeedMode) -> Result<FeedPage, Unsettled> {
        let mut page = self.read(mode, &Position::Now, PAGE).await?;
        while !page.not_modified {
            page = self.read(mode, &Position::Token(page.token), PAGE).await?;
        }
        Ok(page)
    }

    /// The position at the end of the feed.
    pub(crate) async fn now(&self, mode: FeedMode) -> Result<Position, Unsettled> {
        self.end(mode).await.map(|page| Position::Token(page.token))
    }

    /// The changes of one key behind a position, at least so many; reads on until they came, and to the end of the feed.
    pub(crate) async fn changes(
        &self,
        mode: FeedMode,
        mut position: Position,
        pk: &str,
        count: usize,
    ) -> Result<Vec<Delivered>, Unsettled> {
        let mut found = Vec::new();
        let reading = async {
            loop {
                let page = self.read(mode, &position, PAGE).await?;
                let changes = delivered(&page, &self.resolved.source.key)?;
                found.extend(changes.into_iter().filter(|change| change.pk == of(pk)));
                position = Position::Token(page.token);
                if page.not_modified && found.len() >= count {
                    return Ok::<(), Unsettled>(());
                }
                if page.not_modified {
                    tokio::time::sleep(POLL).await;
                }
            }
        };
        let read = tokio::time::timeout(ARRIVAL, reading).await;
        read.map_err(|_| {
            Unsettled::Failed(format!("{} of {count} changes came within {} s", found.len(), ARRIVAL.as_secs()))
        })??;
        Ok(found)
    }
}

/// Tries until the service does not throttle any more; a belief's time bounds it. What was throttled was not done.
pub(crate) async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    loop {
        match attempt().await {
            Err(failure) if failure.throttled => tokio::time::sleep(failure.retry_after.unwrap_or(POLL)).await,
            answer => return answer,
        }
    }
}

/// The changes of a page.
pub(crate) fn delivered(page: &FeedPage, key: &KeyDefinition) -> Result<Vec<Delivered>, Unsettled> {
    let understood = page.entries.iter().map(|entry| {
        let change = parse_change(entry, key).map_err(|error| {
            let shown: String = String::from_utf8_lossy(entry).chars().take(300).collect();
            Unsettled::Failed(format!("an entry cannot be understood: {error}: {shown}"))
        })?;
        let envelope: Value = serde_json::from_slice(entry).unwrap_or_default();
        Ok(Delivered {
            operation: change.operation,
            lsn: change.lsn,
            ts: change.ts,
            etag: change.etag,
            id: change.id,
            pk: change.pk,
            document: change.document.to_owned(),
            metadata: envelope["metadata"].clone(),
            current: envelope.get("current").cloned(),
        })
    });
    understood.collect()
}

/// The partition key of one text.
pub(crate) fn of(pk: &str) -> PartitionKey {
    PartitionKey(vec![cosmirror_formats::KeyValue::String(pk.to_owned())])
}

/// A small document.
pub(crate) fn body(pk: &str, id: &str, n: u32) -> String {
    json!({ "id": id, "pk": pk, "n": n }).to_string()
}
