//! Changes at a given rate: known documents, replaced round robin.
//!
//! Each change is due at its own moment and is sent by the next connection that is free, so that a slow answer does not slow the others
//! down. Its time is taken just before it is sent, which is earlier than its commit: the latency that is told is too long rather
//! than too short.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::daemon::SOURCE;
use crate::emulator::{DATABASE, Emulator};
use crate::sign::Keys;
use crate::sizes::{KEYS, SMALL_BYTES};
use crate::{Outcome, time};

/// Connections that changes are sent on.
const CONNECTIONS: usize = 32;

/// How fast, how long, and over how many documents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_second: u32,
    pub(crate) lasts: Duration,
    pub(crate) documents: u64,
}

/// What was sent and committed.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The entity tag that each change made, without quotes, and when it was sent.
    pub(crate) changes: Vec<(String, Timestamp)>,
    /// Changes per second, as it came out.
    pub(crate) per_second: f64,
}

impl Load {
    /// How many changes that are.
    fn count(&self) -> u32 {
        (f64::from(self.per_second) * self.lasts.as_secs_f64()) as u32
    }

    /// Sends them; ends when all are committed.
    pub(crate) async fn run(self, emulator: &Emulator, keys: &Keys) -> Outcome<Sent> {
        let connections = Connection::open_many(emulator.cosmos, CONNECTIONS).await?;
        let (next, begun) = (Arc::new(AtomicU32::new(0)), Instant::now());
        let mut all = JoinSet::new();
        for connection in connections {
            all.spawn(self.send(connection, keys.clone(), Arc::clone(&next), begun));
        }
        let mut changes = Vec::with_capacity(self.count() as usize);
        while let Some(some) = all.join_next().await {
            changes.extend(some??);
        }
        // The first one is sent at once, so that many changes have one interval less between them.
        let seconds = begun.elapsed().as_secs_f64().max(self.lasts.as_secs_f64());
        Ok(Sent { per_second: changes.len() as f64 / seconds, changes })
    }

    async fn send(
        self,
        mut connection: Connection,
        keys: Keys,
        next: Arc<AtomicU32>,
        begun: Instant,
    ) -> Outcome<Vec<(String, Timestamp)>> {
        let mut sent = Vec::new();
        let interval = Duration::from_secs(1) / self.per_second;
        let container = format!("dbs/{DATABASE}/colls/{SOURCE}");
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count() {
                return Ok(sent);
            }
            tokio::time::sleep_until(begun + interval * number).await;
            let (key, document) = self.document(number);
            let at = time::now();
            let answer = connection.send(keys.upsert(&container, &key, document)?).await?;
            let etag = answer.headers.get("etag").ok_or("an upsert without entity tag")?.to_str()?;
            sent.push((etag.trim_matches('"').to_owned(), at));
        }
    }

    /// The key and the text of the document that a change writes.
    fn document(&self, number: u32) -> (String, Bytes) {
        let id = u64::from(number) % self.documents;
        let key = format!("p{}", id % KEYS);
        let mut text = format!("{{\"id\":\"d{id}\",\"pk\":\"{key}\",\"n\":{id},\"revision\":{number},\"text\":\"");
        let room = (SMALL_BYTES as usize).saturating_sub(text.len() + 2);
        text.extend("amber birch cedar delta ember fjord grove heath ".chars().cycle().take(room));
        text.push_str("\"}");
        (key, text.into())
    }
}
