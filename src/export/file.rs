//! One file of an export while its lines are added: compressed and hashed as they come.
//!
//! It has a temporary name, or none, until it is whole; a crash leaves at most that.

use std::io::{BufWriter, Write};

use aws_lc_rs::digest::{Context, SHA256};
use cosmirror_formats::blob_name::hex;
use cosmirror_formats::export::{Compression, ExportFile, LineCounts};

use super::place::Staged;
use crate::failure::{Failure, Kind};

/// Zstandard's own default: a third of the size at the speed of a disk.
const ZSTD_LEVEL: i32 = 3;

/// A file that is being written.
pub(super) struct FileWriter {
    out: Out,
    counts: LineCounts,
    bytes: u64,
    last: String,
}

enum Out {
    Plain(Hashed),
    Zstd(zstd::Encoder<'static, Hashed>),
}

/// Hashes what goes to the disk.
struct Hashed {
    out: BufWriter<Staged>,
    hash: Context,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl FileWriter {
    /// An empty file that goes to `staged`.
    pub(super) fn new(staged: Staged, compression: Compression) -> Result<Self, Failure> {
        let hashed = Hashed { out: BufWriter::new(staged), hash: Context::new(&SHA256), bytes: 0 };
        let out = match compression {
            Compression::None => Out::Plain(hashed),
            Compression::Zstd => {
                let encoder = zstd::Encoder::new(hashed, ZSTD_LEVEL);
                Out::Zstd(encoder.map_err(|error| unwritable(&error))?)
            }
        };
        Ok(Self { out, counts: LineCounts::default(), bytes: 0, last: String::new() })
    }

    /// Bytes of its lines.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a line, which is of the document with this name.
    pub(super) fn add(&mut self, name: String, line: &str, counts: LineCounts) -> Result<(), Failure> {
        let written = match &mut self.out {
            Out::Plain(out) => out.write_all(line.as_bytes()),
            Out::Zstd(out) => out.write_all(line.as_bytes()),
        };
        written.map_err(|error| unwritable(&error))?;
        self.bytes += line.len() as u64;
        self.counts += counts;
        self.last = name;
        Ok(())
    }

    /// The whole file, and what the manifest says of it.
    pub(super) fn finish(self, name: String) -> Result<(Staged, ExportFile), Failure> {
        let hashed = match self.out {
            Out::Plain(out) => Ok(out),
            Out::Zstd(out) => out.finish(),
        };
        let Hashed { out, hash, bytes } = hashed.map_err(|error| unwritable(&error))?;
        let staged = out.into_inner().map_err(|error| unwritable(error.error()))?;
        let file = ExportFile {
            name,
            counts: self.counts,
            bytes: self.bytes,
            stored_bytes: bytes,
            sha256: hex(hash.finish().as_ref()),
            last: self.last,
        };
        Ok((staged, file))
    }
}

fn unwritable(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Internal, format!("cannot write a file of the export: {error}"))
        .remedy("make room where it goes and run the same command again: it goes on")
}
