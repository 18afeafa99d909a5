//! Which managed identity of the machine speaks for this process.
//!
//! A machine or a container app may have one of its own (system-assigned) and any number that were given to it (user-assigned). The SDK
//! takes the first kind unless it is told the client id of another one, which stands in `AZURE_CLIENT_ID`, as Microsoft's other
//! clients have it.

use std::sync::Arc;

use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};

const CLIENT_ID_VARIABLE: &str = "AZURE_CLIENT_ID";

/// The managed identity that the environment chooses.
pub(crate) fn managed_identity() -> azure_core::Result<Arc<ManagedIdentityCredential>> {
    ManagedIdentityCredential::new(chosen(std::env::var(CLIENT_ID_VARIABLE).ok()))
}

fn chosen(client_id: Option<String>) -> Option<ManagedIdentityCredentialOptions> {
    let id = client_id.filter(|id| !id.is_empty())?;
    let user_assigned_id = Some(UserAssignedId::ClientId(id));
    Some(ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_chooses_a_user_assigned_identity_and_an_empty_one_does_not() {
        let options = chosen(Some("11111111-1111-1111-1111-111111111111".to_owned())).unwrap();
        let id = options.user_assigned_id.unwrap();
        assert!(matches!(id, UserAssignedId::ClientId(id) if id == "11111111-1111-1111-1111-111111111111"));
        assert!(chosen(Some(String::new())).is_none());
        assert!(chosen(None).is_none());
    }
}
