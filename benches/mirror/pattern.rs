//! What the daemon sends for one document, taken from its connection, so that the floor's puts are the same to the header.
//!
//! A relay stands between a daemon that mirrors a single document and the emulator, and keeps what passes. Signatures do not cover the
//! host, so the requests are as good as without it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use cosmirror_emulator::BLOB_ACCOUNT;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Outcome;
use crate::daemon::{self, LATEST_VERSION, Settings};
use crate::emulator::Emulator;

/// The container that holds the one document, and the blob container that it is mirrored to.
const ALONE: &str = "pattern";
/// Headers that are made anew for every request or by every client.
const OWN: [&str; 4] = ["authorization", "content-length", "host", "x-ms-date"];

/// The put of the document `d0` with the key `p0`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pattern {
    /// The blob's name as the path holds it, up to the key.
    base: String,
    /// What stands between key and id.
    separator: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The document.
    pub(crate) body: String,
}

impl Pattern {
    /// The name of another document of the same container.
    pub(crate) fn name(&self, key: &str, id: &str) -> String {
        format!("{}{key}{}{id}.json", self.base, self.separator)
    }
}

/// Every connection's bytes to the service.
type Kept = Arc<Mutex<Vec<u8>>>;

/// Has a document of so many bytes mirrored.
pub(crate) async fn record(emulator: &Emulator, source: &str, bytes: u64) -> Outcome<Pattern> {
    let blobs = format!("{ALONE}{bytes}");
    emulator.seed(&blobs, 1, bytes, 1).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let endpoint = format!("http://{}/{BLOB_ACCOUNT}", listener.local_addr()?);
    let settings = Settings { container: &blobs, feed: LATEST_VERSION, source, target: (&endpoint, &blobs) };
    daemon::configure(emulator, &settings)?;
    let mut relay = JoinSet::new();
    let (told, mut kept) = tokio::sync::mpsc::unbounded_channel();
    relay.spawn(accept(listener, emulator.blob, told));
    daemon::run(emulator, &["run", "--once"]).await?;
    while let Ok(connection) = kept.try_recv() {
        let bytes = connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = find(&bytes, &blobs)? {
            return Ok(pattern);
        }
    }
    Err("the daemon sent no put of the document".into())
}

/// Relays connections, and tells of each what was sent on it.
async fn accept(listener: TcpListener, blob: SocketAddr, told: tokio::sync::mpsc::UnboundedSender<Kept>) {
    let mut relays = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let kept = Kept::default();
        if told.send(Arc::clone(&kept)).is_err() {
            return;
        }
        relays.spawn(async move {
            // A relay that breaks is a connection that breaks, and the daemon deals with those.
            let _ = relay(client, blob, &kept).await;
        });
    }
}

async fn relay(client: TcpStream, blob: SocketAddr, kept: &Kept) -> std::io::Result<()> {
    let service = TcpStream::connect(blob).await?;
    client.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_service, mut to_service) = service.into_split();
    let there = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_service.shutdown().await;
            }
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            to_service.write_all(&buffer[..read]).await?;
        }
    };
    let back = tokio::io::copy(&mut from_service, &mut to_client);
    tokio::try_join!(there, async { back.await.map(drop) }).map(drop)
}

/// The put of a document among the requests of a connection.
fn find(bytes: &[u8], blobs: &str) -> Outcome<Option<Pattern>> {
    let start = format!("PUT /{BLOB_ACCOUNT}/{blobs}/");
    let mut rest = bytes;
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = std::str::from_utf8(&rest[..end])?;
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(Ok(0), |(_, length)| length.parse::<usize>())?;
        let body = rest.get(end + 4..end + 4 + length).ok_or("a request that breaks off")?;
        let name = first.strip_prefix(&start).and_then(|path| path.split(' ').next());
        if let Some((base, last)) = name.and_then(|name| name.rsplit_once("p0"))
            && let Some(separator) = last.strip_suffix("d0.json")
        {
            let headers = headers.into_iter().filter(|(name, _)| !OWN.contains(&name.as_str())).collect();
            // What stands beside it is then mirrored under the usual name.
            let base = base.replace(blobs, daemon::SOURCE);
            let body = std::str::from_utf8(body)?.to_owned();
            return Ok(Some(Pattern { base, separator: separator.to_owned(), headers, body }));
        }
        rest = &rest[end + 4 + length..];
    }
    Ok(None)
}
