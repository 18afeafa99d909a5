//! The emulator over real loopback HTTP: with Microsoft's driver and SDK, and with requests written by hand.

#[cfg(test)]
#[path = "wire/account.rs"]
mod account;
#[cfg(test)]
#[path = "wire/batches.rs"]
mod batches;
#[cfg(test)]
#[path = "wire/control.rs"]
mod control;
#[cfg(test)]
#[path = "wire/data.rs"]
mod data;
#[cfg(test)]
#[path = "wire/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "wire/feed.rs"]
mod feed;
#[cfg(test)]
#[path = "wire/items.rs"]
mod items;
#[cfg(test)]
#[path = "wire/query.rs"]
mod query;
#[cfg(test)]
#[path = "wire/ranges.rs"]
mod ranges;
#[cfg(test)]
#[path = "wire/sdk.rs"]
mod sdk;
#[cfg(test)]
#[path = "wire/support.rs"]
mod support;
