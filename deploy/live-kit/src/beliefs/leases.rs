//! What leases rely on.

use std::time::Duration;

use cosmirror::cosmos::Account;
use cosmirror::documents::Documents as _;
use cosmirror::failure::Kind;
use futures::TryStreamExt as _;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::belief::{Seen, Unsettled, ensure, expect};
use crate::kit::Kit;
use crate::place::{POLL, Place, body, of, patiently};

const WRITERS: u32 = 16;
/// Time in which what one client wrote is seen by another.
const LISTED: Duration = Duration::from_secs(30);
/// How long the service may take to purge what expired.
const PURGE: Duration = Duration::from_secs(20 * 60);

/// Of several replaces with the same etag one succeeds and the others are told that it is another now: all that keeps two replicas from owning
/// one lease (`src/leases/keeper.rs`, `src/leases/acquire.rs`).
pub(crate) async fn of_sixteen_replaces_of_a_lease_one_succeeds(kit: &Kit) -> Seen {
    let (place, id) = (&kit.leases, "race");
    let etag = place.create(id, id).await?;
    let key = of(id);
    let (key, etag) = (&key, &etag);
    let replaces = (0..WRITERS).map(|n| {
        let body = bytes::Bytes::from(body(id, id, n));
        patiently(move || place.documents.replace(key, id, body.clone(), etag))
    });
    let answers = join_all(replaces).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let others = answers.iter().filter_map(|answer| answer.as_ref().err()).find(|f| f.kind != Kind::Conflict);
    ensure(won == 1, || format!("{won} succeeded"))?;
    others.map_or_else(|| Ok("one succeeded, fifteen were conflicts".to_owned()), |f| Err(f.clone().into()))
}

/// What one replica writes another finds by the query of `src/leases.rs`, soon: a replica that joins counts leases by it
/// (`src/leases/balance.rs`). That it may take a moment is allowed for (`src/leases/coverage.rs`).
pub(crate) async fn a_lease_is_listed_by_its_prefix(kit: &Kit) -> Seen {
    for n in 0..3 {
        let id = format!("prefix..{n}");
        kit.leases.create(&id, &id).await?;
    }
    let account = Account::connect(&kit.settings.source).await?;
    let elsewhere = Place::of(&account, &kit.database, &kit.leases.names[1]).await?;
    let sql = "SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)";
    let mut looks = 0;
    let looking = async {
        loop {
            looks += 1;
            let found: Vec<_> = elsewhere.documents.query(sql, &[("@prefix", "prefix..")]).try_collect().await?;
            if found.concat().len() == 3 {
                return Ok::<(), Unsettled>(());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let listed = tokio::time::timeout(LISTED, looking).await;
    listed.map_err(|_| Unsettled::Failed(format!("not listed within {} s", LISTED.as_secs())))??;
    Ok(format!("by another client, at look {looks}"))
}

/// `_ts` of a lease and the `Date` of answers are one clock: whether a lease has expired is told by them (`src/leases/live.rs`,
/// `src/leases/lock.rs`).
pub(crate) async fn a_lease_is_timed_by_the_service(kit: &Kit) -> Seen {
    let id = "timed";
    let before = kit.cosmos.unsigned().await?.date()?;
    kit.leases.create(id, id).await?;
    let after = kit.cosmos.unsigned().await?.date()?;
    let document = expect(kit.leases.documents.read(&of(id), id).await?, "the lease")?;
    let document: Value = serde_json::from_slice(&document.bytes).map_err(|e| Unsettled::Failed(e.to_string()))?;
    let written = expect(document["_ts"].as_i64(), "`_ts`")?;
    ensure((before - 1..=after + 1).contains(&written), || format!("{written} between {before} and {after}"))?;
    Ok(format!("{written} between {before} and {after}"))
}

/// A document's `ttl` counts only where its container has a default time to live. The bootstrap's lock asks to be removed, and where that does not
/// happen it is taken over by its age (`src/leases/lock.rs`); leases themselves must never expire (`src/leases.rs`).
pub(crate) async fn time_to_live_counts_only_where_the_container_has_one(kit: &Kit) -> Seen {
    let id = "short-lived";
    let document = json!({ "id": id, "pk": id, "ttl": 1 }).to_string();
    kit.leases.put(id, id, document.clone()).await?;
    kit.main.put(id, id, document).await?;
    let gone = async {
        let mut looks = 0;
        while kit.main.documents.read(&of(id), id).await?.is_some() {
            looks += 1;
            tokio::time::sleep(POLL).await;
        }
        Ok::<u32, Unsettled>(looks)
    };
    let looks = tokio::time::timeout(PURGE, gone).await;
    let looks = looks.map_err(|_| Unsettled::Failed(format!("not gone within {} s", PURGE.as_secs())))??;
    let kept = kit.leases.documents.read(&of(id), id).await?;
    ensure(kept.is_some(), || "it also vanished where the container has no time to live".to_owned())?;
    Ok(format!("gone after {looks} looks where the default is -1, kept where there is none"))
}
