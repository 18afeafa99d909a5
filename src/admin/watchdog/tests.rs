use std::sync::mpsc;

use tokio::sync::Mutex as TaskMutex;
use tokio::time::{advance, sleep, timeout};

use super::*;

/// Far more than a machine under load needs for what takes milliseconds.
const LIMIT: Duration = Duration::from_secs(60);
const QUIET_MAX: Duration = Duration::from_secs(330);

/// Waits, on this thread, until a loop is stuck, and gives how.
fn stuck(watchdog: &Watchdog) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let stuck = watchdog.stuck();
        if !stuck.is_empty() {
            return stuck;
        }
        assert!(begun.elapsed() < LIMIT);
        std::thread::yield_now();
    }
}

/// A runtime of one thread, which a loop can hold up.
fn on_one_thread(work: impl Future<Output = ()> + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work))
}

#[test]
fn a_loop_that_does_not_come_back_from_a_step_is_stuck_until_it_does() {
    let watchdog = Watchdog::with_limit(Duration::from_millis(20));
    let (release, held) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    // As a loop without end, or a lock that a thread waits for.
    let work = watchdog.watch("shop/orders", None, async move {
        let _ = held.recv();
        done.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    let runtime = on_one_thread(async move {
        let _ = timeout(Duration::from_millis(1), work).await;
    });
    let found = stuck(&watchdog);
    assert!(found.len() == 1 && found[0].starts_with("shop/orders: one step has taken "), "{found:?}");
    assert!(watchdog.age_seconds() >= 0.02);
    drop(release);
    is_done.recv().unwrap();
    runtime.join().unwrap();
    assert!(watchdog.stuck().is_empty() && watchdog.age_seconds() == 0.0, "what has ended is not watched");
}

/// It was once forgotten, as if it had ended as it should.
#[tokio::test]
async fn a_loop_that_died_of_a_bug_is_missed() {
    let watchdog = Watchdog::with_limit(Duration::from_millis(20));
    let work = watchdog.watch("shop/orders job", None, async { panic!("a bug") });
    let died = tokio_util::task::TaskTracker::new().spawn(work).await.unwrap_err();
    assert!(died.is_panic());
    let found = stuck(&watchdog);
    assert!(found.len() == 1 && found[0].starts_with("shop/orders job: "), "{found:?}");
}

#[test]
fn loops_of_a_starved_runtime_are_stuck_with_the_one_that_starves_it() {
    let watchdog = Watchdog::with_limit(Duration::from_millis(20));
    let (release, held) = mpsc::channel::<()>();
    let (wake, woken) = tokio::sync::oneshot::channel();
    let waits = watchdog.watch("waits", None, async {
        let _ = woken.await;
    });
    let holds = watchdog.watch("holds", None, async move {
        tokio::task::yield_now().await;
        wake.send(()).unwrap();
        let _ = held.recv();
    });
    let runtime = on_one_thread(async {
        let tasks = tokio_util::task::TaskTracker::new();
        let (waiting, holding) = (tasks.spawn(waits), tasks.spawn(holds));
        waiting.await.unwrap();
        holding.await.unwrap();
    });
    let begun = Instant::now();
    while stuck(&watchdog).len() < 2 {
        assert!(begun.elapsed() < LIMIT);
    }
    let found = stuck(&watchdog);
    assert!(found[0].starts_with("waits: it has waited ") && found[1].starts_with("holds: one step"), "{found:?}");
    drop(release);
    runtime.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadlock_among_tasks_is_seen_when_the_loop_has_been_quiet_for_too_long() {
    let watchdog = Watchdog::default();
    let lock = TaskMutex::new(());
    let _held = lock.lock().await;
    let work = watchdog.watch("shop/orders leases", Some(QUIET_MAX), async {
        sleep(Duration::from_secs(13)).await;
        let _never = lock.lock().await;
    });
    let looks = async {
        sleep(QUIET_MAX).await;
        assert!(watchdog.stuck().is_empty());
        sleep(Duration::from_secs(13) + STUCK_MAX + Duration::from_secs(1)).await;
        assert_eq!(watchdog.stuck(), ["shop/orders leases: nothing has woken it for 61 s longer than it may rest"]);
    };
    tokio::select! {
        () = work => unreachable!(),
        () = looks => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_for_hours_makes_no_loop_stuck() {
    let watchdog = Watchdog::default();
    let work = watchdog.watch("follows", Some(QUIET_MAX), async {
        loop {
            let hangs = std::future::pending::<()>();
            assert!(timeout(Duration::from_secs(20), hangs).await.is_err());
            // The longest pause that a service is granted.
            sleep(Duration::from_secs(120)).await;
        }
    });
    let looks = async {
        for _ in 0..7_200 {
            sleep(Duration::from_secs(1)).await;
            assert!(watchdog.stuck().is_empty() && watchdog.age_seconds() == 0.0, "{:?}", watchdog.stuck());
        }
    };
    tokio::select! {
        () = work => unreachable!(),
        () = looks => {}
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_wait_for_ever_is_not_stuck_by_waiting() {
    let watchdog = Watchdog::default();
    let mut work = Box::pin(watchdog.watch("waits", None, std::future::pending::<()>()));
    assert!(futures::poll!(&mut work).is_pending());
    advance(Duration::from_secs(1_000_000)).await;
    assert!(watchdog.stuck().is_empty());
}

#[tokio::test]
async fn what_wakes_a_loop_arrives_through_its_watcher() {
    let watchdog = Watchdog::default();
    let (send, mut receive) = tokio::sync::mpsc::channel(1);
    let watched = watchdog.watch("reads", None, async {
        let mut sum = 0;
        while let Some(number) = receive.recv().await {
            sum += number;
            tokio::task::yield_now().await;
        }
        sum
    });
    let sends = async move {
        for number in 0..1_000 {
            send.send(number).await.unwrap();
        }
    };
    let (sum, ()) = tokio::join!(watched, sends);
    assert_eq!(sum, 499_500);
}
