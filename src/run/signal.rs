//! The signals that end the process.

use crate::failure::{CommandError, Exit};

/// Resolves to the signal's name when the process is asked to end.
#[cfg(unix)]
pub fn termination() -> Result<impl Future<Output = &'static str> + Send, CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e: std::io::Error| CommandError::new(Exit::Failure, format!("cannot watch for signals: {e}"), "");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Resolves to the signal's name when the process is asked to end.
#[cfg(not(unix))]
pub fn termination() -> Result<impl Future<Output = &'static str> + Send, CommandError> {
    Ok(async {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            // Without a way to hear of it the process ends only by force, which is safe.
            Err(_) => std::future::pending().await,
        }
    })
}
