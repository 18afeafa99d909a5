//! The containers that documents are imported into, held against what the input says of itself.

use std::sync::Arc;

use cosmirror_formats::export::ExportedContainer;
use serde_json::Value;

use super::args::ImportArgs;
use crate::cli::restore::apply::targets::{properties, warn_of_expiry};
use crate::cosmos::{Account, Resolved};
use crate::documents::cosmos::CosmosDocuments;
use crate::documents::{Documents, holds_nothing};
use crate::failure::{CommandError, Exit, Kind};
use crate::history::Purges;
use crate::import::{Input, Target};
use crate::pace::RequestUnits;
use crate::restore::Pace;

/// A container that is written to.
pub(super) struct Destination {
    pub(super) database: String,
    pub(super) container: String,
    /// None where it is missing and was not created yet.
    resolved: Option<Resolved>,
    /// The settings that it is created with.
    settings: Option<Value>,
    /// The container that the documents were exported from.
    pub(super) exported_from: Option<String>,
}

impl Destination {
    /// As `database/container`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.database, self.container)
    }

    /// What it is told from others by: another one of the same name is another one.
    pub(super) fn identity(&self) -> String {
        let rid = self.resolved.as_ref().map(|resolved| resolved.source.rid.as_str());
        format!("{}#{}", self.name(), rid.unwrap_or_default())
    }

    /// Whether it is to be created.
    pub(super) fn is_missing(&self) -> bool {
        self.resolved.is_none()
    }

    /// Where its documents have their partition key, where it is there.
    pub(super) fn key_paths(&self) -> Option<&[String]> {
        self.resolved.as_ref().map(|resolved| resolved.source.key_paths.as_slice())
    }
}

/// Finds the containers and writes nothing.
pub(super) async fn find(
    args: &ImportArgs,
    account: &Account,
    input: &Input,
) -> Result<Vec<Destination>, CommandError> {
    let usage = |message: &str, remedy: &str| CommandError::new(Exit::Usage, message, remedy);
    match (input, &args.into) {
        (Input::Plain(_), None) => {
            Err(usage("a file of documents does not say where they go", "name the container with --into"))
        }
        (Input::Plain(_), Some(_)) if args.create => {
            let message = "a file of documents does not say how to create a container";
            Err(usage(message, "create it yourself, and leave --create out"))
        }
        (Input::Plain(_), Some(into)) => Ok(vec![one(args, account, into, None).await?]),
        (Input::Chain(chain), into) => {
            let containers: Vec<&ExportedContainer> = chain.containers().collect();
            if into.is_some() && containers.len() > 1 {
                let message = "several containers cannot be imported into one";
                return Err(usage(message, "choose one of the export's containers with --source"));
            }
            let mut destinations = Vec::new();
            for container in containers {
                let own = format!("{}/{}", container.database, container.container);
                let name = into.as_ref().unwrap_or(&own);
                destinations.push(one(args, account, name, Some(container)).await?);
            }
            Ok(destinations)
        }
    }
}

async fn one(
    args: &ImportArgs,
    account: &Account,
    name: &str,
    exported: Option<&ExportedContainer>,
) -> Result<Destination, CommandError> {
    let (database, container) = name.split_once('/').unwrap_or_default();
    let settings = exported.and_then(|exported| exported.generations.last()).map(|life| life.settings.clone());
    let resolved = match account.resolve(database, container).await {
        Ok(resolved) => Some(resolved),
        Err(failure) if failure.kind == Kind::NotFound && args.create => None,
        Err(failure) if failure.kind == Kind::NotFound && exported.is_some() => {
            return Err(failure
                .remedy("check --into, or pass --create to create it with the settings in the export")
                .into());
        }
        Err(failure) => return Err(failure.into()),
    };
    if let (Some(resolved), Some(exported)) = (&resolved, exported)
        && resolved.source.key_paths != exported.key_paths()
    {
        let message = format!(
            "{name} has the partition key {}, and the documents of the export have {}",
            resolved.source.key_paths.join(", "),
            exported.key_paths().join(", ")
        );
        let remedy = "import into a container with the same partition key; nothing was written";
        return Err(CommandError::new(Exit::Usage, message, remedy));
    }
    if let Some(settings) = resolved.as_ref().map(|resolved| &resolved.source.settings).or(settings.as_ref()) {
        warn_of_expiry(name, settings, "import");
    }
    let exported_from = exported.map(|exported| format!("{}/{}", exported.database, exported.container));
    let (database, container) = (database.to_owned(), container.to_owned());
    Ok(Destination { database, container, resolved, settings, exported_from })
}

/// Creates those that are missing.
pub(super) async fn create(destinations: &mut [Destination], account: &Account) -> Result<(), CommandError> {
    for destination in destinations.iter_mut().filter(|destination| destination.is_missing()) {
        let name = destination.name();
        let settings = destination.settings.as_ref().and_then(Value::as_object).ok_or_else(|| {
            let message = format!("the export does not hold the settings of {name}");
            CommandError::new(Exit::NotFound, message, "create the container yourself")
        })?;
        tracing::info!(container = name, "creating the container with the exported settings");
        account.create_container(&destination.database, properties(settings, &destination.container)).await?;
        destination.resolved = Some(account.resolve(&destination.database, &destination.container).await?);
    }
    Ok(())
}

/// Opens all; those that are missing hold nothing, and nothing is written to them.
pub(super) async fn open(
    destinations: Vec<(Destination, Vec<Purges>)>,
    account: &Account,
    units: &Arc<RequestUnits>,
    pace: &Pace,
) -> Vec<Target> {
    let mut targets = Vec::new();
    for (destination, purges) in destinations {
        let name = destination.name();
        let Some(resolved) = destination.resolved else {
            targets.push(Target { purges, documents: None, is_empty: true });
            continue;
        };
        let documents = CosmosDocuments::new(account.clone(), resolved, name).spending(Arc::clone(units));
        let documents: Arc<dyn Documents> = Arc::new(documents);
        // Where that cannot be told, every document is looked at.
        let is_empty = pace.read(|| holds_nothing(documents.as_ref())).await.unwrap_or(false);
        targets.push(Target { purges, documents: Some(documents), is_empty });
    }
    targets
}
