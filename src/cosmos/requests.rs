//! Runs the driver's calls with the bound that every request has, and counts the requests they took.
//!
//! The driver makes its requests itself and tells of them afterwards, in the diagnostics of an answer or an error. What it reads for
//! its own sake (the account, the topology) it does only partly tell of.

use std::sync::Arc;
use std::time::Duration;

use azure_data_cosmos_driver::{CosmosError, CosmosResponse, DiagnosticsContext};
use tokio::time::Instant;

use super::{Account, failure};
use crate::admin::RequestMetrics;
use crate::failure::{Failure, Kind};

/// Longest time one operation may take, the driver's own retries included.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

impl Account {
    /// Runs a call that a service answers, once or not any more.
    pub(crate) async fn answered(
        &self,
        what: &str,
        call: impl Future<Output = Result<Option<CosmosResponse>, CosmosError>>,
    ) -> Result<Option<CosmosResponse>, Failure> {
        let answer = self.bounded(what, call).await?;
        if let Some(answer) = &answer {
            self.count(answer.diagnostics_ref());
        }
        Ok(answer)
    }

    /// Runs a call for which the driver asks the service once and does not tell of it.
    pub(crate) async fn looked_up<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, CosmosError>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let answer = self.bounded(what, call).await?;
        self.requests.count(Some(200), begun.elapsed());
        Ok(answer)
    }

    /// Runs a call that as a rule makes no request; what went wrong is counted.
    pub(crate) async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, CosmosError>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(OPERATION_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if let Some(diagnostics) = error.diagnostics() {
                    self.count(&diagnostics);
                }
                Err(failure(&error, what))
            }
            Err(_) => {
                self.requests.count(None, OPERATION_TIMEOUT);
                let seconds = OPERATION_TIMEOUT.as_secs();
                Err(Failure::new(Kind::Transient, format!("could not {what}: no answer within {seconds} s")))
            }
        }
    }

    fn count(&self, diagnostics: &Arc<DiagnosticsContext>) {
        count(&self.requests, diagnostics);
    }
}

fn count(requests: &RequestMetrics, diagnostics: &DiagnosticsContext) {
    for request in diagnostics.requests().iter() {
        let answered = !request.timed_out() && request.error().is_none();
        let status = answered.then(|| u16::from(request.status().status_code()));
        let ended = request.completed_at().unwrap_or_else(|| request.started_at());
        requests.count(status, ended.saturating_duration_since(request.started_at()));
    }
}
