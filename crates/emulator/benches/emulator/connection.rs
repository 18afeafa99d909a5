//! One kept-alive HTTP/1.1 connection that costs as little as possible: whole requests out, one answer back.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take: seeding is one request.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// Room for every head and for small bodies.
const INPUT_BYTES_MIN: usize = 16 << 10;

/// A connection without a request under way.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

/// An answer, read to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    head: &'a str,
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, input: vec![0; INPUT_BYTES_MIN] })
    }

    /// Sends a request and reads its answer, which must announce its length.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        let head_end = loop {
            let read = self.stream.read(&mut self.input[filled..])?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            // The blank line may begin in what was read before.
            let from = filled.saturating_sub(3);
            filled += read;
            if let Some(at) = self.input[from..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break from + at + 4;
            }
        };
        let length = {
            let head = head(&self.input[..head_end])?;
            header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
        };
        let end = head_end + length;
        if end > self.input.len() {
            self.input.resize(end, 0);
        }
        if end > filled {
            self.stream.read_exact(&mut self.input[filled..end])?;
        }
        let head = head(&self.input[..head_end])?;
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::other("an answer without a status"))?;
        Ok(Answer { status, head, body: &self.input[head_end..end] })
    }

    /// The same; any status of 300 or more but 304 is an error.
    pub(crate) fn succeed(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        let answer = self.exchange(request)?;
        if answer.status >= 300 && answer.status != 304 {
            let body = String::from_utf8_lossy(answer.body);
            return Err(Error::other(format!("status {}: {body}", answer.status)));
        }
        Ok(answer)
    }
}

impl<'a> Answer<'a> {
    /// A header's value by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }
}

fn head(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(Error::other)
}

/// Both servers write names in lower case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
