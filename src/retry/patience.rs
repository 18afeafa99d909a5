//! Patience with a busy service: the same request again after a pause, up to a bounded total.
//!
//! Which errors deserve it is [`Kind::action`](crate::failure::Kind::action)'s decision. Unlike the mirror, a command does not
//! wait for ever: a person is waiting for its end.

use std::time::Duration;

use super::Backoff;
use crate::failure::{Action, Failure};

/// Pauses of one request together; beyond it the request has failed.
const PAUSES_TOTAL: Duration = Duration::from_secs(300);

/// Repeats `work` while it fails in a way that may pass, honouring the pause the service asks for.
pub async fn persist<T, F, Fut>(mut work: F) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let mut backoff = Backoff::default();
    let mut paused = Duration::ZERO;
    loop {
        let failure = match work().await {
            Err(failure) if failure.kind.action() == Action::Retry => failure,
            result => return result,
        };
        let pause = backoff.next(failure.retry_after);
        paused += pause;
        if paused > PAUSES_TOTAL {
            return Err(failure);
        }
        tracing::debug!(error = %failure, pause_ms = pause.as_millis(), "a request was not taken; trying again");
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::failure::Kind;

    async fn attempts(kind: Kind, fail_times: u32) -> (u32, Result<(), Failure>) {
        let made = Cell::new(0);
        let result = persist(|| async {
            made.set(made.get() + 1);
            let fails = made.get() <= fail_times;
            if fails { Err(Failure::new(kind, "no").retry_after(Some(Duration::from_secs(7)))) } else { Ok(()) }
        })
        .await;
        (made.get(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_request_is_made_again_no_sooner_than_asked() {
        let before = tokio::time::Instant::now();
        let (made, result) = attempts(Kind::Transient, 3).await;
        assert!(result.is_ok());
        assert_eq!(made, 4);
        assert!(before.elapsed() >= Duration::from_secs(21));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        assert_eq!(attempts(Kind::Transient, u32::MAX).await.1.unwrap_err().kind, Kind::Transient);
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_not_repeated() {
        assert_eq!(attempts(Kind::Refused, 1).await.0, 1);
    }
}
