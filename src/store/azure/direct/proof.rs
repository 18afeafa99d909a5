//! The proof of who we are, for each request: a signature by the account's key, one that stands in the URL already, or a token.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::super::shared_key::{SharedKey, Signed, http_date};
use crate::time;

const DATE: HeaderName = HeaderName::from_static("x-ms-date");
/// What the token is asked for.
const SCOPE: &str = "https://storage.azure.com/.default";
/// A token is renewed so many seconds before it ends, as the SDK does it.
const RENEWED_BEFORE: i64 = 300;

/// How requests are proved.
#[derive(Debug)]
pub(in crate::store::azure) enum Proof {
    /// Each is signed.
    Key { key: Arc<SharedKey>, date: Date },
    /// The URL holds it.
    Signature,
    /// Each carries a token.
    Token(Bearer),
}

/// The date as headers have it. It changes once a second, and is asked for with every request.
#[derive(Debug, Default)]
pub(in crate::store::azure) struct Date(Mutex<Option<(i64, HeaderValue)>>);

/// A token and where the next one comes from.
pub(in crate::store::azure) struct Bearer {
    credential: Arc<dyn TokenCredential>,
    held: Mutex<Option<Held>>,
    /// Held by the one that asks for a token.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Held {
    header: HeaderValue,
    /// Seconds since the epoch.
    ends: i64,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

impl Proof {
    pub(in crate::store::azure) fn key(key: Arc<SharedKey>) -> Self {
        Self::Key { key, date: Date::default() }
    }

    pub(in crate::store::azure) fn token(credential: Arc<dyn TokenCredential>) -> Self {
        Self::Token(Bearer { credential, held: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    /// What the header `authorization` of a request is to say, if it is to have one. `headers` gets what belongs to that; all others are
    /// there already.
    pub(super) async fn of(
        &self,
        method: &Method,
        path: &str,
        parameters: &[(&'static str, String)],
        headers: &mut HeaderMap,
    ) -> azure_core::Result<Option<HeaderValue>> {
        match self {
            Self::Signature => Ok(None),
            Self::Token(bearer) => bearer.header().await.map(Some),
            Self::Key { key, date } => {
                headers.insert(DATE, date.header()?);
                let signed = Signed {
                    method: method.as_str(),
                    headers: headers.iter().filter_map(signed_header).collect(),
                    path,
                    parameters: parameters.iter().map(|(name, value)| ((*name).into(), value.into())).collect(),
                };
                secret(key.authorization(signed)).map(Some)
            }
        }
    }

    /// The service did not take the proof.
    pub(super) fn refused(&self) {
        if let Self::Token(bearer) = self {
            *bearer.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

fn signed_header<'a>((name, value): (&'a HeaderName, &'a HeaderValue)) -> Option<(Cow<'a, str>, &'a str)> {
    Some((Cow::Borrowed(name.as_str()), value.to_str().ok()?))
}

fn secret(text: String) -> azure_core::Result<HeaderValue> {
    let unusable = |_| azure_core::Error::with_message(ErrorKind::Credential, "it does not fit into a header");
    let mut header = HeaderValue::try_from(text).map_err(unusable)?;
    header.set_sensitive(true);
    Ok(header)
}

impl Date {
    fn header(&self) -> azure_core::Result<HeaderValue> {
        let now = time::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((second, header)) = &*last
            && *second == now.as_second()
        {
            return Ok(header.clone());
        }
        let unusable = |_| azure_core::Error::with_message(ErrorKind::Other, "the host's clock shows no date");
        let header = HeaderValue::try_from(http_date(now)).map_err(unusable)?;
        *last = Some((now.as_second(), header.clone()));
        Ok(header)
    }
}

impl Bearer {
    fn held(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The held token while it is good, else a new one, for which one asks and the others wait. Where none is to be had, the held one serves
    /// to its end.
    async fn header(&self) -> azure_core::Result<HeaderValue> {
        let is_fresh = |held: &Held| held.ends > time::now().as_second() + RENEWED_BEFORE;
        if let Some(held) = self.held().filter(is_fresh) {
            return Ok(held.header);
        }
        let _asking = self.asking.lock().await;
        let held = self.held();
        if let Some(held) = held.clone().filter(is_fresh) {
            return Ok(held.header);
        }
        match self.credential.get_token(&[SCOPE], None).await {
            Ok(token) => {
                let header = secret(format!("Bearer {}", token.token.secret()))?;
                let held = Held { header: header.clone(), ends: token.expires_on.unix_timestamp() };
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
                Ok(header)
            }
            Err(error) => held.filter(|held| held.ends > time::now().as_second()).map(|held| held.header).ok_or(error),
        }
    }
}

#[cfg(test)]
mod tests;
