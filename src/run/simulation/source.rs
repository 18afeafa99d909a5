//! The source's documents as one replica reads them, by point reads from a view that may lag behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::PartitionKey;
use futures::stream::{self, BoxStream, StreamExt as _};
use serde_json::json;

use super::network::{Weather, travel};
use super::process::Life;
use super::world::{Service, World};
use crate::documents::{Document, Documents};
use crate::failure::{Failure, Kind};

/// How long a read may take, as the real one.
const LIMIT: Duration = Duration::from_secs(20);

/// Where a partition key stands among the effective ones.
type EffectiveKeys = Arc<dyn Fn(&PartitionKey) -> Result<String, Failure> + Send + Sync>;

/// The source's documents.
pub(super) struct SimulatedSource {
    service: Service,
    life: Life,
}

impl SimulatedSource {
    pub(super) fn new(service: Service, life: Life) -> Self {
        Self { service, life }
    }

    /// The effective keys of all documents there will be.
    pub(super) fn effective_keys(&self) -> EffectiveKeys {
        let world = self.service.world();
        let keys = world.documents.iter().map(|document| (json!([document.pk]).to_string(), document.epk.clone()));
        let keys: HashMap<String, String> = keys.collect();
        Arc::new(move |key| {
            let known = keys.get(&key.to_json().to_string()).cloned();
            known.ok_or_else(|| Failure::new(Kind::Internal, format!("{key} is no key of the container")))
        })
    }
}

#[async_trait]
impl Documents for SimulatedSource {
    async fn read(&self, key: &PartitionKey, id: &str) -> Result<Option<Document>, Failure> {
        let (key, id, who) = (key.to_json(), id.to_owned(), self.life.name.clone());
        let apply = move |world: &mut World| {
            let until = world.elapsed().saturating_sub(world.up_to(world.lag_max));
            let document = world.documents.iter().find(|document| document.id == id && json!([document.pk]) == key);
            let changes = document.into_iter().flat_map(|document| &document.changes).rev();
            let newest = changes.map(|&place| &world.log[place]).find(|change| change.at <= until);
            let found = newest
                .filter(|change| !change.op.is_delete())
                .map(|change| Document { bytes: Bytes::from(change.text.clone()), etag: change.etag.clone() });
            world.note(|| format!("{who} looked for {id}: {:?}", found.as_ref().map(|document| &document.etag)));
            Ok(found)
        };
        travel(&self.service, &self.life, |weather: &Weather| weather.feed, LIMIT, apply).await
    }

    async fn create(&self, _key: &PartitionKey, id: &str, _body: Bytes) -> Result<String, Failure> {
        Err(written(id))
    }

    async fn replace(&self, _key: &PartitionKey, id: &str, _body: Bytes, _etag: &str) -> Result<String, Failure> {
        Err(written(id))
    }

    async fn delete(&self, _key: &PartitionKey, id: &str, _etag: &str) -> Result<(), Failure> {
        Err(written(id))
    }

    fn query<'a>(&'a self, sql: &str, _parameters: &[(&str, &str)]) -> BoxStream<'a, Result<Vec<Bytes>, Failure>> {
        let failure = Failure::new(Kind::Internal, format!("a mirror does not ask its source {sql:?}"));
        stream::iter([Err(failure)]).boxed()
    }
}

fn written(id: &str) -> Failure {
    Failure::new(Kind::Internal, format!("a mirror does not write {id} to its source"))
}
