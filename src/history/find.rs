//! The partition keys under which an id occurs, for a person who does not know the key.

use cosmirror_formats::{PartitionKey, Version};
use futures::TryStreamExt as _;

use super::{MirrorReader, groups};
use crate::failure::{CommandError, Exit, Failure};
use crate::store::Listing;

/// Names looked through; listing a million takes minutes.
const NAMES_MAX: u64 = 1_000_000;
/// Keys shown to a person.
const KEYS_MAX: usize = 20;

/// The partition keys of the documents with one id.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    /// The first of them.
    pub keys: Vec<PartitionKey>,
    /// Whether all documents were looked at.
    pub complete: bool,
}

impl MirrorReader {
    /// The partition keys of the documents with this id: at most 20, among the first million documents.
    pub async fn keys_of(&self, id: &str) -> Result<Keys, Failure> {
        let letters = self.letters.values().flatten().filter(|letter| letter.id == id);
        let mut keys: Vec<PartitionKey> = letters.map(|letter| letter.key.clone()).collect();
        let current = groups(self.store.as_ref(), self.paths.documents(), Listing::Current);
        let mut heads = std::pin::pin!(current);
        let mut seen = 0;
        while let Some(group) = heads.try_next().await? {
            // What is damaged is reported where it is asked for by name.
            let version = group.first().and_then(|head| Version::from_metadata(&head.metadata).ok());
            if let Some(version) = version.filter(|version| version.id == id && !keys.contains(&version.pk)) {
                keys.push(version.pk);
            }
            seen += 1;
            if keys.len() >= KEYS_MAX || seen >= NAMES_MAX {
                return Ok(Keys { keys, complete: false });
            }
        }
        Ok(Keys { keys, complete: true })
    }

    /// The key of the only document with this id.
    pub async fn only_key_of(&self, id: &str) -> Result<PartitionKey, CommandError> {
        let Keys { mut keys, complete } = self.keys_of(id).await?;
        match keys.len() {
            0 if complete => Err(CommandError::new(
                Exit::NotFound,
                format!("the mirror holds no document {id:?}"),
                "check the id; documents appear once the daemon has read them",
            )),
            1 if complete => Ok(keys.remove(0)),
            0 | 1 => Err(CommandError::new(
                Exit::Usage,
                format!("the partition key of {id:?} is not known, and there are too many documents to look through"),
                "name it with --pk or --pk-json",
            )),
            _ => Err(CommandError::new(
                Exit::Usage,
                format!("{id:?} occurs under several partition keys: {}", listed(&keys)),
                "choose one with --pk or --pk-json",
            )),
        }
    }

    /// The error for a document that is not under the key it was asked for.
    pub async fn not_found(&self, key: &PartitionKey, id: &str) -> CommandError {
        let message = format!("the mirror holds no document {id:?} with the partition key {key}");
        let remedy = match self.keys_of(id).await {
            Err(failure) => return failure.into(),
            Ok(Keys { keys, .. }) if keys.is_empty() => {
                "check the id; documents appear once the daemon has read them".to_owned()
            }
            Ok(Keys { keys, .. }) => format!("the id occurs under {}: name it with --pk-json", listed(&keys)),
        };
        CommandError::new(Exit::NotFound, message, remedy)
    }
}

fn listed(keys: &[PartitionKey]) -> String {
    keys.iter().map(PartitionKey::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::memory::{covered_store, key, reader, version};
    use super::*;

    #[tokio::test]
    async fn an_id_without_a_key_is_found_where_it_is_the_only_one() {
        let store = covered_store(&json!({}));
        for (id, pk) in [("one", "p"), ("two", "p"), ("two", "q")] {
            store.add_version(Version { pk: key(pk), ..version(id, "e", 1000, Some(1), b"") }, "{}");
        }
        let mirror = reader(&store).await;
        assert_eq!(mirror.only_key_of("one").await.unwrap(), key("p"));
        let several = mirror.only_key_of("two").await.unwrap_err();
        assert_eq!(several.exit, Exit::Usage);
        assert!(several.message.contains(r#"["p"], ["q"]"#), "{}", several.message);
        assert_eq!(mirror.only_key_of("three").await.unwrap_err().exit, Exit::NotFound);
        let wrong = mirror.not_found(&key("z"), "one").await;
        assert!(wrong.remedy.contains(r#"["p"]"#), "{}", wrong.remedy);
    }
}
