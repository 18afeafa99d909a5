//! Microsoft's conformance vectors of effective partition keys: asked of the emulator over the wire, and of the driver.
//!
//! `tests/data/README.md` says where the vectors come from. Every vector can be written as an item: an absent key is an
//! item without the property, and all numbers are finite.

#[cfg(test)]
#[expect(dead_code, reason = "shared with tests/wire.rs, of which only the signing client is needed here")]
#[path = "wire/support.rs"]
mod support;
#[cfg(test)]
#[path = "epk_vectors/vectors.rs"]
mod vectors;
