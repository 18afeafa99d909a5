//! The account's containers and their blobs, in memory.
//!
//! Each container has one lock, held for the look-ups and changes of one request and never across an await.
//! Bodies are shared, not copied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;

use super::acl::AccessPolicy;
use super::conditions::Validators;
use super::content::Metadata;
use super::encryption::ScopeRule;
use super::entry::Entry;
use super::errors::{Error, Result};
use super::lease::Lease;
use super::tags::Tags;
use super::time::{Etag, Stamp};

/// The containers of the account.
#[derive(Debug, Default)]
pub(super) struct Store {
    containers: RwLock<BTreeMap<String, Arc<Mutex<Container>>>>,
}

/// A container with its blobs in the order of their names' bytes.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) etag: Etag,
    pub(super) last_modified: Timestamp,
    pub(super) metadata: Metadata,
    pub(super) scope_rule: ScopeRule,
    pub(super) policies: Vec<AccessPolicy>,
    pub(super) lease: Option<Box<Lease>>,
    pub(super) blobs: BTreeMap<String, Entry>,
    newest: Stamp,
}

impl Container {
    fn new(metadata: Metadata, scope_rule: ScopeRule, now: Timestamp) -> Self {
        let newest = Stamp::after(Stamp::zero(), now);
        Self {
            etag: Etag(newest),
            last_modified: now,
            metadata,
            scope_rule,
            policies: Vec::new(),
            lease: None,
            blobs: BTreeMap::new(),
            newest,
        }
    }

    /// What conditions on the container compare with.
    pub(super) fn validators(&self) -> Validators<'static> {
        Validators { etag: self.etag, last_modified: self.last_modified, tags: Tags::none() }
    }

    /// Notes a change of the container itself.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.etag = Etag(self.stamp(now));
        self.last_modified = now;
    }

    /// The stamp that the next write will get. Refused requests use up none, so that a journal, which holds only the
    /// others, leads to the same stamps.
    pub(super) fn upcoming(&self, now: Timestamp) -> Stamp {
        Stamp::after(self.newest, now)
    }

    /// A stamp later than all before it in this container.
    pub(super) fn stamp(&mut self, now: Timestamp) -> Stamp {
        self.newest = Stamp::after(self.newest, now);
        self.newest
    }

    /// Looks at a blob, after dropping what its retention no longer keeps.
    pub(super) fn entry(&mut self, name: &str, now: Timestamp) -> Option<&mut Entry> {
        let entry = self.blobs.get_mut(name)?;
        entry.purge(now);
        if entry.is_empty() {
            self.blobs.remove(name);
            return None;
        }
        self.blobs.get_mut(name)
    }
}

impl Store {
    /// Creates a container.
    pub(super) fn create(
        &self,
        name: &str,
        metadata: Metadata,
        scope_rule: ScopeRule,
        now: Timestamp,
    ) -> Result<Validators<'static>> {
        let mut containers = self.containers.write().unwrap_or_else(PoisonError::into_inner);
        if containers.contains_key(name) {
            return Err(Error::ContainerAlreadyExists);
        }
        let container = Container::new(metadata, scope_rule, now);
        let validators = container.validators();
        containers.insert(name.to_owned(), Arc::new(Mutex::new(container)));
        Ok(validators)
    }

    /// Deletes a container with all its blobs, if `judge` lets it.
    pub(super) fn delete(&self, name: &str, judge: impl FnOnce(&Container) -> Result<()>) -> Result<()> {
        let mut containers = self.containers.write().unwrap_or_else(PoisonError::into_inner);
        let container = containers.get(name).ok_or(Error::ContainerNotFound)?;
        judge(&lock(container))?;
        containers.remove(name);
        Ok(())
    }

    /// Runs `work` on a container, alone.
    pub(super) fn with<T>(&self, name: &str, work: impl FnOnce(&mut Container) -> Result<T>) -> Result<T> {
        let container = {
            let containers = self.containers.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(containers.get(name).ok_or(Error::ContainerNotFound)?)
        };
        work(&mut lock(&container))
    }

    /// The names of all containers, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.containers.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Up to `max` containers from `from` on whose names begin with `prefix`, as `view` sees them, and the name
    /// after them.
    pub(super) fn page<T>(
        &self,
        prefix: &str,
        from: &str,
        max: usize,
        view: impl Fn(&str, &Container) -> T,
    ) -> (Vec<T>, Option<String>) {
        let containers = self.containers.read().unwrap_or_else(PoisonError::into_inner);
        let start = prefix.max(from).to_owned();
        let mut matching = containers.range(start..).take_while(|(name, _)| name.starts_with(prefix));
        let page = matching.by_ref().take(max).map(|(name, container)| view(name, &lock(container))).collect();
        (page, matching.next().map(|(name, _)| name.clone()))
    }
}

/// A poisoned lock means a bug elsewhere; the state under it is whole after every step, so it stays usable.
fn lock(container: &Mutex<Container>) -> MutexGuard<'_, Container> {
    container.lock().unwrap_or_else(PoisonError::into_inner)
}
