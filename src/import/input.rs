//! What is imported, whichever of both it is: read once to check it, and once to write it.

use std::collections::VecDeque;

use cosmirror_formats::blob_name::hex;
use futures::stream::{self, BoxStream, StreamExt as _};
use sha2::{Digest as _, Sha256};

use super::bad::BadLines;
use super::chain::Chain;
use super::merge::Merge;
use super::plain::{Documents, Plain, Read};
use super::{LINES_AT_ONCE, Next};
use crate::failure::{CommandError, Failure};

/// Documents to import.
pub(crate) enum Input {
    /// Exports of this program.
    Chain(Chain),
    /// A file of any other.
    Plain(Plain),
}

/// What an input was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// What its bytes are told from others by.
    pub(crate) digest: String,
    /// How many documents it has; of a chain, no more than this.
    pub(crate) documents: u64,
    /// Lines that cannot be used.
    pub(crate) bad: u64,
}

/// What is next, and its place in the input.
type Placed = Result<(u64, Next), CommandError>;

impl Input {
    /// Looks at every byte and every line, and writes nothing but the file of lines that cannot be used.
    pub(crate) async fn check(&self, mut bad: BadLines) -> Result<Checked, CommandError> {
        let mut digest = Sha256::new();
        let documents = match self {
            Self::Chain(chain) => {
                chain.check(&mut bad).await?;
                chain.digests().for_each(|manifest| digest.update(manifest));
                chain.documents_max()
            }
            Self::Plain(plain) => {
                let documents = plain.check(&mut bad).await?;
                digest.update(plain.digest().await?);
                documents
            }
        };
        Ok(Checked { digest: hex(&digest.finalize()), documents, bad: bad.finish()? })
    }

    /// What messages call it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Chain(chain) => chain.describe(),
            Self::Plain(plain) => plain.describe().to_owned(),
        }
    }

    /// Its documents from the first, each with its place in this order, from 0: container by container, as the files have them.
    pub(super) fn documents(&self) -> Result<BoxStream<'_, Placed>, Failure> {
        let from = match self {
            Self::Chain(chain) => From::Chain(chain.cursors().into_iter().map(Merge::new).collect()),
            Self::Plain(plain) => From::Plain(Box::new(plain.documents()?)),
        };
        Ok(stream::try_unfold(Reader { from, read: 0 }, step).boxed())
    }
}

enum From<'a> {
    /// For each container.
    Chain(VecDeque<Merge<'a>>),
    Plain(Box<Documents<'a>>),
}

struct Reader<'a> {
    from: From<'a>,
    read: u64,
}

async fn step(mut reader: Reader<'_>) -> Result<Option<((u64, Next), Reader<'_>)>, CommandError> {
    let next = match &mut reader.from {
        From::Chain(merges) => next_of(merges).await?,
        From::Plain(documents) => next_in(documents)?,
    };
    let place = reader.read;
    reader.read += 1;
    if reader.read.is_multiple_of(LINES_AT_ONCE) {
        tokio::task::yield_now().await;
    }
    Ok(next.map(|next| ((place, next), reader)))
}

async fn next_of(merges: &mut VecDeque<Merge<'_>>) -> Result<Option<Next>, Failure> {
    while let Some(merge) = merges.front_mut() {
        if let Some(next) = merge.next().await? {
            return Ok(Some(next));
        }
        merges.pop_front();
    }
    Ok(None)
}

fn next_in(documents: &mut Documents<'_>) -> Result<Option<Next>, CommandError> {
    loop {
        match documents.next()? {
            Some(Read::Document(item)) => return Ok(Some(Next::Put(item))),
            // It was told when everything was checked.
            Some(Read::Bad(_)) => {}
            None => return Ok(None),
        }
    }
}
