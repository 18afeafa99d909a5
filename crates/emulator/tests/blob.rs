//! The blob endpoint as Microsoft's Rust client sees it, over loopback.
//!
//! The client knows no shared key, so all of it is authorized by shared access signatures made here.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on has failed its test")]

#[path = "blob/account.rs"]
mod account;
#[path = "blob/client.rs"]
mod client;
#[path = "blob/copying.rs"]
mod copying;
#[path = "blob/listing.rs"]
mod listing;
#[path = "blob/protecting.rs"]
mod protecting;
#[path = "blob/reading.rs"]
mod reading;
#[path = "blob/refusals.rs"]
mod refusals;
#[path = "blob/tagging.rs"]
mod tagging;
#[path = "blob/writing.rs"]
mod writing;
