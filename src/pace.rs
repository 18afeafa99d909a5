//! What reading and writing may take, over all ranges: request units of the source here, [`bytes`] in flight, and
//! [`requests`] to the target, whose number adapts ([`limit`]).
//!
//! A budget of request units per second, shared by everything that reads the source.
//!
//! What a request costs is known only afterwards, so the budget may be overdrawn by the requests in flight; the next ones
//! wait until the debt is paid off.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub mod bytes;
pub mod limit;
pub mod requests;

/// The budget.
pub struct RequestUnits {
    per_second: f64,
    account: Mutex<Account>,
}

struct Account {
    balance: f64,
    at: Instant,
    spent: f64,
}

impl RequestUnits {
    /// A budget; 0 is none. One second's worth may be saved up.
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, account: Mutex::new(Account { balance: per_second, at: Instant::now(), spent: 0.0 }) }
    }

    /// Waits until the budget is not overdrawn.
    pub async fn wait(&self) {
        while let Some(pause) = self.debt() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes what a request has cost.
    pub fn spend(&self, request_units: f64) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.balance -= request_units;
        account.spent += request_units;
    }

    /// What all requests together have cost so far.
    pub fn spent(&self) -> f64 {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).spent
    }

    fn debt(&self) -> Option<Duration> {
        if self.per_second == 0.0 {
            return None;
        }
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.duration_since(account.at).as_secs_f64() * self.per_second;
        account.balance = (account.balance + earned).min(self.per_second);
        account.at = now;
        (account.balance < 0.0).then(|| Duration::from_secs_f64((-account.balance / self.per_second).max(0.001)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_overdrawn_budget_is_paid_off_by_waiting() {
        let budget = RequestUnits::new(10);
        let begin = Instant::now();
        budget.spend(30.0);
        budget.wait().await;
        let waited = begin.elapsed().as_secs_f64();
        assert!((1.9..2.2).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_budget_never_waits() {
        let budget = RequestUnits::new(0);
        let begin = Instant::now();
        budget.spend(1e9);
        budget.wait().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
