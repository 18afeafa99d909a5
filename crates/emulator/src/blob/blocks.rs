//! Blobs written in parts: Put Block, Put Block List and Get Block List.
//!
//! Blocks wait, uncommitted, beside the blob's states until a block list puts some of them together; then the
//! others are dropped, as they are by a Put Blob. A commit is one write like Put Blob: one version.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use jiff::Timestamp;

use super::checksum;
use super::conditions::Conditions;
use super::content::{BLOB_BYTES_MAX, Block, Content, check_transport, refuse_lacking};
use super::context::Context;
use super::draft::Draft;
use super::encryption::Encryption;
use super::entry::Entry;
use super::errors::{Error, Result};
use super::get;
use super::put;
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::xml::Xml;

/// Bytes of a block's id before base64, by the service's documentation.
const BLOCK_ID_BYTES_MAX: usize = 64;
/// Blocks of one committed blob, by the service's documentation. As many may wait.
const BLOCKS_MAX: usize = 50_000;

/// Put Block.
pub(super) fn put_block(store: &Store, call: &Call<'_>, body: Bytes, context: &Context) -> Result<Reply> {
    refuse_lacking(call)?;
    let id = block_id(call)?;
    let md5 = check_transport(call, &body)?;
    let crc64 = checksum::crc64(&body);
    let encryption = stage(store, call, id, body, context)?;
    let mut reply = Reply::new(StatusCode::CREATED);
    set_checksums(call, &mut reply, &md5, &crc64)?;
    reply.set("x-ms-request-server-encrypted", "true");
    encryption.describe(&mut reply);
    Ok(reply)
}

/// Tells the checksums of a request's body: the CRC always, the MD5 to whom sent one.
fn set_checksums(call: &Call<'_>, reply: &mut Reply, md5: &str, crc64: &str) -> Result<()> {
    reply.set("x-ms-content-crc64", crc64);
    reply.set_optional("content-md5", call.header("content-md5")?.map(|_| md5));
    Ok(())
}

/// Lets a block wait for its list. What it would be encrypted with.
pub(super) fn stage(
    store: &Store,
    call: &Call<'_>,
    id: Vec<u8>,
    bytes: Bytes,
    context: &Context,
) -> Result<Encryption> {
    let encryption = Encryption::of(call)?;
    let lease = call.header("x-ms-lease-id")?;
    store.with(call.container(), |container| {
        let encryption = encryption.under(&container.scope_rule)?;
        container.entry(call.blob(), context.now);
        let entry = container.blobs.entry(call.blob().to_owned()).or_default();
        let staged = entry
            .guard_write(lease, context.now)
            .and_then(|()| entry.stage(Block { id, bytes }, BLOCKS_MAX, context.now));
        // Drops the entry if the refused block would have been its first.
        container.entry(call.blob(), context.now);
        staged.map(|()| encryption)
    })
}

/// Put Block List.
pub(super) fn put_list(store: &Store, call: &Call<'_>, body: &Bytes, context: &Context) -> Result<Reply> {
    let conditions = Conditions::parse(call)?;
    let md5 = check_transport(call, body)?;
    let wanted = parse_list(body)?;
    let mut draft = Draft::with(call, Content::of_commit(call)?, context)?;
    let written = store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), context.now);
        let blocks = assemble(entry.as_deref(), &wanted)?;
        (draft.content.body, draft.content.blocks) = join(blocks)?;
        put::write(container, call, draft, &conditions, context)
    })?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set_written(&written);
    set_checksums(call, &mut reply, &md5, &checksum::crc64(body))?;
    reply.set("x-ms-request-server-encrypted", "true");
    Ok(reply)
}

/// Get Block List.
pub(super) fn get_list(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    let lease = call.header("x-ms-lease-id")?;
    let conditions = Conditions::parse(call)?;
    let (committed, uncommitted) = match call.query.get("blocklisttype") {
        None | Some("committed") => (true, false),
        Some("uncommitted") => (false, true),
        Some("all") => (true, true),
        Some(other) => {
            let reason = "Not a type of block list.";
            return Err(Error::InvalidQuery { name: "blocklisttype", value: other.to_owned(), reason });
        }
    };
    let staged = store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
        entry.guard_read(lease, now)?;
        let staged = entry.staged().iter();
        Ok(staged.map(|(id, bytes)| Block { id: id.clone(), bytes: bytes.clone() }).collect::<Vec<_>>())
    })?;
    let state = match get::find(store, call, now) {
        Ok(found) => Some(found.state),
        // A blob may have blocks before it is first committed.
        Err(Error::BlobNotFound) if !staged.is_empty() => None,
        Err(error) => return Err(error),
    };
    if let Some(state) = &state {
        conditions.for_read(state.validators())?;
    }
    let mut xml = Xml::new();
    xml.open("BlockList");
    if committed {
        let blocks = state.as_ref().map_or(&[][..], |state| &state.content.blocks);
        render(&mut xml, "CommittedBlocks", blocks);
    }
    if uncommitted {
        render(&mut xml, "UncommittedBlocks", &staged);
    }
    xml.close("BlockList");
    let mut reply = Reply::xml(StatusCode::OK, xml);
    if let Some(state) = state {
        reply.set_validators(state.etag, state.last_modified);
        reply.set("x-ms-blob-content-length", &state.content.body.len().to_string());
    }
    Ok(reply)
}

fn render(xml: &mut Xml, name: &str, blocks: &[Block]) {
    xml.open(name);
    for block in blocks {
        xml.open("Block").element("Name", &BASE64.encode(&block.id));
        xml.element("Size", &block.bytes.len().to_string()).close("Block");
    }
    xml.close(name);
}

/// Reads `blockid`.
pub(super) fn block_id(call: &Call<'_>) -> Result<Vec<u8>> {
    decode_id(call.query.get("blockid").unwrap_or_default())
}

fn decode_id(text: &str) -> Result<Vec<u8>> {
    match BASE64.decode(text) {
        Ok(id) if (1..=BLOCK_ID_BYTES_MAX).contains(&id.len()) => Ok(id),
        _ => Err(Error::InvalidQuery {
            name: "blockid",
            value: text.to_owned(),
            reason: "Not the base64 of 1 to 64 bytes.",
        }),
    }
}

/// Where a block list looks for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Committed,
    Uncommitted,
    Latest,
}

/// Reads a block list: a flat sequence of elements, whose texts are base64 and so never escaped.
fn parse_list(body: &[u8]) -> Result<Vec<(Source, Vec<u8>)>> {
    let invalid = || Error::InvalidXml;
    let text = std::str::from_utf8(body).map_err(|_| invalid())?.trim_start_matches('\u{FEFF}').trim();
    let text = match text.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").ok_or_else(invalid)?.1.trim_start(),
        None => text,
    };
    if matches!(text, "<BlockList/>" | "<BlockList />") {
        return Ok(Vec::new());
    }
    let inner = text.strip_prefix("<BlockList>").and_then(|rest| rest.strip_suffix("</BlockList>"));
    let mut rest = inner.ok_or_else(invalid)?.trim();
    let mut wanted = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(invalid)?;
        let source = match name {
            "Committed" => Source::Committed,
            "Uncommitted" => Source::Uncommitted,
            "Latest" => Source::Latest,
            _ => return Err(invalid()),
        };
        let (id, after) = after.split_once(&format!("</{name}>")).ok_or_else(invalid)?;
        wanted.push((source, BASE64.decode(id.trim()).map_err(|_| Error::InvalidBlockList)?));
        if wanted.len() > BLOCKS_MAX {
            return Err(Error::BlockCount { limit: BLOCKS_MAX });
        }
        rest = after.trim_start();
    }
    Ok(wanted)
}

fn assemble(entry: Option<&Entry>, wanted: &[(Source, Vec<u8>)]) -> Result<Vec<Block>> {
    let current = entry.and_then(Entry::current);
    let committed = current.map_or(&[][..], |state| &state.content.blocks);
    let committed: HashMap<_, _> = committed.iter().map(|block| (&block.id, &block.bytes)).collect();
    let staged = |id: &Vec<u8>| entry.and_then(|entry| entry.staged().get(id));
    let mut blocks = Vec::with_capacity(wanted.len());
    for (source, id) in wanted {
        let old = || committed.get(id).copied();
        let found = match source {
            Source::Committed => old(),
            Source::Uncommitted => staged(id),
            Source::Latest => staged(id).or_else(old),
        };
        let bytes = found.ok_or(Error::InvalidBlockList)?.clone();
        blocks.push(Block { id: id.clone(), bytes });
    }
    Ok(blocks)
}

/// Puts the blocks together, and lets each share the whole's memory.
fn join(mut blocks: Vec<Block>) -> Result<(Bytes, Vec<Block>)> {
    let bytes = blocks.iter().map(|block| block.bytes.len()).sum();
    if bytes > BLOB_BYTES_MAX {
        return Err(Error::BodyTooLarge { limit: BLOB_BYTES_MAX });
    }
    let mut body = BytesMut::with_capacity(bytes);
    for block in &blocks {
        body.extend_from_slice(&block.bytes);
    }
    let body = body.freeze();
    let mut start = 0;
    for block in &mut blocks {
        let end = start + block.bytes.len();
        block.bytes = body.slice(start..end);
        start = end;
    }
    Ok((body, blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_lists_are_read_with_and_without_declaration_and_space() {
        let list = b"\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\n <Latest>YQ==</Latest>\n \
            <Committed>Yg==</Committed><Uncommitted>Yw==</Uncommitted></BlockList>\n";
        let wanted = [(Source::Latest, "a"), (Source::Committed, "b"), (Source::Uncommitted, "c")];
        assert_eq!(parse_list(list).unwrap(), wanted.map(|(source, id)| (source, id.as_bytes().to_vec())));
        assert_eq!(parse_list(b"<BlockList/>"), Ok(Vec::new()));
        assert_eq!(parse_list(b"<BlockList></BlockList>"), Ok(Vec::new()));
    }

    #[test]
    fn malformed_block_lists_are_refused() {
        for bad in ["", "<BlockList>", "<Blocks></Blocks>", "<BlockList><Newest>YQ==</Newest></BlockList>"] {
            assert_eq!(parse_list(bad.as_bytes()), Err(Error::InvalidXml), "{bad}");
        }
        let not_base64 = b"<BlockList><Latest>?</Latest></BlockList>";
        assert_eq!(parse_list(not_base64), Err(Error::InvalidBlockList));
    }

    #[test]
    fn block_ids_have_a_limit() {
        assert!(decode_id(&BASE64.encode([0; BLOCK_ID_BYTES_MAX])).is_ok());
        for bad in ["", "?", &BASE64.encode([0; BLOCK_ID_BYTES_MAX + 1])] {
            assert!(matches!(decode_id(bad), Err(Error::InvalidQuery { .. })), "{bad}");
        }
    }
}
