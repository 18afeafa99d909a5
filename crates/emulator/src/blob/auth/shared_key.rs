//! Shared Key authorization, as in "Authorize with Shared Key" of the Azure Storage REST reference.

use std::cmp::Ordering;

use http::header;
use http::{HeaderMap, HeaderName};

use super::{Access, AccountKey};
use crate::blob::errors::{Error, Result};
use crate::blob::request::Call;

/// The headers whose values come first, in their order. `Content-Length` and `Date` have their own rules.
const SIGNED_HEADERS: [HeaderName; 11] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    header::CONTENT_TYPE,
    header::DATE,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
];

/// Checks an `Authorization: SharedKey account:signature`.
pub(super) fn verify(call: &Call<'_>, credential: &str, key: &AccountKey) -> Result<Access> {
    let text = string_to_sign(call)?;
    let (account, signature) = credential.split_once(':').unwrap_or((credential, ""));
    if account != crate::BLOB_ACCOUNT || !key.verifies(&text, signature) {
        return Err(Error::AuthenticationFailed {
            detail: format!(
                "The MAC signature found in the HTTP request '{signature}' is not the same as any computed signature. \
                 Server used following string to sign: '{text}'."
            ),
        });
    }
    Ok(Access { overwrite: true, owner: true })
}

fn string_to_sign(call: &Call<'_>) -> Result<String> {
    let mut text = String::with_capacity(512);
    text.push_str(call.method.as_str());
    let has_ms_date = call.headers.contains_key("x-ms-date");
    for name in &SIGNED_HEADERS {
        text.push('\n');
        let start = text.len();
        push_values(&mut text, call.headers, name)?;
        let unsigned = match *name {
            header::DATE => has_ms_date,
            header::CONTENT_LENGTH => text[start..] == *"0",
            _ => false,
        };
        if unsigned {
            text.truncate(start);
        }
    }
    let mut names: Vec<&HeaderName> = call.headers.keys().filter(|name| name.as_str().starts_with("x-ms-")).collect();
    names.sort_by(|a, b| header_order(a.as_str(), b.as_str()));
    for name in names {
        text.push('\n');
        text.push_str(name.as_str());
        text.push(':');
        push_values(&mut text, call.headers, name)?;
    }
    text.push_str("\n/");
    text.push_str(crate::BLOB_ACCOUNT);
    text.push_str(call.path);
    push_query(&mut text, call.query.pairs());
    Ok(text)
}

/// Adds all values of a header, trimmed and joined with commas.
fn push_values(text: &mut String, headers: &HeaderMap, name: &HeaderName) -> Result<()> {
    for (index, value) in headers.get_all(name).iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let value = value.to_str().map_err(|_| Error::InvalidHeader {
            name: name.to_string(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        })?;
        text.push_str(value.trim());
    }
    Ok(())
}

fn push_query(text: &mut String, pairs: &[(String, String)]) {
    let mut pairs: Vec<&(String, String)> = pairs.iter().collect();
    pairs.sort();
    let mut last: Option<&str> = None;
    for (name, value) in pairs {
        if last == Some(name) {
            text.push(',');
        } else {
            text.push('\n');
            text.push_str(name);
            text.push(':');
            last = Some(name);
        }
        text.push_str(value);
    }
}

/// The service sorts header names like .NET's invariant culture, which matters for metadata: hyphens count only
/// between otherwise equal names, and an underscore comes before digits. (Microsoft's JavaScript and Python
/// clients carry weight tables for the same reason.)
fn header_order(a: &str, b: &str) -> Ordering {
    weights(a).cmp(weights(b)).then_with(|| a.cmp(b))
}

fn weights(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|byte| *byte != b'-').map(|byte| if byte == b'_' { b'!' } else { byte })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> http::request::Parts {
        let mut builder = http::Request::put(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    const URI: &str = "/devstoreaccount1/mirror/a%2Fb%20c~7E.json?timeout=30&Comp=x%3Dy";
    const HEADERS: [(&str, &str); 9] = [
        ("content-length", "5"),
        ("content-type", "application/json"),
        ("if-none-match", "*"),
        ("x-ms-blob-type", "BlockBlob"),
        ("x-ms-date", "Fri, 20 Nov 2026 20:25:42 GMT"),
        ("x-ms-meta-a1", "one"),
        ("x-ms-meta-a_b", " two "),
        ("x-ms-version", "2026-04-06"),
        ("date", "Fri, 20 Nov 2026 20:25:42 GMT"),
    ];

    #[test]
    fn the_string_to_sign_has_the_documented_form() {
        let parts = request(URI, &HEADERS);
        let call = Call::parse(&parts).unwrap();
        assert_eq!(
            string_to_sign(&call).unwrap(),
            "PUT\n\n\n5\n\napplication/json\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n\
             x-ms-date:Fri, 20 Nov 2026 20:25:42 GMT\nx-ms-meta-a_b:two\nx-ms-meta-a1:one\n\
             x-ms-version:2026-04-06\n\
             /devstoreaccount1/devstoreaccount1/mirror/a%2Fb%20c~7E.json\ncomp:x=y\ntimeout:30"
        );
    }

    #[test]
    fn a_signature_computed_elsewhere_is_accepted_and_any_other_is_not() {
        let key = AccountKey::from_base64(crate::BLOB_KEY).unwrap();
        let parts = request(URI, &HEADERS);
        let call = Call::parse(&parts).unwrap();
        // Computed with Python's hmac module over the string of the test above.
        let signature = "BV7HG87bUfBG6WbMr9FoJGc2D8Kv+mCpCqmZWp3PZc0=";
        let good = format!("devstoreaccount1:{signature}");
        assert_eq!(verify(&call, &good, &key), Ok(Access { overwrite: true, owner: true }));
        for bad in ["devstoreaccount1:AAAA", "other:AAAA", "devstoreaccount1", ""] {
            assert!(matches!(verify(&call, bad, &key), Err(Error::AuthenticationFailed { .. })));
        }
    }

    #[test]
    fn an_empty_body_signs_no_content_length() {
        let parts = request("/devstoreaccount1/c/b", &[("content-length", "0")]);
        let call = Call::parse(&parts).unwrap();
        assert_eq!(string_to_sign(&call).unwrap(), "PUT\n\n\n\n\n\n\n\n\n\n\n\n/devstoreaccount1/devstoreaccount1/c/b");
    }
}
