//! Splits, and containers that were made again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use cosmirror::config::FeedMode::{self, AllVersionsAndDeletes, LatestVersion};
use cosmirror::failure::Kind;
use cosmirror::feed::{ChangeFeed as _, PhysicalRange, Position};
use cosmirror_formats::EpkRange;
use futures::FutureExt as _;
use serde_json::json;
use tokio::time::error::Elapsed;

use crate::belief::{Seen, Unsettled, ensure, expect, last_panic, skipped};
use crate::kit::Kit;
use crate::place::{PAGE, Place, delivered};
use crate::settings::SPLIT;

/// One range gives at most 10,000 RU/s, so this takes at least two.
const THROUGHPUT: u32 = 11_000;
const SPLIT_POLL: Duration = Duration::from_secs(5);
/// Less than the belief's own time: when that is over nothing of it runs any more, and the container must be removed.
pub(super) const SPLIT_MINUTES_MAX: u64 = 170;
/// Tries to remove it.
const REMOVALS_MAX: u32 = 3;
const KEYS: u32 = 40;
/// Effective partition keys of hash version 2 lie between 00… and 3F….
const MIDDLE: &str = "20000000000000000000000000000000";

/// A container that was removed and created under the same name has another resource id: the only sign of it (`src/run/container.rs`,
/// `src/cosmos.rs`). What a feed answers that was opened before is told here.
pub(crate) async fn a_recreated_container_has_another_id(kit: &Kit) -> Seen {
    let before = kit.container("recreated", &["/pk"]).await?;
    before.create("p", "a").await?;
    let position = before.now(LatestVersion).await?;
    let removed = kit.cosmos.send("DELETE", &before.path(&[]), &[], String::new()).await?;
    removed.expect(&[204], "removing a container")?;
    kit.container("recreated", &["/pk"]).await?;
    let now = before.feed.describe().await?;
    ensure(now.rid != before.resolved.source.rid, || format!("both have {}", now.rid))?;
    let old = before.feed.read(&EpkRange::full(), LatestVersion, &position, 1).await;
    let old = old.map_or_else(|failure| failure.message, |page| format!("{} entries", page.entries.len()));
    Ok(format!("{} became {}; the feed opened before: {old}", before.resolved.source.rid, now.rid))
}

/// A part of a range, told by bounds in the space of effective partition keys, gives the changes of exactly those keys, in both modes, and a key's place
/// there is the one that the client computes: leases of parts (`src/leases/parts.rs`, `src/feed/cosmos.rs`) and the reconciliation of a range
/// (`src/run/reconciling.rs`) rely on it.
pub(crate) async fn a_part_of_a_range_gives_exactly_its_keys(kit: &Kit) -> Seen {
    let place = kit.container("parts", &["/pk"]).await?;
    let halves = [EpkRange::new("", MIDDLE), EpkRange::new(MIDDLE, "FF")];
    let mut counts = Vec::new();
    for (mode, when) in [(LatestVersion, "latest"), (AllVersionsAndDeletes, "all")] {
        let position = place.now(mode).await?;
        write(&place, when).await?;
        let mut seen = BTreeMap::new();
        for half in &halves {
            drain(&place, mode, half, position.clone(), &mut seen).await?;
            counts.push(seen.len());
        }
        let wrong: Vec<_> = seen.iter().filter(|(id, count)| **count != 1 || !id.starts_with(when)).collect();
        ensure(wrong.is_empty() && seen.len() == KEYS as usize, || {
            format!("{}: {} of {KEYS} came, {wrong:?} wrongly", mode.as_str(), seen.len())
        })?;
    }
    Ok(format!("of {KEYS} keys {} in the lower half and {} in the upper one", counts[0], counts[1] - counts[0]))
}

/// A position of a range is good on each part that the range was split into, and gives exactly what lay behind it there; a read of the whole is
/// told as gone (`src/leases/succession.rs`, `src/feed/cosmos.rs`, `src/run/range.rs`).
pub(crate) async fn a_position_holds_on_the_parts_of_a_split(kit: &Kit) -> Seen {
    if !kit.settings.is_emulator && !kit.settings.may_split {
        return skipped("raises a container to 11,000 RU/s for up to some hours, which costs money", SPLIT);
    }
    let place = kit.container("split", &["/pk"]).await?;
    removed_afterwards(kit, &place, Duration::from_secs(SPLIT_MINUTES_MAX * 60), look(kit, &place)).await
}

/// Waits for so long at most, and removes the container however that ends, because it costs by the hour.
pub(super) async fn removed_afterwards(
    kit: &Kit,
    place: &Place,
    wait: Duration,
    look: impl Future<Output = Seen>,
) -> Seen {
    let looked = tokio::time::timeout(wait, AssertUnwindSafe(look).catch_unwind()).await;
    let mut why = String::new();
    for _ in 0..REMOVALS_MAX {
        why = match kit.cosmos.send("DELETE", &place.path(&[]), &[], String::new()).await {
            Ok(answer) if matches!(answer.status, 204 | 404) => return settled(looked, wait),
            Ok(answer) => answer.refusal("removing it"),
            Err(Unsettled::Failed(how) | Unsettled::Skipped { reason: how, .. }) => how,
        };
        tokio::time::sleep(SPLIT_POLL).await;
    }
    let names = place.names.join("/");
    kit.leave(format!("the container {names}, which costs by the hour, unless the database was removed: {why}"));
    settled(looked, wait)
}

fn settled(looked: Result<std::thread::Result<Seen>, Elapsed>, wait: Duration) -> Seen {
    match looked {
        Ok(Ok(seen)) => seen,
        Ok(Err(_)) => Err(Unsettled::Failed(last_panic())),
        Err(_) => Err(Unsettled::Failed(format!("not settled within {} minutes", wait.as_secs() / 60))),
    }
}

async fn look(kit: &Kit, place: &Place) -> Seen {
    write(place, "before").await?;
    let [latest, all] = [place.now(LatestVersion).await?, place.now(AllVersionsAndDeletes).await?];
    write(place, "behind").await?;
    let began = place.feed.service_time().await?;
    let parts = split(kit, place).await?;
    let took = place.feed.service_time().await? - began;
    write(place, "after").await?;
    for (mode, position) in [(LatestVersion, latest), (AllVersionsAndDeletes, all)] {
        let whole = place.feed.read(&EpkRange::full(), mode, &position, 1).await;
        let failure = expect(whole.err(), "the refusal of a read of the whole")?;
        ensure(failure.kind == Kind::RangeGone, || format!("{}: {failure}", mode.as_str()))?;
        let mut seen = BTreeMap::new();
        for part in &parts {
            drain(place, mode, &part.range, position.clone(), &mut seen).await?;
        }
        let expected: BTreeSet<_> =
            (0..KEYS).flat_map(|n| ["behind", "after"].map(|when| format!("{when}-{n}"))).collect();
        let wrong: Vec<_> = seen.iter().filter(|(id, count)| **count != 1 || !expected.contains(*id)).collect();
        let missing = expected.iter().filter(|id| !seen.contains_key(*id)).count();
        ensure(wrong.is_empty() && missing == 0, || {
            format!("{}: {missing} are missing, and {wrong:?} came wrongly", mode.as_str())
        })?;
    }
    let parents: Vec<_> = parts.iter().map(|part| part.parents.clone()).collect();
    let count = 2 * KEYS;
    Ok(format!(
        "{} parts after {took} s, parents {parents:?}; {count} changes behind, each once in both modes",
        parts.len()
    ))
}

async fn write(place: &Place, when: &str) -> Result<(), Unsettled> {
    for n in 0..KEYS {
        place.create(&format!("key-{n}"), &format!("{when}-{n}")).await?;
    }
    Ok(())
}

/// Reads one part to its end; counts what came by id. Whatever comes must have its key there.
async fn drain(
    place: &Place,
    mode: FeedMode,
    range: &EpkRange,
    mut position: Position,
    seen: &mut BTreeMap<String, u32>,
) -> Result<(), Unsettled> {
    loop {
        let page = place.feed.read(range, mode, &position, PAGE).await?;
        for change in delivered(&page, &place.resolved.source.key)? {
            let at = place.resolved.effective_key(&change.pk)?;
            ensure(range.min <= at && at < range.max, || format!("{} at {at} came from {range}", change.id))?;
            *seen.entry(change.id).or_default() += 1;
        }
        position = Position::Token(page.token);
        if page.not_modified {
            return Ok(());
        }
    }
}

/// Splits the container's one range, by the emulator's control or by more throughput than one range gives.
async fn split(kit: &Kit, place: &Place) -> Result<Vec<PhysicalRange>, Unsettled> {
    let before = place.feed.ranges().await?;
    let range = expect(before.first(), "a range")?;
    if kit.settings.is_emulator {
        let names = json!({ "database": place.names[0], "container": place.names[1], "range": range.id });
        kit.cosmos.control("split", names).await?;
    } else {
        raise_throughput(kit, place).await?;
    }
    loop {
        let ranges = place.feed.ranges().await?;
        if ranges.len() > before.len() {
            return Ok(ranges);
        }
        tokio::time::sleep(SPLIT_POLL).await;
    }
}

async fn raise_throughput(kit: &Kit, place: &Place) -> Result<(), Unsettled> {
    let query = json!({
        "query": "SELECT * FROM root WHERE root.offerResourceId = @rid",
        "parameters": [{ "name": "@rid", "value": place.resolved.source.rid }],
    });
    let headers = [("x-ms-documentdb-isquery", "True"), ("content-type", "application/query+json")];
    let found = kit.cosmos.send("POST", &["offers"], &headers, query.to_string()).await?;
    let mut offer = found.expect(&[200], "reading the throughput")?.json()["Offers"][0].take();
    let id = expect(offer["_rid"].as_str(), "the throughput of its own (a serverless account has none)")?.to_owned();
    offer["content"]["offerThroughput"] = json!(THROUGHPUT);
    let raised = kit.cosmos.send("PUT", &["offers", &id], &[], offer.to_string()).await?;
    raised.expect(&[200, 202], "raising the throughput").map(drop)
}
