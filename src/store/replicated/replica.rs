//! One replica: how it comes to hold what the first store holds.
//!
//! A version is known by its identity in its document, which rides in its metadata. What the replica lacks of a name is put there in the
//! first store's order, each put on top of what was seen to be current; two processes that do so at once find each other by the conditions,
//! and look again. Should versions be missing beneath the newest one, because the first store was written without the replica, they come
//! behind it, and then the newest once more: what is current is the same in both, and readers take each identity once.
//!
//! What is older than the oldest version that the replica holds stays away: it was there, and a lifecycle rule of its account removed it.
//! So does what is beneath the mark of a purge, which the first store's service may be bound to keep for a while, and what the mark of a purge
//! covers that was done in the replica alone: then the mark stays what is current here.
//!
//! A record has no identity; of it the current content counts. A dead letter of a document that was purged stays away too.

use std::collections::HashSet;
use std::sync::Arc;

use cosmirror_formats::Version;
use cosmirror_formats::version::purged_until;

use super::known::Known;
use super::letters;
use crate::failure::{Failure, Kind};
use crate::store::{Claim, Claimant, Condition, Head, Listing, Put, VersionStore};

/// How often a name is looked at again that others write at the same time.
const LOOKS_MAX: u32 = 10;

pub(super) struct Replica {
    name: String,
    store: Arc<dyn VersionStore>,
    /// What names begin with in the first store, and here.
    prefixes: (String, String),
    known: Known,
}

impl Replica {
    pub(super) fn new(name: &str, store: Arc<dyn VersionStore>, prefixes: (String, String)) -> Self {
        Self { name: name.to_owned(), store, prefixes, known: Known::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn store(&self) -> &dyn VersionStore {
        self.store.as_ref()
    }

    /// What a name of the first store is called here.
    pub(super) fn named(&self, name: &str) -> String {
        let (there, here) = &self.prefixes;
        let rest = name.strip_prefix(there.as_str()).unwrap_or(name).trim_start_matches('/');
        if here.is_empty() { rest.to_owned() } else { format!("{here}/{rest}") }
    }

    pub(super) async fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.store.prepare(create).await.map_err(|failure| self.of_this(failure))
    }

    pub(super) async fn claim(&self, base: &str, claimant: &Claimant) -> Result<Claim, Failure> {
        self.store.claim(&self.named(base), claimant).await.map_err(|failure| self.of_this(failure))
    }

    /// Puts what was just put into the first store, where it has this etag.
    pub(super) async fn put(&self, first: &dyn VersionStore, put: &Put, etag: &str) -> Result<(), Failure> {
        let condition = match &put.condition {
            Condition::Absent => Some(Condition::Absent),
            Condition::Matches(before) => self.known.get(&put.name, before).map(Condition::Matches),
        };
        if let Some(condition) = condition {
            let own = Put { name: self.named(&put.name), condition, ..put.clone() };
            match self.store.put(own).await {
                Ok(stored) => {
                    self.known.set(&put.name, etag, &stored.etag);
                    return Ok(());
                }
                Err(failure) if failure.kind == Kind::Conflict => {}
                Err(failure) => return Err(self.of_this(failure)),
            }
        }
        self.bring(first, &put.name).await.map(drop)
    }

    /// Sees to it that what is current in the first store is here too, with all that is beneath.
    pub(super) async fn keep(&self, first: &dyn VersionStore, head: &Head) -> Result<(), Failure> {
        if self.known.get(&head.name, &head.etag).is_some() {
            return Ok(());
        }
        // Versions come in the first store's order: who has the newest one has those beneath.
        if let (Some(identity), Some(own)) = (identity(head), self.current(&head.name).await?)
            && self::identity(&own) == Some(identity)
        {
            self.known.set(&head.name, &head.etag, &own.etag);
            return Ok(());
        }
        self.bring(first, &head.name).await.map(drop)
    }

    /// Brings every version of a name that is missing here; gives how many those were.
    pub(super) async fn bring(&self, first: &dyn VersionStore, name: &str) -> Result<u64, Failure> {
        let mut brought = 0;
        for _ in 0..LOOKS_MAX {
            let Some(current) = first.head(name).await? else { return Ok(brought) };
            let done = match identity(&current) {
                Some(_) => self.bring_versions(first, name, &mut brought).await,
                None if letters::is_purged(first, name).await? => return Ok(brought),
                None => self.bring_record(first, &current, &mut brought).await,
            };
            match done {
                Ok(Some((etag, own))) => {
                    self.known.set(name, &etag, &own);
                    return Ok(brought);
                }
                // Somebody else wrote it: here, or in the first store.
                Ok(None) => {}
                Err(failure) if failure.kind == Kind::Conflict => {}
                Err(failure) => return Err(self.of_this(failure)),
            }
        }
        let message = format!("bringing {name:?} to the target {:?}: others keep writing it", self.name);
        Err(Failure::new(Kind::Transient, message))
    }

    /// Gives the etag of what is current in the first store and of what is current here then; none where a version vanished from the first
    /// store meanwhile.
    async fn bring_versions(
        &self,
        first: &dyn VersionStore,
        name: &str,
        brought: &mut u64,
    ) -> Result<Option<(String, String)>, Failure> {
        // The replica is looked at first: what it has was in the first store before. The other way round, a version that is put into both in
        // between would seem to be one that the first store lost.
        let here = versions_of(self.store(), &self.named(name)).await?;
        let versions = versions_of(first, name).await?;
        let Some(current) = versions.iter().find(|head| head.current) else { return Ok(None) };
        let mut missing = missing(&versions, &here);
        let is_purged = is_purged(current, mark_of(&here));
        let mut top = here.into_iter().find(|head| head.current);
        let newest = missing.last().copied().or(top.as_ref());
        if newest.and_then(identity) != identity(current) && !is_purged {
            missing.push(current);
        }
        for head in missing {
            let Some(etag) = self.copy(first, head, top.as_ref().map(|top| top.etag.clone())).await? else {
                return Ok(None);
            };
            *brought += 1;
            top = Some(Head { etag, ..head.clone() });
        }
        Ok(top.map(|top| (current.etag.clone(), top.etag)))
    }

    async fn bring_record(
        &self,
        first: &dyn VersionStore,
        current: &Head,
        brought: &mut u64,
    ) -> Result<Option<(String, String)>, Failure> {
        let here = self.store.get(&self.named(&current.name), None).await?;
        let Some((head, body)) = first.get(&current.name, None).await? else { return Ok(None) };
        if let Some((own, content)) = &here
            && *content == body
        {
            return Ok((head.etag == current.etag).then(|| (head.etag, own.etag.clone())));
        }
        let own = self.copy(first, current, here.map(|(own, _)| own.etag)).await?;
        *brought += u64::from(own.is_some());
        Ok(own.map(|own| (current.etag.clone(), own)))
    }

    /// Puts one of the first store's versions on top of what has this etag here; none where that version is gone.
    async fn copy(
        &self,
        first: &dyn VersionStore,
        head: &Head,
        beneath: Option<String>,
    ) -> Result<Option<String>, Failure> {
        let Some((found, body)) = first.get(&head.name, Some(&head.version)).await? else { return Ok(None) };
        let condition = beneath.map_or(Condition::Absent, Condition::Matches);
        let put = Put { name: self.named(&head.name), body, metadata: found.metadata, condition };
        Ok(Some(self.store.put(put).await?.etag))
    }

    async fn current(&self, name: &str) -> Result<Option<Head>, Failure> {
        self.store.head(&self.named(name)).await.map_err(|failure| self.of_this(failure))
    }

    /// Whose failure it is has to be told: the first store may be well.
    fn of_this(&self, failure: Failure) -> Failure {
        let message = format!("target {:?}: {}", self.name, failure.message);
        let alone = "a command can work with the first target alone, by --target first";
        let remedy = if failure.remedy.is_empty() { alone.to_owned() } else { format!("{}; {alone}", failure.remedy) };
        Failure { message, remedy, ..failure }
    }
}

/// What tells a version of a document from its others; none of a record.
pub(crate) fn identity(head: &Head) -> Option<String> {
    Version::from_metadata(&head.metadata).ok().map(|version| version.identity())
}

/// Whether a replica lacks something of a name, by what the first store and it hold of it.
pub(super) fn lacks(versions: &[Head], here: &[Head]) -> bool {
    let of_current = |heads: &[Head]| heads.iter().find(|head| head.current).and_then(identity);
    let is_purged = versions.iter().any(|head| head.current && is_purged(head, mark_of(here)));
    (of_current(versions) != of_current(here) && !is_purged) || !missing(versions, here).is_empty()
}

/// The versions of a name that are not here, oldest first. What is older than all that is here was removed, as lifecycle rules do, and does
/// not come back; nor does what was purged there or here.
fn missing<'a>(versions: &'a [Head], here: &[Head]) -> Vec<&'a Head> {
    let held: HashSet<String> = here.iter().filter_map(identity).collect();
    let is_held = |head: &Head| identity(head).is_none_or(|identity| held.contains(&identity));
    let is_mark = |head: &Head| identity(head).is_some_and(|identity| purged_until(&identity).is_some());
    let purged = versions.iter().rposition(is_mark).unwrap_or_default();
    let first = versions.iter().position(is_held).unwrap_or_default().max(purged);
    let mark = mark_of(here);
    versions[first..].iter().filter(|head| !is_held(head) && !is_purged(head, mark)).collect()
}

/// Up to when the latest purge goes of which these hold the mark.
fn mark_of(heads: &[Head]) -> Option<i64> {
    heads.iter().filter_map(identity).filter_map(|identity| purged_until(&identity)).max()
}

/// Whether a version was committed up to then.
fn is_purged(head: &Head, mark: Option<i64>) -> bool {
    mark.is_some_and(|mark| Version::from_metadata(&head.metadata).is_ok_and(|version| version.ts <= mark))
}

/// All versions under exactly this name, oldest first. One attempt.
async fn versions_of(store: &dyn VersionStore, name: &str) -> Result<Vec<Head>, Failure> {
    let (mut heads, mut next) = (Vec::new(), None);
    loop {
        let page = store.list(name, Listing::Versions, next).await?;
        let (read, before) = (page.heads.len(), heads.len());
        // The name is the least of those that begin with it, so it comes first or not at all.
        heads.extend(page.heads.into_iter().take_while(|head| head.name == name));
        next = page.next;
        if next.is_none() || heads.len() - before < read {
            return Ok(heads);
        }
    }
}
