//! Removing versions: their files. Nothing holds them, and nothing brings them back.

use std::fs;
use std::io;

use async_trait::async_trait;

use super::durable::sync_directory;
use super::names;
use super::{DirectoryStore, Shared, errors};
use crate::failure::Failure;
use crate::store::{Erased, Eraser, Left, Listing, Shape};

impl Shared {
    fn left(&self, name: &str) -> Result<Vec<Left>, Failure> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let page = self.list(name, Listing::Versions, next.as_deref())?;
            // The name is the least of those that begin with it.
            let through = page.heads.last().is_some_and(|last| last.name != name);
            all.extend(page.heads.into_iter().filter(|head| head.name == name));
            next = page.next;
            if next.is_none() || through {
                break;
            }
        }
        let left = all.into_iter().map(|head| Left {
            name: head.name,
            shape: if head.current { Shape::Current } else { Shape::Version(head.version.clone()) },
            length: head.length,
            metadata: head.metadata,
            hold: None,
            deleted: false,
            gone_by: None,
        });
        Ok(left.collect())
    }

    fn erase(&self, left: &Left) -> Result<Erased, Failure> {
        let directory = names::object_directory(&self.root, &left.name)?;
        let sequence = match &left.shape {
            Shape::Version(sequence) | Shape::Snapshot(sequence) => sequence.parse().ok(),
            Shape::Current => self.sequences(&directory)?.into_iter().max(),
        };
        if let Some(sequence) = sequence {
            let path = directory.join(names::version_file(sequence));
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| errors::writing(&path, &error))?,
            }
            sync_directory(&directory)?;
        }
        Ok(Erased::Deleted)
    }
}

#[async_trait]
impl Eraser for DirectoryStore {
    async fn left(&self, name: &str) -> Result<Vec<Left>, Failure> {
        let name = name.to_owned();
        self.blocking(move |shared| shared.left(&name)).await
    }

    async fn erase(&self, left: &Left) -> Result<Erased, Failure> {
        let left = left.clone();
        self.blocking(move |shared| shared.erase(&left)).await
    }
}
