//! The change feed as one replica reads it: small pages, empty ones among them, from a view that may lag behind.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::EpkRange;
use tokio::time::{sleep, timeout};

use super::oracle;
use super::process::Life;
use super::world::{Lost, Op, Physical, Service, World, contains};
use crate::config::FeedMode;
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, FeedPage, PhysicalRange, Position, SourceContainer};

/// How long a read may take, as the real one.
const LIMIT: Duration = Duration::from_secs(20);
/// Changes of one page, unless a transaction asks for more.
const PAGE_CHANGES_MAX: usize = 4;

/// The feed.
pub(super) struct SimulatedFeed {
    service: Service,
    life: Life,
}

impl SimulatedFeed {
    pub(super) fn new(service: Service, life: Life) -> Self {
        Self { service, life }
    }

    /// A read: nothing that is lost on the way matters, so it needs no life of its own in the network.
    async fn ask<T>(&self, answer: impl FnOnce(&mut World) -> Result<T, Failure>) -> Result<T, Failure> {
        let (there, back, fault) = {
            let mut world = self.service.world();
            world.count_request();
            let climate = world.weather.feed;
            (world.up_to(climate.delay_max), world.up_to(climate.delay_max / 4), world.chance(climate.faults))
        };
        self.life.count_request();
        let journey = async {
            sleep(there).await;
            if fault {
                let hangs = self.service.world().chance(20);
                if hangs {
                    std::future::pending::<()>().await;
                }
                return Err(Failure::new(Kind::Transient, "refused"));
            }
            let answer = answer(&mut self.service.world());
            sleep(back).await;
            answer
        };
        timeout(LIMIT, journey).await.unwrap_or_else(|_| Err(Failure::new(Kind::Transient, "no answer in time")))
    }
}

#[async_trait]
impl ChangeFeed for SimulatedFeed {
    fn container(&self) -> &SourceContainer {
        &self.service.container
    }

    async fn describe(&self) -> Result<SourceContainer, Failure> {
        let container = SourceContainer::clone(&self.service.container);
        self.ask(move |_| Ok(container.clone())).await
    }

    async fn ranges(&self) -> Result<Vec<PhysicalRange>, Failure> {
        self.ask(|world| {
            let (before, until) = world.physical_before.clone();
            if world.elapsed() < until && world.chance(30) {
                return Ok(before);
            }
            Ok(world.physical.iter().map(|p| p.range.clone()).collect())
        })
        .await
    }

    async fn read(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        count_max: u32,
    ) -> Result<FeedPage, Failure> {
        let (range, position, name) = (range.clone(), position.clone(), self.life.name.clone());
        self.ask(move |world| {
            let page = page(world, &range, mode, &position, count_max as usize);
            if let (Position::Now, Ok(page)) = (&position, &page) {
                oracle::asked_for_now(world, &name, &range, page.token.trim_matches('"').parse().unwrap());
            }
            world.note(|| match &page {
                Ok(page) => {
                    let (count, token) = (page.entries.len(), &page.token);
                    format!("{name} read {range} {mode:?} {position:?}: {count}, {token}, {}", page.not_modified)
                }
                Err(failure) => format!("{name} read {range} {mode:?}: {failure}"),
            });
            page
        })
        .await
    }

    async fn self_test(&self, _range: &EpkRange, _mode: FeedMode) -> Result<(), Failure> {
        Ok(())
    }

    async fn service_time(&self) -> Result<i64, Failure> {
        // Carried forward from an earlier answer by whole seconds: up to one behind, in either rounding.
        let mut world = self.service.world();
        let behind = world.random.i64(0..=1);
        Ok(world.now() - behind)
    }
}

/// What one replica of a range shows: everything committed before an instant.
struct View<'a> {
    world: &'a World,
    physical: &'a Physical,
    until: Duration,
}

impl View<'_> {
    fn shows(&self, place: usize) -> bool {
        self.world.log[place].at <= self.until
    }

    /// The number up to which everything is shown.
    fn lsn(&self) -> u64 {
        let hidden = self.physical.log.iter().rev().filter(|&&place| !self.shows(place));
        hidden.map(|&place| self.world.log[place].lsn - 1).min().unwrap_or(self.physical.lsn)
    }

    /// The changes of a range behind a position, as the mode shows them.
    fn changes(&self, range: &EpkRange, mode: FeedMode, after: u64) -> Vec<usize> {
        let world = self.world;
        let from = self.physical.log.partition_point(|&place| world.log[place].lsn <= after);
        let lsn = self.lsn();
        let places = self.physical.log[from..].iter().copied();
        let places = places.take_while(|&place| world.log[place].lsn <= lsn);
        let within = places.filter(|&place| contains(range, &world.documents[world.log[place].document].epk));
        let newest = |place: &usize| {
            let document = &world.documents[world.log[*place].document];
            document.changes.iter().rev().find(|&&change| self.shows(change)) == Some(place)
                && !world.log[*place].op.is_delete()
        };
        within.filter(|place| mode == FeedMode::AllVersionsAndDeletes || newest(place)).collect()
    }
}

fn page(
    world: &mut World,
    range: &EpkRange,
    mode: FeedMode,
    position: &Position,
    count_max: usize,
) -> Result<FeedPage, Failure> {
    let lag = world.lag_max;
    let until = world.elapsed().saturating_sub(world.up_to(lag));
    let empty = lag > Duration::ZERO && world.chance(10);
    let (flat, count_max) = (world.random.bool(), world.random.usize(1..=PAGE_CHANGES_MAX).min(count_max));
    let covers = |p: &&Physical| p.range.range.min <= range.min && range.max <= p.range.range.max;
    let Some(physical) = world.physical.iter().find(covers) else {
        return Err(Failure::new(Kind::RangeGone, format!("the range {range} is gone")));
    };
    let view = View { world, physical, until: until.max(physical.since) };
    let (lsn, session_lsn) = (view.lsn(), Some(physical.lsn));
    let after = match position {
        Position::Now => lsn,
        Position::Beginning if mode == FeedMode::LatestVersion => 0,
        Position::Token(token) => token.trim_matches('"').parse().unwrap(),
        other => return Err(Failure::new(Kind::Misconfigured, format!("{mode:?} cannot begin at {other:?}"))),
    };
    let places = view.changes(range, mode, after);
    if mode == FeedMode::AllVersionsAndDeletes && places.first().is_some_and(|&first| is_too_old(world, first)) {
        world.lost.push(Lost { range: range.clone(), owner: None });
        return Err(Failure::new(Kind::TokenExpired, format!("the feed does not go back to {after}")));
    }
    let page = |entries, lsn: u64, not_modified| FeedPage {
        entries,
        token: format!("\"{lsn}\""),
        not_modified,
        request_units: 2.0,
        session_lsn,
    };
    let Some(&first) = places.first() else { return Ok(page(Vec::new(), lsn.max(after), true)) };
    if empty {
        return Ok(page(Vec::new(), world.log[first].lsn - 1, false));
    }
    // Transactions stay whole.
    let last = world.log[places[count_max.min(places.len()) - 1]].lsn;
    let mut taken: Vec<usize> = places.into_iter().take_while(|&place| world.log[place].lsn <= last).collect();
    shuffle(world, &mut taken);
    let entries = taken.into_iter().map(|place| entry(world, place, mode, flat)).collect();
    Ok(page(entries, last, false))
}

/// Whether the feed of all versions does not show a change any more.
fn is_too_old(world: &World, place: usize) -> bool {
    world.retention.is_some_and(|retention| world.log[place].at + retention < world.elapsed())
}

/// Puts each transaction's changes into any order. Those of one document keep theirs where it does not follow from what is possible: a
/// reader is told nothing else.
fn shuffle(world: &mut World, places: &mut [usize]) {
    let ordered = places.to_vec();
    world.random.shuffle(places);
    places.sort_by_key(|&place| world.log[place].lsn);
    let document = |place: usize| world.log[place].document;
    let same = |a: usize, b: usize| document(a) == document(b) && world.log[a].lsn == world.log[b].lsn;
    for &first in ordered.iter().filter(|&&first| !ordered.iter().any(|&other| other < first && same(other, first))) {
        let slots: Vec<usize> = (0..places.len()).filter(|&slot| same(places[slot], first)).collect();
        let shuffled: Vec<usize> = slots.iter().map(|&slot| places[slot]).collect();
        let mut truth = shuffled.clone();
        truth.sort_unstable();
        if first_possible(world, shuffled) != truth {
            slots.into_iter().zip(truth).for_each(|(slot, place)| places[slot] = place);
        }
    }
}

/// The changes of one document in one transaction, the first possible one first.
fn first_possible(world: &World, mut changes: Vec<usize>) -> Vec<usize> {
    let first = changes.iter().min().copied().unwrap_or_default();
    let mut exists = world.log[first].op != Op::Create;
    let mut ordered = Vec::new();
    while let Some(at) = changes.iter().position(|&place| (world.log[place].op != Op::Create) == exists) {
        let place = changes.remove(at);
        exists = !world.log[place].op.is_delete();
        ordered.push(place);
    }
    ordered
}

fn entry(world: &World, place: usize, mode: FeedMode, flat: bool) -> Bytes {
    let change = &world.log[place];
    let document = &world.documents[change.document];
    let (text, lsn, ts) = (&change.text, change.lsn, change.ts);
    if mode == FeedMode::LatestVersion {
        return Bytes::from(if flat {
            format!("{},\"_lsn\":{lsn}}}", text.strip_suffix('}').unwrap())
        } else {
            format!(r#"{{"current":{text},"metadata":{{"lsn":{lsn},"crts":{ts}}}}}"#)
        });
    }
    let metadata = format!(r#""lsn":{lsn},"crts":{ts},"operationType""#);
    Bytes::from(match change.op {
        Op::Create => format!(r#"{{"current":{text},"metadata":{{{metadata}:"create"}}}}"#),
        Op::Replace => format!(r#"{{"current":{text},"metadata":{{{metadata}:"replace"}}}}"#),
        Op::Delete | Op::Expire => {
            let expired = if change.op == Op::Expire { r#","timeToLiveExpired":true"# } else { "" };
            let key = if flat { format!(r#"["{}"]"#, document.pk) } else { format!(r#"{{"pk":"{}"}}"#, document.pk) };
            let id = &document.id;
            format!(
                r#"{{"current":{{}},"metadata":{{{metadata}:"delete"{expired},"id":"{id}","partitionKey":{key}}}}}"#
            )
        }
    })
}
