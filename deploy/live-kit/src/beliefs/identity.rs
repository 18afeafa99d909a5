//! What a version is known by: etag, number, time and text.

use cosmirror::config::FeedMode::{AllVersionsAndDeletes, LatestVersion};
use cosmirror::documents::Documents as _;
use cosmirror::feed::Position;
use cosmirror_formats::feed_page::{SystemProperties, without_system_properties};
use futures::TryStreamExt as _;
use serde_json::Value;

use crate::belief::{Seen, Unsettled, ensure, expect};
use crate::kit::Kit;
use crate::place::{Place, of};

/// Text that a generic JSON library would not leave as it is.
const TRICKY: &str =
    r#"{"z":1.10,"a":{"y":1,"b":[1.0e5,-0.0,12345678901234567890]},"text":"\u00e9 ☃ \/ \"","id":"tricky","pk":"text"}"#;

async fn point_read(place: &Place, pk: &str, id: &str) -> Result<(String, String), Unsettled> {
    let document = expect(place.documents.read(&of(pk), id).await?, "the document")?;
    let text = String::from_utf8(document.bytes.to_vec()).map_err(|error| Unsettled::Failed(error.to_string()))?;
    Ok((text, document.etag))
}

fn own_text(text: &str) -> Result<String, Unsettled> {
    without_system_properties(text).map_err(|error| Unsettled::Failed(error.to_string()))
}

/// The etag that a write answers is the one of a point read, of a query and of the feed in both modes. It is a version's identity: in
/// `crates/formats/src/version.rs`, in the comparison of `src/reconcile/compare.rs`, and for whoever restores (`src/restore/execute.rs`).
pub(crate) async fn the_etag_is_the_same_everywhere(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "etag");
    let start = place.now(AllVersionsAndDeletes).await?;
    let latest = place.now(LatestVersion).await?;
    let written = place.create(pk, "a").await?;
    let (_, read) = point_read(place, pk, "a").await?;
    let sql = "SELECT * FROM c WHERE c.pk = @pk";
    let results: Vec<_> = place.documents.query(sql, &[("@pk", pk)]).try_collect().await?;
    let result = expect(results.concat().into_iter().next(), "the query's result")?;
    let queried = SystemProperties::of(&String::from_utf8_lossy(&result)).ok().and_then(|properties| properties.etag);
    let all = place.changes(AllVersionsAndDeletes, start, pk, 1).await?.remove(0).etag;
    let latest = place.changes(LatestVersion, latest, pk, 1).await?.remove(0).etag;
    let seen = [Some(read), queried, all, latest];
    ensure(seen.iter().all(|etag| etag.as_ref() == Some(&written)), || format!("written {written}, then {seen:?}"))?;
    let quoted = written.len() > 2 && written.starts_with('"') && written.ends_with('"');
    ensure(quoted, || format!("{written} has no quotes"))?;
    Ok(format!("write, read, query and both feeds gave {written}"))
}

/// A document's etag stays until the document is written again, whatever is written beside it and by whichever connection it is read. Otherwise
/// `src/reconcile/compare.rs` would report drift, and `src/restore/work.rs` conflicts.
pub(crate) async fn an_etag_stays_while_its_document_does(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "stable");
    let written = place.create(pk, "a").await?;
    for n in 0..20 {
        place.create(pk, &format!("beside-{n}")).await?;
    }
    let account = cosmirror::cosmos::Account::connect(&kit.settings.source).await?;
    let elsewhere = Place::of(&account, &kit.database, &place.names[1]).await?;
    let seen = [point_read(place, pk, "a").await?.1, point_read(&elsewhere, pk, "a").await?.1];
    ensure(seen.iter().all(|etag| *etag == written), || format!("written {written}, later {seen:?}"))?;
    Ok("the same after 20 other writes, and by another connection".to_owned())
}

/// The service keeps a document's text: order of properties, text of numbers, escapes. The mirror is exact about what it was given
/// (`src/mirror/plan.rs`), and `src/restore/compare.rs` compares contents.
pub(crate) async fn text_comes_back_as_it_was_written(kit: &Kit) -> Seen {
    let place = &kit.main;
    place.put("text", "tricky", TRICKY.to_owned()).await?;
    let (read, _) = point_read(place, "text", "tricky").await?;
    let read = own_text(&read)?;
    ensure(read == TRICKY, || format!("written {TRICKY}, read {read}"))?;
    Ok("order, numbers and escapes as written".to_owned())
}

/// Feeds and point reads give the same text of one version. `verify --mode full` compares one with the other (`src/reconcile/judge.rs`), and so
/// do restores (`src/restore/compare.rs`).
pub(crate) async fn feed_and_point_read_give_the_same_text(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "same-text");
    let [all, latest] = [place.now(AllVersionsAndDeletes).await?, place.now(LatestVersion).await?];
    let text = TRICKY.replace(r#""pk":"text""#, r#""pk":"same-text""#);
    place.put(pk, "tricky", text).await?;
    let (read, _) = point_read(place, pk, "tricky").await?;
    for (mode, position) in [(AllVersionsAndDeletes, all), (LatestVersion, latest)] {
        let change = place.changes(mode, position, pk, 1).await?.remove(0);
        let [fed, read] = [own_text(&change.document)?, own_text(&read)?];
        ensure(fed == read, || format!("{}: {fed}; read: {read}", mode.as_str()))?;
    }
    Ok("both modes and a point read, without what the service writes".to_owned())
}

/// One change has the same number in both modes, so a backfill and a feed of all versions can be ordered by it: `src/mirror/order.rs` and
/// `src/history/order.rs`.
pub(crate) async fn both_modes_number_alike(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "numbers");
    let start = place.now(AllVersionsAndDeletes).await?;
    for n in 0..3 {
        place.create(pk, &format!("d{n}")).await?;
    }
    let all = place.changes(AllVersionsAndDeletes, start, pk, 3).await?;
    let latest = place.changes(LatestVersion, Position::Beginning, pk, 3).await?;
    let mut seen = Vec::new();
    for change in &all {
        let same = expect(latest.iter().find(|other| other.etag == change.etag), "the change in latest-version mode")?;
        ensure(change.lsn.is_some() && same.lsn == change.lsn, || {
            format!("{}: {:?} of all versions, {:?} of latest version", change.id, change.lsn, same.lsn)
        })?;
        seen.extend(change.lsn);
    }
    Ok(format!("three documents, {seen:?} in both"))
}

/// Along the feed of one range numbers grow and times do not decrease. Watermarks go by it (`src/mirror/flow.rs`), and so does the order
/// of versions (`src/mirror/order.rs`).
pub(crate) async fn numbers_and_times_grow_along_the_feed(kit: &Kit) -> Seen {
    let (place, pk) = (&kit.main, "growing");
    let start = place.now(AllVersionsAndDeletes).await?;
    let mut etag = place.create(pk, "a").await?;
    for n in 1..20 {
        etag = place.replace(pk, "a", n, &etag).await?;
    }
    let changes = place.changes(AllVersionsAndDeletes, start, pk, 20).await?;
    let lsns: Vec<_> = changes.iter().map(|change| change.lsn).collect();
    ensure(lsns.iter().all(Option::is_some) && lsns.is_sorted_by(|a, b| a < b), || format!("numbers {lsns:?}"))?;
    let times: Vec<_> = changes.iter().map(|change| change.ts).collect();
    ensure(times.is_sorted(), || format!("times {times:?}"))?;
    let ts = |document: &str| serde_json::from_str::<Value>(document).ok()?["_ts"].as_i64();
    ensure(changes.iter().all(|change| ts(&change.document) == Some(change.ts)), || {
        format!("crts {times:?}, _ts {:?}", changes.iter().map(|change| ts(&change.document)).collect::<Vec<_>>())
    })?;
    Ok(format!("20 changes, {:?} to {:?}; `crts` is `_ts`", lsns[0], lsns[19]))
}
