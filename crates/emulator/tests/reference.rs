//! This emulator beside Microsoft's in-memory emulator: the same requests to both, and no difference that is not
//! explained in `docs/emulator-in-memory.md`.
//!
//! Microsoft's emulator is a part of its driver that is meant for the driver's own tests and has no stable interface;
//! the driver's version is exact in this workspace, so a new one is met on purpose.

#[cfg(test)]
#[path = "reference/account.rs"]
mod account;
#[cfg(test)]
#[path = "reference/batch.rs"]
mod batch;
#[cfg(test)]
#[path = "reference/containers.rs"]
mod containers;
#[cfg(test)]
#[path = "reference/difference.rs"]
mod difference;
#[cfg(test)]
#[path = "reference/feed.rs"]
mod feed;
#[cfg(test)]
#[path = "reference/items.rs"]
mod items;
#[cfg(test)]
#[path = "reference/pair.rs"]
mod pair;
#[cfg(test)]
#[path = "reference/query.rs"]
mod query;
#[cfg(test)]
#[path = "reference/ranges.rs"]
mod ranges;
#[cfg(test)]
#[path = "reference/relation.rs"]
mod relation;
#[cfg(test)]
#[path = "reference/shape.rs"]
mod shape;
#[cfg(test)]
#[expect(dead_code, reason = "shared with tests/wire.rs, of which only the signing client is needed here")]
#[path = "wire/support.rs"]
mod support;
#[cfg(test)]
#[path = "reference/table.rs"]
mod table;
#[cfg(test)]
#[path = "reference/topology.rs"]
mod topology;
#[cfg(test)]
#[path = "reference/verdict.rs"]
mod verdict;
