//! Whether every loop of the process still goes round.
//!
//! A loop is watched from outside, by the future that it is: [`Watchdog::watch`] wraps it and notes when it is woken, when it is polled
//! and when that poll has returned. Nothing is asked of the loop, and nothing wakes it that would not have woken it before. It is
//! **stuck** when
//!
//! - one poll does not return for [`STUCK_MAX`]: it computes without end, or waits for a lock as a thread does;
//! - it was woken and is not polled for as long: its runtime is starved;
//! - nothing has woken it for longer than it may be quiet: it waits for something that never comes, such as a lock among tasks. This
//!   asks that all its waiting ends by itself, by a timer where by nothing else. Requests to services do; a loop that may wait
//!   for ever is watched without such a limit.
//!
//! A service that fails, throttles or hangs makes no loop stuck: every request has a time-out, every retry a pause, and each of them wakes
//! the loop. While the process itself is not run, as when its machine sleeps, everything is late at once; who asks should ask again a
//! moment later before believing it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::Instant;

/// A step of a loop takes milliseconds, and the longest wait for a processor not much more.
const STUCK_MAX: Duration = Duration::from_secs(60);

/// Watches the loops of a process. Clones share one state.
#[derive(Debug, Clone)]
pub struct Watchdog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    since: Instant,
    stuck_max: Duration,
    loops: Mutex<Loops>,
}

#[derive(Debug, Default)]
struct Loops {
    watched: BTreeMap<u64, Arc<Watched>>,
    next: u64,
}

/// One loop. Times are milliseconds since the watchdog's beginning, one too many, so that 0 is none.
#[derive(Debug)]
struct Watched {
    name: String,
    since: Instant,
    quiet_max: Option<Duration>,
    polled: AtomicU64,
    woken: AtomicU64,
    stirred: AtomicU64,
}

/// What holds a loop up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    Polled(Duration),
    Woken(Duration),
    Quiet(Duration),
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::with_limit(STUCK_MAX)
    }
}

impl Watchdog {
    fn with_limit(stuck_max: Duration) -> Self {
        Self(Arc::new(Shared { since: Instant::now(), stuck_max, loops: Mutex::default() }))
    }

    /// The same loop, watched until it ends. `quiet_max` is for how long nothing may wake it, where there is such a limit.
    pub fn watch<N: Into<String>, F: Future>(
        &self,
        name: N,
        quiet_max: Option<Duration>,
        work: F,
    ) -> impl Future<Output = F::Output> + use<N, F> {
        let watched = Arc::new(Watched {
            name: name.into(),
            since: self.0.since,
            quiet_max,
            polled: AtomicU64::new(0),
            woken: AtomicU64::new(0),
            stirred: AtomicU64::new(0),
        });
        watched.stirred.store(watched.now(), Ordering::Relaxed);
        let mut loops = self.loops();
        let number = loops.next;
        loops.next += 1;
        loops.watched.insert(number, Arc::clone(&watched));
        drop(loops);
        let bell = Arc::new(Bell { watched, outer: AtomicWaker::new() });
        Watching { work: Box::pin(work), waker: Waker::from(Arc::clone(&bell)), bell, number, watchdog: self.clone() }
    }

    /// What is stuck, and why, one line each.
    pub fn stuck(&self) -> Vec<String> {
        let troubles = self.troubles().into_iter();
        let stuck = troubles.filter(|(_, trouble)| trouble.lasted() > self.0.stuck_max);
        stuck.map(|(name, trouble)| format!("{name}: {}", trouble.told())).collect()
    }

    /// The loops that have not ended.
    pub fn going(&self) -> Vec<String> {
        self.loops().watched.values().map(|one| one.name.clone()).collect()
    }

    /// For how long the slowest loop has been held up, in seconds; 0 while all go round.
    pub fn age_seconds(&self) -> f64 {
        self.troubles().into_iter().map(|(_, trouble)| trouble.lasted().as_secs_f64()).fold(0.0, f64::max)
    }

    fn troubles(&self) -> Vec<(String, Trouble)> {
        let loops = self.loops();
        loops.watched.values().filter_map(|one| Some((one.name.clone(), one.trouble()?))).collect()
    }

    fn loops(&self) -> MutexGuard<'_, Loops> {
        self.0.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    fn lasted(self) -> Duration {
        match self {
            Self::Polled(lasted) | Self::Woken(lasted) | Self::Quiet(lasted) => lasted,
        }
    }

    fn told(self) -> String {
        let seconds = self.lasted().as_secs();
        match self {
            Self::Polled(_) => format!("one step has taken {seconds} s so far"),
            Self::Woken(_) => format!("it has waited {seconds} s for its turn"),
            Self::Quiet(_) => format!("nothing has woken it for {seconds} s longer than it may rest"),
        }
    }
}

impl Watched {
    fn now(&self) -> u64 {
        let passed = Instant::now().saturating_duration_since(self.since);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn rang(&self) {
        let now = self.now();
        self.stirred.store(now, Ordering::Relaxed);
        // The first of several rings counts; that another one came in between changes nothing.
        let _ = self.woken.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn trouble(&self) -> Option<Trouble> {
        let now = self.now();
        let since = |then: &AtomicU64| {
            let then = then.load(Ordering::Relaxed);
            (then > 0).then(|| Duration::from_millis(now.saturating_sub(then)))
        };
        if let Some(lasted) = since(&self.polled) {
            return Some(Trouble::Polled(lasted));
        }
        if let Some(lasted) = since(&self.woken) {
            return Some(Trouble::Woken(lasted));
        }
        let quiet = since(&self.stirred)?.checked_sub(self.quiet_max?)?;
        Some(Trouble::Quiet(quiet))
    }
}

/// Hears what wakes a loop, and passes it on.
struct Bell {
    watched: Arc<Watched>,
    outer: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.watched.rang();
        self.outer.wake();
    }
}

/// A loop that is watched.
struct Watching<F> {
    work: Pin<Box<F>>,
    waker: Waker,
    bell: Arc<Bell>,
    number: u64,
    watchdog: Watchdog,
}

impl<F: Future> Future for Watching<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let watched = &this.bell.watched;
        // Whoever rings from here on has to find whom to wake.
        this.bell.outer.register(context.waker());
        watched.polled.store(watched.now(), Ordering::Relaxed);
        watched.woken.store(0, Ordering::Relaxed);
        let result = this.work.as_mut().poll(&mut Context::from_waker(&this.waker));
        watched.polled.store(0, Ordering::Relaxed);
        result
    }
}

impl<F> Drop for Watching<F> {
    /// A loop that ends, or is no longer wanted, is watched no more. One that panicked never left its poll: nobody goes round in its place, so it stays
    /// and is told as stuck.
    fn drop(&mut self) {
        if self.bell.watched.polled.load(Ordering::Relaxed) == 0 {
            self.watchdog.loops().watched.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests;
