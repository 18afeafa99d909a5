//! The export that another one builds on.
//!
//! Its manifest says whether the two fit together. Of its files only those are read that name documents which it left out; whoever imports the chain checks
//! every byte.

use std::iter::Peekable;
use std::sync::{Mutex, PoisonError};

use cosmirror_formats::export::{ExportFile, ExportedContainer, Line, Manifest, Since};

use super::place::Place;
use super::read::{self, ReadManifest};
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::instant;
use crate::spool::Spool;

/// An earlier export.
pub(crate) struct Base {
    what: String,
    read: ReadManifest,
    /// For each container the names of the documents that were left out, in order. They wait on disk.
    left_out: Vec<Mutex<Spool<String>>>,
}

impl Base {
    /// Opens the export in `place`, which must be whole.
    pub(crate) async fn open(place: &dyn Place) -> Result<Self, CommandError> {
        let what = place.describe("");
        let Some(read) = read::manifest(place).await? else {
            let message = format!("there is no export in {what}");
            return Err(CommandError::new(Exit::NotFound, message, "name the place of an earlier export with --since"));
        };
        let present = place.names().await?;
        let mut left_out = Vec::new();
        for container in &read.manifest.containers {
            let mut names = Spool::new()?;
            for file in &container.files {
                if !present.contains(&file.name) {
                    let message = format!("{} is missing", place.describe(&file.name));
                    let remedy = "name a whole export with --since, or make a full one";
                    return Err(CommandError::new(Exit::Integrity, message, remedy));
                }
                if file.counts.left_out() > 0 {
                    names_left_out(place, file, &read.manifest, &mut names).await?;
                }
            }
            left_out.push(Mutex::new(names));
        }
        Ok(Self { what, read, left_out })
    }

    /// Its containers as `database/container`, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let containers = self.read.manifest.containers.iter();
        containers.map(|container| format!("{}/{}", container.database, container.container)).collect()
    }

    /// Its instant.
    pub(crate) fn at(&self) -> i64 {
        self.read.manifest.at
    }

    /// Whether it was told what to take for states that were not known. Its files do not say for which documents it did.
    pub(super) fn took_sides(&self) -> bool {
        let Manifest { uncertain, unknown, .. } = &self.read.manifest;
        uncertain.is_some() || unknown.is_some()
    }

    /// How an export that builds on it names it.
    pub(crate) fn since(&self) -> Since {
        let ReadManifest { manifest, sha256 } = &self.read;
        Since { id: manifest.id.clone(), at: manifest.at, sha256: sha256.clone() }
    }

    /// The ids of it and of all beneath it.
    pub(crate) fn chain(&self) -> Vec<String> {
        let manifest = &self.read.manifest;
        manifest.chain.iter().chain([&manifest.id]).cloned().collect()
    }

    /// Refuses to be built on by an export of other containers, or of no later instant.
    pub(crate) fn require_fits(&self, at: i64, containers: &[ExportedContainer]) -> Result<(), CommandError> {
        let refused = |why: String, remedy: &str| {
            let message = format!("this export cannot build on the one in {}: {why}", self.what);
            Err(CommandError::new(Exit::Usage, message, remedy))
        };
        let own = &self.read.manifest;
        if at <= own.at {
            let why = format!("that is of {}, which is not before {}", instant(own.at), instant(at));
            return refused(why, "ask for a later instant with --at");
        }
        if own.containers.len() != containers.len() {
            let why = format!("that has {} containers, and this one has {}", own.containers.len(), containers.len());
            return refused(why, "leave --source out to take the same containers");
        }
        match own.containers.iter().zip(containers).find_map(|(own, container)| other(own, container)) {
            Some(why) => refused(why, "make a full export, without --since"),
            None => Ok(()),
        }
    }

    /// The documents of one of its containers that it left out.
    pub(super) fn left_out(&self, container: usize) -> Result<LeftOut, Failure> {
        let spool = self.left_out.get(container);
        let names = spool.map(|spool| spool.lock().unwrap_or_else(PoisonError::into_inner).read()).transpose()?;
        let names: Box<dyn Iterator<Item = _> + Send> = match names {
            Some(names) => Box::new(names),
            None => Box::new(std::iter::empty()),
        };
        Ok(LeftOut(names.peekable()))
    }
}

/// Why a container is not the one that was exported.
fn other(own: &ExportedContainer, container: &ExportedContainer) -> Option<String> {
    let name = format!("{}/{}", container.database, container.container);
    let facts = |of: &ExportedContainer| (of.database.clone(), of.container.clone());
    if facts(own) != facts(container) {
        return Some(format!("it has {}/{} where this one has {name}", own.database, own.container));
    }
    if own.account.trim_end_matches('/') != container.account.trim_end_matches('/') {
        return Some(format!("{name} was of the account {} and is of {}", own.account, container.account));
    }
    let rids = |of: &ExportedContainer| of.generations.iter().map(|life| life.rid.clone()).collect::<Vec<_>>();
    if own.generations.is_empty() || !rids(container).starts_with(&rids(own)) {
        return Some(format!("the mirror of {name} is another one"));
    }
    if own.key_paths() != container.key_paths() {
        let [theirs, ours] = [own, container].map(|of| of.key_paths().join(", "));
        return Some(format!("the partition key of {name} was {theirs} and is {ours}"));
    }
    (own.prefix != container.prefix).then(|| format!("the names in the mirror of {name} begin otherwise"))
}

async fn names_left_out(
    place: &dyn Place,
    file: &ExportFile,
    manifest: &Manifest,
    names: &mut Spool<String>,
) -> Result<(), Failure> {
    let what = place.describe(&file.name);
    read::check(read::open(place, file).await?, &what, file)?;
    let mut lines = read::lines(read::open(place, file).await?, &what, manifest.compression)?;
    loop {
        let number = lines.number() + 1;
        let faulty = |why: &dyn std::fmt::Display| {
            Failure::new(Kind::Integrity, format!("line {number} of {what} cannot be used: {why}"))
                .remedy("make a full export, without --since")
        };
        let Some(text) = lines.next().map_err(|error| faulty(&error))? else { return Ok(()) };
        if let Line::Unknown(unknown) = Line::of_text(text).map_err(|error| faulty(&error))? {
            names.push(&unknown.name)?;
        }
    }
}

/// Names in order, to be asked about in order.
pub(super) struct LeftOut(Peekable<Box<dyn Iterator<Item = Result<String, Failure>> + Send>>);

impl LeftOut {
    /// Whether this name is among them; names before it are passed over for good.
    pub(super) fn holds(&mut self, name: &str) -> Result<bool, Failure> {
        while let Some(next) = self.0.next_if(|next| next.as_ref().map_or(true, |next| next.as_str() <= name)) {
            if next? == name {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
