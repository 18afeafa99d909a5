//! A sign of life for a service that raises an alarm where it stays out.
//!
//! The URL is called only after everything that this process follows has made a step since the last call: changes were stored, or it was
//! confirmed that there are none. So it stays out where the process is stopped, not ready or stuck, or a single range stalls. A
//! process that follows nothing, a reserve, calls nothing: it would cover for the one that works. Whoever knows the URL can feign
//! the sign, so it is a secret: no log and no error holds more of it than the host.

use std::time::Duration;

use azure_core::http::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Admin;
use crate::config::{self, resolve_secret};
use crate::failure::{CommandError, Exit};

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks at whether a call may be made.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before a call that failed is made again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Calls the URL.
pub struct Heartbeat {
    url: SecretString,
    host: String,
    client: reqwest::Client,
    interval: Duration,
}

impl std::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heartbeat").field("host", &self.host).finish_non_exhaustive()
    }
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
enum Called {
    Answered(u16),
    Failed(String),
}

impl Heartbeat {
    /// As configured; none where no URL is.
    ///
    /// # Errors
    ///
    /// With the exit code for configuration where the URL cannot be read or is none.
    pub fn configured(admin: &config::Admin) -> Result<Option<Self>, CommandError> {
        if admin.heartbeat_url_file.is_none() && std::env::var_os(&admin.heartbeat_url_env).is_none() {
            return Ok(None);
        }
        let refused = |message: String| {
            let remedy = "put an http or https URL there, or configure none";
            CommandError::new(Exit::Usage, format!("the heartbeat's URL: {message}"), remedy)
        };
        let url = resolve_secret(&admin.heartbeat_url_env, admin.heartbeat_url_file.as_deref()).map_err(refused)?;
        // What is wrong with it would show it.
        let parsed = Url::parse(url.expose_secret()).map_err(|_| refused("it is not a URL".to_owned()))?;
        let host = parsed.host_str().filter(|_| matches!(parsed.scheme(), "http" | "https"));
        let host = host.ok_or_else(|| refused("it is not one of http or https".to_owned()))?.to_owned();
        Self::new(url, host, admin.heartbeat_interval).map(Some)
    }

    fn new(url: SecretString, host: String, interval: Duration) -> Result<Self, CommandError> {
        // Whoever is redirected to would learn of it.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(CALL_TIMEOUT);
        let client = client.build().map_err(|error| {
            CommandError::new(Exit::Failure, format!("no HTTP client for the heartbeat: {}", error.without_url()), "")
        })?;
        Ok(Self { url, host, client, interval })
    }

    /// How often the loop goes round at least, without a call's time-out.
    pub fn rests_at_most(&self) -> Duration {
        self.interval.max(RETRY_INTERVAL)
    }

    /// Calls while all is well, until the process is to end.
    pub async fn beat(self, admin: Admin, drain: CancellationToken) {
        tokio::select! {
            biased;
            () = drain.cancelled() => {}
            () = self.go_on(&admin) => {}
        }
    }

    async fn go_on(&self, admin: &Admin) {
        let count = |result: &'static str| admin.metrics.heartbeat(result).inc();
        let mut since = Instant::now();
        let (mut due, mut withheld_from) = (since + self.interval, since + self.interval);
        loop {
            tokio::time::sleep_until(due.max(Instant::now() + LOOK_INTERVAL.min(self.interval))).await;
            let now = Instant::now();
            if !all_is_well(admin, since) {
                if now >= withheld_from {
                    count("withheld");
                    withheld_from = now + self.interval;
                    tracing::debug!(host = self.host, "the heartbeat is withheld: not everything goes on");
                }
                continue;
            }
            let called = self.call().await;
            due = now + self.interval;
            match called {
                Called::Answered(status) if (200..300).contains(&status) => {
                    count("ok");
                    since = now;
                }
                Called::Answered(status) => {
                    count("refused");
                    tracing::warn!(host = self.host, status, "the heartbeat was refused");
                    due = now + self.interval.min(RETRY_INTERVAL);
                }
                Called::Failed(error) => {
                    count("failed");
                    tracing::warn!(host = self.host, error, "the heartbeat did not arrive");
                    due = now + self.interval.min(RETRY_INTERVAL);
                }
            }
            withheld_from = due + LOOK_INTERVAL.max(self.interval);
        }
    }

    async fn call(&self) -> Called {
        match self.client.get(self.url.expose_secret()).send().await {
            Ok(answer) => Called::Answered(answer.status().as_u16()),
            Err(error) => {
                let error = error.without_url();
                let what = if error.is_timeout() {
                    "no answer in time"
                } else if error.is_connect() {
                    "no connection"
                } else {
                    "no answer"
                };
                Called::Failed(what.to_owned())
            }
        }
    }
}

/// Whether everything that is followed here has made a step since then, and nothing stands against it.
fn all_is_well(admin: &Admin, since: Instant) -> bool {
    if !admin.progress.reasons().is_empty() || !admin.watchdog.stuck().is_empty() {
        return false;
    }
    let containers = admin.progress.containers();
    let progressed: Vec<bool> =
        containers.iter().filter_map(|(_, container)| container.has_progressed_since(since)).collect();
    !progressed.is_empty() && progressed.into_iter().all(|progressed| progressed)
}

#[cfg(test)]
mod tests;
