//! Session tokens: `{range}:{version}#{global LSN}#{region}={local LSN}`, several joined by commas.
//!
//! The emulator has one replica, so a token it gave is always satisfied. One that is ahead of its range comes from somewhere
//! else (another container of the same name, for example) and is refused as the service refuses it. Ranges that are
//! not there (any more) are ignored: clients send the tokens of ranges that were split.

use http::request::Parts;

use super::errors::CosmosError;
use super::headers;
use super::partition::Partition;

/// Refuses a read whose session has seen more than the partition holds (404/1002), and a token that is none (400).
pub(super) fn check(parts: &Parts, partition: &Partition) -> Result<(), CosmosError> {
    // Who asks for less than session consistency gets whatever there is.
    let eventual = headers::text(parts, "x-ms-consistency-level").is_some_and(|level| level != "Session");
    let Some(tokens) = headers::text(parts, "x-ms-session-token").filter(|_| !eventual) else {
        return Ok(());
    };
    for token in tokens.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        let (range, seen) = token
            .split_once(':')
            .and_then(|(range, token)| Some((range, sequence_number(token)?)))
            .ok_or_else(|| CosmosError::bad_request(format!("The session token {token:?} is not valid.")))?;
        if *range == *partition.id && seen > partition.lsn() {
            return Err(CosmosError::session_not_available(&partition.id, seen));
        }
    }
    Ok(())
}

/// The sequence number in a token: behind the version in the present format, alone in the oldest one.
fn sequence_number(token: &str) -> Option<u64> {
    let mut parts = token.split('#');
    let first = parts.next()?;
    parts.next().unwrap_or(first).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::sequence_number;

    #[test]
    fn every_format_of_a_token_has_its_sequence_number() {
        assert_eq!(sequence_number("0#17#0=16"), Some(17));
        assert_eq!(sequence_number("-1#17"), Some(17));
        assert_eq!(sequence_number("17"), Some(17));
        assert_eq!(sequence_number("x"), None);
    }
}
