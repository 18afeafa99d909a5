//! Signing and escaping, written down once more from the REST references, so that no code of the product vouches for itself.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror_emulator::{BLOB_ACCOUNT, BLOB_KEY, COSMOS_KEY};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Part of what is signed. The emulator's clock may be moved, so it takes any date.
pub(super) const DATE: &str = "Fri, 20 Nov 2026 18:46:23 GMT";
/// Version of Blob Storage's protocol.
pub(super) const BLOB_VERSION: &str = "2024-11-04";

/// The text with every byte but unreserved ones as `%XX`.
pub(super) fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// JSON text with everything beyond ASCII escaped, as a header needs it.
pub(super) fn ascii(json: &str) -> String {
    json.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            });
        }
        out
    })
}

fn hmac(key: &str, text: &str) -> String {
    let key = STANDARD.decode(key).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The `authorization` of a Cosmos request; the segments are those of the path, decoded.
pub(super) fn sign_cosmos(verb: &str, segments: &[&str]) -> String {
    let (kind, link) = match segments.len() {
        n if n % 2 == 0 => (segments[n - 2], segments.join("/")),
        n => (segments[n - 1], segments[..n - 1].join("/")),
    };
    let text = format!("{}\n{kind}\n{link}\n{}\n\n", verb.to_lowercase(), DATE.to_lowercase());
    percent(&format!("type=master&ver=1.0&sig={}", hmac(COSMOS_KEY, &text)))
}

/// The `authorization` of a Blob read: the path encoded as it is sent, the query decoded.
pub(super) fn sign_blob(path: &str, query: &[(&str, &str)]) -> String {
    let mut query = query.to_vec();
    query.sort_unstable();
    let query: String = query.iter().map(|(name, value)| format!("\n{name}:{value}")).collect();
    let headers = format!("x-ms-date:{DATE}\nx-ms-version:{BLOB_VERSION}");
    let text = format!("GET{}{headers}\n/{BLOB_ACCOUNT}{path}{query}", "\n".repeat(12));
    format!("SharedKey {BLOB_ACCOUNT}:{}", hmac(BLOB_KEY, &text))
}

/// A shared access signature of the blob account: `resources` of `sco`, and what it permits.
pub(super) fn account_sas(resources: &str, permissions: &str) -> String {
    const END: &str = "2999-01-01";
    let text = format!("{BLOB_ACCOUNT}\n{permissions}\nb\n{resources}\n\n{END}\n\n\n{BLOB_VERSION}\n\n");
    let signature = percent(&hmac(BLOB_KEY, &text));
    format!("sv={BLOB_VERSION}&ss=b&srt={resources}&sp={permissions}&se={END}&sig={signature}")
}
