//! The containers that a file is about, opened and held against what the file says of them.
//!
//! A file of another mirror, a container that was created anew since, and one with another partition key are refused. A container that is
//! to be created is created here, when all others were found right.

use std::sync::Arc;

use cosmirror_formats::restore_plan::Part;
use serde_json::{Map, Value};

use crate::cli::Context;
use crate::cli::history::open_mirror;
use crate::config::{Container, Source, same_account};
use crate::cosmos::{Account, Resolved};
use crate::documents::cosmos::CosmosDocuments;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit, Kind};
use crate::history::MirrorReader;
use crate::pace::RequestUnits;
use crate::restore::{RestoreFile, Target};

/// Properties of a container that the service gives it and that cannot be given to another.
const OF_SERVICE: [&str; 2] = ["id", "statistics"];

/// The containers of a file, and its parts with the resource ids that the containers have now.
pub(super) struct Targets {
    pub(super) parts: Vec<Part>,
    pub(super) targets: Vec<Target>,
}

/// The containers of a file, before all of them are there for certain.
pub(super) struct Found {
    account: Account,
    parts: Vec<FoundPart>,
}

struct FoundPart {
    part: Part,
    mirror: Option<Arc<MirrorReader>>,
    recorded_in: Option<Arc<MirrorReader>>,
    resolved: Option<Resolved>,
}

/// Finds all containers and writes nothing.
pub(super) async fn find(
    file: &RestoreFile,
    context: &Context,
    identities: &Identities,
) -> Result<Found, CommandError> {
    let account = context.account()?;
    file.parts().iter().try_for_each(|part| require_account(part, account))?;
    let account = Account::connect(account).await?;
    let mut parts = Vec::new();
    for part in file.parts() {
        let mut found = match file {
            RestoreFile::Plan(_) => find_for_plan(part, context, &account, identities).await?,
            RestoreFile::Undo(_) => find_for_undo(part, context, &account).await?,
        };
        if let Some(resolved) = &found.resolved {
            warn_of_expiry(&part.into, &resolved.source.settings, "restore");
        }
        found.recorded_in = recorder_of(part, context, found.mirror.as_ref()).await?;
        parts.push(found);
    }
    Ok(Found { account, parts })
}

impl Found {
    /// Where documents hold their partition key.
    pub(super) fn key_paths(&self) -> impl Iterator<Item = &String> {
        let lives = self.parts.iter().filter_map(|found| found.mirror.as_ref()?.record.generations.last());
        lives.flat_map(|life| &life.partition_key_paths)
    }

    /// The file's parts with the resource ids of the containers that are there.
    pub(super) fn parts(&self) -> Vec<Part> {
        let rid = |found: &FoundPart| found.resolved.as_ref().map(|resolved| resolved.source.rid.clone());
        self.parts.iter().map(|found| Part { into_rid: rid(found), ..found.part.clone() }).collect()
    }

    /// Creates what is to be created. What requests cost is taken from `request_units`.
    pub(super) async fn create_missing(self, request_units: &Arc<RequestUnits>) -> Result<Targets, CommandError> {
        let (mut parts, mut targets) = (Vec::new(), Vec::new());
        for FoundPart { mut part, mirror, recorded_in, resolved } in self.parts {
            let resolved = match resolved {
                Some(resolved) => resolved,
                None => {
                    let created = create(&self.account, &part, mirror.as_deref()).await?;
                    warn_of_expiry(&part.into, &created.source.settings, "restore");
                    created
                }
            };
            part.into_rid = Some(resolved.source.rid.clone());
            let documents = CosmosDocuments::new(self.account.clone(), resolved, part.into.clone());
            let documents = Arc::new(documents.spending(Arc::clone(request_units)));
            parts.push(part);
            targets.push(Target { documents, mirror, recorded_in });
        }
        Ok(Targets { parts, targets })
    }
}

async fn find_for_plan(
    part: &Part,
    context: &Context,
    account: &Account,
    identities: &Identities,
) -> Result<FoundPart, CommandError> {
    let source = configured(context, &part.source).ok_or_else(|| {
        let message = format!("the plan is of {}, which is not configured", part.source);
        CommandError::new(Exit::Usage, message, "use the configuration that the plan was made with")
    })?;
    let mirror = open_mirror(context, source, identities).await?;
    let life = mirror.record.generations.last();
    let rid = life.map(|life| life.rid.as_str()).unwrap_or_default();
    if rid != part.rid {
        let message =
            format!("the plan is of another mirror of {}: of container {:?}, not {rid:?}", part.source, part.rid);
        return Err(CommandError::new(Exit::Usage, message, "make the plan anew"));
    }
    let paths = life.map(|life| life.partition_key_paths.clone()).unwrap_or_default();
    let resolved = resolve(part, account, true).await?;
    if let Some(resolved) = &resolved {
        require_same_life(part, resolved)?;
        if resolved.source.key_paths != paths {
            let message = format!(
                "{} has the partition key {:?}, and the documents of {} have {paths:?}",
                part.into, resolved.source.key_paths, part.source
            );
            return Err(CommandError::new(
                Exit::Usage,
                message,
                "restore into a container with the same partition key",
            ));
        }
    }
    Ok(FoundPart { part: part.clone(), mirror: Some(Arc::new(mirror)), recorded_in: None, resolved })
}

/// An undo file holds all that it needs. The mirror tells which documents are not to be brought back, and is told of the undoing where it can be.
async fn find_for_undo(part: &Part, context: &Context, account: &Account) -> Result<FoundPart, CommandError> {
    let mirror = match configured(context, &part.source) {
        Some(source) => optional(context, source, &part.source).await?,
        None => {
            tracing::warn!(
                "{0}: it is not configured, so whether documents of {0} were purged since is not known",
                part.source
            );
            None
        }
    };
    let resolved = resolve(part, account, false).await?;
    if let Some(resolved) = &resolved {
        require_same_life(part, resolved)?;
    }
    Ok(FoundPart { part: part.clone(), mirror: mirror.map(Arc::new), recorded_in: None, resolved })
}

fn configured<'a>(context: &'a Context, name: &str) -> Option<&'a Container> {
    let containers = &context.config.config.containers;
    containers.iter().find(|container| name == format!("{}/{}", container.database, container.container))
}

/// A container's mirror, if it has one. One that cannot be read may know of purges.
async fn optional(context: &Context, container: &Container, name: &str) -> Result<Option<MirrorReader>, CommandError> {
    match open_mirror(context, container, &Identities::default()).await {
        Ok(mirror) => Ok(Some(mirror)),
        Err(error) if error.exit == Exit::NotFound => {
            tracing::warn!(%error, "{name}: it has no mirror that could be told what is written");
            Ok(None)
        }
        Err(error) => {
            let message = format!(
                "the mirror of {name} cannot be read, and it tells which documents were purged; nothing was written: {}",
                error.message
            );
            let again = "apply the file again when it can be read, or by --target with another target's mirror";
            let remedy = if error.remedy.is_empty() { again.to_owned() } else { format!("{}; {again}", error.remedy) };
            Err(CommandError::new(error.exit, message, remedy))
        }
    }
}

fn names(part: &Part) -> Result<(&str, &str), CommandError> {
    part.into.split_once('/').ok_or_else(|| {
        CommandError::new(Exit::Integrity, format!("{:?} names no container", part.into), "make the plan anew")
    })
}

fn require_account(part: &Part, account: &Source) -> Result<(), CommandError> {
    if same_account(&part.account, &account.endpoint) {
        return Ok(());
    }
    let message = format!("the file is of another account: of {}, and named is {}", part.account, account.endpoint);
    Err(CommandError::new(Exit::Usage, message, "use the configuration, or the --account, that it was made with"))
}

/// The container that is written to; none where it is not there and may be missing.
async fn resolve(part: &Part, account: &Account, may_be_created: bool) -> Result<Option<Resolved>, CommandError> {
    let (database, container) = names(part)?;
    match account.resolve(database, container).await {
        Ok(resolved) => Ok(Some(resolved)),
        Err(failure) if failure.kind == Kind::NotFound && may_be_created && part.creates() => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

fn require_same_life(part: &Part, resolved: &Resolved) -> Result<(), CommandError> {
    // One that was not there yet may have been created since, by the run that this one takes up again.
    if part.into_rid.as_ref().is_none_or(|expected| *expected == resolved.source.rid) {
        return Ok(());
    }
    let message = format!("{} was removed and created anew since the file was made", part.into);
    Err(CommandError::new(Exit::Conflict, message, "nothing was written; make a new plan"))
}

/// Creates the container with the settings of the mirrored one.
async fn create(account: &Account, part: &Part, mirror: Option<&MirrorReader>) -> Result<Resolved, CommandError> {
    let (database, container) = names(part)?;
    let settings = mirror.and_then(MirrorReader::settings).and_then(Value::as_object);
    let settings = settings.ok_or_else(|| {
        let message = format!("the mirror of {} does not hold its container's settings", part.source);
        CommandError::new(Exit::NotFound, message, format!("create {} yourself", part.into))
    })?;
    tracing::info!(container = part.into, "creating the container with the mirrored settings");
    account.create_container(database, properties(settings, container)).await?;
    Ok(account.resolve(database, container).await?)
}

/// The properties of a new container of this name with the settings of another one.
pub(in crate::cli) fn properties(settings: &Map<String, Value>, container: &str) -> Value {
    let kept = settings.iter().filter(|(name, _)| !name.starts_with('_') && !OF_SERVICE.contains(&name.as_str()));
    let named = std::iter::once(("id".to_owned(), Value::from(container)));
    Value::Object(named.chain(kept.map(|(name, value)| (name.clone(), value.clone()))).collect())
}

/// A document's time to live begins anew with every write. `act` is what writes.
pub(in crate::cli) fn warn_of_expiry(name: &str, settings: &Value, act: &str) {
    match settings["defaultTtl"].as_i64() {
        Some(seconds) if seconds > 0 => tracing::warn!(
            "{name}: the container has a time to live, which begins anew with the {act}: what has no ttl of its own expires {seconds} s after it"
        ),
        Some(_) => tracing::warn!(
            "{name}: documents may have a time to live, which begins anew with the {act}: what has a ttl expires that long after it"
        ),
        None => {}
    }
}

/// The mirror in whose histories the writes will appear: the written container's, where it is mirrored, or else the source's.
async fn recorder_of(
    part: &Part,
    context: &Context,
    mirror: Option<&Arc<MirrorReader>>,
) -> Result<Option<Arc<MirrorReader>>, CommandError> {
    // A container of another account is not the one that is mirrored here.
    if part.mirrored_account.is_none()
        && part.into != part.source
        && let Some(container) = configured(context, &part.into)
        && let Some(own) = optional(context, container, &part.into).await?
    {
        return Ok(Some(Arc::new(own)));
    }
    Ok(mirror.cloned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_created_with_all_settings_that_can_be_given() {
        let settings = json!({
            "id": "orders", "_rid": "r", "_ts": 1, "_etag": "e", "_self": "s", "statistics": [],
            "partitionKey": { "paths": ["/pk"], "kind": "Hash" }, "defaultTtl": 60, "indexingPolicy": { "automatic": true },
        });
        let expected = json!({
            "id": "copy", "partitionKey": { "paths": ["/pk"], "kind": "Hash" }, "defaultTtl": 60,
            "indexingPolicy": { "automatic": true },
        });
        assert_eq!(properties(settings.as_object().unwrap(), "copy"), expected);
    }
}
