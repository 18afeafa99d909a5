//! The container of the leases: whether it is there or can be made, whether leases would last in it, and what may be done with them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use super::bounds::Bounds;
use super::findings::{LEASES_EXPIRE, LEASES_KEY, LEASES_MISSING, LEASES_READ_ONLY, LEASES_UNREADABLE};
use super::report::Report;
use crate::config::{Config, SourceAuth};
use crate::cosmos::{Account, Resolved};
use crate::documents::cosmos::CosmosDocuments;
use crate::failure::{Failure, Kind};
use crate::leases::LeaseStore;
use crate::time::HostClock;

const CONTAINER: &str = "leases.container";
const PERMISSIONS: &str = "leases.permissions";
/// What the probe's id ends in.
const PROBE: &str = "probe";
/// Seconds after which the service removes a probe that we could not remove.
const PROBE_TTL: i64 = 60;
/// For removing the probe, whatever happened before.
const REMOVAL: Duration = Duration::from_secs(5);

/// Looks at it.
pub(super) async fn check(account: &Account, config: &Config, bounds: &Bounds) -> Report {
    let mut report = Report::default();
    let leases = &config.leases;
    let name = format!("{}/{}", leases.database, leases.container);
    let found = account.resolve(&leases.database, &leases.container);
    let resolved = match bounds.look(&format!("read the container {name}"), found).await {
        Ok(resolved) => resolved,
        Err(failure) if failure.kind == Kind::NotFound => {
            missing(config, &name, &mut report);
            return report;
        }
        Err(failure) => {
            report.failed(&LEASES_UNREADABLE, Some(&name), &failure);
            report.not_checked(PERMISSIONS, Some(&name), "leases.container failed");
            return report;
        }
    };
    let settings = &resolved.source.settings;
    let expires = settings["defaultTtl"].as_i64().filter(|seconds| *seconds > 0);
    let key_paths = resolved.source.key_paths.join(", ");
    if let Some(seconds) = expires {
        let detail =
            format!("{name} has a default time to live of {seconds} s: leases would expire, and positions with them");
        report.found(&LEASES_EXPIRE, Some(&name), detail);
    }
    let store = match probe_store(account, resolved, &name) {
        Ok(store) => store,
        Err(failure) => {
            report.failed(&LEASES_KEY, Some(&name), &failure);
            report.not_checked(PERMISSIONS, Some(&name), "leases.container failed");
            return report;
        }
    };
    if expires.is_none() {
        report.ok(CONTAINER, Some(&name), format!("{name}: partition key {key_paths}; leases do not expire"));
    }
    match permissions(&store, bounds).await {
        Ok(()) => {
            let detail = format!("a document of our own in {name} was created, replaced, queried and deleted");
            report.ok(PERMISSIONS, Some(&name), detail);
        }
        Err(failure) => report.failed(&LEASES_READ_ONLY, Some(&name), &failure),
    }
    report
}

/// The account could not be asked.
pub(super) fn not_checked(config: &Config, report: &mut Report) {
    let name = format!("{}/{}", config.leases.database, config.leases.container);
    for check in [CONTAINER, PERMISSIONS] {
        report.not_checked(check, Some(&name), "the account was not reached or refused us");
    }
}

fn missing(config: &Config, name: &str, report: &mut Report) {
    let by_key = matches!(config.source.auth, SourceAuth::Emulator | SourceAuth::Key);
    if config.leases.create && by_key {
        report.ok(CONTAINER, Some(name), format!("{name} does not exist; the daemon will create it"));
    } else {
        let why = if config.leases.create {
            "does not exist, and an identity cannot create containers"
        } else {
            "does not exist, and leases.create is false"
        };
        report.found(&LEASES_MISSING, Some(name), format!("{name} {why}"));
    }
    report.not_there_yet(PERMISSIONS, Some(name), name);
}

/// A store of documents whose ids no processor takes for its own, and no other check either.
fn probe_store(account: &Account, resolved: Resolved, name: &str) -> Result<LeaseStore, Failure> {
    let key_paths = resolved.source.key_paths.clone();
    let documents = CosmosDocuments::new(account.clone(), resolved, name.to_owned());
    let prefix = format!("cosmirror-check-{:08x}", rand::random::<u32>());
    LeaseStore::new(Arc::new(documents), prefix, &key_paths, HostClock::default())
}

/// Does with a document what is done with leases.
async fn permissions(leases: &LeaseStore, bounds: &Bounds) -> Result<(), Failure> {
    let fields = Map::from_iter([("ttl".to_owned(), json!(PROBE_TTL))]);
    let done = async {
        let etag = leases.create_note(PROBE, &fields).await?;
        let etag = etag.ok_or_else(|| changed("created"))?;
        let etag = leases.replace_note(PROBE, &fields, &etag).await?.ok_or_else(|| changed("replaced"))?;
        leases.list().await?;
        if leases.delete_note(PROBE, &etag).await? { Ok(()) } else { Err(changed("deleted")) }
    };
    let done = bounds.look("write to the lease container", done).await;
    if done.is_err() {
        // It may be there, also where the answer to its creation was lost. Where this fails too, it expires.
        let _ = tokio::time::timeout(REMOVAL, remove(leases)).await;
    }
    done
}

async fn remove(leases: &LeaseStore) -> Result<(), Failure> {
    if let Some(note) = leases.note(PROBE).await? {
        leases.delete_note(PROBE, &note.etag).await?;
    }
    Ok(())
}

fn changed(verb: &str) -> Failure {
    Failure::new(Kind::Transient, format!("the probe could not be {verb}: somebody else has changed it"))
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn a_missing_container_is_made_by_a_key_and_by_no_identity() {
        let said = |auth: SourceAuth, create: bool| {
            let mut config = Config::default();
            (config.source.auth, config.leases.create) = (auth, create);
            let mut report = Report::default();
            missing(&config, "shop/leases", &mut report);
            assert_eq!((report.checks[1].name, report.checks[1].status), (PERMISSIONS, Status::Warn));
            report.checks[0].status
        };
        assert_eq!([said(SourceAuth::Key, true), said(SourceAuth::Emulator, true)], [Status::Ok; 2]);
        let refused =
            [(SourceAuth::Key, false), (SourceAuth::ManagedIdentity, true), (SourceAuth::WorkloadIdentity, true)];
        assert!(refused.into_iter().all(|(auth, create)| said(auth, create) == Status::Fail));
    }
}
