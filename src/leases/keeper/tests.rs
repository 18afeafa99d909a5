use cosmirror_formats::Lease;

use super::*;
use crate::config::Start;
use crate::documents::Documents;
use crate::failure::Kind;
use crate::history::memory::{Fault, MemoryDocuments};
use crate::time::HostClock;

const ID: &str = "prefix..0";

fn progress() -> RangeProgress {
    RangeProgress::new("line".to_owned(), 1, Start::Beginning)
}

/// A kept lease, and what it needs to be watched.
struct Scene {
    documents: Arc<MemoryDocuments>,
    store: Arc<LeaseStore>,
    guard: Arc<Guard>,
    progress: watch::Sender<RangeProgress>,
    done: CancellationToken,
    hand_over: CancellationToken,
}

impl Scene {
    async fn set() -> (Self, impl Future<Output = Kept>) {
        let documents = Arc::new(MemoryDocuments::default());
        let shared: Arc<dyn Documents> = Arc::clone(&documents) as Arc<dyn Documents>;
        let store =
            Arc::new(LeaseStore::new(shared, "prefix".to_owned(), &["/id".to_owned()], HostClock::default()).unwrap());
        let mut lease = Lease::from_json(format!(r#"{{"id":"{ID}","LeaseToken":"0"}}"#).as_bytes()).unwrap();
        let owner = Owner::new("me".to_owned());
        owner.mark(&mut lease);
        store.create(&lease).await.unwrap();
        let standing = store.read(ID).await.unwrap().unwrap();
        let owned = Owned { standing, since: Instant::now() };
        let hand_over = CancellationToken::new();
        let settings = config::Leases::default();
        let keeper = Keeper::new(Arc::clone(&store), owner, owned, &settings, hand_over.clone());
        let guard = keeper.guard();
        let (sender, receiver) = watch::channel(progress());
        let done = CancellationToken::new();
        let kept = keeper.keep(receiver, done.clone());
        (Self { documents, store, guard, progress: sender, done, hand_over }, kept)
    }

    async fn lease(&self) -> Lease {
        self.store.read(ID).await.unwrap().unwrap().lease
    }

    fn advance_to(&self, token: &str) {
        self.progress.send_modify(|p| p.position = Some(token.to_owned()));
    }

    /// Time goes by while the follower works.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.guard.alive();
            Self::hang(1).await;
        }
    }

    /// Time goes by while the follower does nothing.
    async fn hang(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Another replica writes into the lease.
    async fn meddle(&self, change: impl FnOnce(&mut Lease)) {
        let mut standing = self.store.read(ID).await.unwrap().unwrap();
        change(&mut standing.lease);
        self.store.replace(&standing.lease, &standing.etag).await.unwrap();
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
        scene.pass(6).await;
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
        scene.pass(6).await;
        let before = scene.documents.writes();
        for seconds in 0..11 {
            scene.progress.send_modify(|p| p.raise_watermark(seconds));
            scene.pass(1).await;
        }
        assert_eq!(scene.documents.writes(), before);
        scene.pass(6).await;
        assert_eq!(scene.documents.writes(), before + 1);
        assert_eq!(scene.lease().await.properties["cosmirror.watermark"], "10");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn renewals_keep_the_fence_open_and_without_them_it_closes() {
    play(|scene| async move {
        scene.pass(300).await;
        assert!(scene.guard.is_open());
        for _ in 0..1_000 {
            scene.documents.order(Fault::Fails(Kind::Transient));
        }
        scene.pass(90).await;
        assert!(!scene.guard.is_open());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_found_to_be_ours() {
    let (kept, scene) = play(|scene| async move {
        scene.documents.order(Fault::LosesAnswer);
        scene.advance_to("\"7\"");
        scene.pass(30).await;
        assert!(scene.guard.is_open());
        assert_eq!(scene.lease().await.continuation.as_deref(), Some("\"7\""));
    })
    .await;
    assert_eq!((kept, scene.lease().await.owner), (Kept::Released, None));
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_closes_the_fence_and_is_left_to_its_new_owner() {
    let (kept, scene) = play(|scene| async move {
        scene.meddle(|lease| lease.owner = Some("thief".to_owned())).await;
        scene.advance_to("\"7\"");
        scene.guard.closed().await;
    })
    .await;
    assert_eq!(kept, Kept::Lost);
    assert!(!scene.guard.is_open());
    assert_eq!((scene.lease().await.owner.as_deref(), scene.lease().await.continuation), (Some("thief"), None));
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_the_next_renewal_meets_makes_the_follower_end_and_stays_in_the_released_lease() {
    let asker = Owner::new("asker".to_owned());
    let (kept, scene) = play(|scene| async move {
        scene.meddle(|lease| asker.ask(lease, 4_000, 4_000)).await;
        assert!(!scene.hand_over.is_cancelled());
        scene.advance_to("\"7\"");
        scene.pass(6).await;
        assert!(scene.hand_over.is_cancelled() && scene.guard.is_open());
        scene.advance_to("\"9\"");
    })
    .await;
    assert_eq!(kept, Kept::Released);
    let lease = scene.lease().await;
    assert_eq!((lease.owner.as_deref(), lease.continuation.as_deref()), (None, Some("\"9\"")));
    assert_eq!(lease.properties["cosmirror.wanted"], "asker@4000");
    assert!(!lease.properties.contains_key("cosmirror.process") && !lease.properties.contains_key("cosmirror.renewed"));
}

#[tokio::test(start_paused = true)]
async fn a_namesake_that_took_the_lease_is_another_owner() {
    let namesake = Owner::new("me".to_owned());
    let (kept, scene) = play(|scene| async move {
        scene.meddle(|lease| namesake.mark(lease)).await;
        scene.advance_to("\"7\"");
        scene.guard.closed().await;
    })
    .await;
    assert_eq!((kept, scene.lease().await.continuation), (Kept::Lost, None));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_hangs_is_not_kept_alive_by_renewals() {
    let (kept, scene) = play(|scene| async move {
        scene.pass(100).await;
        let before = scene.documents.writes();
        Scene::hang(200).await;
        let during = scene.documents.writes() - before;
        assert!(during <= 5, "{during} renewals");
        assert!(!scene.guard.is_open());
        // Nobody took the lease in the meantime: the follower goes on where it was.
        scene.pass(2).await;
        assert!(scene.guard.is_open());
    })
    .await;
    assert_eq!(kept, Kept::Released);
    assert_eq!(scene.lease().await.owner, None);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_and_the_last_step_stand_in_the_lease() {
    play(|scene| async move {
        scene.guard.stepped(Some(70));
        scene.guard.failed();
        scene.guard.failed();
        scene.pass(20).await;
        let told = scene.lease().await.properties;
        assert_eq!((&*told["cosmirror.failures"], &*told["cosmirror.progressed"]), ("2", "70"));
        scene.guard.stepped(Some(90));
        scene.pass(20).await;
        let told = scene.lease().await.properties;
        assert!(!told.contains_key("cosmirror.failures"), "{told:?}");
        assert_eq!(told["cosmirror.progressed"], "90");
    })
    .await;
}
