//! Listing in the order of names.
//!
//! The order of whole names is not that of directories: `a`, `a-b`, `a.b`, `a/b` is right, although `a` and `a/b` share a
//! directory. So each subdirectory counts twice among its siblings: as the object `a`, and as the names that begin with
//! `a/`; sorting both kinds by their bytes gives the order of whole names.
//!
//! A page ends after a number of versions and names the last one; the next page walks down to it again, past everything
//! before it. Memory holds one page and the entries of the directories on the way down.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use super::read::for_each_entry;
use super::{Shared, file, head_of, names};
use crate::failure::{Failure, Kind};
use crate::store::{Head, Listing, Page, too_many_folders};

impl Shared {
    pub(super) fn list(&self, prefix: &str, listing: Listing, next: Option<&str>) -> Result<Page, Failure> {
        let after = next.map(Place::parse).transpose()?;
        self.check_root()?;
        let mut walk = Walk { prefix, listing, after, items_max: self.page_items_max, page: Page::default() };
        walk.directory(&self.root, "").map(|_| walk.page)
    }

    /// Directories that hold others beneath `prefix`, which is empty or ends with a slash. One that holds versions alone is an object.
    pub(super) fn folders(&self, prefix: &str, count_max: usize) -> Result<Vec<String>, Failure> {
        self.check_root()?;
        let directory = match prefix.strip_suffix('/') {
            Some(name) => names::object_directory(&self.root, name)?,
            None => self.root.clone(),
        };
        let mut folders = Vec::new();
        for component in subdirectories(&directory)? {
            if is_folder(&directory.join(names::physical(&component).as_ref()))? {
                folders.push(component);
            }
            if folders.len() > count_max {
                return Err(too_many_folders(prefix, count_max));
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }
}

/// Whether a directory is only an object's: its versions are all that is in it.
fn is_folder(directory: &Path) -> Result<bool, Failure> {
    let mut inner = false;
    for_each_entry(directory, |entry, kind| inner |= kind.is_dir() && names::logical(entry).is_some())?;
    Ok(inner)
}

/// The last version of a page, as the next page is asked for.
struct Place {
    sequence: u64,
    name: String,
}

impl Place {
    fn parse(token: &str) -> Result<Self, Failure> {
        token
            .split_once(':')
            .and_then(|(sequence, name)| Some(Self { sequence: sequence.parse().ok()?, name: name.to_owned() }))
            .ok_or_else(|| Failure::new(Kind::Internal, format!("{token:?} is not where a page of a listing ended")))
    }
}

struct Walk<'a> {
    prefix: &'a str,
    listing: Listing,
    after: Option<Place>,
    items_max: usize,
    page: Page,
}

/// Broken off when the page is full.
type Flow = Result<ControlFlow<()>, Failure>;

impl Walk<'_> {
    /// Lists what is in and under `physical`; all its names begin with `logical`, which is empty or ends with a slash.
    fn directory(&mut self, physical: &Path, logical: &str) -> Flow {
        let only = self.prefix.strip_prefix(logical).and_then(|rest| rest.split_once('/'));
        let components = match only {
            // The prefix leaves one way down. It may hold anything; what no object's name holds leads nowhere.
            Some((component, _)) => names::is_component(component).then(|| component.to_owned()).into_iter().collect(),
            None => subdirectories(physical)?,
        };
        let mut steps: Vec<(String, &str)> = Vec::with_capacity(components.len() * 2);
        for component in &components {
            let name = format!("{logical}{component}");
            let below = format!("{name}/");
            if self.wants_below(&below) {
                steps.push((below, component));
            }
            if self.wants(&name) {
                steps.push((name, component));
            }
        }
        steps.sort_unstable();

        let mut leaves: HashSet<&str> = HashSet::new();
        for (step, component) in steps {
            let path = physical.join(names::physical(component).as_ref());
            let flow = if step.ends_with('/') {
                if leaves.contains(component) {
                    continue;
                }
                self.directory(&path, &step)?
            } else {
                let (flow, is_leaf) = self.object(&path, &step)?;
                if is_leaf {
                    leaves.insert(component);
                }
                flow
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn wants(&self, name: &str) -> bool {
        name.starts_with(self.prefix) && self.after.as_ref().is_none_or(|after| name >= after.name.as_str())
    }

    fn wants_below(&self, below: &str) -> bool {
        let under_prefix = below.starts_with(self.prefix) || self.prefix.starts_with(below);
        under_prefix
            && self.after.as_ref().is_none_or(|after| below > after.name.as_str() || after.name.starts_with(below))
    }

    /// Lists the versions of one object; also tells whether nothing can be below it.
    fn object(&mut self, path: &Path, name: &str) -> Result<(ControlFlow<()>, bool), Failure> {
        let mut sequences = Vec::new();
        let mut is_leaf = true;
        for_each_entry(path, |entry, kind| {
            if kind.is_file() {
                sequences.extend(names::sequence_of(entry));
            } else {
                is_leaf = false;
            }
        })?;
        sequences.sort_unstable();
        let newest = sequences.last().copied();
        let listed = self.after.as_ref().filter(|after| after.name == name).map(|after| after.sequence);
        for sequence in sequences {
            let current = Some(sequence) == newest;
            let wanted = match self.listing {
                Listing::Versions => listed.is_none_or(|listed| sequence > listed),
                Listing::Current => listed.is_none() && current,
            };
            if wanted && self.version(path, name, sequence, current)?.is_break() {
                return Ok((ControlFlow::Break(()), is_leaf));
            }
        }
        Ok((ControlFlow::Continue(()), is_leaf))
    }

    fn version(&mut self, path: &Path, name: &str, sequence: u64, current: bool) -> Flow {
        if self.page.heads.len() == self.items_max {
            self.page.next = self.page.heads.last().map(token);
            return Ok(ControlFlow::Break(()));
        }
        if let Some(found) = file::describe(&path.join(names::version_file(sequence)))? {
            self.page.heads.push(head_of(name, sequence, current, found.length, found.metadata));
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn token(head: &Head) -> String {
    format!("{}:{}", head.version, head.name)
}

fn subdirectories(directory: &Path) -> Result<Vec<String>, Failure> {
    let mut components = Vec::new();
    for_each_entry(directory, |entry, kind| {
        if kind.is_dir() {
            components.extend(names::logical(entry).map(str::to_owned));
        }
    })?;
    Ok(components)
}
