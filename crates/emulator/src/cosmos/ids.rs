//! Resource ids (`_rid`): big-endian parents, little-endian children, base64 with `-` in place of `/`.
//!
//! The layout is the one of `ResourceId` in Microsoft's SDKs: 4 bytes of database, 4 of container with the top bit
//! set, 8 of document or range with the kind in the top nibble.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bit that tells a container's bytes from a user's.
const CONTAINER_BIT: u32 = 0x8000_0000;

/// The kind nibble of partition key ranges; documents have 0.
const RANGE_KIND: u64 = 0x5 << 60;

/// The resource id of a database.
pub(crate) fn database_rid(database: u32) -> String {
    encode(&database.to_be_bytes())
}

/// The resource id of a container.
pub(crate) fn container_rid(database: u32, container: u32) -> String {
    encode(&container_bytes(database, container))
}

/// The resource id of a document, by its ordinal in the container.
pub(crate) fn document_rid(database: u32, container: u32, ordinal: u64) -> String {
    child(database, container, ordinal)
}

/// The resource id of a partition key range.
pub(crate) fn range_rid(database: u32, container: u32, range: u64) -> String {
    child(database, container, range | RANGE_KIND)
}

/// The ordinal inside a document's resource id, or `None` for anything else.
pub(crate) fn document_ordinal(rid: &str) -> Option<u64> {
    let bytes: [u8; 16] = STANDARD.decode(rid.replace('-', "/")).ok()?.try_into().ok()?;
    let ordinal = u64::from_le_bytes(bytes[8..].try_into().ok()?);
    (ordinal >> 60 == 0).then_some(ordinal)
}

fn container_bytes(database: u32, container: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&database.to_be_bytes());
    bytes[4..].copy_from_slice(&(container | CONTAINER_BIT).to_be_bytes());
    bytes
}

fn child(database: u32, container: u32, child: u64) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&container_bytes(database, container));
    bytes[8..].copy_from_slice(&child.to_le_bytes());
    encode(&bytes)
}

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('/', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_ids_nest() {
        assert_eq!(database_rid(1), "AAAAAQ==");
        assert_eq!(container_rid(1, 1), "AAAAAYAAAAE=");
        assert_eq!(document_rid(1, 1, 1), "AAAAAYAAAAEBAAAAAAAAAA==");
        assert_eq!(range_rid(1, 1, 3), "AAAAAYAAAAEDAAAAAAAAUA==");
    }

    #[test]
    fn only_documents_have_an_ordinal() {
        assert_eq!(document_ordinal(&document_rid(7, 9, 1 << 40)), Some(1 << 40));
        assert_eq!(document_ordinal(&range_rid(7, 9, 1)), None);
        assert_eq!(document_ordinal("d1"), None);
    }
}
