//! The lease container as one replica reaches it: conditional writes, listings that are no snapshot, a time to live.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::{Lease, PartitionKey};
use futures::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value, json};

use super::network::{Weather, travel};
use super::oracle;
use super::process::Life;
use super::world::{LeaseDocument, Service, World};
use crate::documents::{Document, Documents};
use crate::failure::{Failure, Kind};

/// How long an operation may take, as the real one.
const LIMIT: Duration = Duration::from_secs(20);
/// Documents of one page of a listing.
const PAGE_DOCUMENTS_MAX: usize = 4;

/// The lease container.
pub(super) struct SimulatedDocuments {
    service: Service,
    life: Life,
}

impl SimulatedDocuments {
    pub(super) fn new(service: Service, life: Life) -> Self {
        Self { service, life }
    }

    async fn travel<T: Send + 'static>(
        &self,
        apply: impl FnOnce(&mut World) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        travel(&self.service, &self.life, |weather: &Weather| weather.leases, LIMIT, apply).await
    }

    async fn write(&self, id: &str, body: Option<Bytes>, condition: Option<&str>) -> Result<String, Failure> {
        let (who, id, condition) = (self.life.name.to_string(), id.to_owned(), condition.map(str::to_owned));
        self.travel(move |world| {
            let result = write(world, &who, &id, body.as_deref(), condition.as_deref());
            world.note(|| {
                let outcome = result.as_ref().map_or_else(ToString::to_string, Clone::clone);
                let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
                format!("{who} wrote lease document {id} if {condition:?}: {outcome} {}", body.unwrap_or_default())
            });
            result
        })
        .await
    }

    async fn page(&self, prefix: String, after: String) -> Result<Vec<(String, Bytes)>, Failure> {
        let who = self.life.name.clone();
        self.travel(move |world| {
            expire(world);
            let documents = world.leases.range(after.clone()..).filter(|(id, _)| **id > after);
            let documents = documents.filter(|(id, _)| id.starts_with(&prefix)).take(PAGE_DOCUMENTS_MAX);
            let page: Vec<_> =
                documents.map(|(id, document)| (id.clone(), Bytes::from(document.body.clone()))).collect();
            world.note(|| format!("{who} listed {} lease documents behind {after:?}", page.len()));
            Ok(page)
        })
        .await
    }
}

#[async_trait]
impl Documents for SimulatedDocuments {
    async fn read(&self, _key: &PartitionKey, id: &str) -> Result<Option<Document>, Failure> {
        let id = id.to_owned();
        self.travel(move |world| {
            expire(world);
            let document = world.leases.get(&id);
            Ok(document.map(|d| Document { bytes: Bytes::from(d.body.clone()), etag: d.etag.clone() }))
        })
        .await
    }

    async fn create(&self, _key: &PartitionKey, id: &str, body: Bytes) -> Result<String, Failure> {
        self.write(id, Some(body), None).await
    }

    async fn replace(&self, _key: &PartitionKey, id: &str, body: Bytes, etag: &str) -> Result<String, Failure> {
        self.write(id, Some(body), Some(etag)).await
    }

    async fn delete(&self, _key: &PartitionKey, id: &str, etag: &str) -> Result<(), Failure> {
        self.write(id, None, Some(etag)).await.map(drop)
    }

    fn query<'a>(&'a self, sql: &str, parameters: &[(&str, &str)]) -> BoxStream<'a, Result<Vec<Bytes>, Failure>> {
        assert!(sql.ends_with("WHERE STARTSWITH(c.id, @prefix)"), "{sql}");
        let prefix = parameters[0].1.to_owned();
        stream::try_unfold(Some(String::new()), move |after| {
            let prefix = prefix.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = self.page(prefix, after).await?;
                let next = page.last().filter(|_| page.len() == PAGE_DOCUMENTS_MAX).map(|(id, _)| id.clone());
                Ok(Some((page.into_iter().map(|(_, bytes)| bytes).collect(), next)))
            }
        })
        .boxed()
    }
}

/// Removes the documents whose time to live is over.
fn expire(world: &mut World) {
    if world.lease_ttl {
        let now = world.now();
        world.leases.retain(|_, document| document.ttl.is_none_or(|ttl| document.ts + ttl > now));
    }
}

fn write(
    world: &mut World,
    who: &str,
    id: &str,
    body: Option<&[u8]>,
    condition: Option<&str>,
) -> Result<String, Failure> {
    expire(world);
    let before = world.leases.get(id).cloned();
    match (condition, &before) {
        (None, Some(_)) => return Err(Failure::new(Kind::Conflict, "it exists")),
        (Some(_), None) => return Err(Failure::new(Kind::NotFound, "it is gone")),
        (Some(etag), Some(document)) if etag != document.etag => {
            return Err(Failure::new(Kind::Conflict, "it has another etag"));
        }
        _ => {}
    }
    let Some(body) = body else {
        world.leases.remove(id);
        oracle::lease_deleted(world, id, before.and_then(|document| document.lease));
        return Ok(String::new());
    };
    let (etag, ts) = (world.new_etag('l'), world.now());
    let text = std::str::from_utf8(body).unwrap();
    let lease = text.contains("\"LeaseToken\"").then(|| Lease::from_json(body).unwrap());
    let owner = lease.as_ref().and_then(|lease| lease.owner.clone());
    let renewed = match (&before, owner) {
        (_, Some(owner)) if owner == who => Some(world.elapsed()),
        // Somebody else wrote something into it.
        (Some(LeaseDocument { lease: Some(before), renewed, .. }), owner) if before.owner == owner => *renewed,
        _ => None,
    };
    let stamped =
        format!("{},\"_rid\":\"l\",\"_etag\":{},\"_ts\":{ts}}}", text.strip_suffix('}').unwrap(), json!(etag));
    let fields = || serde_json::from_str::<Value>(text).unwrap();
    // Leases have no time to live.
    let ttl = if lease.is_some() { None } else { fields().get("ttl").and_then(Value::as_i64) };
    if let Some(lease) = &lease {
        oracle::lease_written(world, who, before.as_ref(), lease);
    }
    let document = LeaseDocument { body: stamped, etag: etag.clone(), ts, ttl, lease, renewed };
    world.leases.insert(id.to_owned(), document);
    Ok(etag)
}
