//! The blob store equals a model: random operations are sent to both, and after each the statuses and the whole
//! listing are compared, with random includes and page sizes. In the end a second store is made from the first one's
//! journal, and equals it.
//!
//! The model knows names and states as plain values and the documentation's table on overwriting and deleting
//! written out again; it shares no code with the store.

mod listing;
mod state;
mod steps;

use proptest::prelude::*;

use super::client::Client;
use listing::{Includes, listed};
use state::Model;
use steps::Step;

const NAMES: [&str; 3] = ["a", "a/1", "b"];

/// What is done: the choice of a state is a number, taken modulo the states there are.
#[derive(Debug, Clone)]
enum Do {
    Put { name: usize, body: u8, condition: Condition, tag: Option<u8>, hold: bool },
    SetMetadata { name: usize, value: u8 },
    Snapshot { name: usize },
    Delete { name: usize, snapshots: Snapshots },
    DeleteOlder { pick: usize },
    Undelete { name: usize },
    Promote { name: usize, pick: usize },
    SetTags { name: usize, pick: Option<usize>, tag: u8 },
    SetHold { name: usize, pick: Option<usize>, hold: bool },
    Settings { versioning: bool, soft_delete_days: u32 },
    Days(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    Absent,
    Matching,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshots {
    Unsaid,
    Include,
    Only,
}

fn operation() -> impl Strategy<Value = Do> {
    let name = 0..NAMES.len();
    let pick = 0_usize..64;
    let some = prop::option::of(0_usize..64);
    let condition = prop_oneof![
        5 => Just(Condition::None), 1 => Just(Condition::Absent),
        2 => Just(Condition::Matching), 1 => Just(Condition::Other)
    ];
    let snapshots = prop_oneof![Just(Snapshots::Unsaid), Just(Snapshots::Include), Just(Snapshots::Only)];
    let tag = prop::option::of(any::<u8>());
    prop_oneof![
        8 => (name.clone(), any::<u8>(), condition, tag, prop::bool::weighted(0.1)).prop_map(
            |(name, body, condition, tag, hold)| Do::Put { name, body, condition, tag, hold }),
        2 => (name.clone(), any::<u8>()).prop_map(|(name, value)| Do::SetMetadata { name, value }),
        2 => name.clone().prop_map(|name| Do::Snapshot { name }),
        3 => (name.clone(), snapshots).prop_map(|(name, snapshots)| Do::Delete { name, snapshots }),
        4 => pick.clone().prop_map(|pick| Do::DeleteOlder { pick }),
        2 => name.clone().prop_map(|name| Do::Undelete { name }),
        2 => (name.clone(), pick).prop_map(|(name, pick)| Do::Promote { name, pick }),
        1 => (name.clone(), some.clone(), any::<u8>()).prop_map(|(name, pick, tag)| Do::SetTags { name, pick, tag }),
        1 => (name, some, any::<bool>()).prop_map(|(name, pick, hold)| Do::SetHold { name, pick, hold }),
        2 => (any::<bool>(), 0_u32..4).prop_map(
            |(versioning, soft_delete_days)| Do::Settings { versioning, soft_delete_days }),
        1 => (1_u32..3).prop_map(Do::Days),
    ]
}

async fn compare(steps: &[(Do, Includes, usize)]) {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let client = Client::keeping(&journal).await;
    let mut model = Model::new();
    for (operation, includes, page) in steps {
        Step { client: &client, model: &mut model }.run(operation).await;
        let expected = model.listing(*includes);
        assert_eq!(listed(&client, *includes, 5_000).await, expected, "after {operation:?}");
        assert_eq!(listed(&client, *includes, *page).await, expected, "in pages of {page} after {operation:?}");
    }
    let everything = "/con?restype=container&comp=list&include=versions,snapshots,deletedwithversions,metadata,tags,copy,\
                      legalhold,immutabilitypolicy";
    let before = client.send("GET", everything, &[], "").await;
    assert_eq!(before.status, http::StatusCode::OK, "{}", before.body);
    let again = Client::reopened(&journal);
    again.clock.set_offset_ms(client.clock.offset_ms());
    let after = again.send("GET", everything, &[], "").await;
    assert_eq!(before.body, after.body, "what was kept in the journal");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_store_equals_the_model(
        steps in prop::collection::vec((operation(), any::<u8>().prop_map(Includes::from_bits), 1_usize..5), 1..50),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(compare(&steps));
    }
}
