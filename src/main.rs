//! cosmirror.
fn main() {}
