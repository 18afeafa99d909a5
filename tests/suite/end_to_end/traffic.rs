//! An application that goes on writing while the daemon works.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use super::cosmos::Source;

/// Time between two writes at least; the rest of the machine needs some as well.
const PACE: Duration = Duration::from_millis(6);
const DOCUMENTS: u32 = 60;
const KEYS: u32 = 9;

/// Creates, replaces and deletes documents, one after the other, until told to stop.
pub(super) async fn traffic(source: &Source<'_>, random: &mut StdRng, stop: &CancellationToken) {
    let mut existing = BTreeSet::new();
    let mut step = 0_u64;
    let mut pace = tokio::time::interval(PACE);
    while !stop.is_cancelled() {
        pace.tick().await;
        step += 1;
        let number = random.random_range(0..DOCUMENTS);
        let (key, id) = (format!("[\"k{}\"]", number % KEYS), format!("t{number}"));
        if random.random_bool(0.2) && existing.remove(&number) {
            source.delete(&key, &id).await;
        } else {
            let text = format!("{{\"id\":\"{id}\",\"pk\":\"k{}\",\"step\":{step}.0}}", number % KEYS);
            source.put(&key, &text).await;
            existing.insert(number);
        }
    }
}
