use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenRequestOptions};
use azure_core::time::OffsetDateTime;

use super::*;

/// Gives tokens that are good for so long, or none.
#[derive(Debug)]
struct Tokens {
    asked: AtomicU64,
    /// Seconds; negative where it fails.
    good_for: AtomicI64,
}

#[async_trait]
impl TokenCredential for Tokens {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://storage.azure.com/.default"]);
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::task::yield_now().await;
        let good_for = self.good_for.load(Ordering::Relaxed);
        if good_for < 0 {
            return Err(azure_core::Error::with_message(ErrorKind::Credential, "the identity's endpoint is away"));
        }
        let ends = OffsetDateTime::from_unix_timestamp(time::now().as_second() + good_for).unwrap();
        Ok(AccessToken::new(format!("token-{asked}"), ends))
    }
}

fn tokens(good_for: i64) -> (Arc<Tokens>, Proof) {
    let tokens = Arc::new(Tokens { asked: AtomicU64::new(0), good_for: AtomicI64::new(good_for) });
    (Arc::clone(&tokens), Proof::token(tokens))
}

async fn proof_of(proof: &Proof) -> azure_core::Result<String> {
    let header = proof.of(&Method::PUT, "/mirror/a", &[], &mut HeaderMap::new()).await?.unwrap();
    assert!(header.is_sensitive());
    Ok(header.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_serves_all_requests_until_shortly_before_its_end() {
    let (tokens, proof) = tokens(RENEWED_BEFORE + 60);
    let all = futures::future::join_all((0..20).map(|_| proof_of(&proof))).await;
    assert!(all.iter().all(|header| header.as_ref().unwrap() == "Bearer token-1"), "{all:?}");
    assert_eq!(tokens.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_token_near_its_end_is_renewed_and_serves_on_where_none_is_to_be_had() {
    let (tokens, proof) = tokens(RENEWED_BEFORE - 60);
    assert_eq!(proof_of(&proof).await.unwrap(), "Bearer token-1");
    assert_eq!(proof_of(&proof).await.unwrap(), "Bearer token-2");
    tokens.good_for.store(-1, Ordering::Relaxed);
    assert_eq!(proof_of(&proof).await.unwrap(), "Bearer token-2");
}

#[tokio::test]
async fn without_a_token_that_is_good_the_identitys_failure_is_told() {
    let (tokens, proof) = tokens(0);
    assert_eq!(proof_of(&proof).await.unwrap(), "Bearer token-1");
    tokens.good_for.store(-1, Ordering::Relaxed);
    let error = proof_of(&proof).await.unwrap_err();
    assert!(error.to_string().contains("endpoint is away"), "{error}");
}

#[tokio::test]
async fn a_token_that_was_refused_is_not_used_again() {
    let (_, proof) = tokens(3600);
    assert_eq!(proof_of(&proof).await.unwrap(), "Bearer token-1");
    proof.refused();
    assert_eq!(proof_of(&proof).await.unwrap(), "Bearer token-2");
}

#[test]
fn the_date_is_that_of_the_second() {
    let date = Date::default();
    let header = date.header().unwrap();
    assert!(header.to_str().unwrap().ends_with(" GMT"));
    *date.0.lock().unwrap() = Some((0, HeaderValue::from_static("long ago")));
    assert_ne!(date.header().unwrap(), "long ago");
}
