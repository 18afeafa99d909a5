//! Changes of which what is known does not tell whether they are stored.

use super::*;

async fn letters(store: &Flaky) -> usize {
    store.list("db/c/_mirror/dead-letters/", Listing::Current, None).await.unwrap().heads.len()
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_not_found_among_too_many_versions_is_kept_and_not_stored_a_second_time() {
    let store = Arc::new(Flaky::new(Vec::new()));
    // Three versions of one second, of which a listing shows two on a page.
    let page = [entry(0, 3, "create"), entry(0, 4, "replace"), entry(0, 5, "replace")];
    write(&writer(&store), &page, &open()).await.unwrap();
    let mut impatient = Arc::into_inner(writer(&store)).unwrap();
    impatient.search_max = 2;
    write_of_another_lineage(&impatient, &[entry(0, 4, "replace")]).await;
    assert_eq!((stored_lsns(&store, 0), letters(&store).await), (vec![3, 4, 5], 0), "found on the first page");
    for _ in 0..2 {
        write_of_another_lineage(&impatient, &[shared(5, 1, "replace")]).await;
        assert_eq!((stored_lsns(&store, 0), letters(&store).await), (vec![3, 4, 5], 1));
    }
    write_of_another_lineage(&writer(&store), &[shared(5, 1, "replace")]).await;
    assert_eq!((stored_lsns(&store, 0), letters(&store).await), (vec![3, 4, 5, 5], 1), "looked for to the end");
}
