//! Everything cosmirror persists and everything it decodes, free of any SDK.
//!
//! | module | what it holds |
//! |---|---|
//! | [`partition_key`] | typed partition key values, their JSON and their definition |
//! | [`blob_name`] | the path of a document, and of the mirror's own records |
//! | [`encryption`] | how stored bytes are encrypted |
//! | [`export`] | documents as files, and the manifest that says what they are |
//! | [`version`] | the metadata that travels with every stored version |
//! | [`feed_page`] | one entry of a change feed page, in every shape a service sends |
//! | [`lease`] | lease documents, readable by the .NET change feed estimator and KEDA |
//! | [`job`] | work that somebody asked for |
//! | [`mark`] | a property that is added to a document's text |
//! | [`purge`] | that a document's history was erased |
//! | [`records`] | the mirror's description of itself: container, ranges, gaps, dead letters |
//! | [`restore_plan`] | what a restore is to write, and what undoes it |
//! | [`rehearsal`] | the last rehearsal of a restore |
//! | [`restore_record`] | what a restore wrote |
//! | [`sealed_lines`] | files of which no line can be altered unnoticed |
//!
//! Nothing here does I/O or asks for the time, so a reader of a mirror can be built on this crate alone.

pub mod blob_name;
pub mod encryption;
pub mod export;
pub mod feed_page;
pub mod job;
mod json_scan;
pub mod lease;
pub mod mark;
pub mod partition_key;
pub mod purge;
pub mod records;
pub mod rehearsal;
pub mod restore_plan;
pub mod restore_record;
pub mod sealed_lines;
pub mod version;

pub use blob_name::MirrorPaths;
pub use encryption::Encryption;
pub use feed_page::{Change, ChangeError, Operation};
pub use lease::{EpkRange, Lease, LeaseError};
pub use partition_key::{KeyDefinition, KeyValue, PartitionKey};
pub use version::{Op, Version, VersionError};
