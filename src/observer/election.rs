//! Which of several replicas observes a container: the one whose name is in a document beside the leases.
//!
//! The document is created, renewed and taken over conditionally, and its age is told by the service's clock alone. A write whose answer was
//! lost is settled by reading. Two observers at once would only do the work twice, so nothing is fenced.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::failure::{Action, Failure};
use crate::leases::LeaseStore;
use crate::leases::notes::Note;
use crate::leases::owner::Owner;

/// The document's name behind the leases' prefix.
const NAME: &str = "observer";

/// A replica that stands for observer of one container.
pub struct Candidate {
    leases: Arc<LeaseStore>,
    owner: Owner,
    expiration: Duration,
}

impl Candidate {
    /// This process as a candidate; a document older than `expiration` has no observer behind it.
    pub fn new(leases: Arc<LeaseStore>, owner: Owner, expiration: Duration) -> Self {
        Self { leases, owner, expiration }
    }

    /// Becomes or stays the observer where no other one is; whether it is now.
    pub async fn stand(&self, service_time: i64) -> Result<bool, Failure> {
        let written = match self.leases.note(NAME).await? {
            None => self.leases.create_note(NAME, &self.fields(service_time)).await,
            Some(note) if self.may_write(&note, service_time) => {
                self.leases.replace_note(NAME, &self.fields(service_time), &note.etag).await
            }
            Some(_) => return Ok(false),
        };
        match written {
            Ok(Some(_)) => Ok(true),
            Err(failure) if failure.kind.action() != Action::Retry => Err(failure),
            // Somebody else was faster; or it was done without an answer, and perhaps tried again beneath us.
            Ok(None) | Err(_) => Ok(self.leases.note(NAME).await?.is_some_and(|note| self.is_ours(&note))),
        }
    }

    /// Leaves the place to another replica at once.
    pub async fn step_down(&self) -> Result<(), Failure> {
        let Some(note) = self.leases.note(NAME).await?.filter(|note| self.is_ours(note)) else { return Ok(()) };
        let mut fields = note.fields;
        fields.insert("owner".to_owned(), Value::Null);
        fields.insert("process".to_owned(), Value::Null);
        // Nothing is left to do where somebody took it over meanwhile.
        self.leases.replace_note(NAME, &fields, &note.etag).await.map(drop)
    }

    fn may_write(&self, note: &Note, service_time: i64) -> bool {
        let expiration = i64::try_from(self.expiration.as_secs()).unwrap_or(i64::MAX);
        let free = note.fields.get("owner").is_none_or(Value::is_null);
        free || self.is_ours(note) || note.written.saturating_add(expiration) < service_time
    }

    fn is_ours(&self, note: &Note) -> bool {
        let is = |name: &str, ours: &str| note.fields.get(name).and_then(Value::as_str) == Some(ours);
        is("owner", self.owner.name()) && is("process", self.owner.process())
    }

    fn fields(&self, service_time: i64) -> Map<String, Value> {
        let observed = crate::history::instant(service_time);
        Map::from_iter([
            ("owner".to_owned(), json!(self.owner.name())),
            ("process".to_owned(), json!(self.owner.process())),
            ("observed".to_owned(), json!(observed)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Documents;
    use crate::history::memory::{Fault, MemoryDocuments};
    use crate::time::HostClock;

    const EXPIRATION: Duration = Duration::from_secs(60);

    fn leases(documents: &Arc<MemoryDocuments>, key: &str) -> Arc<LeaseStore> {
        let documents = Arc::clone(documents) as Arc<dyn Documents>;
        Arc::new(LeaseStore::new(documents, "prefix".to_owned(), &[key.to_owned()], HostClock::default()).unwrap())
    }

    fn rivals() -> (Arc<MemoryDocuments>, Candidate, Candidate) {
        let documents = Arc::new(MemoryDocuments::default());
        let candidate = |name: &str| Candidate::new(leases(&documents, "/id"), Owner::new(name.to_owned()), EXPIRATION);
        let (one, other) = (candidate("one"), candidate("other"));
        (documents, one, other)
    }

    async fn written(candidate: &Candidate) -> i64 {
        candidate.leases.note(NAME).await.unwrap().unwrap().written
    }

    #[tokio::test]
    async fn one_replica_observes_until_its_document_is_too_old() {
        let (_, one, other) = rivals();
        assert!(one.stand(0).await.unwrap());
        let begun = written(&one).await;
        assert!(!other.stand(begun + 60).await.unwrap(), "it is renewed in time");
        assert!(one.stand(begun + 60).await.unwrap());
        let renewed = written(&one).await;
        assert!(other.stand(renewed + 61).await.unwrap(), "it was not renewed in time");
        assert!(!one.stand(written(&other).await + 1).await.unwrap(), "and is lost");
    }

    #[tokio::test]
    async fn an_observer_that_steps_down_is_followed_at_once() {
        let (_, one, other) = rivals();
        assert!(one.stand(0).await.unwrap());
        other.step_down().await.unwrap();
        assert!(!other.stand(0).await.unwrap(), "only the observer itself steps down");
        one.step_down().await.unwrap();
        assert!(other.stand(0).await.unwrap());
    }

    #[tokio::test]
    async fn a_lost_answer_is_settled_by_reading() {
        let (documents, one, other) = rivals();
        documents.order(Fault::LosesAnswer);
        assert!(one.stand(0).await.unwrap(), "it was created");
        documents.order(Fault::LosesAnswer);
        assert!(one.stand(0).await.unwrap(), "it was renewed");
        documents.order(Fault::Fails(crate::failure::Kind::Transient));
        assert!(other.stand(written(&one).await + 61).await.is_ok_and(|elected| !elected), "nothing was written");
        documents.order(Fault::Overtaken);
        assert!(!one.stand(0).await.unwrap(), "somebody else was faster");
    }

    #[tokio::test]
    async fn two_processes_of_one_name_are_two_candidates() {
        let documents = Arc::new(MemoryDocuments::default());
        let candidate =
            || Candidate::new(leases(&documents, "/partitionKey"), Owner::new("pod".to_owned()), EXPIRATION);
        let (one, other) = (candidate(), candidate());
        assert!(one.stand(0).await.unwrap());
        assert!(!other.stand(0).await.unwrap());
        let note = one.leases.note(NAME).await.unwrap().unwrap();
        assert_eq!(
            (&note.fields["id"], &note.fields["partitionKey"]),
            (&json!("prefix.observer"), &json!("prefix.observer"))
        );
    }
}
