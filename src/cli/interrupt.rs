//! Commands that a signal cancels: what looks or asks ends at once, and what writes ends behind the requests that are under way.

use tokio_util::sync::CancellationToken;

use crate::failure::CommandError;
use crate::run::termination;

/// Does work that ends by itself, soon, once `cancel` is cancelled, which a signal does. A second one does not wait for it.
pub(super) async fn interruptible<T>(
    work: impl Future<Output = Result<T, CommandError>>,
    cancel: &CancellationToken,
    cancelled: fn() -> CommandError,
) -> Result<T, CommandError> {
    let mut work = std::pin::pin!(work);
    let signal = termination()?;
    tokio::select! {
        result = &mut work => return result,
        _ = signal => cancel.cancel(),
    }
    let second = termination()?;
    tokio::select! {
        result = work => result,
        _ = second => Err(cancelled()),
    }
}

/// Does work that may be dropped at any moment, unless it is cancelled.
pub(super) async fn unless<T, E>(
    cancel: &CancellationToken,
    cancelled: fn() -> CommandError,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, CommandError>
where
    CommandError: From<E>,
{
    tokio::select! {
        done = work => Ok(done?),
        () = cancel.cancelled() => Err(cancelled()),
    }
}
