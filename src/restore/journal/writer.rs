//! Writes the lines of an undo file on a thread of its own.
//!
//! Whatever waits is written at once and made durable by one sync (group commit), so the more documents are under way, the
//! fewer syncs each of them costs. After a failed write nothing more is written: the file ends with a line that may be torn, as after
//! a crash.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::thread::JoinHandle;

use cosmirror_formats::restore_plan::{After, Before, Skipped, UndoEnd, UndoLine};
use cosmirror_formats::sealed_lines::Seals;
use tokio::sync::{mpsc, oneshot};

use super::content::encrypted;
use super::unusable;
use crate::encryption::Recipients;
use crate::failure::{Failure, Kind};

/// Lines that wait at most.
const LINES_WAITING_MAX: usize = 1_024;
/// Bytes that are written at once, roughly.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A line, and who waits until it is durable.
struct Order {
    line: UndoLine,
    durable: Option<oneshot::Sender<Result<(), Failure>>>,
}

/// Takes lines.
pub(in crate::restore) struct Journal {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
    path: PathBuf,
    /// To whom content is encrypted.
    recipients: Option<Recipients>,
}

impl Journal {
    /// Writes at the end of `file`, behind lines that left `seals`.
    pub(super) fn start(
        path: PathBuf,
        file: File,
        seals: Seals,
        recipients: Option<Recipients>,
    ) -> Result<Self, Failure> {
        let (orders, waiting) = mpsc::channel(LINES_WAITING_MAX);
        let mut writer = Writer { path: path.clone(), file, seals, failed: None };
        let thread = std::thread::Builder::new().name("undo".to_owned()).spawn(move || writer.run(waiting));
        let thread = thread.map_err(|error| unusable(&path, &error))?;
        Ok(Self { orders, thread, path, recipients })
    }

    /// Says what a document is; returns when that is durable.
    pub(in crate::restore) async fn before(&self, before: Before) -> Result<(), Failure> {
        let before = match &self.recipients {
            Some(recipients) => encrypted(before, recipients)?,
            None => before,
        };
        self.durable(UndoLine::Before(before)).await
    }

    /// Says what a step has left.
    pub(in crate::restore) async fn after(&self, step: u64, etag: Option<String>) -> Result<(), Failure> {
        self.order(Order { line: UndoLine::After(After { step, etag }), durable: None }).await
    }

    /// Says that a step was not done.
    pub(in crate::restore) async fn skipped(&self, step: u64) -> Result<(), Failure> {
        self.order(Order { line: UndoLine::Skipped(Skipped { step }), durable: None }).await
    }

    /// Says how the work stopped, and ends the file.
    pub(in crate::restore) async fn end(self, end: UndoEnd) -> Result<(), Failure> {
        self.durable(UndoLine::End(end)).await?;
        let Self { orders, thread, path, .. } = self;
        drop(orders);
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        ended.ok().and_then(Result::ok).ok_or_else(|| gone(&path))
    }

    async fn durable(&self, line: UndoLine) -> Result<(), Failure> {
        let (durable, answer) = oneshot::channel();
        self.order(Order { line, durable: Some(durable) }).await?;
        answer.await.unwrap_or_else(|_| Err(gone(&self.path)))
    }

    async fn order(&self, order: Order) -> Result<(), Failure> {
        self.orders.send(order).await.map_err(|_| gone(&self.path))
    }
}

fn gone(path: &std::path::Path) -> Failure {
    Failure::new(Kind::Internal, format!("{}: its writer has ended", path.display()))
}

struct Writer {
    path: PathBuf,
    file: File,
    seals: Seals,
    failed: Option<Failure>,
}

impl Writer {
    fn run(&mut self, mut waiting: mpsc::Receiver<Order>) {
        while let Some(first) = waiting.blocking_recv() {
            let (mut text, mut durable) = (String::new(), Vec::new());
            let mut next = Some(first);
            let mut sealed = Ok(());
            while let Some(Order { line, durable: waits }) = next {
                sealed = sealed.and_then(|()| {
                    let line = self.seals.seal(&line);
                    line.map(|line| text += &line).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
                });
                durable.extend(waits);
                next = if text.len() < BATCH_BYTES_MAX { waiting.try_recv().ok() } else { None };
            }
            let written = sealed.and_then(|()| self.write(&text, !durable.is_empty()));
            for waits in durable {
                // Who has stopped waiting does not touch its document.
                let _ = waits.send(written.clone());
            }
        }
    }

    fn write(&mut self, text: &str, sync: bool) -> Result<(), Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let written =
            self.file.write_all(text.as_bytes()).and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        written.map_err(|error| {
            let failure = unusable(&self.path, &error);
            self.failed = Some(failure.clone());
            failure
        })
    }
}
