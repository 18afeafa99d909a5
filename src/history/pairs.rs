//! Two listings side by side: of each name what either of them holds under it.

use std::cmp::Ordering;

use futures::stream::{BoxStream, try_unfold};
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use super::groups::groups;
use crate::failure::Failure;
use crate::store::{Head, Listing, VersionStore};

/// One of the two listings: what is under a prefix.
struct Side<'a> {
    groups: BoxStream<'a, Result<Vec<Head>, Failure>>,
    prefix: String,
    /// What comes next; none before it was read, and at the end.
    next: Option<Vec<Head>>,
}

impl<'a> Side<'a> {
    fn new(store: &'a dyn VersionStore, prefix: String, listing: Listing) -> Self {
        Self { groups: groups(store, prefix.clone(), listing).boxed(), prefix, next: None }
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        if self.next.is_none() {
            self.next = self.groups.try_next().await?;
        }
        Ok(())
    }

    /// The name that comes next, without the prefix.
    fn name(&self) -> Option<&str> {
        let name = self.next.as_ref()?.first()?.name.as_str();
        name.strip_prefix(self.prefix.as_str())
    }
}

/// What both sides hold under a name; nothing where one lacks it.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The name without the prefix.
    pub(crate) name: String,
    /// The versions of the one side, oldest first.
    pub(crate) left: Vec<Head>,
    /// Those of the other.
    pub(crate) right: Vec<Head>,
}

/// The versions under a prefix of one store beside those under a prefix of another, name by name. Memory holds a few pages of each.
pub(crate) fn pairs<'a>(
    left: (&'a dyn VersionStore, String),
    right: (&'a dyn VersionStore, String),
    listing: Listing,
) -> impl Stream<Item = Result<Pair, Failure>> + 'a {
    let sides = (Side::new(left.0, left.1, listing), Side::new(right.0, right.1, listing));
    try_unfold(sides, |(mut left, mut right)| async move {
        left.fetch().await?;
        right.fetch().await?;
        let order = match (left.name(), right.name()) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.cmp(right),
        };
        let name = if order.is_le() { left.name() } else { right.name() };
        let name = name.unwrap_or_default().to_owned();
        let own = if order.is_le() { left.next.take() } else { None };
        let other = if order.is_ge() { right.next.take() } else { None };
        let pair = Pair { name, left: own.unwrap_or_default(), right: other.unwrap_or_default() };
        Ok(Some((pair, (left, right))))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::history::memory::MemoryStore;
    use crate::store::{Condition, Put};

    async fn put(store: &MemoryStore, name: &str) {
        let condition = store.head(name).await.unwrap().map_or(Condition::Absent, |head| Condition::Matches(head.etag));
        let put = Put { name: name.to_owned(), body: Bytes::new(), metadata: Default::default(), condition };
        store.put(put).await.unwrap();
    }

    #[tokio::test]
    async fn names_of_both_come_together_and_those_of_one_alone() {
        let (left, right) = (MemoryStore::default(), MemoryStore::default());
        for name in ["x/a", "x/a", "x/b", "x/d", "y/e"] {
            put(&left, name).await;
        }
        for name in ["w/z/b", "w/z/c", "w/z/d", "w/z/d", "w/z/d", "w/z/f"] {
            put(&right, name).await;
        }
        let pairs = pairs((&left, "x/".to_owned()), (&right, "w/z/".to_owned()), Listing::Versions);
        let counted = pairs.map_ok(|Pair { name, left, right }| format!("{name} {} {}", left.len(), right.len()));
        let counted: Vec<String> = counted.try_collect().await.unwrap();
        assert_eq!(counted, ["a 2 0", "b 1 1", "c 0 1", "d 1 3", "f 0 1"]);
    }
}
