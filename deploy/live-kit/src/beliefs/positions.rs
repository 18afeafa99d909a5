//! What positions are, and what the end of the feed tells.

use cosmirror::config::FeedMode::{AllVersionsAndDeletes, LatestVersion};
use cosmirror::feed::{ChangeFeed as _, Position};

use crate::belief::{Seen, Unsettled, ensure, expect};
use crate::cosmos_wire::Answer;
use crate::kit::Kit;

/// Dates are cut to seconds, and machines of the service differ a little.
const SKEW_SECONDS: i64 = 2;

/// A plain read of the feed of latest versions.
async fn read(kit: &Kit, position: &str) -> Result<Answer, Unsettled> {
    let ranges = kit.main.feed.ranges().await?;
    let range = expect(ranges.first(), "a range")?;
    let headers = [
        ("a-im", "Incremental Feed"),
        ("if-none-match", position),
        ("x-ms-documentdb-partitionkeyrangeid", &range.id),
        ("x-ms-cosmos-changefeed-wire-format-version", "2021-09-15"),
    ];
    kit.cosmos.send("GET", &kit.main.path(&["docs"]), &headers, String::new()).await
}

/// A position is a number in quotes, in both modes, as .NET's leases and KEDA's scaler take it (`src/feed/cosmos.rs`, `crates/formats/src/lease.rs`), and
/// the driver's token holds it as `src/feed/cosmos.rs` writes one.
pub(crate) async fn a_position_is_a_quoted_number(kit: &Kit) -> Seen {
    let mut seen = Vec::new();
    for mode in [LatestVersion, AllVersionsAndDeletes] {
        kit.main.feed.self_test(&cosmirror_formats::EpkRange::full(), mode).await?;
        let token = kit.main.end(mode).await?.token;
        let number =
            token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|n| n.parse::<u64>().ok());
        ensure(number.is_some(), || format!("{}: {token}", mode.as_str()))?;
        seen.push(token);
    }
    Ok(seen.join(" and "))
}

/// What is written after a read at Now lies behind the position that it answered. Following all versions begins so (`src/mirror.rs`), and behind
/// a gap as well (`src/mirror/gap.rs`).
pub(crate) async fn now_then_a_write_gives_the_write(kit: &Kit) -> Seen {
    for (mode, pk) in [(AllVersionsAndDeletes, "now-all"), (LatestVersion, "now-latest")] {
        let page = kit.main.read(mode, &Position::Now, 1).await?;
        ensure(page.entries.is_empty(), || format!("{}: {} entries at Now", mode.as_str(), page.entries.len()))?;
        kit.main.create(pk, "a").await?;
        kit.main.changes(mode, Position::Token(page.token), pk, 1).await?;
    }
    Ok("in both modes".to_owned())
}

/// The session token of a 304 tells a number that is not below the newest change's: the lag is estimated by it (`src/observer/estimate.rs`), and the
/// point up to which a backfill reads (`src/mirror/flow.rs`).
pub(crate) async fn the_end_tells_the_newest_number(kit: &Kit) -> Seen {
    let mut seen = Vec::new();
    for (mode, pk) in [(AllVersionsAndDeletes, "end-all"), (LatestVersion, "end-latest")] {
        let start = kit.main.now(mode).await?;
        kit.main.create(pk, "a").await?;
        let newest = kit.main.changes(mode, start, pk, 1).await?.remove(0).lsn;
        let end = kit.main.end(mode).await?;
        ensure(end.session_lsn.is_some() && end.session_lsn >= newest, || {
            format!("{}: {:?} at the end, the newest change has {newest:?}", mode.as_str(), end.session_lsn)
        })?;
        seen.push(format!("{:?} ≥ {newest:?}", end.session_lsn));
    }
    Ok(seen.join(" and "))
}

/// The `Date` of a 304 is not before any commit behind which it stands, so a read that finds nothing moves the watermark
/// (`src/mirror/flow.rs`). One second is allowed for: that much, and the staleness margin, is taken off there.
pub(crate) async fn the_end_is_dated_behind_every_commit(kit: &Kit) -> Seen {
    let pk = "dated";
    let mut least = i64::MAX;
    for n in 0..5 {
        let start = kit.main.now(LatestVersion).await?;
        kit.main.create(pk, &format!("d{n}")).await?;
        let change = kit.main.changes(LatestVersion, start, pk, 1).await?.remove(0);
        let Position::Token(position) = kit.main.now(LatestVersion).await? else {
            return Err(Unsettled::Failed("no position".to_owned()));
        };
        let end = read(kit, &position).await?.expect(&[304], "a read at the end")?;
        least = least.min(end.date()? - change.ts);
    }
    ensure(least >= -1, || format!("the Date of a 304 is {} s before a commit that it stands behind", -least))?;
    Ok(format!("a 304's Date is at least {least} s behind the commit before it"))
}

/// An unsigned request is answered, with the service's time, which is that of signed answers: `src/cosmos/service_time.rs` reads it so, and
/// leases and watermarks go by it.
pub(crate) async fn an_unsigned_request_is_dated(kit: &Kit) -> Seen {
    let unsigned = kit.cosmos.unsigned().await?;
    let signed = kit.cosmos.send("GET", &kit.main.path(&[]), &[], String::new()).await?.expect(&[200], "a read")?;
    let apart = signed.date()? - unsigned.date()?;
    ensure((-SKEW_SECONDS..=SKEW_SECONDS + 5).contains(&apart), || format!("{apart} s apart"))?;
    let told = kit.main.feed.service_time().await? - signed.date()?;
    ensure((-SKEW_SECONDS..=SKEW_SECONDS + 5).contains(&told), || format!("the clock is {told} s away"))?;
    Ok(format!("status {}, {apart} s before the next signed answer", unsigned.status))
}

/// A start at an instant leaves out nothing that was committed later (`start` of a container, `src/feed/cosmos.rs`). How much of what is earlier comes
/// as well is told here.
pub(crate) async fn a_start_at_an_instant_leaves_out_nothing_later(kit: &Kit) -> Seen {
    let pk = "instant";
    let start = kit.main.now(LatestVersion).await?;
    kit.main.create(pk, "a").await?;
    let first = kit.main.changes(LatestVersion, start.clone(), pk, 1).await?.remove(0);
    kit.main.create(pk, "b").await?;
    kit.main.changes(LatestVersion, start, pk, 2).await?;
    let changes = kit.main.changes(LatestVersion, Position::Instant(first.ts), pk, 1).await?;
    ensure(changes.iter().any(|change| change.id == "b"), || "a later change is missing".to_owned())?;
    let same = changes.iter().any(|change| change.id == "a");
    Ok(format!("the later one came, and the one of that very second {}", if same { "as well" } else { "did not" }))
}

/// A position of one mode means the same place in the other. Nothing relies on it yet: a switch of modes is a gap (`src/mirror/gap.rs`), which this
/// could make smaller.
pub(crate) async fn positions_of_both_modes_count_alike(kit: &Kit) -> Seen {
    let pk = "switched";
    kit.main.create(pk, "before").await?;
    let latest = kit.main.now(LatestVersion).await?;
    kit.main.create(pk, "after").await?;
    let changes = kit.main.changes(AllVersionsAndDeletes, latest, pk, 1).await?;
    let ids: Vec<_> = changes.iter().map(|change| change.id.as_str()).collect();
    ensure(ids == ["after"], || format!("all versions from a position of latest version gave {ids:?}"))?;
    Ok("a position of latest version, read on in all versions, gave what came behind it".to_owned())
}
