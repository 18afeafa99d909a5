//! The audit before the first write: configuration, accounts, rights and cost, each looked at by a request of its own.
//!
//! | file | what it looks at |
//! |---|---|
//! | `check/findings.rs` | everything that can be found, with the remedy; a table in `docs/operations.md` is held to it |
//! | `check/report.rs` | what was found |
//! | `check/bounds.rs` | how long each look may take |
//! | `check/configuration.rs` | settings that are valid and unwise, and the secrets |
//! | `check/clock.rs` | whether a service answers, and how far this host's clock is from its |
//! | `check/source.rs`, `check/containers.rs`, `check/leases.rs` | the account, the containers that are followed, the leases |
//! | `check/target.rs`, `check/target/` | where versions go |
//! | `check/mirror.rs` | what is stored there already |
//! | `check/rate.rs`, `check/cost.rs` | how much changes, and what that costs |
//!
//! - **Nothing of the user's is changed.** The lease container gets a document of our own that is removed at once, and expires where that
//!   fails; the target gets a version of one blob of a fixed name. Nothing is created, and nothing on the target is deleted.
//! - **Everything is looked at**, whatever else failed. What could not be looked at is a warning with the reason, never well.
//! - **It ends.** Services that do not answer cost seconds each and less than a minute together, beside what
//!   measuring was asked to take.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::config::{Config, TargetKind};

mod bounds;
mod clock;
mod configuration;
mod containers;
mod cost;
mod findings;
mod leases;
mod mirror;
mod rate;
mod report;
mod source;
mod target;

pub use findings::{FINDINGS, Finding};
pub use report::{Check, Report, Status};

use bounds::Bounds;

/// How to look.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Only at what needs no network.
    pub offline: bool,
    /// Only at what a reader of the mirror needs: nothing is written, and the source is not asked.
    pub reads_only: bool,
    /// For how long to measure how much changes; not at all where it is zero.
    pub sample: Duration,
}

/// Looks at everything.
pub async fn run(config: &Config, options: Options) -> Report {
    let Options { offline, reads_only, sample } = options;
    let bounds = Bounds::begin(sample);
    let mut report = Report::default();
    configuration::check(config, reads_only, &mut report);
    if reads_only {
        report.append(target::check_reading(config, &bounds).await);
        report.append(mirrors(config, &vec![None; config.containers.len()], true, &bounds).await);
        return report;
    }
    let targets = each_target(config);
    if offline {
        let directories = targets.iter().filter(|(_, alone)| alone.target.kind == TargetKind::Directory);
        for (name, alone) in directories {
            report.append(of_target(*name, target::check(alone, &bounds).await));
        }
        return report;
    }
    let of_targets = join_all(targets.iter().map(|(_, alone)| target::check(alone, &bounds)));
    let ((of_source, rids), of_targets) = tokio::join!(source(config, &bounds), of_targets);
    report.append(of_source);
    for ((name, _), found) in targets.iter().zip(of_targets) {
        report.append(of_target(*name, found));
    }
    let mirrors = join_all(targets.iter().map(|(_, alone)| mirrors(alone, &rids, false, &bounds))).await;
    for ((name, _), found) in targets.iter().zip(mirrors) {
        report.append(of_target(*name, found));
    }
    report
}

/// The configuration for each target alone, and what the target is called; the first one needs no name.
fn each_target(config: &Config) -> Vec<(Option<&str>, Config)> {
    let further = config.targets.iter().filter_map(|further| {
        let name = further.name.as_str();
        Some((Some(name), config.on_target(name).ok()?))
    });
    [(None, config.clone())].into_iter().chain(further).collect()
}

fn of_target(name: Option<&str>, report: Report) -> Report {
    match name {
        None => report,
        Some(name) => report.of_target(name),
    }
}

/// The account, its containers and the leases; and the resource id of each container that was found.
async fn source(config: &Config, bounds: &Bounds) -> (Report, Vec<Option<String>>) {
    let (mut report, account) = source::check(config, bounds).await;
    let Some(account) = account else {
        for container in &config.containers {
            containers::not_checked(container, bounds, &mut report);
        }
        leases::not_checked(config, &mut report);
        return (report, vec![None; config.containers.len()]);
    };
    let of_containers = join_all(config.containers.iter().map(|container| {
        let (account, bounds) = (&account, bounds);
        async move { containers::check(account, config, container, bounds).await }
    }));
    let (of_containers, of_leases) = tokio::join!(of_containers, leases::check(&account, config, bounds));
    let mut rids = Vec::new();
    for (found, rid) in of_containers {
        report.append(found);
        rids.push(rid);
    }
    report.append(of_leases);
    (report, rids)
}

/// What the target already holds of each container.
async fn mirrors(config: &Config, rids: &[Option<String>], reads_only: bool, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    let store = match crate::run::open_store(&config.target) {
        Ok(store) => store,
        Err(_) => {
            for container in &config.containers {
                mirror::not_checked(container, "the target cannot be opened", &mut report);
            }
            return report;
        }
    };
    let looks = config.containers.iter().zip(rids).map(|(container, rid)| {
        let store = Arc::clone(&store);
        async move {
            if reads_only {
                return mirror::check_reading(store, config, container, bounds).await;
            }
            mirror::check(store.as_ref(), config, container, rid.as_deref(), bounds).await
        }
    });
    for found in join_all(looks).await {
        report.append(found);
    }
    report
}
