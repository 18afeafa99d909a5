//! The accounts, and what this makes in them: one database with some containers, one blob container, all with a random suffix.
//!
//! **Nobody's data.** The database must not exist: only the answer "created" is taken, and only what was created so is removed at the end.
//! A database that an earlier run kept (`COSMIRROR_LIVE_KEPT`) is used only with that run's mark in it. The blob container is removed with all
//! that it holds, which the account may forbid, and what is left is told.

use std::sync::{Arc, Mutex, PoisonError};

use cosmirror::config::{FeedMode, Target};
use cosmirror::cosmos::Account;
use cosmirror::store::VersionStore as _;
use cosmirror::store::azure::{AzureAuth, AzureStore};
use serde_json::{Value, json};

use crate::belief::Unsettled;
use crate::blob_wire::BlobWire;
use crate::cosmos_wire::CosmosWire;
use crate::place::Place;
use crate::settings::{BLOB_KEY, COSMOS_KEY, Settings};
use crate::store_contract::PAGE_ITEMS;

/// What every database and container of this begins with.
pub(crate) const PREFIX: &str = "cosmirror-live-";
/// The container of most beliefs: key `/pk`, documents may expire.
const MAIN: &str = "beliefs";
/// A container in which nothing expires.
const LEASES: &str = "leases";

/// Everything that a belief may use.
pub(crate) struct Kit {
    pub(crate) settings: Settings,
    pub(crate) cosmos: CosmosWire,
    pub(crate) account: Account,
    pub(crate) database: String,
    pub(crate) main: Place,
    pub(crate) leases: Place,
    pub(crate) blob: BlobWire,
    pub(crate) target: Target,
    pub(crate) store: Arc<AzureStore>,
    /// What beliefs could not remove.
    left: Mutex<Vec<String>>,
}

impl Kit {
    /// Connects, and makes what is needed.
    pub(crate) async fn open(settings: Settings) -> Result<Self, String> {
        let cosmos = CosmosWire::new(&settings.source.endpoint, &settings.cosmos_key, COSMOS_KEY)?;
        let blob = BlobWire::new(&settings.target.endpoint, &settings.blob_key, BLOB_KEY)?;
        let suffix = format!("{:012x}", rand::random::<u64>() & 0xffff_ffff_ffff);
        let database = format!("{PREFIX}{suffix}");
        let target = Target { container: database.clone(), ..settings.target.clone() };
        let auth = AzureAuth::resolve(&target).map_err(|failure| failure.to_string())?;
        let store = AzureStore::new(&target, auth).map_err(|failure| failure.to_string())?;
        let store = Arc::new(store.with_page_items_max(PAGE_ITEMS));
        make_database(&cosmos, &database).await?;
        let made = async {
            let account = Account::connect(&settings.source).await?;
            let main = json!({ "id": MAIN, "partitionKey": key(&["/pk"]), "defaultTtl": -1 });
            let main = Place::make(&account, &database, main).await?;
            let leases = json!({ "id": LEASES, "partitionKey": key(&["/id"]) });
            let leases = Place::make(&account, &database, leases).await?;
            store.prepare(true).await?;
            Ok::<_, cosmirror::failure::Failure>((account, main, leases))
        };
        match made.await {
            Ok((account, main, leases)) => {
                let left = Mutex::default();
                Ok(Self { settings, cosmos, account, database, main, leases, blob, target, store, left })
            }
            Err(failure) => {
                let left =
                    [remove_database(&cosmos, &database).await.err(), remove_blobs(&blob, &database).await.err()];
                let left: String = left.into_iter().flatten().map(|left| format!("; left: {left}")).collect();
                Err(format!("{failure}{left}"))
            }
        }
    }

    /// Another container of this database, which holds nothing.
    pub(crate) async fn container(&self, name: &str, key_paths: &[&str]) -> Result<Place, Unsettled> {
        let settings = json!({ "id": name, "partitionKey": key(key_paths) });
        Ok(Place::make(&self.account, &self.database, settings).await?)
    }

    /// What was made, for whoever must remove it after a crash.
    pub(crate) fn made(&self) -> String {
        format!("the database and the blob container {}", self.database)
    }

    /// Something could not be removed, and is told at the end.
    pub(crate) fn leave(&self, what: String) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Removes what was made; what could not be removed.
    pub(crate) async fn remove(&self) -> Vec<String> {
        let mut left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        match self.settings.keep {
            true => left.push(match self.leave_mark().await {
                Ok(()) => format!("the database, on request: later set {}={}", crate::settings::KEPT, self.database),
                Err(Unsettled::Failed(how) | Unsettled::Skipped { reason: how, .. }) => {
                    format!("the database {}, without its mark: {how}", self.database)
                }
            }),
            false => left.extend(remove_database(&self.cosmos, &self.database).await.err()),
        }
        left.extend(remove_blobs(&self.blob, &self.database).await.err());
        left
    }

    /// What a later run reads the old position from.
    async fn leave_mark(&self) -> Result<(), Unsettled> {
        let end = self.main.end(FeedMode::AllVersionsAndDeletes).await?;
        let mark = json!({ "id": MARK, "pk": MARK, "madeBy": PREFIX, "position": end.token });
        self.main.put(MARK, MARK, mark.to_string()).await?;
        // Each container costs by the hour, and only this one is needed.
        let listed = self.cosmos.send("GET", &["dbs", &self.database, "colls"], &[], String::new()).await?;
        let listed = listed.expect(&[200], "listing the containers")?.json();
        let names = listed["DocumentCollections"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
        for name in names.filter(|name| *name != MAIN) {
            let path = ["dbs", &self.database, "colls", name];
            self.cosmos.send("DELETE", &path, &[], String::new()).await?.expect(&[204], "removing a container")?;
        }
        Ok(())
    }
}

/// The document that a kept database is known by.
pub(crate) const MARK: &str = "cosmirror-live-mark";

/// A partition key's definition.
pub(crate) fn key(paths: &[&str]) -> Value {
    json!({ "paths": paths, "kind": if paths.len() > 1 { "MultiHash" } else { "Hash" }, "version": 2 })
}

async fn make_database(cosmos: &CosmosWire, database: &str) -> Result<(), String> {
    let body = json!({ "id": database }).to_string();
    match cosmos.send("POST", &["dbs"], &[], body).await {
        Ok(answer) if answer.status == 201 => Ok(()),
        Ok(answer) if answer.status == 409 => {
            Err(format!("the database {database} exists: it is not ours; start again"))
        }
        Ok(answer) => {
            Err(answer.refusal("cannot create a database (COSMIRROR_LIVE_COSMOS_KEY must be a read-write key)"))
        }
        Err(Unsettled::Failed(how) | Unsettled::Skipped { reason: how, .. }) => Err(how),
    }
}

/// Removes a database that was made here; why not.
pub(crate) async fn remove_database(cosmos: &CosmosWire, database: &str) -> Result<(), String> {
    match cosmos.send("DELETE", &["dbs", database], &[], String::new()).await {
        Ok(answer) if matches!(answer.status, 204 | 404) => Ok(()),
        Ok(answer) => Err(answer.refusal(&format!("the database {database}"))),
        Err(Unsettled::Failed(how) | Unsettled::Skipped { reason: how, .. }) => {
            Err(format!("the database {database}: {how}"))
        }
    }
}

/// Removes the blob container with all that it holds; why not.
async fn remove_blobs(blob: &BlobWire, container: &str) -> Result<(), String> {
    match blob.send("DELETE", &[container], "restype=container", &[], "").await {
        Ok(answer) if matches!(answer.status, 202 | 404) => Ok(()),
        Ok(answer) => Err(answer.refusal(&format!("the blob container {container}"))),
        Err(Unsettled::Failed(how) | Unsettled::Skipped { reason: how, .. }) => {
            Err(format!("the blob container {container}: {how}"))
        }
    }
}
