//! The mirror as one replica reaches it: conditional puts that may take as long as the real ones.

use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::network::{Weather, travel};
use super::oracle;
use super::process::Life;
use super::world::{Service, World};
use crate::failure::{Failure, Kind};
use crate::store::azure::PUT_TIMEOUT;
use crate::store::{Condition, Head, Listing, Page, Put, Stored, VersionStore};

/// How long any other request may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Versions of one page of a listing.
const PAGE_HEADS_MAX: usize = 5;

/// The mirror.
pub(super) struct SimulatedStore {
    service: Service,
    life: Life,
}

impl SimulatedStore {
    pub(super) fn new(service: Service, life: Life) -> Self {
        Self { service, life }
    }

    async fn travel<T: Send + 'static>(
        &self,
        limit: Duration,
        apply: impl FnOnce(&mut World) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        travel(&self.service, &self.life, |weather: &Weather| weather.store, limit, apply).await
    }
}

#[async_trait]
impl VersionStore for SimulatedStore {
    async fn prepare(&self, _create: bool) -> Result<(), Failure> {
        Ok(())
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        let who = self.life.name.to_string();
        // Here the put begins: what follows may take as long as it likes.
        oracle::put_begins(&mut self.service.world(), &who, &put);
        self.travel(PUT_TIMEOUT, move |world| {
            let (name, condition) = (put.name.clone(), put.condition.clone());
            let result = apply(world, &who, put);
            world.note(|| {
                let outcome = result.as_ref().map_or_else(ToString::to_string, |stored| stored.etag.clone());
                format!("{who} put {name} if {condition:?}: {outcome}")
            });
            result
        })
        .await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        Ok(self.get(name, None).await?.map(|(head, _)| head))
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.travel(LIMIT, move |world| {
            let wanted = |head: &Head| version.as_ref().map_or(head.current, |version| head.version == *version);
            let versions = world.blobs.get(&name);
            Ok(versions.and_then(|versions| versions.iter().find(|(head, _)| wanted(head)).cloned()))
        })
        .await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        let prefix = prefix.to_owned();
        self.travel(LIMIT, move |world| Ok(page(world, &prefix, listing, next))).await
    }
}

fn page(world: &World, prefix: &str, listing: Listing, next: Option<String>) -> Page {
    // Behind a name and the number of one of its versions.
    let place = |next: String| {
        let (name, nth) = next.split_once('|').unwrap();
        (name.to_owned(), nth.parse::<usize>().unwrap())
    };
    let next = next.map(place);
    let from = next.as_ref().map_or(prefix, |(name, _)| name.as_str());
    let names = world
        .blobs
        .range::<str, _>((Bound::Included(from), Bound::Unbounded))
        .take_while(|(name, _)| name.starts_with(prefix));
    let versions = names.flat_map(|(name, versions)| {
        versions.iter().enumerate().map(move |(nth, (head, _))| ((name.as_str(), nth), head))
    });
    let mut rest = versions
        .filter(|(_, head)| listing == Listing::Versions || head.current)
        .filter(|(place, _)| next.as_ref().is_none_or(|(name, nth)| *place > (name.as_str(), *nth)));
    let taken: Vec<_> = rest.by_ref().take(PAGE_HEADS_MAX).collect();
    let next = taken.last().filter(|_| rest.next().is_some()).map(|((name, nth), _)| format!("{name}|{nth}"));
    Page { heads: taken.into_iter().map(|(_, head)| head.clone()).collect(), next }
}

fn apply(world: &mut World, who: &str, put: Put) -> Result<Stored, Failure> {
    let current = world.blobs.get(&put.name).and_then(|versions| versions.last()).map(|(head, _)| head.etag.clone());
    let holds = match (&put.condition, &current) {
        (Condition::Absent, current) => current.is_none(),
        (Condition::Matches(etag), current) => current.as_ref() == Some(etag),
    };
    if !holds && world.conditional {
        return Err(Failure::new(Kind::Conflict, "the condition does not hold"));
    }
    oracle::put_done(world, who, &put);
    let etag = world.new_etag('b');
    let length = put.body.len() as u64;
    let head = Head {
        name: put.name.clone(),
        version: etag.clone(),
        etag: etag.clone(),
        current: true,
        length,
        metadata: put.metadata,
    };
    let versions = world.blobs.entry(put.name).or_default();
    versions.iter_mut().for_each(|(head, _)| head.current = false);
    versions.push((head, put.body));
    Ok(Stored { version: etag.clone(), etag })
}
