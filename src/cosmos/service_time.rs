//! The service's own clock, without trusting the host's.
//!
//! The driver does not hand out the `Date` header, so a small request of our own to the account's endpoint reads it (the
//! service dates its answers whether or not it accepts them). Between such readings the monotonic clock carries the time
//! forward. What is given out is a lower bound: the service's instant at, or before, the moment of asking.

use std::time::Duration;

use azure_core::http::Url;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::{Failure, Kind};

/// How long a reading is carried forward before it is taken anew.
const READING_AGE_MAX: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads and carries the service's time.
pub struct ServiceClock {
    endpoint: Url,
    client: reqwest::Client,
    reading: Mutex<Option<Reading>>,
}

#[derive(Clone, Copy)]
struct Reading {
    seconds: i64,
    received: Instant,
}

impl ServiceClock {
    /// A clock of the service at `endpoint`; makes no request yet.
    pub fn new(endpoint: Url) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build();
        let client =
            client.map_err(|e| Failure::new(Kind::Internal, format!("could not build an HTTP client: {e}")))?;
        Ok(Self { endpoint, client, reading: Mutex::new(None) })
    }

    /// A lower bound of the service's present time, in seconds since 1970.
    pub async fn now(&self) -> Result<i64, Failure> {
        let mut reading = self.reading.lock().await;
        let current = match *reading {
            Some(reading) if reading.received.elapsed() < READING_AGE_MAX => reading,
            _ => self.read().await?,
        };
        *reading = Some(current);
        let elapsed = i64::try_from(current.received.elapsed().as_secs()).unwrap_or(0);
        Ok(current.seconds + elapsed)
    }

    async fn read(&self) -> Result<Reading, Failure> {
        let failed = |why: String| {
            Failure::new(Kind::Transient, format!("could not read the time of {}: {why}", self.endpoint))
                .remedy("check that the endpoint is right and reachable")
        };
        let request = self.client.get(self.endpoint.as_str()).send();
        let response = request.await.map_err(|e| failed(e.without_url().to_string()))?;
        let received = Instant::now();
        let date = response.headers().get("date").and_then(|d| d.to_str().ok()).map(str::to_owned);
        let date = date.ok_or_else(|| failed("its answer has no Date".to_owned()))?;
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&date);
        let seconds = parsed.map_err(|_| failed(format!("its Date is {date:?}")))?.as_second();
        Ok(Reading { seconds, received })
    }
}
