//! The two checksums of Azure Storage: MD5 and its CRC-64.
//!
//! The CRC is CRC-64/NVME (reflected polynomial 0x9A6C9329AC4BC9B5, all ones in and out), sent as the base64 of
//! its eight bytes in little-endian order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest, Md5};

const POLYNOMIAL: u64 = 0x9A6C_9329_AC4B_C9B5;

const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The MD5 of `bytes` in base64.
pub(super) fn md5(bytes: &[u8]) -> String {
    BASE64.encode(Md5::digest(bytes))
}

/// The storage service's CRC-64 of `bytes` in base64.
pub(super) fn crc64(bytes: &[u8]) -> String {
    BASE64.encode(crc64_value(bytes).to_le_bytes())
}

fn crc64_value(bytes: &[u8]) -> u64 {
    !bytes.iter().fold(u64::MAX, |crc, byte| TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_agree_with_the_published_check_values() {
        assert_eq!(crc64_value(b"123456789"), 0xAE8B_1486_0A79_9888);
        assert_eq!(md5(b""), "1B2M2Y8AsgTpgAmY7PhCfg==");
    }
}
