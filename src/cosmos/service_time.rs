//! The service's own clock, without trusting the host's.
//!
//! The driver does not hand out the `Date` header, so a small request of our own to the account's endpoint reads it (the
//! service dates its answers whether or not it accepts them). Between such readings the monotonic clock carries the time
//! forward. What is given out is a lower bound: the service's instant at, or before, the moment of asking.

use std::time::Duration;

use azure_core::http::Url;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::admin::RequestMetrics;
use crate::failure::{Failure, Kind};

/// How long a reading is carried forward before it is taken anew.
const READING_AGE_MAX: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads and carries the service's time.
pub struct ServiceClock {
    endpoint: Url,
    client: reqwest::Client,
    requests: RequestMetrics,
    known: Mutex<Known>,
}

/// How the last reading ended.
enum Known {
    Nothing,
    Read(Reading),
    Failed(Instant, String),
}

#[derive(Clone, Copy)]
struct Reading {
    seconds: i64,
    received: Instant,
}

impl ServiceClock {
    /// A clock of the service at `endpoint`; makes no request yet.
    pub fn new(endpoint: Url, requests: RequestMetrics) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build();
        let client =
            client.map_err(|e| Failure::new(Kind::Internal, format!("could not build an HTTP client: {e}")))?;
        Ok(Self { endpoint, client, requests, known: Mutex::new(Known::Nothing) })
    }

    /// A lower bound of the service's present time, in seconds since 1970.
    pub async fn now(&self) -> Result<i64, Failure> {
        let asked = Instant::now();
        let mut known = self.known.lock().await;
        let current = match &*known {
            Known::Read(reading) if reading.received.elapsed() < READING_AGE_MAX => *reading,
            // Who waited while another one asked in vain has its answer: else each of a hundred ranges would wait for its own.
            Known::Failed(at, why) if *at > asked => return Err(self.failure(why)),
            _ => match self.read().await {
                Ok(reading) => reading,
                Err(why) => {
                    let failure = self.failure(&why);
                    *known = Known::Failed(Instant::now(), why);
                    return Err(failure);
                }
            },
        };
        *known = Known::Read(current);
        let elapsed = i64::try_from(current.received.elapsed().as_secs()).unwrap_or(0);
        Ok(current.seconds + elapsed)
    }

    fn failure(&self, why: &str) -> Failure {
        Failure::new(Kind::Transient, format!("could not read the time of {}: {why}", self.endpoint))
            .remedy("check that the endpoint is right and reachable")
    }

    async fn read(&self) -> Result<Reading, String> {
        let begun = Instant::now();
        let response = self.client.get(self.endpoint.as_str()).send().await;
        let status = response.as_ref().ok().map(|response| response.status().as_u16());
        self.requests.count(status, begun.elapsed());
        let response = response.map_err(|e| e.without_url().to_string())?;
        let received = Instant::now();
        let date = response.headers().get("date").and_then(|d| d.to_str().ok()).map(str::to_owned);
        let date = date.ok_or_else(|| "its answer has no Date".to_owned())?;
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&date);
        let seconds = parsed.map_err(|_| format!("its Date is {date:?}"))?.as_second();
        Ok(Reading { seconds, received })
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::net::TcpListener;

    use super::*;

    /// Followers of many ranges ask at the same time; each used to wait for its own time-out, one after the other.
    #[tokio::test]
    async fn all_who_wait_for_a_service_that_does_not_answer_are_told_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let requests = RequestMetrics::unread();
        let clock = ServiceClock::new(endpoint, requests.clone()).unwrap();
        let breaking_off = async {
            loop {
                drop(listener.accept().await.unwrap());
            }
        };
        let asking = join_all((0..50).map(|_| clock.now()));
        let answers = tokio::select! {
            answers = asking => answers,
            () = breaking_off => unreachable!(),
        };
        assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|failure| failure.kind == Kind::Transient)));
        assert_eq!(requests.total(), 1);
        assert!(clock.now().await.is_err());
        assert_eq!(requests.total(), 2, "who asks later finds out for himself");
    }
}
