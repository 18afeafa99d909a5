//! cosmirror: every version of every document of Azure Cosmos DB containers, kept in blobs, and brought back.
//!
//! **The way of a change** ([`mirror`]): [`leases`] say who follows which range and how far it is → [`feed`] gives a page →
//! `mirror::plan` says, without I/O, which versions it holds → `mirror::write` stores them, conditionally and each document in
//! order → `mirror::checkpoint` moves only over what is durable.
//!
//! **The way of a restored document** ([`restore`]): [`history`] reads which versions exist, from listings with metadata → `plan`
//! says, without I/O, what a restore would do → `apply` does it, guarded by etags → `verify` reads back and compares.
//!
//! **The comparison of both** ([`reconcile`]): what the source holds beside what the mirror's newest versions say, drift told from what is
//! still on its way, and repaired conditionally.
//!
//! | module | what it is |
//! |---|---|
//! | [`config`] | settings as data: file < environment < flag, every fault reported |
//! | [`run`](mod@run) | the composition root, and the only spawner |
//! | [`store`], [`documents`], [`feed`] | the contracts of the outside world, with their implementations |
//! | [`encryption`] | content that only the owner of a key can read |
//! | [`diff`](mod@diff) | two JSON documents, path by path; pure |
//! | [`failure`] | one table from kinds of errors to what happens next, and exit codes |
//! | [`check`] | the audit before the first write |
//! | `export` | documents as they were at an instant, in files |
//! | `import` | documents from such files, and from others |
//! | [`replay`] | dead letters become versions |
//! | [`purge`] | a document's whole history is erased |
//! | [`jobs`] | verifications and backfills that somebody asks for over HTTP |
//! | [`observer`] | how far behind each range is, seen from outside the loops that do the work |
//! | [`admin`] | health, readiness, metrics, status, jobs and the page |
//! | [`crash`] | where a test can make the process die |
//! | [`cli`] | one file per command |

pub mod admin;
pub mod check;
pub mod cli;
pub mod config;
pub mod cosmos;
pub mod crash;
#[cfg(feature = "emulator")]
pub mod demo;
pub mod diff;
mod discreet;
pub mod documents;
pub mod encryption;
mod export;
pub mod failure;
pub mod feed;
pub mod history;
mod identity;
mod import;
pub mod jobs;
mod json_text;
pub mod leases;
mod look;
pub mod mirror;
pub mod observer;
pub mod pace;
pub mod purge;
pub mod reconcile;
pub mod records;
pub mod rehearse;
pub mod replay;
pub mod restore;
pub mod retry;
pub mod run;
mod seen;
mod sha256;
mod spool;
mod status;
pub mod store;
pub mod time;
mod traces;
