//! Lines of progress where no bar is drawn, such as in the log of a job.

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

/// How often.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Progress for logs, where no bar is drawn.
pub(crate) struct ProgressLog<'a> {
    bar: &'a ProgressBar,
    what: &'static str,
    begun: Instant,
    from: u64,
    told: Instant,
}

impl<'a> ProgressLog<'a> {
    pub(crate) fn new(bar: &'a ProgressBar, what: &'static str) -> Self {
        let now = Instant::now();
        Self { bar, what, begun: now, from: bar.position(), told: now }
    }

    /// Logs a line where it is time for one.
    pub(crate) fn tell(&mut self) {
        let now = Instant::now();
        if !self.bar.is_hidden() || now.duration_since(self.told) < PROGRESS_EVERY {
            return;
        }
        self.told = now;
        let (done, of) = (self.bar.position(), self.bar.length());
        let seconds = now.duration_since(self.begun).as_secs_f64();
        let Some(of) = of else {
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let per_second = (done - self.from) as f64 / seconds;
            tracing::info!(target: "progress", done, per_second, "{}", self.what);
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let (per_second, left) = ((done - self.from) as f64 / seconds, of.saturating_sub(done) as f64);
        let seconds_left = if per_second > 0.0 { left / per_second } else { f64::INFINITY };
        tracing::info!(target: "progress", done, of, per_second, seconds_left, "{}", self.what);
    }
}
