use cosmirror_formats::Lease;

use super::*;
use crate::config::Start;
use crate::documents::Documents;
use crate::failure::Kind;
use crate::history::memory::{Fault, MemoryDocuments};
use crate::time::HostClock;

const ID: &str = "prefix..0";
const RENEW: Duration = Duration::from_secs(17);
const EXPIRATION: Duration = Duration::from_secs(60);

fn progress() -> RangeProgress {
    RangeProgress {
        lineage: "line".to_owned(),
        since: 1,
        start: Start::Beginning,
        position: None,
        backfill: None,
        backfilled: None,
        watermark: None,
    }
}

/// A kept lease, and what it needs to be watched.
struct Scene {
    documents: Arc<MemoryDocuments>,
    store: Arc<LeaseStore>,
    guard: Arc<Guard>,
    progress: watch::Sender<RangeProgress>,
    done: CancellationToken,
}

impl Scene {
    async fn set() -> (Self, impl Future<Output = Kept>) {
        let documents = Arc::new(MemoryDocuments::default());
        let shared: Arc<dyn Documents> = Arc::clone(&documents) as Arc<dyn Documents>;
        let store =
            Arc::new(LeaseStore::new(shared, "prefix".to_owned(), &["/id".to_owned()], HostClock::default()).unwrap());
        let lease = Lease::from_json(format!(r#"{{"id":"{ID}","LeaseToken":"0","Owner":"me"}}"#).as_bytes()).unwrap();
        store.create(&lease).await.unwrap();
        let standing = store.read(ID).await.unwrap().unwrap();
        let keeper = Keeper::new(Arc::clone(&store), Owned { standing, since: Instant::now() }, RENEW, EXPIRATION);
        let guard = keeper.guard();
        let (sender, receiver) = watch::channel(progress());
        let done = CancellationToken::new();
        let kept = keeper.keep(receiver, done.clone());
        (Self { documents, store, guard, progress: sender, done }, kept)
    }

    async fn lease(&self) -> Lease {
        self.store.read(ID).await.unwrap().unwrap().lease
    }

    fn advance_to(&self, token: &str) {
        self.progress.send_modify(|p| p.position = Some(token.to_owned()));
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// Runs the keeper beside a story that ends it.
async fn play<F: Future<Output = ()>>(story: impl FnOnce(Arc<Scene>) -> F) -> (Kept, Arc<Scene>) {
    let (scene, kept) = Scene::set().await;
    let scene = Arc::new(scene);
    let story = async {
        story(Arc::clone(&scene)).await;
        scene.done.cancel();
    };
    let (kept, ()) = tokio::join!(kept, story);
    (kept, scene)
}

#[tokio::test(start_paused = true)]
async fn a_moved_checkpoint_is_saved_within_seconds_and_the_lease_released_at_the_end() {
    let (kept, scene) = play(|scene| async move {
        scene.advance_to("\"7\"");
        Scene::pass(6).await;
        assert_eq!(scene.lease().await.continuation.as_deref(), Some("\"7\""));
        assert_eq!(scene.lease().await.owner.as_deref(), Some("me"));
        scene.advance_to("\"8\"");
    })
    .await;
    assert_eq!(kept, Kept::Released);
    assert_eq!((scene.lease().await.owner, scene.lease().await.continuation), (None, Some("\"8\"".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_watermark_alone_waits_for_the_next_renewal() {
    play(|scene| async move {
        scene.advance_to("\"1\"");
        Scene::pass(6).await;
        let before = scene.documents.writes();
        for seconds in 0..15 {
            scene.progress.send_modify(|p| p.raise_watermark(seconds));
            Scene::pass(1).await;
        }
        assert_eq!(scene.documents.writes(), before);
        Scene::pass(3).await;
        assert_eq!(scene.documents.writes(), before + 1);
        assert_eq!(scene.lease().await.properties["cosmirror.watermark"], "14");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn renewals_keep_the_fence_open_and_without_them_it_closes() {
    play(|scene| async move {
        Scene::pass(300).await;
        assert!(scene.guard.is_open());
        for _ in 0..1_000 {
            scene.documents.order(Fault::Fails(Kind::Transient));
        }
        Scene::pass(90).await;
        assert!(!scene.guard.is_open());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_found_to_be_ours() {
    let (kept, scene) = play(|scene| async move {
        scene.documents.order(Fault::LosesAnswer);
        scene.advance_to("\"7\"");
        Scene::pass(30).await;
        assert!(scene.guard.is_open());
        assert_eq!(scene.lease().await.continuation.as_deref(), Some("\"7\""));
    })
    .await;
    assert_eq!((kept, scene.lease().await.owner), (Kept::Released, None));
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_closes_the_fence_and_is_left_to_its_new_owner() {
    let (kept, scene) = play(|scene| async move {
        let mut stolen = scene.store.read(ID).await.unwrap().unwrap();
        stolen.lease.owner = Some("thief".to_owned());
        scene.store.replace(&stolen.lease, &stolen.etag).await.unwrap();
        scene.advance_to("\"7\"");
        scene.guard.closed().await;
    })
    .await;
    assert_eq!(kept, Kept::Lost);
    assert!(!scene.guard.is_open());
    assert_eq!((scene.lease().await.owner.as_deref(), scene.lease().await.continuation), (Some("thief"), None));
}
