//! The scratch container: whose it is, making it ready, and removing what rehearsals wrote. See `rehearse.rs` for what may be deleted.

use std::sync::Arc;

use cosmirror_formats::partition_key::KeyValue;
use cosmirror_formats::rehearsal::{Rehearsal, State, Trace};
use cosmirror_formats::{KeyDefinition, PartitionKey};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claim::Claimed;
use super::{Rehearse, cancelled};
use crate::config::same_account;
use crate::cosmos::Resolved;
use crate::crash::crash_point;
use crate::documents::cosmos::CosmosDocuments;
use crate::documents::{Documents, holds_nothing};
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::{MirrorReader, key_definition};
use crate::restore::Sampling;
use crate::retry::persist;
use crate::spool::Spool;

/// Documents looked at or removed at the same time.
const DOCUMENTS_AT_ONCE: usize = 16;
/// Properties of a container that the service gives it, and a time to live, by which documents would vanish while they are compared.
const NOT_GIVEN: [&str; 3] = ["id", "statistics", "defaultTtl"];

/// See the module.
pub(super) struct Scratch {
    resolved: Option<Resolved>,
    documents: Option<Arc<CosmosDocuments>>,
    /// A rehearsal created it.
    created: bool,
    /// What earlier ones may have left in it.
    traces: Vec<Trace>,
    /// That of one which never said that it ended: what it had sent may come after everything was removed.
    unended: Option<Trace>,
    name: String,
}

/// A document of the scratch container.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    id: String,
    key: Value,
    etag: String,
}

impl Scratch {
    /// Finds it and writes nothing. One with documents must be known to be of an earlier rehearsal.
    pub(super) async fn find(
        asked: &Rehearse,
        mirror: &MirrorReader,
        before: Option<&Rehearsal>,
    ) -> Result<Self, CommandError> {
        let name = asked.scratch_name();
        let resolved = match asked.account.resolve(&asked.into.0, &asked.into.1).await {
            Ok(resolved) => resolved,
            Err(failure) if failure.kind == Kind::NotFound => {
                return Ok(Self {
                    resolved: None,
                    documents: None,
                    created: false,
                    traces: Vec::new(),
                    unended: None,
                    name,
                });
            }
            Err(failure) => return Err(failure.into()),
        };
        let own = mirror.record.generations.last().map(|life| life.partition_key_paths.clone()).unwrap_or_default();
        if resolved.source.key_paths != own {
            let message =
                format!("{name} has the partition key {:?}, and the mirror has {own:?}", resolved.source.key_paths);
            return Err(CommandError::new(
                Exit::Usage,
                message,
                "name a container with the same partition key, or one that is to be created",
            ));
        }
        let mirrored = mirror.record.generations.iter().any(|life| life.rid == resolved.source.rid);
        if mirrored && same_account(&mirror.record.account, &asked.endpoint) {
            let message = format!("{name} is the mirrored container itself");
            return Err(CommandError::new(Exit::Usage, message, "name a scratch container"));
        }
        let ours = before.filter(|before| {
            let scratch = &before.scratch;
            scratch.rid.as_ref() == Some(&resolved.source.rid)
                && scratch.name == name
                && same_account(&scratch.account, &asked.endpoint)
        });
        let created = ours.is_some_and(|before| before.scratch.created);
        let traces = ours.map(|before| before.traces.clone()).unwrap_or_default();
        let unended = ours.filter(|before| before.state == State::Running);
        let unended = unended.and_then(|before| before.traces.iter().find(|trace| trace.id == before.id).cloned());
        let mut found = Self { resolved: None, documents: None, created, traces, unended, name };
        found.open(asked, resolved);
        found.require_usable(asked, ours).await?;
        Ok(found)
    }

    fn open(&mut self, asked: &Rehearse, resolved: Resolved) {
        let documents = CosmosDocuments::new(asked.account.clone(), resolved.clone(), self.name.clone());
        let documents = documents.spending(Arc::clone(&asked.units));
        // A daemon's log names no documents.
        let documents = if asked.by != "command" { documents.discreet() } else { documents };
        self.documents = Some(Arc::new(documents));
        self.resolved = Some(resolved);
    }

    async fn require_usable(&self, asked: &Rehearse, ours: Option<&Rehearsal>) -> Result<(), CommandError> {
        if self.is_empty().await? {
            return Ok(());
        }
        let name = &self.name;
        let (message, remedy) = match ours {
            None => (
                format!("{name} holds documents and was never a rehearsal's; nothing was written or deleted"),
                "name an empty container, or one that is not there and is to be created",
            ),
            Some(before) if !asked.clean => (
                format!("{name} holds what the rehearsal {} left", before.id),
                "look at it, then pass --clean, which removes it first",
            ),
            Some(_) => return Ok(()),
        };
        Err(CommandError::new(Exit::Usage, message, remedy))
    }

    async fn is_empty(&self) -> Result<bool, Failure> {
        let documents = self.documents()?;
        persist(|| holds_nothing(documents.as_ref())).await
    }

    pub(super) fn rid(&self) -> Option<&str> {
        self.resolved.as_ref().map(|resolved| resolved.source.rid.as_str())
    }

    pub(super) fn is_created(&self) -> bool {
        self.created
    }

    pub(super) fn traces(&self) -> &[Trace] {
        &self.traces
    }

    /// Its documents, once it is there.
    pub(super) fn documents(&self) -> Result<Arc<CosmosDocuments>, Failure> {
        self.documents.clone().ok_or_else(|| Failure::new(Kind::Internal, "the scratch container is not open"))
    }

    /// Creates it where it is not there, and removes what earlier rehearsals left.
    pub(super) async fn make_ready(
        &mut self,
        asked: &Rehearse,
        mirror: &MirrorReader,
        claimed: &Claimed,
    ) -> Result<(), CommandError> {
        if self.resolved.is_some() {
            self.remove_documents(asked, mirror, claimed).await?;
            let own = claimed.record().await.traces.pop();
            claimed.update(|record| record.traces = self.unended.iter().cloned().chain(own).collect()).await?;
            return Ok(());
        }
        let settings = mirror.settings().and_then(Value::as_object).ok_or_else(|| {
            let message = "the mirror does not hold its container's settings";
            CommandError::new(Exit::NotFound, message, format!("create {} yourself", self.name))
        })?;
        tracing::info!(container = self.name, "creating the scratch container");
        let created = asked.account.create_container(&asked.into.0, properties(settings, &asked.into.1)).await?;
        crash_point!("rehearsal-created");
        let resolved = persist(|| asked.account.resolve(&asked.into.0, &asked.into.1)).await?;
        self.open(asked, resolved);
        // Somebody may have been quicker; then it is theirs, is used only while it is empty, and stays.
        self.require_usable(asked, None).await?;
        self.created = created;
        let rid = self.rid().map(str::to_owned);
        claimed.update(|record| (record.scratch.rid, record.scratch.created) = (rid, created)).await?;
        Ok(())
    }

    /// Removes what rehearsals wrote, and the container if one of them created it.
    pub(super) async fn clean(
        &self,
        asked: &Rehearse,
        mirror: &MirrorReader,
        claimed: &Claimed,
    ) -> Result<(), CommandError> {
        self.remove_documents(asked, mirror, claimed).await?;
        crash_point!("rehearsal-emptied");
        if self.created
            && self.is_empty().await?
            && let Some(resolved) = &self.resolved
        {
            persist(|| asked.account.delete_container(resolved, &self.name)).await?;
            claimed.update(|record| (record.scratch.rid, record.scratch.created) = (None, false)).await?;
        }
        claimed
            .update(|record| (record.cleaned, record.traces) = (true, self.unended.iter().cloned().collect()))
            .await?;
        Ok(())
    }

    /// Removes every document, if each of them is a rehearsal's. A cancelled one leaves some and is an error: the traces that say whose they are
    /// must stay in the record.
    async fn remove_documents(
        &self,
        asked: &Rehearse,
        mirror: &MirrorReader,
        claimed: &Claimed,
    ) -> Result<(), CommandError> {
        let traces = claimed.record().await.traces;
        let mut all = self.all_of_rehearsals(mirror, &traces).await?;
        let progress = (asked.shows)("removing");
        progress.set_length(all.len());
        let documents = self.documents()?;
        let removals = stream::iter(all.read()?).map(|found| {
            let (documents, progress) = (Arc::clone(&documents), progress.clone());
            async move {
                progress.inc(1);
                let found = found?;
                if asked.cancel.is_cancelled() {
                    return Ok(());
                }
                asked.units.wait().await;
                let key = PartitionKey::from_json(&found.key)
                    .ok_or_else(|| Failure::new(Kind::Internal, "a key on disk is no key"))?;
                match persist(|| documents.delete(&key, &found.id, &found.etag)).await {
                    Err(failure) if failure.kind == Kind::NotFound => Ok(()),
                    removed => removed,
                }
            }
        });
        removals.buffer_unordered(DOCUMENTS_AT_ONCE).try_collect::<Vec<()>>().await?;
        if asked.cancel.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    /// All documents, on disk; an error where one of them is no rehearsal's.
    async fn all_of_rehearsals(&self, mirror: &MirrorReader, traces: &[Trace]) -> Result<Spool<Found>, CommandError> {
        let definition = key_definition(&mirror.record)
            .ok_or_else(|| Failure::new(Kind::Integrity, "the mirror does not say where documents hold their key"))?;
        let sql = query(&definition);
        let (documents, mut all) = (self.documents()?, Spool::new()?);
        let mut pages = documents.query(&sql, &[]);
        while let Some(page) = pages.try_next().await? {
            let looks = page.into_iter().map(|row| self.look(mirror, &definition, traces, row));
            let found: Vec<Option<Found>> = stream::iter(looks).buffered(DOCUMENTS_AT_ONCE).try_collect().await?;
            for found in found {
                let Some(found) = found else {
                    let message =
                        format!("{} holds a document that no rehearsal wrote; nothing was deleted", self.name);
                    let remedy = "see whose it is and take it elsewhere, or name another scratch container";
                    return Err(CommandError::new(Exit::Usage, message, remedy));
                };
                all.push(&found)?;
            }
        }
        Ok(all)
    }

    /// The document in a row of the query; none where it is no rehearsal's.
    async fn look(
        &self,
        mirror: &MirrorReader,
        definition: &KeyDefinition,
        traces: &[Trace],
        row: bytes::Bytes,
    ) -> Result<Option<Found>, Failure> {
        let broken = || Failure::new(Kind::Internal, "a row of the query lacks a property");
        let row: Value = serde_json::from_slice(&row).map_err(|_| broken())?;
        let component = |at: usize| match row.get(format!("k{at}")) {
            None | Some(Value::Array(_) | Value::Object(_)) => Some(KeyValue::Undefined),
            Some(scalar) => KeyValue::from_json(scalar),
        };
        let key = (0..definition.levels()).map(component).collect::<Option<Vec<_>>>().map(PartitionKey);
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(key), Some(id), Some(etag), Some(ts)) =
            (key, text("id"), text("_etag"), row.get("_ts").and_then(Value::as_i64))
        else {
            return Err(broken());
        };
        let name = mirror.paths.document(&key, &id);
        let of =
            |trace: &Trace| ts >= trace.began && Sampling::new(trace.sample_per_million, &trace.id).contains(&name);
        let known = traces.iter().any(of) && persist(|| mirror.store.head(&name)).await?.is_some();
        let lettered = || traces.iter().any(of) && mirror.letters.contains_key(&name);
        Ok((known || lettered()).then(|| Found { id, key: key.to_json(), etag }))
    }
}

fn query(definition: &KeyDefinition) -> String {
    use std::fmt::Write as _;
    let mut sql = "SELECT c.id, c._etag, c._ts".to_owned();
    for (at, path) in definition.paths().iter().enumerate() {
        let component =
            path.iter().fold("c".to_owned(), |so_far, name| format!("{so_far}[{}]", Value::from(name.as_str())));
        let _ = write!(sql, ", {component} AS k{at}");
    }
    sql + " FROM c"
}

fn properties(settings: &Map<String, Value>, container: &str) -> Value {
    let kept = settings.iter().filter(|(name, _)| !name.starts_with('_') && !NOT_GIVEN.contains(&name.as_str()));
    let named = std::iter::once(("id".to_owned(), Value::from(container)));
    Value::Object(named.chain(kept.map(|(name, value)| (name.clone(), value.clone()))).collect())
}
