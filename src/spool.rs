//! A list on disk, so that memory does not grow with the number of documents.
//!
//! The file has no name: the operating system removes it when the process ends, however it ends. It holds ids, keys and
//! etags, never content.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Kind};

/// Values in the order in which they were pushed.
#[derive(Debug)]
pub(crate) struct Spool<T> {
    file: BufWriter<File>,
    count: u64,
    items: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    pub(crate) fn new() -> Result<Self, Failure> {
        let file = BufWriter::new(tempfile::tempfile().map_err(|error| unusable(&error))?);
        Ok(Self { file, count: 0, items: PhantomData })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    pub(crate) fn push(&mut self, item: &T) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.file, item).map_err(std::io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).map_err(|error| unusable(&error))?;
        self.count += 1;
        Ok(())
    }

    /// Reads all items from the first.
    pub(crate) fn read(&mut self) -> Result<impl Iterator<Item = Result<T, Failure>> + use<T>, Failure> {
        let rewound = self.file.flush().and_then(|()| self.file.get_mut().seek(SeekFrom::Start(0)));
        let file = rewound.and_then(|_| self.file.get_ref().try_clone()).map_err(|error| unusable(&error))?;
        Ok(BufReader::new(file).lines().map(|line| {
            let line = line.map_err(|error| unusable(&error))?;
            serde_json::from_str(&line).map_err(|error| unusable(&error.into()))
        }))
    }
}

/// The failure of a temporary file.
pub(crate) fn unusable(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Internal, format!("a temporary file is not usable: {error}"))
        .remedy("make room in the temporary directory, or name another with TMPDIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_read_in_order_and_again() {
        let mut spool = Spool::<String>::new().unwrap();
        let items: Vec<String> = (0..5_000).map(|at| format!("line\n{at}")).collect();
        for item in &items {
            spool.push(item).unwrap();
        }
        assert_eq!((spool.len(), spool.is_empty()), (5_000, false));
        for _ in 0..2 {
            assert_eq!(spool.read().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), items);
        }
    }
}
