//! The floor: a client that sends nothing but the requests that the work consists of, in a process of its own.
//!
//! What it sends is prepared before its clock starts; signing belongs to sending, as it does in the daemon. Its processor time is its
//! own, between start and end of the sending.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use cosmirror_emulator::BLOB_ACCOUNT;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Outcome;
use crate::arguments::FLOOR;
use crate::connection::Connection;
use crate::daemon::MIRROR;
use crate::emulator::{DATABASE, Emulator};
use crate::pattern::Pattern;
use crate::process::{Process, own_cpu};
use crate::sign::Keys;
use crate::sizes::KEYS;

/// What is to be sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A document's put, with what differs from document to document.
    Puts { container: String },
    /// For each mirrored document a get of its blob and an upsert of what that holds.
    Restores { container: String },
}

/// How, and to whom.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) count: u64,
    pub(crate) concurrency: usize,
    pub(crate) cosmos: SocketAddr,
    pub(crate) blob: SocketAddr,
    pub(crate) pattern: Pattern,
}

/// What it took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Floor {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

/// Has a job done by a process of its own.
pub(crate) async fn run(emulator: &Emulator, job: &Job) -> Outcome<Floor> {
    let file = emulator.folder().join("floor.json");
    std::fs::write(&file, serde_json::to_string(job)?)?;
    let file = file.to_str().ok_or("the folder's path is no text")?;
    let used = Process::this(emulator.folder(), &[FLOOR, file])?.ended().await?;
    Ok(serde_json::from_str(&used.out)?)
}

/// The part of the process of its own.
pub(crate) fn serve(file: &Path) -> Outcome<()> {
    let job: Job = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    // A runtime like the product's.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(done(job))?;
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}

/// What all connections share.
struct Shared {
    keys: Keys,
    work: Work,
    prepared: Vec<Prepared>,
    body: Bytes,
    next: AtomicU64,
}

/// One document.
struct Prepared {
    /// The path of its blob.
    path: String,
    key: String,
    headers: HeaderMap,
}

async fn done(job: Job) -> Outcome<Floor> {
    let container = match &job.work {
        Work::Puts { container } => container,
        Work::Restores { .. } => MIRROR,
    };
    let prepared =
        (0..job.count).map(|number| prepare(&job.pattern, container, number)).collect::<Outcome<Vec<_>>>()?;
    let writers = Connection::open_many(job.blob, job.concurrency).await?;
    let readers = Connection::open_many(job.cosmos, job.concurrency).await?;
    let (keys, body) = (Keys::new()?, Bytes::from(job.pattern.body));
    let shared = Arc::new(Shared { keys, work: job.work, prepared, body, next: AtomicU64::new(0) });
    let (begun, cpu) = (Instant::now(), own_cpu()?);
    let mut all = JoinSet::new();
    for (blob, cosmos) in writers.into_iter().zip(readers) {
        all.spawn(send(Arc::clone(&shared), blob, cosmos));
    }
    while let Some(one) = all.join_next().await {
        one??;
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), own_cpu()?.saturating_sub(cpu));
    Ok(Floor { seconds, cpu_seconds: cpu.as_secs_f64() })
}

fn prepare(pattern: &Pattern, container: &str, number: u64) -> Outcome<Prepared> {
    let (key, id) = (format!("p{}", number % KEYS), format!("d{number}"));
    let mut headers = HeaderMap::with_capacity(pattern.headers.len() + 4);
    for (name, value) in &pattern.headers {
        // Any value of the same length will do for what nobody looks at.
        let numbered = |at: usize| {
            let digits = format!("{number:08x}");
            let mut value = value.clone();
            if value.len() >= at + digits.len() {
                value.replace_range(at..at + digits.len(), &digits);
            }
            value
        };
        let value = match name.as_str() {
            "x-ms-meta-id" => URL_SAFE_NO_PAD.encode(&id),
            "x-ms-meta-pk" => URL_SAFE_NO_PAD.encode(format!("[\"{key}\"]")),
            "x-ms-meta-lsn" => (number + 1).to_string(),
            "x-ms-meta-etag" => numbered(1),
            "x-ms-meta-sha256" | "x-ms-client-request-id" => numbered(0),
            _ => value.clone(),
        };
        headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    Ok(Prepared { path: format!("/{BLOB_ACCOUNT}/{container}/{}", pattern.name(&key, &id)), key, headers })
}

/// One connection's share: the next document until there is none.
async fn send(shared: Arc<Shared>, mut blob: Connection, mut cosmos: Connection) -> Outcome<()> {
    loop {
        let number = usize::try_from(shared.next.fetch_add(1, Ordering::Relaxed))?;
        let Some(prepared) = shared.prepared.get(number) else { return Ok(()) };
        let (keys, path) = (&shared.keys, &prepared.path);
        match &shared.work {
            Work::Puts { .. } => {
                let body = shared.body.clone();
                blob.send(keys.blob(Method::PUT, path, &[], prepared.headers.clone(), body)?).await?;
            }
            Work::Restores { container } => {
                let answer = blob.send(keys.blob(Method::GET, path, &[], HeaderMap::new(), Bytes::new())?).await?;
                let container = format!("dbs/{DATABASE}/colls/{container}");
                cosmos.send(keys.upsert(&container, &prepared.key, answer.body)?).await?;
            }
        }
    }
}
