//! The comparison itself.

use crate::pair::Pair;
use crate::{account, batch, containers, feed, items, query, ranges, table, topology};

#[tokio::test]
async fn the_two_emulators_differ_only_where_the_document_says_so() {
    let mut pair = Pair::start().await;
    account::ask(&mut pair).await;
    containers::ask(&mut pair).await;
    items::ask(&mut pair).await;
    batch::ask(&mut pair).await;
    query::ask(&mut pair).await;
    ranges::ask(&mut pair).await;
    feed::ask(&mut pair).await;
    topology::ask(&mut pair).await;
    let faults = table::check(&table::rows(table::DOCUMENT), &pair.differences);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let count = format!("{} requests", pair.count());
    assert!(table::DOCUMENT.contains(&count), "the document does not say {count:?}");
    pair.ours.stop().await;
}
