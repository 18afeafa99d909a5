//! Random histories read in random ways: whatever writes, splits, merges and expiries happened, each reader gets the log,
//! every change once and in the order of its key, however it pages, where it restarts from and what part it reads.
//!
//! The expectation comes from the container's history of commitments; the readers speak the protocol and follow splits and
//! merges as the documentation tells clients to: on 410 they ask for the ranges again and go on with the old continuation.

mod client;
mod reader;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use client::Client;
use reader::{Mode, Part, Reader, Seen};

/// Partition key values of the documents; few, so that they meet.
const KEYS: usize = 6;
const IDS: usize = 3;
const READERS: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    Upsert {
        key: usize,
        id: usize,
        ttl: bool,
    },
    Delete {
        key: usize,
        id: usize,
    },
    /// Several writes of one key in one transaction.
    Batch {
        key: usize,
        writes: Vec<(usize, bool)>,
    },
    Split(usize),
    Merge(usize),
    Wait(u32),
    Page {
        reader: usize,
        items: u32,
    },
    /// The reader keeps its positions, as a checkpoint does.
    Save(usize),
    /// The reader goes on from what it kept.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..KEYS, 0..IDS, any::<bool>()).prop_map(|(key, id, ttl)| Step::Upsert { key, id, ttl }),
        3 => (0..KEYS, 0..IDS).prop_map(|(key, id)| Step::Delete { key, id }),
        3 => (0..KEYS, vec((0..IDS, any::<bool>()), 1..5)).prop_map(|(key, writes)| Step::Batch { key, writes }),
        2 => (0..8_usize).prop_map(Step::Split),
        1 => (0..8_usize).prop_map(Step::Merge),
        1 => (1..40_u32).prop_map(Step::Wait),
        8 => (0..READERS, 1..6_u32).prop_map(|(reader, items)| Step::Page { reader, items }),
        2 => (0..READERS).prop_map(Step::Save),
        2 => (0..READERS).prop_map(Step::Restart),
    ]
}

/// One reader of each mode for the whole container, for a part of the hash space and for one key.
fn readers(client: &Client) -> Vec<Reader> {
    let parts =
        || [Part::All, Part::Span { min: "0C".to_owned(), max: "2A80".to_owned() }, Part::Key("[\"k1\"]".to_owned())];
    let of = |mode| parts().map(|part| Reader::start(client, mode, part));
    of(Mode::AllVersions).into_iter().chain(of(Mode::LatestVersion)).collect()
}

fn perform(client: &Client, readers: &mut [Reader], step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Upsert { key, id, ttl } => client.upsert(*key, *id, *ttl),
        Step::Delete { key, id } => client.delete(*key, *id),
        Step::Batch { key, writes } => client.batch(*key, writes),
        Step::Split(nth) => client.split(*nth),
        Step::Merge(nth) => client.merge(*nth),
        Step::Wait(seconds) => client.wait(*seconds),
        Step::Page { reader, items } => {
            readers[*reader].page(client, *items)?;
        }
        Step::Save(reader) => readers[*reader].save(),
        Step::Restart(reader) => readers[*reader].restart(),
    }
    Ok(())
}

/// What an all-versions reader of a part must have got, by key.
fn expected_log(client: &Client, part: &Part) -> BTreeMap<String, Vec<Seen>> {
    let mut by_key: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for line in client.history() {
        let key = line["partitionKey"].to_string();
        if !client.is_in(part, &key) {
            continue;
        }
        let removed = line["document"].is_null();
        by_key.entry(key.clone()).or_default().push(Seen {
            key,
            id: line["id"].as_str().unwrap().to_owned(),
            op: line["op"].as_str().unwrap().replace("expire", "delete"),
            etag: (!removed).then(|| line["etag"].as_str().unwrap().to_owned()),
            lsn: line["lsn"].as_u64().unwrap(),
        });
    }
    by_key
}

fn by_key(seen: &[Seen]) -> BTreeMap<String, Vec<Seen>> {
    let mut by_key: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for change in seen {
        by_key.entry(change.key.clone()).or_default().push(change.clone());
    }
    by_key
}

/// A latest-version reader saw, of every document, versions of the log in order and the present one last.
fn check_latest(client: &Client, part: &Part, seen: &[Seen]) -> Result<(), TestCaseError> {
    let log = expected_log(client, part);
    let mut last: BTreeMap<(String, String), &Seen> = BTreeMap::new();
    for change in seen {
        let versions = log.get(&change.key).map(Vec::as_slice).unwrap_or_default();
        prop_assert!(versions.iter().any(|version| version.etag == change.etag && version.lsn == change.lsn));
        if let Some(before) = last.insert((change.key.clone(), change.id.clone()), change) {
            prop_assert!(before.lsn < change.lsn, "{before:?} came before {change:?}");
        }
    }
    for (key, versions) in &log {
        let mut present: BTreeMap<&str, &Seen> = BTreeMap::new();
        for version in versions {
            present.insert(&version.id, version);
        }
        for (id, version) in present.into_iter().filter(|(_, version)| version.etag.is_some()) {
            let got = last.get(&(key.clone(), id.to_owned())).and_then(|seen| seen.etag.as_ref());
            prop_assert_eq!(got, version.etag.as_ref(), "the present version of {} {}", key, id);
        }
    }
    Ok(())
}

proptest! {
    // Each case is a long history: half as many as usual, more if the environment asks for more.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_reader_gets_the_log_once_and_in_order_per_key(steps in vec(step(), 1..160)) {
        let client = Client::new();
        let mut readers = readers(&client);
        for step in &steps {
            perform(&client, &mut readers, step)?;
        }
        // Whatever expires does so now, and not between a reader's end and the look at the history.
        client.wait(60);
        for reader in &mut readers {
            reader.drain(&client)?;
            match reader.mode {
                Mode::AllVersions => prop_assert_eq!(by_key(&reader.seen), expected_log(&client, &reader.part)),
                Mode::LatestVersion => check_latest(&client, &reader.part, &reader.seen)?,
            }
        }
        let (history, ranges) = (client.history(), client.ranges());
        let again = client.reopened();
        prop_assert_eq!((again.history(), again.ranges()), (history, ranges), "what was kept in the journal");
    }
}

#[test]
fn the_model_sees_a_change_that_a_reader_did_not_get() {
    let client = Client::new();
    let mut readers = readers(&client);
    client.upsert(1, 1, false);
    for reader in &mut readers {
        reader.drain(&client).unwrap();
        reader.seen.pop();
    }
    assert_ne!(by_key(&readers[0].seen), expected_log(&client, &Part::All));
    assert!(check_latest(&client, &Part::All, &readers[3].seen).is_err());
}

/// The text of a JSON string.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
