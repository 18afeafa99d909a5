//! Which documents a restore is about.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cosmirror_formats::PartitionKey;
use cosmirror_formats::blob_name::{COMPONENT_CHARS_MAX, NAME_CHARS_MAX};

use super::execute::blocking;
use super::ids::{self, Named};
use crate::failure::{CommandError, Failure};
use crate::history::{DocumentHistory, MirrorReader};
use crate::spool::Spool;

/// Documents that a file names. They wait on disk.
#[derive(Debug)]
pub struct List {
    file: String,
    documents: Mutex<Spool<Named>>,
}

impl List {
    /// Reads them from their first.
    pub(super) fn documents(&self) -> Result<impl Iterator<Item = Result<Named, Failure>> + Send + use<>, Failure> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).read()
    }
}

/// A choice of documents.
#[derive(Debug, Clone)]
pub enum Selection {
    /// One.
    Document {
        /// Its partition key.
        key: PartitionKey,
        /// Its id.
        id: String,
    },
    /// Those that a file names.
    Listed(Arc<List>),
    /// All of a partition key, or of the first components of a hierarchical one.
    Key(PartitionKey),
    /// All whose blobs' names begin with this.
    Prefix(String),
    /// All.
    All,
}

impl Selection {
    /// The documents that a file names, one by one; `-` is standard input. A line that names none is an error.
    pub async fn listed(mirror: &MirrorReader, file: &Path) -> Result<Self, CommandError> {
        let paths = mirror.record.generations.last().map(|life| life.partition_key_paths.clone()).unwrap_or_default();
        let name = file.display().to_string();
        let file = file.to_owned();
        // Standard input may keep its reader waiting; a signal must be heard meanwhile.
        let read = blocking(move || ids::read(&file, &paths)).await?;
        Ok(Self::Listed(Arc::new(List { file: name, documents: Mutex::new(read) })))
    }

    /// The documents whose blobs' names begin with `path` beneath the container's folder of documents; whole names are taken too.
    pub fn prefix_of(mirror: &MirrorReader, path: &str) -> Self {
        let (path, documents) = (path.trim_start_matches('/'), mirror.paths.documents());
        let whole = path.starts_with(&documents) || documents.strip_suffix('/') == Some(path);
        Self::Prefix(if whole { path.to_owned() } else { format!("{documents}{path}") })
    }

    /// A prefix of the names of all documents in it; other documents may share it.
    pub(super) fn prefix(&self, mirror: &MirrorReader) -> String {
        match self {
            Self::Document { key, id } => mirror.paths.document(key, id),
            Self::Key(key) => {
                let prefix = mirror.paths.documents_of_key(key);
                let levels = mirror.record.generations.last().map_or(1, |life| life.partition_key_paths.len());
                let components = levels.saturating_sub(key.0.len()) + 1;
                let longest = prefix.len() + components * (COMPONENT_CHARS_MAX + 1) + ".json".len();
                // Names over the limit are made of hashes alone, so such documents are elsewhere.
                if longest > NAME_CHARS_MAX { mirror.paths.documents() } else { prefix }
            }
            Self::Prefix(prefix) => prefix.clone(),
            Self::Listed(_) | Self::All => mirror.paths.documents(),
        }
    }

    /// Whether a document is in it.
    pub(super) fn contains(&self, mirror: &MirrorReader, document: &DocumentHistory) -> bool {
        match self {
            Self::Document { key, id } => document.key == *key && document.id == *id,
            Self::Key(key) => document.key.0.starts_with(&key.0),
            Self::Prefix(prefix) => mirror.paths.document(&document.key, &document.id).starts_with(prefix),
            Self::Listed(_) | Self::All => true,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { key, id } => write!(f, "document {id:?} of partition key {key}"),
            Self::Key(key) => write!(f, "all documents of partition key {key}"),
            Self::Prefix(prefix) => write!(f, "all documents whose names begin with {prefix}"),
            Self::Listed(list) => write!(f, "the documents that {} names", list.file),
            Self::All => f.write_str("all documents"),
        }
    }
}
