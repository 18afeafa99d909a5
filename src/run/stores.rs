//! Which stores the configuration means: the first target's, those that are its replicas, and what stands in front of them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::versioning;
use crate::admin::{Admin, RequestMetrics};
use crate::config::{self, Config, FurtherTarget, History, TargetKind};
use crate::encryption::{EncryptingStore, Recipients};
use crate::export::place::{Blobs, Directory, ExportPlace, Place};
use crate::failure::{Failure, Kind};
use crate::store::azure::{AzureAuth, AzureStore, SnapshotStore, VersioningReport};
use crate::store::directory::DirectoryStore;
use crate::store::{Eraser, Replicated, VersionStore};

/// The configured version store; makes no request.
pub fn open_store(target: &config::Target) -> Result<Arc<dyn VersionStore>, Failure> {
    open_reporting_store(target, None)
}

/// What removes versions from the configured store; makes no request.
pub fn open_eraser(target: &config::Target) -> Result<Arc<dyn Eraser>, Failure> {
    Ok(match target.kind {
        TargetKind::Azure => Arc::new(AzureStore::new(target, AzureAuth::resolve(target)?)?),
        TargetKind::Directory => Arc::new(DirectoryStore::new(directory_of(target)?)),
    })
}

fn directory_of(target: &config::Target) -> Result<PathBuf, Failure> {
    let missing = || Failure::new(Kind::Misconfigured, "target.path is missing");
    target.path.clone().ok_or_else(|| missing().remedy("name the directory of the mirror"))
}

/// A place of exports, whose blobs are reached by the target's credential; where nobody said which that is, by the usual one. Makes no request.
pub(crate) fn open_export(
    place: &ExportPlace,
    configured: &config::Target,
    auth_is_said: bool,
) -> Result<Box<dyn Place>, Failure> {
    let url = match place {
        ExportPlace::Directory(path) => return Ok(Box::new(Directory::new(path))),
        ExportPlace::Blobs(url) => url,
    };
    let mut target = config::Target {
        auth: if auth_is_said { configured.auth } else { url.usual_auth() },
        account: configured.account.clone(),
        key_env: configured.key_env.clone(),
        key_file: configured.key_file.clone(),
        sas_env: configured.sas_env.clone(),
        sas_file: configured.sas_file.clone(),
        history: History::Versions,
        ..config::Target::default()
    };
    url.apply(&mut target);
    Ok(Box::new(Blobs::new(open_store(&target)?, url.to_string(), &target.prefix)))
}

/// Where the configuration's mirror is, written to every target that the checkpoint waits for; makes no request.
pub fn open_mirror_store(config: &Config) -> Result<Arc<dyn VersionStore>, Failure> {
    let first = open_store(&config.target)?;
    let replicated = replicated(config, &first, |further| open_store(&further.target))?;
    Ok(replicated.map_or(first, |replicated| replicated as _))
}

/// The stores of a daemon.
pub(super) struct Opened {
    /// Where versions go.
    pub(super) store: Arc<dyn VersionStore>,
    /// The same, where it has replicas.
    pub(super) replicated: Option<Arc<Replicated>>,
    /// Each store of which it is watched whether it keeps versions, and where word of that arrives: true while it does not.
    pub(super) watched: Vec<(Arc<dyn VersionStore>, watch::Receiver<bool>)>,
}

/// Opens the target and those that the checkpoint waits for besides, counted and watched; makes no request.
pub(super) fn open(config: &Config, admin: &Admin) -> Result<Opened, Failure> {
    let requests = || admin.metrics.requests_to_target();
    let (report, off) = versioning::report(admin);
    let first = open_reporting_store(&config.target, Some((report, requests())))?;
    let mut watched = vec![(Arc::clone(&first), off)];
    let replicated = replicated(config, &first, |further| {
        let (report, off) = versioning::report_of(admin, Some(&further.name));
        let store = open_reporting_store(&further.target, Some((report, requests())))?;
        watched.push((Arc::clone(&store), off));
        Ok(store)
    })?;
    let store = replicated.clone().map_or(first, |replicated| replicated as _);
    Ok(Opened { store, replicated, watched })
}

/// The first store with the required targets as its replicas; none where there are no such.
fn replicated(
    config: &Config,
    first: &Arc<dyn VersionStore>,
    mut open: impl FnMut(&FurtherTarget) -> Result<Arc<dyn VersionStore>, Failure>,
) -> Result<Option<Arc<Replicated>>, Failure> {
    let mut required = config.required_targets().peekable();
    if required.peek().is_none() {
        return Ok(None);
    }
    let mut replicated = Replicated::new(Arc::clone(first), &config.target.prefix);
    for further in required {
        replicated = replicated.with(&further.name, open(further)?, &further.target.prefix);
    }
    Ok(Some(Arc::new(replicated)))
}

/// The configured store, which tells when versioning is switched off and on, and counts its requests.
fn open_reporting_store(
    target: &config::Target,
    report: Option<(VersioningReport, RequestMetrics)>,
) -> Result<Arc<dyn VersionStore>, Failure> {
    let store = open_plain_store(target, report)?;
    Ok(match Recipients::configured(&target.recipients)? {
        Some(recipients) => Arc::new(EncryptingStore::new(store, recipients)),
        None => store,
    })
}

/// The same, which puts what it is given.
fn open_plain_store(
    target: &config::Target,
    report: Option<(VersioningReport, RequestMetrics)>,
) -> Result<Arc<dyn VersionStore>, Failure> {
    match target.kind {
        TargetKind::Azure if target.history == History::Snapshots => {
            let requests = report.map_or_else(RequestMetrics::unread, |(_, requests)| requests);
            Ok(Arc::new(SnapshotStore::counting(target, AzureAuth::resolve(target)?, requests)?))
        }
        TargetKind::Azure => {
            let auth = AzureAuth::resolve(target)?;
            Ok(match report {
                Some((report, requests)) => {
                    Arc::new(AzureStore::counting(target, auth, requests)?.with_versioning_report(report))
                }
                None => Arc::new(AzureStore::new(target, auth)?),
            })
        }
        TargetKind::Directory => Ok(Arc::new(DirectoryStore::new(directory_of(target)?))),
    }
}
