//! The difference of two JSON documents, path by path. Pure.
//!
//! | step | file |
//! |---|---|
//! | a document as a tree that keeps the text of its numbers | `diff/tree.rs` |
//! | which elements of two arrays are the same | `diff/align.rs` |
//! | the changes, in an order in which they can be made one by one | `diff/walk.rs` |
//! | the same as an RFC 6902 patch | `diff/patch.rs` |
//! | names, strings and paths (RFC 6901) | `diff/text.rs` |
//!
//! What counts as equal: strings that say the same characters, however they are escaped; objects with the same members in any order;
//! numbers that are written the same, because no program reads every number exactly. Of a name that occurs twice in one object the
//! last one counts, as for every reader of JSON, and [`Document::repeated`] tells of it. White space does not count.
//!
//! Everything has a limit: how deep a document may be, how much an array's comparison may cost, and how long the paths may become
//! together. Beyond the last two the difference gets coarser and stays right.

mod align;
mod patch;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod walk;

pub use patch::patch;
pub use text::{Json, Pointer};
pub use tree::{Document, Repeated, Unreadable};
pub use walk::{Change, Op, changes};
