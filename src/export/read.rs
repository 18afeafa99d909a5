//! Files of an export as lines, and as bytes that have their digest.
//!
//! Sizes in a manifest are never trusted: a line has a bound of its own, and so has the memory that a compressed file may ask for.

use std::io::{BufReader, Read};

use aws_lc_rs::digest::{Context, SHA256};
use cosmirror_formats::blob_name::hex;
use cosmirror_formats::export::{Compression, ExportFile, MANIFEST, Manifest, UNFINISHED, manifest_digest};

use super::place::Place;
use crate::failure::{Failure, Kind};
use crate::restore::Lines;

/// Longest manifest, in bytes; a file takes about 300 of them.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;
/// Largest window of a compressed file as a power of two: what `zstd` itself opens without being told to.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const BUFFER_BYTES: usize = 64 << 10;

/// A manifest and the digest by which others name it.
#[derive(Debug, Clone)]
pub(crate) struct ReadManifest {
    pub(crate) manifest: Manifest,
    pub(crate) sha256: String,
}

/// The manifest of a whole export; none where there is none. One that was begun and is not whole is refused.
pub(crate) async fn manifest(place: &dyn Place) -> Result<Option<ReadManifest>, Failure> {
    if let Some(read) = manifest_named(place, MANIFEST).await? {
        return Ok(Some(read));
    }
    if place.open(UNFINISHED).await?.is_none() {
        return Ok(None);
    }
    let message = format!("the export in {} is not whole: it was interrupted, or goes on", place.describe(""));
    Err(Failure::new(Kind::Integrity, message).remedy("run the command that makes it again: it goes on"))
}

/// The manifest under one of its two names.
pub(crate) async fn manifest_named(place: &dyn Place, name: &str) -> Result<Option<ReadManifest>, Failure> {
    let Some(file) = place.open(name).await? else { return Ok(None) };
    let what = place.describe(name);
    let damaged = |why: &dyn std::fmt::Display| {
        Failure::new(Kind::Integrity, format!("the manifest {what} cannot be used: {why}"))
            .remedy("take an undamaged copy of the export, or make it anew")
    };
    let mut bytes = Vec::new();
    file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| damaged(&"it is not text"))?;
    let manifest = Manifest::of_text(&text).map_err(|error| damaged(&error))?;
    Ok(Some(ReadManifest { manifest, sha256: manifest_digest(&text) }))
}

/// Opens a file of an export; that it is missing is damage.
pub(crate) async fn open(place: &dyn Place, file: &ExportFile) -> Result<Box<dyn Read + Send>, Failure> {
    place.open(&file.name).await?.ok_or_else(|| {
        Failure::new(Kind::Integrity, format!("{} is missing", place.describe(&file.name)))
            .remedy("take a whole copy of the export, or make it anew")
    })
}

/// Reads a file to its end and holds its bytes against the digest. Blocks.
pub(crate) fn check(mut from: impl Read, what: &str, file: &ExportFile) -> Result<(), Failure> {
    let (mut hash, mut bytes) = (Context::new(&SHA256), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).map_err(|error| unreadable(what, &error))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(&buffer[..read]);
    }
    if bytes == file.stored_bytes && hex(hash.finish().as_ref()) == file.sha256 {
        return Ok(());
    }
    let message = format!("{what} does not have the bytes that the manifest says: it was damaged or altered");
    Err(Failure::new(Kind::Integrity, message).remedy("take an undamaged copy of the export, or make it anew"))
}

/// The lines of a file, decompressed.
pub(crate) fn lines(
    from: Box<dyn Read + Send>,
    what: &str,
    compression: Compression,
) -> Result<Lines<BufReader<Box<dyn Read + Send>>>, Failure> {
    let from: Box<dyn Read + Send> = match compression {
        Compression::None => from,
        Compression::Zstd => Box::new(decoder(from).map_err(|error| unreadable(what, &error))?),
    };
    Ok(Lines::new(BufReader::with_capacity(BUFFER_BYTES, from)))
}

/// Decompresses within bounded memory.
pub(crate) fn decoder<R: Read>(from: R) -> std::io::Result<zstd::Decoder<'static, BufReader<R>>> {
    let mut decoder = zstd::Decoder::new(from)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// The failure of a file that cannot be read.
pub(crate) fn unreadable(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Integrity, format!("cannot read {what}: {error}"))
        .remedy("take an undamaged copy of the file, or make it anew")
}
