//! The real binary from end to end: emulator, daemon and commands are processes of their own, as an operator starts them.
//!
//! What must hold is computed from two sources that are not the daemon's: the emulator's own history (`oracle`), and a lister that
//! signs its requests itself or walks the target's directory (`mirror`). Waiting is always for a condition, within [`LIMIT`].

use std::time::Duration;

mod check;
mod cosmos;
mod coverage;
mod crash;
mod crash_points;
mod dead_letters;
mod demo;
mod deploy;
mod directory;
mod disaster;
mod documents;
mod drain;
mod emulator;
mod encryption;
mod errors;
mod expiry;
mod export;
mod faults;
mod fidelity;
mod fleet;
mod flow;
mod foreign;
mod full_disk;
mod gaps;
mod histories;
mod hostile_names;
mod import;
mod jobs;
mod keda;
mod kept;
mod keys;
mod look;
mod main_job;
mod mirror;
mod no_deletes;
mod observer;
mod oracle;
mod outage;
mod output;
mod page;
mod purge;
mod ranges;
mod recreated;
mod rehearse;
mod restore_apply;
mod restore_oracle;
mod restore_plan;
mod restore_undo;
mod riders;
mod rivals;
mod runbook;
mod secrets;
mod snapshots;
mod targets;
mod telemetry;
mod tls;
mod traffic;
mod transactions;
mod verify;
mod versioning;
mod wire;
mod world;

/// Within this time whatever is waited for happens, or the test has failed. Generous: other tests share the processors.
const LIMIT: Duration = Duration::from_secs(180);
/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds what it looks for.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        let mut ticks = tokio::time::interval(POLL);
        loop {
            ticks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}
