//! Lines of a file that people may have touched: counted from one, of bounded length, each with its line end.

use std::io::{BufRead, Read as _};

use thiserror::Error;

/// Longest line: a document of two megabytes of which every character is escaped stays below it.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Why a line cannot be read.
#[derive(Debug, Error)]
pub(crate) enum LineError {
    /// The file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// No line end within the bound.
    #[error("it is longer than any line of such a file")]
    TooLong,
    /// The last one has no line end.
    #[error("it is cut off")]
    CutOff,
    /// It is not UTF-8.
    #[error("it is not text")]
    NotText,
}

/// A reader of lines.
pub(crate) struct Lines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, line: Vec::new(), number: 0 }
    }

    /// The number of the line that was given or refused last; where the file ended, of the one that is missing.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its line end; none at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<&str>, LineError> {
        self.number += 1;
        self.line.clear();
        let read = self.from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.pop() != Some(b'\n') {
            return Err(if read as u64 == LINE_BYTES_MAX { LineError::TooLong } else { LineError::CutOff });
        }
        std::str::from_utf8(&self.line).map(Some).map_err(|_| LineError::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_a_last_one_without_end_is_refused() {
        let mut lines = Lines::new(&b"a\n\nb"[..]);
        assert_eq!(lines.next().unwrap(), Some("a"));
        assert_eq!(lines.next().unwrap(), Some(""));
        assert!(matches!(lines.next(), Err(LineError::CutOff)));
        assert_eq!(lines.number(), 3);
        let mut lines = Lines::new(&b"\xff\n"[..]);
        assert!(matches!(lines.next(), Err(LineError::NotText)));
        assert!(matches!(lines.next(), Ok(None)));
    }
}
