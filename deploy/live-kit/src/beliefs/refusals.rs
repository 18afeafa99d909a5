//! What the services refuse, and how they say so: the daemon acts by it.

use cosmirror::config::FeedMode::{AllVersionsAndDeletes, LatestVersion};
use cosmirror::config::Source;
use cosmirror::cosmos::Account;
use cosmirror::failure::{Failure, Kind};
use cosmirror::feed::{ChangeFeed as _, Position};
use cosmirror::store::VersionStore as _;
use cosmirror::store::azure::{AzureAuth, AzureStore};
use cosmirror_formats::EpkRange;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use crate::belief::{Seen, Unsettled, ensure, expect, skipped};
use crate::cosmos_wire::CosmosWire;
use crate::kit::{Kit, MARK, PREFIX, key, remove_database};
use crate::place::Place;
use crate::settings::{IDENTITY, KEPT, PLAIN_ENDPOINT, PLAIN_KEY};

/// What is too much for the smallest container, and for a serverless one.
const THROTTLING_WRITES: u32 = 400;
const THROTTLING_BYTES: usize = 20_000;
const THROTTLING_AT_ONCE: usize = 100;
/// Well-formed and wrong.
const WRONG_KEY: &str = "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgdw==";

/// The feed of all versions has no beginning: it is refused with 400, so what existed before needs a backfill by the other mode
/// (`src/mirror.rs`, `src/mirror/flow.rs`).
pub(crate) async fn all_versions_cannot_begin_at_the_beginning(kit: &Kit) -> Seen {
    let ranges = kit.main.feed.ranges().await?;
    let headers = [
        ("a-im", "Full-Fidelity Feed"),
        ("x-ms-documentdb-partitionkeyrangeid", &*expect(ranges.first(), "a range")?.id),
        ("x-ms-cosmos-changefeed-wire-format-version", "2021-09-15"),
    ];
    let answer = kit.cosmos.send("GET", &kit.main.path(&["docs"]), &headers, String::new()).await?;
    let told = answer.refusal("refused");
    answer.expect(&[400], "all versions from the beginning")?;
    Ok(told)
}

/// An account without the feature refuses the mode in a way that is told apart, so that the start says what to do (`explain_refusal` in
/// `src/feed/cosmos.rs`).
pub(crate) async fn an_account_without_all_versions_says_so(kit: &Kit) -> Seen {
    let read = |place: Place| async move {
        place.feed.read(&EpkRange::full(), AllVersionsAndDeletes, &Position::Now, 1).await
    };
    let answer = if kit.settings.is_emulator && kit.settings.plain.is_none() {
        let place = kit.container("plain", &["/pk"]).await?;
        kit.cosmos.control("account", json!({ "allVersions": false })).await?;
        let answer = read(place).await;
        kit.cosmos.control("account", json!({ "allVersions": true })).await?;
        answer
    } else {
        let Some((source, secret)) = &kit.settings.plain else {
            return skipped("needs an account without the feature", PLAIN_ENDPOINT);
        };
        on_plain_account(kit, source, secret, read).await?
    };
    let failure = expect(answer.err(), "a refusal")?;
    ensure(failure.kind == Kind::Misconfigured, || format!("taken for {}: {failure}", failure.kind.name()))?;
    Ok(failure.message)
}

async fn on_plain_account<T, F: Future<Output = T>>(
    kit: &Kit,
    source: &Source,
    secret: &secrecy::SecretString,
    read: impl FnOnce(Place) -> F,
) -> Result<T, Unsettled> {
    let wire = CosmosWire::new(&source.endpoint, secret, PLAIN_KEY).map_err(Unsettled::Failed)?;
    let created = wire.send("POST", &["dbs"], &[], json!({ "id": kit.database }).to_string()).await?;
    created.expect(&[201], "a database of the account without the feature")?;
    let reading = async {
        let account = Account::connect(source).await?;
        let settings = json!({ "id": "plain", "partitionKey": key(&["/pk"]) });
        Ok::<_, Failure>(read(Place::make(&account, &kit.database, settings).await?).await)
    };
    let answer = reading.await;
    remove_database(&wire, &kit.database).await.map_err(Unsettled::Failed)?;
    Ok(answer?)
}

/// A position behind which changes left the retention is refused, and in words by which `explain_refusal` in `src/feed/cosmos.rs` tells it
/// apart: it becomes a gap (`src/run/range.rs`) instead of an error for ever.
pub(crate) async fn a_position_outside_the_retention_is_told_apart(kit: &Kit) -> Seen {
    let failure = if kit.settings.is_emulator && kit.settings.kept.is_none() {
        let place = kit.container("retention", &["/pk"]).await?;
        let start = place.now(AllVersionsAndDeletes).await?;
        let names = json!({ "database": place.names[0], "container": place.names[1], "seconds": 1 });
        place.create("p", "a").await?;
        kit.cosmos.control("retention", names).await?;
        kit.cosmos.control("clock", json!({ "service": "cosmos", "advanceSeconds": 10 })).await?;
        let answer = place.feed.read(&EpkRange::full(), AllVersionsAndDeletes, &start, 1).await;
        kit.cosmos.control("clock", json!({ "service": "cosmos", "offsetSeconds": 0 })).await?;
        expect(answer.err(), "a refusal")?
    } else {
        let Some(kept) = &kit.settings.kept else {
            return skipped(
                "cannot be waited for: it needs a database that an earlier run kept, older than the retention",
                KEPT,
            );
        };
        of_kept(kit, kept).await?
    };
    ensure(failure.kind == Kind::TokenExpired, || format!("taken for {}: {failure}", failure.kind.name()))?;
    Ok(failure.message)
}

/// Reads on from the position that an earlier run left, in a database that bears its mark; then removes that.
async fn of_kept(kit: &Kit, database: &str) -> Result<Failure, Unsettled> {
    ensure(database.starts_with(PREFIX), || format!("{database} is no database of this kit"))?;
    let place = Place::of(&kit.account, database, &kit.main.names[1]).await?;
    let marks = json!([MARK]).to_string();
    let headers = [("x-ms-documentdb-partitionkey", marks.as_str())];
    let mark = kit.cosmos.send("GET", &place.path(&["docs", MARK]), &headers, String::new()).await?;
    let mark = mark.expect(&[200], "the mark of the run that kept the database")?.json();
    ensure(mark["madeBy"] == PREFIX, || format!("{database} has no mark of this kit"))?;
    let position = expect(mark["position"].as_str(), "the kept position")?.to_owned();
    let answer = place.feed.read(&EpkRange::full(), AllVersionsAndDeletes, &Position::Token(position), 1).await;
    // Only what was settled is removed.
    let accepted = || Unsettled::Failed("the old position is still accepted: the retention is not over".to_owned());
    let failure = answer.err().ok_or_else(accepted)?;
    if failure.kind == Kind::TokenExpired {
        remove_database(&kit.cosmos, database).await.map_err(Unsettled::Failed)?;
    }
    Ok(failure)
}

/// A container that is not there is told apart from everything else, in both services: `src/cosmos.rs` and `src/store/azure/errors.rs` say what to do.
pub(crate) async fn a_missing_container_is_told_apart(kit: &Kit) -> Seen {
    let source = kit.account.resolve(&kit.database, "missing").await.err();
    let target = cosmirror::config::Target { container: format!("{}-missing", kit.database), ..kit.target.clone() };
    let store = AzureStore::new(&target, AzureAuth::resolve(&target)?)?;
    let looks = [source, store.prepare(false).await.err(), store.head("a").await.err()];
    for failure in &looks {
        let failure = expect(failure.as_ref(), "a refusal")?;
        ensure(failure.kind == Kind::NotFound, || format!("{}: {failure}", failure.kind.name()))?;
    }
    Ok("by the feed's client, by a put and by a head".to_owned())
}

/// A throttled request is answered with 429 and says for how long to wait: `src/retry.rs` and `src/pace/limit.rs` go by it.
pub(crate) async fn a_throttled_request_says_how_long(kit: &Kit) -> Seen {
    let pk = "throttled";
    if kit.settings.is_emulator {
        let rule = json!({ "service": "cosmos", "status": 429, "substatus": 3200, "retryAfterMs": 12, "count": 1 });
        kit.cosmos.control("faults", json!({ "rules": [rule] })).await?;
    }
    let key = json!([pk]).to_string();
    let headers = [("x-ms-documentdb-partitionkey", key.as_str()), ("x-ms-documentdb-is-upsert", "True")];
    let path = kit.main.path(&["docs"]);
    let filling = "x".repeat(THROTTLING_BYTES);
    let bodies = (0..THROTTLING_WRITES).map(|n| json!({ "id": format!("d{n}"), "pk": pk, "f": filling }).to_string());
    let writes = bodies.map(|body| kit.cosmos.send_once("POST", &path, &headers, body));
    let mut answers = futures::stream::iter(writes).buffer_unordered(THROTTLING_AT_ONCE);
    while let Some(answer) = answers.try_next().await? {
        if answer.status == 429 {
            let wait: u64 =
                expect(answer.header("x-ms-retry-after-ms").and_then(|wait| wait.parse().ok()), "x-ms-retry-after-ms")?;
            let reason = answer.header("x-ms-substatus").unwrap_or("none");
            return Ok(format!("429/{reason}, to wait for {wait} ms"));
        }
        answer.expect(&[200, 201], "a write")?;
    }
    Err(Unsettled::Failed(format!("{THROTTLING_WRITES} writes of {THROTTLING_BYTES} bytes were not throttled")))
}

/// A wrong key is told apart from a missing container and from a failing service: the range stops and says so, instead of retrying or making
/// dead letters (`src/failure.rs`, `src/store/azure/errors.rs`).
pub(crate) async fn a_wrong_key_is_told_apart(kit: &Kit) -> Seen {
    let file = tempfile::NamedTempFile::new().map_err(|error| Unsettled::Failed(error.to_string()))?;
    std::fs::write(file.path(), WRONG_KEY).map_err(|error| Unsettled::Failed(error.to_string()))?;
    let source = Source { key_file: Some(file.path().to_owned()), ..kit.settings.source.clone() };
    let cosmos = match Account::connect(&source).await {
        Ok(account) => account.resolve(&kit.database, &kit.main.names[1]).await.err(),
        Err(failure) => Some(failure),
    };
    let target = cosmirror::config::Target { key_file: Some(file.path().to_owned()), ..kit.target.clone() };
    let store = AzureStore::new(&target, AzureAuth::resolve(&target)?)?;
    let blob = store.head("a").await.err();
    for (service, failure) in [("Cosmos DB", &cosmos), ("Blob Storage", &blob)] {
        let failure = expect(failure.as_ref(), "a refusal")?;
        ensure(failure.kind == Kind::Unauthorized, || format!("{service}: {}: {failure}", failure.kind.name()))?;
    }
    Ok("both services answer as unauthorised".to_owned())
}

/// The account tells its regions and its consistency to whoever may read data: `src/cosmos/properties.rs`, by which `src/check/source.rs` warns of
/// several regions that take writes.
pub(crate) async fn the_account_tells_its_regions_and_consistency(kit: &Kit) -> Seen {
    let properties = kit.account.properties().await?;
    ensure(!properties.writable_locations.is_empty(), || "no region takes writes".to_owned())?;
    let consistency = properties.consistency().to_owned();
    ensure(!consistency.is_empty(), || "no consistency is told".to_owned())?;
    let regions = [&properties.writable_locations, &properties.readable_locations].map(Vec::len);
    Ok(format!("{consistency}; {} regions take writes, {} can be read", regions[0], regions[1]))
}

/// An identity with data roles alone (Cosmos DB Built-in Data Contributor, Storage Blob Data Contributor) may do all that the daemon does: read
/// container settings, follow both feeds, keep leases, store (`src/cosmos.rs`, `src/store/azure/auth.rs`).
pub(crate) async fn an_identity_may_do_what_the_daemon_does(kit: &Kit) -> Seen {
    let Some((source_auth, target_auth)) = kit.settings.identity else {
        return skipped("needs an identity with data roles, and Microsoft Entra, which the emulator refuses", IDENTITY);
    };
    let source = Source { auth: source_auth, ..kit.settings.source.clone() };
    let account = Account::connect(&source).await?;
    let place = Place::of(&account, &kit.database, &kit.main.names[1]).await?;
    for (mode, pk) in [(AllVersionsAndDeletes, "identity-all"), (LatestVersion, "identity-latest")] {
        let start = place.now(mode).await?;
        let etag = place.create(pk, "a").await?;
        place.changes(mode, start, pk, 1).await?;
        let etag = place.replace(pk, "a", 1, &etag).await?;
        place.delete(pk, "a", &etag).await?;
    }
    let target = cosmirror::config::Target { auth: target_auth, ..kit.target.clone() };
    AzureStore::new(&target, AzureAuth::resolve(&target)?)?.prepare(false).await?;
    Ok("settings, both feeds, conditional writes, and a version stored".to_owned())
}
