use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::KeyDefinition;
use prometheus_client::metrics::gauge::Gauge;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::admin::Metrics;
use crate::config::Start;
use crate::history::memory::MemoryStore;
use crate::mirror::plan::{Context, plan};
use crate::mirror::window::{Mark, Stream, Window};
use crate::pace::bytes::Budget;
use crate::store::{Head, Page, Stored};

mod encrypted;

/// What happens to a request of a flaky store.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    NotDone,
    AnswerLost,
}

/// A store that fails by a schedule: some requests are not done, of some the answer is lost.
struct Flaky {
    inner: MemoryStore,
    schedule: Mutex<Vec<Fault>>,
}

impl Flaky {
    fn new(mut schedule: Vec<Fault>) -> Self {
        schedule.reverse();
        Self { inner: MemoryStore::default(), schedule: Mutex::new(schedule) }
    }

    async fn through<T>(&self, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let fault = self.schedule.lock().unwrap().pop().unwrap_or(Fault::None);
        match fault {
            Fault::None => request.await,
            Fault::NotDone => Err(Failure::new(Kind::Transient, "not done")),
            Fault::AnswerLost => request.await.and_then(|_| Err(Failure::new(Kind::Transient, "answer lost"))),
        }
    }

    fn heads(&self, name: &str) -> Vec<Head> {
        let mut heads = Vec::new();
        let mut next = None;
        loop {
            let listing = self.inner.list(name, Listing::Versions, next);
            let page = futures::executor::block_on(listing).unwrap();
            heads.extend(page.heads);
            next = page.next;
            if next.is_none() {
                return heads;
            }
        }
    }
}

#[async_trait]
impl VersionStore for Flaky {
    async fn prepare(&self, _create: bool) -> Result<(), Failure> {
        Ok(())
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        self.through(self.inner.put(put)).await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        self.through(self.inner.head(name)).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        self.through(self.inner.get(name, version)).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        self.through(self.inner.list(prefix, listing, next)).await
    }
}

fn context() -> Context {
    Context {
        paths: MirrorPaths::new("", "db", "c"),
        key: KeyDefinition::new(["/pk"]),
        rid: "rid".to_owned(),
        lineage: "line".to_owned(),
        after: None,
        backfill_until: None,
    }
}

fn writer(store: &Arc<Flaky>) -> Arc<Writer> {
    thinning_writer(store, 0)
}

fn thinning_writer(store: &Arc<Flaky>, versions_per_minute_max: u32) -> Arc<Writer> {
    writer_into(Arc::clone(store) as Arc<dyn VersionStore>, versions_per_minute_max)
}

fn writer_into(store: Arc<dyn VersionStore>, versions_per_minute_max: u32) -> Arc<Writer> {
    let metrics = Metrics::new([("db", "c")]).container("db", "c");
    Arc::new(Writer::new(
        store,
        context().paths,
        metrics,
        Requests::new(8, Metrics::new([("db", "c")]).flow()),
        Duration::from_secs(12),
        versions_per_minute_max,
    ))
}

/// Writes a page until it is durable.
async fn write(writer: &Arc<Writer>, entries: &[Bytes], guard: &Arc<Guard>) -> Result<(), Halt> {
    write_as(writer, entries, guard, Some(0), false).await
}

/// The same while not all that existed is stored, or what is stored may have changed unseen.
async fn write_as(
    writer: &Arc<Writer>,
    entries: &[Bytes],
    guard: &Arc<Guard>,
    backfilled: Option<i64>,
    behind_gap: bool,
) -> Result<(), Halt> {
    let mut progress = RangeProgress::new("line".to_owned(), 0, Start::Now);
    progress.backfilled = backfilled;
    progress.gaps.extend(behind_gap.then_some(0));
    let terms = Terms {
        guard: Arc::clone(guard),
        drain: CancellationToken::new(),
        range: EpkRange::full(),
        lineage: "line".to_owned(),
        progress: watch::channel(progress).1,
    };
    let mut window = Window::new(Arc::clone(writer), terms);
    let share = Budget::new(1, Gauge::default()).page().await;
    let mark = Mark::Changes { complete_until: None };
    window.enter(Stream::Followed, "\"1\"".to_owned(), mark, plan(entries, &context()), share);
    while !window.is_stored() {
        window.step().await?;
    }
    window.next_durable().unwrap();
    Ok(())
}

/// Writes one document's changes as they come from a range with another lineage.
async fn write_of_another_lineage(writer: &Writer, entries: &[Bytes]) {
    let other = Context { lineage: "other".to_owned(), ..context() };
    let document = plan(entries, &other).documents.remove(0);
    let terms = Terms {
        guard: open(),
        drain: CancellationToken::new(),
        range: EpkRange::full(),
        lineage: "other".to_owned(),
        progress: watch::channel(RangeProgress::new("other".to_owned(), 0, Start::Now)).1,
    };
    writer.write_document(document, "\"1\"", &terms).await.unwrap();
}

fn open() -> Arc<Guard> {
    Arc::new(Guard::new(Instant::now() + Duration::from_secs(1_000_000)))
}

/// The entries of a source's history: each step changes one of four documents in a way that is possible.
fn entries(steps: &[(u8, u8)]) -> Vec<Bytes> {
    let mut exists = [false; 4];
    let mut entries = Vec::new();
    for (lsn, (document, choice)) in steps.iter().enumerate() {
        let document = usize::from(*document % 4);
        let operation = match (exists[document], choice % 3) {
            (false, _) => "create",
            (true, 0) => "delete",
            (true, _) => "replace",
        };
        exists[document] = operation != "delete";
        entries.push(entry(document, lsn as u64 + 1, operation));
    }
    entries
}

fn entry(document: usize, lsn: u64, operation: &str) -> Bytes {
    let metadata = format!(r#""lsn":{lsn},"crts":{},"operationType":"{operation}""#, 1_000 + lsn / 3);
    let id = format!("d{document}");
    Bytes::from(if operation == "delete" {
        format!(r#"{{"current":{{}},"metadata":{{{metadata},"id":"{id}","partitionKey":["p"]}}}}"#)
    } else {
        let current = format!(r#"{{"id":"{id}","pk":"p","n":{lsn},"_etag":"\"e{lsn}\"","_ts":1}}"#);
        format!(r#"{{"current":{current},"metadata":{{{metadata}}}}}"#)
    })
}

fn stored_lsns(store: &Flaky, document: usize) -> Vec<u64> {
    let name = format!("db/c/documents/p/d{document}.json");
    store.heads(&name).iter().map(|h| Version::from_metadata(&h.metadata).unwrap().lsn.unwrap()).collect()
}

fn expected_lsns(entries: &[Bytes], document: usize) -> Vec<u64> {
    let changes = entries.iter().map(|e| cosmirror_formats::feed_page::parse_change(e, &context().key).unwrap());
    changes.filter(|c| c.id == format!("d{document}")).map(|c| c.lsn.unwrap()).collect()
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![3 => Just(Fault::None), 1 => Just(Fault::NotDone), 1 => Just(Fault::AnswerLost)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Pages are written under faults; now and then the process "crashes": its cache is gone and earlier pages come again.
    #[test]
    fn every_version_is_stored_once_and_in_order_under_faults_and_replays(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 1..40),
        schedule in prop::collection::vec(any_fault(), 0..120),
        page in 1usize..7,
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
                let (writer, guard) = (writer(&store), open());
                for page in &pages[begin..stop] {
                    write(&writer, page, &guard).await.unwrap();
                }
                begin = if stop == 0 { 0 } else { back.index(stop) };
            }
            let (writer, guard) = (writer(&store), open());
            for page in &pages[begin..] {
                write(&writer, page, &guard).await.unwrap();
            }
        });
        for document in 0..4 {
            prop_assert_eq!(stored_lsns(&store, document), expected_lsns(&entries, document));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_version_names_the_one_beneath_it() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let all = [entry(0, 1, "create"), entry(0, 2, "delete"), entry(0, 3, "create")];
    write(&writer(&store), &all, &open()).await.unwrap();
    let heads = store.heads("db/c/documents/p/d0.json");
    let beneath: Vec<_> = heads.iter().map(|h| Version::from_metadata(&h.metadata).unwrap().prev).collect();
    assert_eq!(beneath, [None, Some("\"e1\"".to_owned()), Some("del:line:2".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_stale_owner_never_overwrites_a_newer_version() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let (stale, current) = (writer(&store), writer(&store));
    write(&stale, &[entry(0, 1, "create")], &open()).await.unwrap();
    write(&current, &[entry(0, 2, "replace"), entry(0, 3, "replace")], &open()).await.unwrap();
    // It still believes that version 1 is current.
    write(&stale, &[entry(0, 2, "replace")], &open()).await.unwrap();
    assert_eq!(stored_lsns(&store, 0), [1, 2, 3]);
    assert_eq!(stale.metrics.stale_writes_refused.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_the_lease_may_have_run_out() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let guard = Arc::new(Guard::new(Instant::now() + Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(11)).await;
    let halt = write(&writer(&store), &[entry(0, 1, "create")], &guard).await.unwrap_err();
    assert!(matches!(halt, Halt::Fenced), "{halt:?}");
    assert!(store.inner.names("").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_target_refuses_or_nobody_understands_becomes_a_dead_letter_and_the_page_goes_on() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let writer = writer(&store);
    let unreadable = Bytes::from_static(br#"{"current":{"id":1}}"#);
    write(&writer, &[unreadable.clone(), entry(0, 1, "create")], &open()).await.unwrap();
    store.inner.fail_next(Kind::Refused);
    write(&writer, &[entry(1, 2, "create"), entry(0, 3, "replace")], &open()).await.unwrap();
    assert_eq!(stored_lsns(&store, 0), [1, 3]);
    assert_eq!(store.inner.names("db/c/_mirror/dead-letters/").len(), 2);
    assert_eq!(writer.metrics.dead_letters.get(), 2);
    // A replay of the page finds its dead letter stored.
    write(&writer, &[unreadable], &open()).await.unwrap();
    assert_eq!(store.inner.names("db/c/_mirror/dead-letters/").len(), 2);
}

/// Deletes have no bytes, and those of one transaction share their LSN: their letters had one name, and the second was lost.
#[tokio::test(start_paused = true)]
async fn two_deletes_of_one_transaction_that_the_target_refuses_are_two_dead_letters() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let writer = writer(&store);
    write(&writer, &[entry(0, 1, "create"), entry(1, 1, "create")], &open()).await.unwrap();
    for document in 0..2 {
        store.inner.fail_next(Kind::Refused);
        write(&writer, &[entry(document, 2, "delete")], &open()).await.unwrap();
    }
    assert_eq!(store.inner.names("db/c/_mirror/dead-letters/").len(), 2);
    assert_eq!(writer.metrics.dead_letters.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_in_impossible_order_is_stored_in_a_possible_one() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let writer = writer(&store);
    write(&writer, &[entry(0, 1, "create")], &open()).await.unwrap();
    // One transaction deleted the document and created it anew; the feed gave the create first.
    let create = entry(0, 2, "create");
    write(&writer, &[create, entry(0, 2, "delete")], &open()).await.unwrap();
    let heads = store.heads("db/c/documents/p/d0.json");
    let ops: Vec<Op> = heads.iter().map(|h| Version::from_metadata(&h.metadata).unwrap().op).collect();
    assert_eq!(ops, [Op::Create, Op::Delete, Op::Create]);
}

/// The `n`th of the changes of the first document that share an LSN.
fn shared(lsn: u64, n: usize, operation: &str) -> Bytes {
    let text = String::from_utf8(entry(0, lsn, operation).to_vec()).unwrap();
    Bytes::from(text.replace(&format!("\\\"e{lsn}\\\""), &format!("\\\"e{lsn}-{n}\\\"")))
}

fn stored_ops(store: &Flaky) -> Vec<(u64, Op)> {
    let heads = store.heads("db/c/documents/p/d0.json");
    let versions = heads.iter().map(|head| Version::from_metadata(&head.metadata).unwrap());
    versions.map(|version| (version.lsn.unwrap(), version.op)).collect()
}

const TWO_TRANSACTIONS: [(u64, Op); 6] =
    [(8, Op::Create), (8, Op::Replace), (8, Op::Delete), (9, Op::Create), (9, Op::Replace), (9, Op::Delete)];

/// A daemon died behind the replace of a first transaction that created, replaced and deleted a document. Its successor took the
/// stored state, "exists", for the state before that transaction, and therefore stored the next one's create at its end: a
/// document that was gone stood in the mirror as present.
#[tokio::test(start_paused = true)]
async fn transactions_that_were_stored_in_part_are_completed_in_order() {
    let page: Vec<Bytes> =
        TWO_TRANSACTIONS.iter().enumerate().map(|(n, (lsn, op))| shared(*lsn, n, op.as_str())).collect();
    for stored in 0..=page.len() {
        let store = Arc::new(Flaky::new(Vec::new()));
        write(&writer(&store), &page[..stored], &open()).await.unwrap();
        write(&writer(&store), &page, &open()).await.unwrap();
        assert_eq!(stored_ops(&store), TWO_TRANSACTIONS, "{stored} were stored before");
    }
}

/// An owner that lost its lease and got it back remembers what was current before.
#[tokio::test(start_paused = true)]
async fn a_transaction_is_put_into_order_by_what_is_stored_and_not_by_what_is_remembered() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let (first, second) = (writer(&store), writer(&store));
    write(&first, &[entry(0, 1, "create")], &open()).await.unwrap();
    write(&second, &[entry(0, 2, "delete")], &open()).await.unwrap();
    let page = [shared(3, 0, "create"), shared(3, 1, "replace"), shared(3, 2, "delete")];
    write(&first, &page, &open()).await.unwrap();
    let expected = [(1, Op::Create), (2, Op::Delete), (3, Op::Create), (3, Op::Replace), (3, Op::Delete)];
    assert_eq!(stored_ops(&store), expected);
}

/// A simulated replica was frozen while a put waited for its turn; thawed long after its lease had been taken, it began the put.
#[tokio::test(start_paused = true)]
async fn a_put_that_waited_for_its_turn_until_the_lease_ran_out_is_not_begun() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let shared: Arc<dyn VersionStore> = Arc::clone(&store) as Arc<dyn VersionStore>;
    let metrics = Metrics::new([("db", "c")]).container("db", "c");
    let requests = Requests::new(1, Metrics::new([("db", "c")]).flow());
    let writer =
        Arc::new(Writer::new(shared, context().paths, metrics, Arc::clone(&requests), Duration::from_secs(12), 0));
    let guard = Arc::new(Guard::new(Instant::now() + Duration::from_secs(10)));
    let busy = async {
        let _turn = requests.turn(Request::Put).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
    };
    let entries = entries(&[(0, 0)]);
    let ((), written) = tokio::join!(busy, write(&writer, &entries, &guard));
    assert!(matches!(written, Err(Halt::Fenced)));
    assert_eq!(stored_lsns(&store, 0), Vec::<u64>::new());
}

mod searching;
mod thinning;
/// Random histories under kills found it: a document that existed before following began, and that the backfill had not stored yet, was
/// deleted and created again in one transaction. Nothing was known of it, so the create was stored first, and the mirror said it was gone.
/// Later they found it again: the backfill, which came to the document behind the transaction, had left it to following, and had ended.
#[tokio::test(start_paused = true)]
async fn a_transaction_on_a_document_that_was_not_read_yet_keeps_its_order() {
    let page = [shared(3, 0, "delete"), shared(3, 1, "create")];
    let at = 1_001;
    for (backfilled, behind_gap, expected) in [
        (None, false, [Op::Delete, Op::Create]),
        (Some(at), false, [Op::Delete, Op::Create]),
        (Some(at - 1), true, [Op::Delete, Op::Create]),
        (Some(at - 1), false, [Op::Create, Op::Delete]),
    ] {
        let store = Arc::new(Flaky::new(Vec::new()));
        write_as(&writer(&store), &page, &open(), backfilled, behind_gap).await.unwrap();
        let ops: Vec<Op> = stored_ops(&store).into_iter().map(|(_, op)| op).collect();
        assert_eq!(ops, expected, "{backfilled:?} {behind_gap}");
    }
}

/// A document was deleted in a gap, and nothing of it is there any more when a transaction creates and deletes it again.
#[tokio::test(start_paused = true)]
async fn behind_a_gap_a_transaction_is_not_arranged_by_what_was_stored_before() {
    let store = Arc::new(Flaky::new(Vec::new()));
    let writer = writer(&store);
    write(&writer, &[entry(0, 1, "create")], &open()).await.unwrap();
    let page = [shared(3, 0, "create"), shared(3, 1, "delete")];
    for _ in 0..2 {
        write_as(&writer, &page, &open(), Some(0), true).await.unwrap();
    }
    assert_eq!(stored_ops(&store), [(1, Op::Create), (3, Op::Create), (3, Op::Delete)]);
}
