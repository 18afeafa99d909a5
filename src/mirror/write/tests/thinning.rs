//! What is left out of documents that change too often, and how their versions tell of it.

use super::*;

fn versions(store: &Flaky, document: usize) -> Vec<Version> {
    let heads = store.heads(&format!("db/c/documents/p/d{document}.json"));
    heads.iter().map(|head| Version::from_metadata(&head.metadata).unwrap()).collect()
}

/// Between two versions of a document as many of its changes are missing as the later one says, and the last one is there.
fn assert_omissions_are_told(store: &Flaky, entries: &[Bytes], document: usize) {
    let lsns = expected_lsns(entries, document);
    let versions = versions(store, document);
    assert_eq!(versions.last().and_then(|version| version.lsn), lsns.last().copied());
    let mut beneath = 0;
    for version in versions {
        let lsn = version.lsn.unwrap();
        let between: Vec<u64> = lsns.iter().copied().filter(|between| (beneath + 1..lsn).contains(between)).collect();
        assert!(lsns.contains(&lsn) && lsn > beneath, "{lsn} on {beneath}");
        assert_eq!(version.omitted.unwrap_or(0) as usize, between.len(), "beneath {lsn}");
        let held = between.first().map(|first| 1_000 + i64::try_from(first / 3).unwrap() - 1);
        assert_eq!(version.after, held);
        beneath = lsn;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// As with every version, pages are written under faults and by processes that crash; what they remember of rates is gone then.
    #[test]
    fn the_last_state_is_stored_and_what_is_left_out_is_counted_exactly_under_faults_and_replays(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 1..40),
        schedule in prop::collection::vec(any_fault(), 0..120),
        page in 1usize..9,
        max in 1u32..4,
        crashes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
    ) {
        let entries = entries(&steps);
        let pages: Vec<&[Bytes]> = entries.chunks(page).collect();
        let store = Arc::new(Flaky::new(schedule));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut begin = 0;
            for (stop, back) in crashes {
                let stop = begin + stop.index(pages.len() - begin + 1);
                let (writer, guard) = (thinning_writer(&store, max), open());
                for page in &pages[begin..stop] {
                    write(&writer, page, &guard).await.unwrap();
                }
                begin = if stop == 0 { 0 } else { back.index(stop) };
            }
            let (writer, guard) = (thinning_writer(&store, max), open());
            for page in &pages[begin..] {
                write(&writer, page, &guard).await.unwrap();
            }
        });
        for document in 0..4 {
            assert_omissions_are_told(&store, &entries, document);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_which_only_the_last_change_was_kept_is_recognised_when_it_comes_again() {
    let store = Arc::new(Flaky::new(Vec::new()));
    write(&writer(&store), &[entry(0, 1, "create")], &open()).await.unwrap();
    let page = [shared(2, 0, "replace"), shared(2, 1, "delete"), shared(2, 2, "create"), shared(2, 3, "delete")];
    let writer = thinning_writer(&store, 1);
    write(&writer, &page, &open()).await.unwrap();
    assert_eq!(stored_ops(&store), [(1, Op::Create), (2, Op::Delete)]);
    let last = versions(&store, 0).remove(1);
    assert_eq!((last.omitted, last.nth, last.after), (Some(3), Some(2), Some(999)));
    assert_eq!(writer.metrics.versions_left_out.get(), 3);
    for again in [thinning_writer(&store, 1), super::writer(&store), writer] {
        write(&again, &page, &open()).await.unwrap();
        assert_eq!(stored_ops(&store), [(1, Op::Create), (2, Op::Delete)]);
    }
}

/// A merge gives a range a new lineage, which tells nothing of the order of what was stored before: within one second only the identity
/// does, and what was left out has none in the mirror.
#[tokio::test(start_paused = true)]
async fn what_was_left_out_is_recognised_by_the_version_above_it_where_the_lineage_is_another() {
    let store = Arc::new(Flaky::new(Vec::new()));
    write(&writer(&store), &[entry(0, 1, "create")], &open()).await.unwrap();
    let page = [entry(0, 3, "replace"), entry(0, 4, "replace"), entry(0, 5, "replace")];
    write(&thinning_writer(&store, 1), &page, &open()).await.unwrap();
    write_of_another_lineage(&writer(&store), &page).await;
    assert_eq!(stored_lsns(&store, 0), [1, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_document_of_a_thousand_versions_is_counted_as_hot_once() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let writer = writer(&store);
    let page: Vec<Bytes> = (0..1_100).map(|n| entry(0, n + 1, if n == 0 { "create" } else { "replace" })).collect();
    write(&writer, &page, &open()).await.unwrap();
    assert_eq!(writer.metrics.hot_documents.get(), 1);
    assert_eq!(writer.metrics.versions_left_out.get(), 0);
}
