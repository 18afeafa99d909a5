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

/// Creates, replaces and deletes documents, one after the other, until told to stop. Some changes of one document come in one
/// transaction, so that they share their place in the log.
pub(super) async fn traffic(source: &Source<'_>, random: &mut StdRng, stop: &CancellationToken) {
    let mut existing = BTreeSet::new();
    let mut step = 0;
    let mut pace = tokio::time::interval(PACE);
    while !stop.is_cancelled() {
        pace.tick().await;
        let number = random.random_range(0..DOCUMENTS);
        let (key, id) = (format!("[\"k{}\"]", number % KEYS), format!("t{number}"));
        let mut text = || {
            step += 1;
            format!("{{\"id\":\"{id}\",\"pk\":\"k{}\",\"step\":{step}.0}}", number % KEYS)
        };
        let existed = existing.contains(&number);
        match random.random_range(0..10) {
            0 | 1 if existed => {
                source.delete(&key, &id).await;
                existing.remove(&number);
                continue;
            }
            2 if existed => source.batch(&key, &[delete(&id), create(&text())]).await,
            3 if existed => source.batch(&key, &[replace(&id, &text()), replace(&id, &text())]).await,
            4 if !existed => {
                source.batch(&key, &[create(&text()), replace(&id, &text()), delete(&id)]).await;
                continue;
            }
            _ => source.put(&key, &text()).await,
        }
        existing.insert(number);
    }
}

pub(super) fn create(text: &str) -> String {
    format!("{{\"operationType\":\"Create\",\"resourceBody\":{text}}}")
}

pub(super) fn replace(id: &str, text: &str) -> String {
    format!("{{\"operationType\":\"Replace\",\"id\":\"{id}\",\"resourceBody\":{text}}}")
}

pub(super) fn delete(id: &str) -> String {
    format!("{{\"operationType\":\"Delete\",\"id\":\"{id}\"}}")
}
