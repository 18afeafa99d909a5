//! The host's clock, and waiting for something to become so.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::Outcome;

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// The longest that anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(900);

/// The host's time. The emulator's is the same as long as nobody moves it.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "what is measured is the distance to times of other processes")]
    Timestamp::now()
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if begun.elapsed() > LIMIT {
            return Err(format!("{what}: not within {LIMIT:?}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
}
