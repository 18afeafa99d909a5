//! The exports of a chain side by side: of each document the newest export's line counts.
//!
//! Memory holds one line of each export.

use super::Next;
use super::cursor::{Cursor, Head, Said, Step};
use crate::failure::Failure;

/// The merge of one container's exports, oldest first.
pub(super) struct Merge<'a> {
    /// Each with its line, once it was read; none behind its end.
    exports: Vec<(Cursor<'a>, Option<Head>)>,
    begun: bool,
}

impl<'a> Merge<'a> {
    pub(super) fn new(cursors: Vec<Cursor<'a>>) -> Self {
        Self { exports: cursors.into_iter().map(|cursor| (cursor, None)).collect(), begun: false }
    }

    /// The next document that existed in the end, or that nobody knows of.
    pub(super) async fn next(&mut self) -> Result<Option<Next>, Failure> {
        loop {
            let Some(head) = self.next_head().await? else { return Ok(None) };
            match head.said {
                Said::Put(item) => return Ok(Some(Next::Put(item))),
                Said::LeftOut => return Ok(Some(Next::LeftOut)),
                Said::Gone => {}
            }
        }
    }

    /// The newest line of the document that is next in order.
    async fn next_head(&mut self) -> Result<Option<Head>, Failure> {
        if !std::mem::replace(&mut self.begun, true) {
            for (cursor, head) in &mut self.exports {
                *head = line(cursor).await?;
            }
        }
        let names = self.exports.iter().filter_map(|(_, head)| head.as_ref().map(|head| &head.name));
        let Some(name) = names.min().cloned() else { return Ok(None) };
        let mut newest = None;
        for (cursor, head) in &mut self.exports {
            if head.as_ref().is_some_and(|head| head.name == name) {
                newest = head.take();
                *head = line(cursor).await?;
            }
        }
        Ok(newest)
    }
}

/// The next line that can be used; the others were told when everything was checked.
async fn line(cursor: &mut Cursor<'_>) -> Result<Option<Head>, Failure> {
    loop {
        match cursor.advance().await? {
            Step::Line(head) => return Ok(Some(head)),
            Step::Bad(_) => {}
            Step::End => return Ok(None),
        }
    }
}
