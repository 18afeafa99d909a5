//! The form of a version file, format 1: one line of JSON, a line feed, and then the content, byte for byte.
//!
//! ```text
//! {"format":1,"length":11,"metadata":{"op":"create"}}
//! {"id":"x"}…
//! ```
//! `length` is the content's; a file of any other length was damaged, because no version is linked before it is whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::errors;
use crate::failure::{Failure, Kind};

const FORMAT: u32 = 1;
/// Longest first line; Azure takes 8 KiB of metadata, and JSON may double it.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    length: u64,
    metadata: BTreeMap<String, String>,
}

/// What the first line says.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) length: u64,
    pub(super) metadata: BTreeMap<String, String>,
}

/// The first line with its line feed.
pub(super) fn header_line(length: u64, metadata: BTreeMap<String, String>) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(&Header { format: FORMAT, length, metadata })
        .map_err(|error| Failure::new(Kind::Internal, format!("metadata could not be written as JSON: {error}")))?;
    line.push(b'\n');
    if line.len() as u64 > HEADER_BYTES_MAX {
        return Err(Failure::new(Kind::Refused, format!("the metadata takes more than {HEADER_BYTES_MAX} bytes")));
    }
    Ok(line)
}

/// Writes a version file.
pub(super) fn write(mut to: impl Write, header: &[u8], body: &[u8]) -> io::Result<()> {
    to.write_all(header)?;
    to.write_all(body)
}

/// Reads the first line; none if there is no such file.
pub(super) fn describe(path: &Path) -> Result<Option<Described>, Failure> {
    Ok(open(path)?.map(|opened| opened.described))
}

/// Reads everything; none if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<(Described, Vec<u8>)>, Failure> {
    let Some(mut opened) = open(path)? else { return Ok(None) };
    let mut body = Vec::with_capacity(usize::try_from(opened.described.length).unwrap_or_default());
    opened.rest.read_to_end(&mut body).map_err(|error| errors::reading(path, &error))?;
    Ok(Some((opened.described, body)))
}

struct Opened {
    described: Described,
    rest: BufReader<File>,
}

fn open(path: &Path) -> Result<Option<Opened>, Failure> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| errors::reading(path, &error))?,
    };
    let size = file.metadata().map_err(|error| errors::reading(path, &error))?.len();
    let mut rest = BufReader::new(file);
    let mut line = Vec::new();
    (&mut rest).take(HEADER_BYTES_MAX).read_until(b'\n', &mut line).map_err(|error| errors::reading(path, &error))?;
    let header: Header = match line.strip_suffix(b"\n").map(serde_json::from_slice) {
        Some(Ok(header)) => header,
        _ => return Err(damaged(path, "its first line is not that of a version file")),
    };
    if header.format != FORMAT {
        return Err(damaged(path, &format!("it has format {}, and this program reads format {FORMAT}", header.format)));
    }
    if (line.len() as u64).checked_add(header.length) != Some(size) {
        return Err(damaged(path, "its length is not the one it was written with"));
    }
    Ok(Some(Opened { described: Described { length: header.length, metadata: header.metadata }, rest }))
}

fn damaged(path: &Path, how: &str) -> Failure {
    Failure::new(Kind::Integrity, format!("the version file {} cannot be used: {how}", path.display()))
        .remedy("check the disk, and restore the file from a copy of the directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("version");
        std::fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    #[test]
    fn golden_bytes_of_format_1() {
        let metadata = BTreeMap::from([("op".to_owned(), "create".to_owned()), ("id".to_owned(), "a\"\n☃".to_owned())]);
        let body = b"{\"a\":\n\"b\"}";
        let mut bytes = Vec::new();
        write(&mut bytes, &header_line(10, metadata.clone()).unwrap(), body).unwrap();
        let golden =
            "{\"format\":1,\"length\":10,\"metadata\":{\"id\":\"a\\\"\\n☃\",\"op\":\"create\"}}\n{\"a\":\n\"b\"}";
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), golden);

        let (_directory, path) = stored(&bytes);
        let (described, read) = read(&path).unwrap().unwrap();
        assert_eq!((described.length, described.metadata, read.as_slice()), (10, metadata, &body[..]));
    }

    #[test]
    fn a_file_that_lost_or_won_a_byte_is_an_integrity_failure() {
        let whole = b"{\"format\":1,\"length\":2,\"metadata\":{}}\n{}";
        for bytes in [&whole[..whole.len() - 1], &[&whole[..], b" "].concat()] {
            let (_directory, path) = stored(bytes);
            assert_eq!(read(&path).unwrap_err().kind, Kind::Integrity);
            assert_eq!(describe(&path).unwrap_err().kind, Kind::Integrity);
        }
    }

    #[test]
    fn a_torn_or_foreign_file_is_an_integrity_failure() {
        for bytes in [&b""[..], b"x", b"{}\n", b"{\"format\":2,\"length\":0,\"metadata\":{}}\n", b"{\"format\":1"] {
            let (_directory, path) = stored(bytes);
            assert_eq!(describe(&path).unwrap_err().kind, Kind::Integrity);
        }
        assert!(describe(Path::new("/nowhere/at/all")).unwrap().is_none());
    }
}
