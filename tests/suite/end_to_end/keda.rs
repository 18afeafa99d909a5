//! Our leases as others read them: KEDA's native scaler `azure-cosmosdb`, and the estimator of the .NET SDK.
//!
//! Both ask the feed for one item after a lease's position and compare its sequence number with the session token's. What they should
//! find is counted in the emulator's history. Sources: `pkg/scalers/azure_cosmosdb_scaler.go` of kedacore/keda (2.21), and
//! `ChangeFeedEstimatorIterator` of azure-cosmos-dotnet-v3.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::cosmos::DATABASE;
use super::emulator::Change;
use super::wire::{DATE, percent, sign_cosmos};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

const PROCESSOR: &str = "cosmirror";
const CONTAINER: &str = "orders";
const KEYS: usize = 24;

/// What a reader does, in requests that it signs itself.
struct Reader<'a> {
    world: &'a World,
}

/// What a reader takes from a lease document.
#[derive(Debug)]
struct LeaseView {
    token: String,
    version: u64,
    continuation: Option<String>,
    min: String,
    max: String,
}

/// A page of the feed.
#[derive(Debug)]
struct Page {
    status: u16,
    session_lsn: u64,
    /// Id and sequence number of each item.
    items: Vec<(String, u64)>,
}

impl Page {
    /// The arithmetic of all of them.
    fn lag(&self) -> u64 {
        match (self.status, self.items.first()) {
            (200, Some((_, lsn))) => self.session_lsn.saturating_sub(lsn - 1),
            (200 | 304, None) => 0,
            _ => panic!("no lag can be told: {self:?}"),
        }
    }
}

/// What stands after the colon, or its second part if there is one.
fn session_lsn(token: &str) -> Option<u64> {
    let (_, vector) = token.split_once(':')?;
    let parts: Vec<&str> = vector.split('#').collect();
    parts.get(1).or(parts.first())?.parse().ok()
}

impl Reader<'_> {
    async fn ask(
        &self,
        verb: &str,
        path: &[&str],
        headers: &[(&str, &str)],
        body: String,
    ) -> (u16, reqwest::header::HeaderMap, String) {
        let emulator = &self.world.emulator;
        let encoded: Vec<String> = path.iter().map(|segment| percent(segment)).collect();
        let url = format!("http://{}/{}", emulator.cosmos, encoded.join("/"));
        let request = emulator.http.request(verb.parse().unwrap(), url);
        let request = request.header("x-ms-date", DATE).header("authorization", sign_cosmos(verb, path));
        let request = request.header("x-ms-version", "2018-12-31").body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
    }

    /// The leases, found by what their ids begin with: the processor's name, and the account's short name with its dot.
    async fn leases(&self) -> Vec<LeaseView> {
        let host = self.world.emulator.cosmos.split(':').next().unwrap();
        let prefix = format!("{PROCESSOR}{}.", host.split('.').next().unwrap());
        let query = json!({
            "query": "SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)",
            "parameters": [{ "name": "@prefix", "value": prefix }],
        });
        let headers = [
            ("content-type", "application/query+json"),
            ("x-ms-documentdb-isquery", "true"),
            ("x-ms-documentdb-query-enablecrosspartition", "true"),
        ];
        let path = ["dbs", DATABASE, "colls", "leases", "docs"];
        let (status, _, text) = self.ask("POST", &path, &headers, query.to_string()).await;
        assert_eq!(status, 200, "{text}");
        let found: Value = serde_json::from_str(&text).unwrap();
        let text = |document: &Value, pointer: &str| document.pointer(pointer)?.as_str().map(str::to_owned);
        let view = |document: &Value| {
            // The marker and the like are found too, and have no token.
            let token = text(document, "/LeaseToken")?;
            assert!(document["Owner"].is_null() || document["Owner"].is_string(), "{document}");
            Some(LeaseView {
                token,
                version: document["version"].as_u64().unwrap(),
                continuation: text(document, "/ContinuationToken"),
                min: text(document, "/FeedRange/Range/min").unwrap(),
                max: text(document, "/FeedRange/Range/max").unwrap(),
            })
        };
        found["Documents"].as_array().unwrap().iter().filter_map(view).collect()
    }

    /// The changes after a lease's position: of a physical range, or of a part of one.
    async fn feed(&self, lease: &LeaseView, range: &str, part: Option<(&str, &str)>, items_max: usize) -> Page {
        let continuation = lease.continuation.as_deref().expect("a position after catching up");
        let items_max = items_max.to_string();
        let mut headers = vec![
            ("a-im", "Incremental Feed"),
            ("x-ms-documentdb-partitionkeyrangeid", range),
            ("if-none-match", continuation),
            ("x-ms-max-item-count", &items_max),
        ];
        if let Some((min, max)) = part {
            headers.push(("x-ms-read-key-type", "EffectivePartitionKeyRange"));
            headers.extend([("x-ms-start-epk", min), ("x-ms-end-epk", max)]);
        }
        let path = ["dbs", DATABASE, "colls", CONTAINER, "docs"];
        let (status, headers, text) = self.ask("GET", &path, &headers, String::new()).await;
        let documents = match status {
            200 => serde_json::from_str::<Value>(&text).unwrap()["Documents"].take(),
            _ => json!([]),
        };
        let item = |item: &Value| (item["id"].as_str().unwrap().to_owned(), item["_lsn"].as_u64().unwrap());
        let session = headers.get("x-ms-session-token").and_then(|token| session_lsn(token.to_str().unwrap()));
        Page {
            status,
            session_lsn: session.unwrap_or_default(),
            items: documents.as_array().unwrap().iter().map(item).collect(),
        }
    }

    /// The scaler's lag of each lease, by its token.
    async fn scaled(&self) -> BTreeMap<String, u64> {
        let mut lags = BTreeMap::new();
        for lease in self.leases().await {
            assert_eq!(lease.version, 0, "{lease:?}");
            let lag = self.feed(&lease, &lease.token, None, 1).await.lag();
            assert!(lags.insert(lease.token, lag).is_none());
        }
        lags
    }

    /// The physical ranges: id and bounds.
    async fn ranges(&self) -> Vec<(String, String, String)> {
        let path = ["dbs", DATABASE, "colls", CONTAINER, "pkranges"];
        let (status, _, text) = self.ask("GET", &path, &[], String::new()).await;
        assert_eq!(status, 200, "{text}");
        let found: Value = serde_json::from_str(&text).unwrap();
        let text = |range: &Value, name: &str| range[name].as_str().unwrap().to_owned();
        let range = |range: &Value| (text(range, "id"), text(range, "minInclusive"), text(range, "maxExclusive"));
        found["PartitionKeyRanges"].as_array().unwrap().iter().map(range).collect()
    }

    /// What the estimator finds after a lease's position, by the lease's bounds, and the physical range it lies in.
    async fn estimated(&self, lease: &LeaseView, items_max: usize) -> (String, Page) {
        let ranges = self.ranges().await;
        let mut within = ranges.iter().filter(|(_, min, max)| lease.min < *max && *min < lease.max);
        let (id, min, max) = within.next().unwrap();
        assert!(within.next().is_none(), "{lease:?} lies in several of {ranges:?}");
        let whole = (min, max) == (&lease.min, &lease.max);
        let part = (!whole).then_some((lease.min.as_str(), lease.max.as_str()));
        (id.clone(), self.feed(lease, id, part, items_max).await)
    }
}

/// A container of several ranges with documents, all of them mirrored.
async fn mirrored(feed: &str) -> World {
    let world = World::new(&[(CONTAINER, feed)], Target::Blobs).await;
    let place = json!({ "database": DATABASE, "container": CONTAINER });
    let mut seed = place.clone();
    seed.as_object_mut().unwrap().extend([
        ("count".to_owned(), json!(60)),
        ("keys".to_owned(), json!(KEYS)),
        ("partitions".to_owned(), json!(3)),
    ]);
    world.emulator.control("seed", &seed).await;
    world.catch_up().await;
    world
}

/// Writes documents over all keys, and gives the changes that came of it.
async fn write(world: &World, name: &str, count: usize) -> Vec<Change> {
    let before = world.history(CONTAINER).await.len();
    for number in 0..count {
        let key = format!("p{}", number % KEYS);
        let document = json!({ "id": format!("{name}{number}"), "pk": key });
        world.source(CONTAINER).put(&json!([key]).to_string(), &document.to_string()).await;
    }
    let changes = world.history(CONTAINER).await.split_off(before);
    assert_eq!(changes.len(), count);
    changes
}

/// By range: how far its sequence numbers go beyond the newest state of the document that has waited longest.
fn in_arrears(history: &[Change], changes: &[Change]) -> BTreeMap<String, u64> {
    let newest: BTreeMap<(&str, &str), &Change> =
        changes.iter().map(|change| ((change.key.as_str(), change.id.as_str()), change)).collect();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for change in history {
        last.insert(change.range.clone(), change.lsn);
    }
    let lag = |(range, last): (String, u64)| {
        let waiting = newest.values().filter(|change| change.range == range);
        let lag = waiting.map(|change| change.lsn).min().map_or(0, |first| last + 1 - first);
        (range, lag)
    };
    last.into_iter().map(lag).collect()
}

async fn the_scaler_finds_what_is_in_arrears(feed: &str) {
    let world = mirrored(feed).await;
    let scaler = Reader { world: &world };
    let idle: BTreeMap<String, u64> = ["0", "1", "2"].map(|token| (token.to_owned(), 0)).into();
    assert_eq!(scaler.scaled().await, idle);

    let changes = write(&world, "new", 50).await;
    let mut counts = idle.clone();
    for change in &changes {
        *counts.get_mut(&change.range).unwrap() += 1;
    }
    assert!(counts.values().all(|count| *count > 0), "no key in one of the ranges: {counts:?}");
    assert_eq!(scaler.scaled().await, counts, "each write has a number of its own");
    assert_eq!(scaler.scaled().await.values().sum::<u64>(), 50);
    world.catch_up().await;
    assert_eq!(scaler.scaled().await, idle);

    // The latest versions are what both see, so a document counts where it stands last.
    let mut changes = write(&world, "again", 20).await;
    changes.extend(write(&world, "again", 7).await);
    assert_eq!(scaler.scaled().await, in_arrears(&world.history(CONTAINER).await, &changes));
    world.catch_up().await;
    assert_eq!(scaler.scaled().await, idle);

    world.source(CONTAINER).delete(r#"["p0"]"#, "new0").await;
    assert_eq!(scaler.scaled().await, idle, "deletes alone are no item of the feed that the scaler reads");
}

#[tokio::test]
async fn kedas_scaler_tells_how_far_the_mirror_of_the_latest_versions_is_behind() {
    the_scaler_finds_what_is_in_arrears(LATEST_VERSION).await;
}

#[tokio::test]
async fn kedas_scaler_tells_how_far_the_mirror_of_all_versions_is_behind() {
    the_scaler_finds_what_is_in_arrears(ALL_VERSIONS).await;
}

/// Why the manual and the chart allow the scaler for one container alone.
#[tokio::test]
async fn kedas_scaler_takes_the_leases_of_all_containers_for_those_of_each() {
    let world = World::new(&[(CONTAINER, LATEST_VERSION), ("customers", LATEST_VERSION)], Target::Blobs).await;
    for (container, count) in [(CONTAINER, 600), ("customers", 20)] {
        let seed =
            json!({ "database": DATABASE, "container": container, "count": count, "keys": KEYS, "partitions": 2 });
        world.emulator.control("seed", &seed).await;
    }
    world.catch_up().await;
    let scaler = Reader { world: &world };
    let leases = scaler.leases().await;
    let tokens: BTreeSet<&str> = leases.iter().map(|lease| lease.token.as_str()).collect();
    assert_eq!((leases.len(), tokens.len()), (4, 2), "each range's id is told by a lease of either container");
    let mut lags = Vec::new();
    for lease in &leases {
        lags.push(scaler.feed(lease, &lease.token, None, 1).await.lag());
    }
    lags.sort_unstable();
    assert!(lags[..2] == [0, 0] && lags[2] > 100, "nothing is in arrears, and it tells of {lags:?}");
}

#[tokio::test]
async fn leases_that_are_no_whole_range_are_estimated_by_their_bounds_and_fail_kedas_scaler() {
    let world = mirrored(LATEST_VERSION).await;
    let reader = Reader { world: &world };
    let place = json!({ "database": DATABASE, "container": CONTAINER });
    let with = |name: &str, value: Value| {
        let mut body = place.clone();
        body[name] = value;
        body
    };
    let first_bound = reader.ranges().await.into_iter().find(|(id, ..)| id == "0").unwrap().2;
    world.emulator.control("merge", &with("ranges", json!(["0", "1"]))).await;
    world.catch_up().await;
    let leases = reader.leases().await;
    assert!(leases.iter().all(|lease| lease.version == 0), "after a merge leases stay as they are: {leases:?}");
    for lease in &leases {
        let status = reader.feed(lease, &lease.token, None, 1).await.status;
        assert_eq!(status, if lease.token == "2" { 304 } else { 410 }, "{lease:?}");
    }

    // The merged range is cut within what was the first lease's.
    let mut split = with("range", json!("3"));
    split["at"] = json!("08");
    world.emulator.control("split", &split).await;
    world.catch_up().await;
    let leases = reader.leases().await;
    let told: BTreeSet<(&str, u64)> = leases.iter().map(|lease| (lease.token.as_str(), lease.version)).collect();
    let cut = format!("08-{first_bound}");
    assert_eq!(told, BTreeSet::from([("4", 0), (cut.as_str(), 1), ("1", 0), ("2", 0)]));
    let refused = leases.iter().find(|lease| lease.version == 1).unwrap();
    let status = reader.feed(refused, &refused.token, None, 1).await.status;
    assert!(status >= 400, "the scaler's request for {refused:?} was answered with {status}");

    for lease in &leases {
        assert_eq!(reader.estimated(lease, 1).await.1.lag(), 0, "{lease:?}");
    }
    let changes = write(&world, "new", 60).await;
    let mut seen = BTreeSet::new();
    for lease in &leases {
        let (range, all) = reader.estimated(lease, 1_000).await;
        let lsns: BTreeMap<&str, u64> = changes.iter().map(|change| (change.id.as_str(), change.lsn)).collect();
        let first = all.items.iter().map(|(id, _)| lsns[id.as_str()]).min().unwrap();
        let last = changes.iter().filter(|change| change.range == range).map(|change| change.lsn).max().unwrap();
        assert_eq!(reader.estimated(lease, 1).await.1.lag(), last + 1 - first, "{lease:?}");
        for (id, _) in all.items {
            assert!(seen.insert(id.clone()), "{id} is in two leases");
        }
    }
    assert_eq!(seen.len(), changes.len());
    world.catch_up().await;
    for lease in &reader.leases().await {
        assert_eq!(reader.estimated(lease, 1).await.1.lag(), 0, "{lease:?}");
    }
}
