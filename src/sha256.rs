//! SHA-256 where it is taken of every change: by the TLS library, which uses what the processor has.
//!
//! [`cosmirror_formats::version::sha256_hex`] is the same in plain Rust, for readers that want no more than the formats.

use aws_lc_rs::digest::{SHA256, digest};
use cosmirror_formats::blob_name::hex;

/// SHA-256 in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_formats_say() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        for length in [0, 1, 55, 56, 63, 64, 65, 1_000, 100_000] {
            let bytes = vec![7; length];
            assert_eq!(sha256_hex(&bytes), cosmirror_formats::version::sha256_hex(&bytes));
        }
    }
}
