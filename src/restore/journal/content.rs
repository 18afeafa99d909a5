//! What a `before` says of its document's content, encrypted: the text that it had, and the hash of what was to be written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror_formats::Encryption;
use cosmirror_formats::restore_plan::{Action, Before, BeforeContent, Ciphertext};

use crate::encryption::{Identities, Recipients};
use crate::failure::{Failure, Kind};

/// What encrypts an undo file's documents, and what opens them.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// To whom a new file is encrypted; none: to nobody.
    pub recipients: Option<Recipients>,
    /// What opens one.
    pub identities: Identities,
}

/// The same with its content encrypted.
pub(super) fn encrypted(mut before: Before, recipients: &Recipients) -> Result<Before, Failure> {
    let action = action(&before);
    let content = BeforeContent { document: before.document.take(), sent: before.sent.take() };
    let text = serde_json::to_vec(&content).map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
    let base64 = STANDARD.encode(recipients.encrypt(&text)?);
    before.ciphertext = Some(Ciphertext { action, encryption: recipients.encryption().to_string(), base64 });
    Ok(before)
}

/// The same with its content as it was. `file` names the undo file.
pub(super) fn opened(mut before: Before, identities: &Identities, file: &str) -> Result<Before, Failure> {
    let Some(ciphertext) = before.ciphertext.take() else { return Ok(before) };
    let broken = || Failure::new(Kind::Integrity, format!("{file}: step {} cannot be read", before.step));
    let encryption = encryption(&ciphertext).ok_or_else(broken)?;
    let bytes = STANDARD.decode(&ciphertext.base64).map_err(|_| broken())?;
    let text = identities.open(file, &encryption, &bytes)?;
    // What the parser says may hold content.
    let content: BeforeContent = serde_json::from_slice(&text).map_err(|_| broken())?;
    before.document = content.document;
    before.sent = content.sent;
    Ok(before)
}

pub(super) fn encryption(ciphertext: &Ciphertext) -> Option<Encryption> {
    ciphertext.encryption.parse().ok()
}

/// What a step does, by what was there and what was to be written.
pub(super) fn action(before: &Before) -> Action {
    match (&before.ciphertext, &before.document, &before.sent) {
        (Some(ciphertext), ..) => ciphertext.action,
        (None, _, None) => Action::Delete,
        (None, None, Some(_)) => Action::Create,
        (None, Some(_), Some(_)) => Action::Replace,
    }
}
