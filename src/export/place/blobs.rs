//! An export in blobs: each file one blob beneath a prefix.
//!
//! A file grows in an unnamed temporary file and is put as a whole, on the condition that nobody has put it since this process looked first; a put whose
//! answer was lost is known by its bytes. So a process that was overtaken cannot alter what another one has finished. Nothing is deleted, because no right to that is needed: beside `manifest.json` an unfinished manifest means nothing. Whoever else puts to the same
//! prefix meanwhile is found by the etag of the unfinished manifest.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::export::MANIFEST;

use super::{Place, Staged};
use crate::failure::{Failure, Kind};
use crate::retry::persist;
use crate::spool::unusable;
use crate::store::{Condition, Head, Listing, Put, VersionStore};

/// Names listed at most; an export has one for each of its files.
const NAMES_MAX: usize = 1_000_000;

/// A prefix of a blob container.
pub(crate) struct Blobs {
    store: Arc<dyn VersionStore>,
    /// How messages name it.
    url: String,
    /// What names begin with, a slash at its end; empty for the whole container.
    prefix: String,
    /// The etags of what was there when it was looked at first, and of what this process read or put. Nothing else is put anew.
    etags: Mutex<BTreeMap<String, String>>,
}

impl Blobs {
    /// The blobs beneath `prefix`.
    pub(crate) fn new(store: Arc<dyn VersionStore>, url: String, prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_end_matches('/')) };
        Self { store, url, prefix, etags: Mutex::default() }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn known(&self, name: &str) -> Option<String> {
        self.etags.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn write(&self, name: &str, body: Bytes) -> Result<(), Failure> {
        let path = self.path(name);
        let condition = match self.known(name) {
            // What is whole is never put anew: exports that build on it name its digest.
            Some(etag) if name != MANIFEST => Condition::Matches(etag),
            _ => Condition::Absent,
        };
        let metadata = [("format".to_owned(), "1".to_owned())].into();
        let put = Put { name: path.clone(), body: body.clone(), metadata, condition };
        let etag = match persist(|| self.store.put(put.clone())).await {
            Ok(stored) => stored.etag,
            Err(failure) if failure.kind == Kind::Conflict => self.own(name, &path, &body).await?,
            Err(failure) => return Err(failure),
        };
        self.etags.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), etag);
        Ok(())
    }

    /// The etag of what is there, if these are its bytes: then an earlier attempt put it.
    async fn own(&self, name: &str, path: &str, body: &Bytes) -> Result<String, Failure> {
        match persist(|| self.store.get(path, None)).await? {
            Some((head, bytes)) if bytes == *body => Ok(head.etag),
            _ => {
                let message = format!("another process writes to {}: {name} was changed", self.url);
                Err(Failure::new(Kind::Held, message).remedy("wait for it, or name another place with --out"))
            }
        }
    }
}

#[async_trait]
impl Place for Blobs {
    fn describe(&self, name: &str) -> String {
        if name.is_empty() { self.url.clone() } else { format!("{}/{name}", self.url) }
    }

    async fn names(&self) -> Result<Vec<String>, Failure> {
        let (mut names, mut next) = (Vec::new(), None);
        loop {
            let page = persist(|| self.store.list(&self.prefix, Listing::Current, next.clone())).await?;
            let mut etags = self.etags.lock().unwrap_or_else(PoisonError::into_inner);
            for Head { name, etag, .. } in page.heads {
                let Some(name) = name.strip_prefix(&self.prefix) else { continue };
                etags.entry(name.to_owned()).or_insert(etag);
                names.push(name.to_owned());
            }
            drop(etags);
            next = page.next;
            if names.len() > NAMES_MAX {
                let message = format!("{} holds more than {NAMES_MAX} blobs", self.url);
                return Err(Failure::new(Kind::Misconfigured, message).remedy("name another prefix"));
            }
            if next.is_none() {
                return Ok(names);
            }
        }
    }

    async fn claim(&mut self) -> Result<(), Failure> {
        // Each put is conditional, so whoever else writes is found by it.
        Ok(())
    }

    fn stage(&self) -> Result<Staged, Failure> {
        tempfile::tempfile().map(Staged::Unnamed).map_err(|error| unusable(&error))
    }

    async fn keep(&self, name: &str, staged: Staged) -> Result<(), Failure> {
        let Staged::Unnamed(mut file) = staged else {
            return Err(Failure::new(Kind::Internal, "a file that was staged elsewhere"));
        };
        let mut body = Vec::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut body));
        read.map_err(|error| unusable(&error))?;
        self.write(name, Bytes::from(body)).await
    }

    async fn put(&self, name: &str, text: &str) -> Result<(), Failure> {
        self.write(name, Bytes::copy_from_slice(text.as_bytes())).await
    }

    async fn remove(&self, _name: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, Failure> {
        let path = self.path(name);
        let Some((head, bytes)) = persist(|| self.store.get(&path, None)).await? else { return Ok(None) };
        self.etags.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), head.etag);
        Ok(Some(Box::new(Cursor::new(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::history::memory::MemoryStore;

    const FILE: &str = "1-000001.ndjson";

    async fn opened(store: &Arc<MemoryStore>) -> Blobs {
        let blobs = Blobs::new(Arc::clone(store) as _, "url".to_owned(), "exports/monday");
        blobs.names().await.unwrap();
        blobs
    }

    async fn kept(blobs: &Blobs, text: &str) -> Result<(), Kind> {
        let mut staged = blobs.stage().unwrap();
        staged.write_all(text.as_bytes()).unwrap();
        blobs.keep(FILE, staged).await.map_err(|failure| failure.kind)
    }

    async fn text(blobs: &Blobs) -> String {
        let mut text = String::new();
        blobs.open(FILE).await.unwrap().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn what_an_interrupted_run_left_is_put_anew() {
        let store = Arc::default();
        kept(&opened(&store).await, "half").await.unwrap();
        let next = opened(&store).await;
        kept(&next, "whole").await.unwrap();
        assert_eq!(text(&next).await, "whole");
    }

    #[tokio::test]
    async fn who_was_overtaken_does_not_alter_what_another_has_finished() {
        let store = Arc::default();
        let overtaken = opened(&store).await;
        let other = opened(&store).await;
        kept(&other, "other").await.unwrap();
        assert_eq!(kept(&overtaken, "own").await, Err(Kind::Held));
        assert_eq!(text(&other).await, "other");
        // The same bytes are the same file.
        kept(&overtaken, "other").await.unwrap();
    }
}
