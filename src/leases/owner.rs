//! Who owns a lease, and who asks for it: the marks that processes leave in it.
//!
//! A name alone does not make an owner: two processes that were given the same name would each take the other's leases for their
//! own. Each process therefore also leaves a mark that no other has. A wish is a property, so it survives a replacement
//! by other programs; it names the moment by the service's clock, because the one who wished may have died since.

use std::time::Duration;

use cosmirror_formats::Lease;

const PROCESS: &str = "cosmirror.process";
const WANTED: &str = "cosmirror.wanted";
/// When the owner wrote last, where somebody else has written since.
const RENEWED: &str = "cosmirror.renewed";

/// A process as an owner of leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    name: String,
    process: String,
}

impl Owner {
    /// This process under a name.
    pub fn new(name: String) -> Self {
        Self { name, process: format!("{:016x}", fastrand::u64(..)) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The mark that no other process has.
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Whether the lease is this process's.
    pub fn holds(&self, lease: &Lease) -> bool {
        lease.owner.as_ref() == Some(&self.name) && lease.properties.get(PROCESS) == Some(&self.process)
    }

    /// Makes the lease this process's; a wish for it is fulfilled or void.
    pub fn mark(&self, lease: &mut Lease) {
        lease.owner = Some(self.name.clone());
        lease.properties.insert(PROCESS.to_owned(), self.process.clone());
        lease.properties.remove(WANTED);
        self.renew(lease);
    }

    /// Makes a write of the lease the owner's own, by which its time runs.
    pub fn renew(&self, lease: &mut Lease) {
        lease.properties.remove(RENEWED);
    }

    /// Frees the lease. A wish for it stays, so that it is left to who asked.
    pub fn unmark(lease: &mut Lease) {
        lease.owner = None;
        lease.properties.remove(PROCESS);
    }

    /// Asks for the lease. That is a write like any other to the service; the owner, which wrote at `written`, must not live
    /// longer by it.
    pub fn ask(&self, lease: &mut Lease, written: i64, service_time: i64) {
        let owner = lease.owner.clone().unwrap_or_default();
        lease.properties.insert(RENEWED.to_owned(), format!("{owner}@{written}"));
        lease.properties.insert(WANTED.to_owned(), format!("{}@{service_time}", self.name));
    }

    /// Whether somebody else asks for the lease, however long ago.
    pub fn is_asked_for(&self, lease: &Lease) -> bool {
        wish(lease).is_some_and(|(name, _)| name != self.name)
    }
}

/// When the owner wrote the lease, which the service says was written at `written`.
pub fn renewed_at(lease: &Lease, written: i64) -> i64 {
    let told = lease.properties.get(RENEWED).and_then(|text| text.rsplit_once('@'));
    // Another processor that took the lease since leaves our properties as they are, and renews it by writing.
    let of_owner = told.filter(|(owner, _)| Some(*owner) == lease.owner.as_deref());
    of_owner.and_then(|(_, at)| at.parse().ok()).unwrap_or(written)
}

fn wish(lease: &Lease) -> Option<(&str, i64)> {
    let (name, at) = lease.properties.get(WANTED)?.rsplit_once('@')?;
    Some((name, at.parse().ok()?))
}

/// Who asked for the lease within this time.
pub fn wanted_by(lease: &Lease, service_time: i64, within: Duration) -> Option<&str> {
    let within = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    wish(lease).filter(|(_, at)| at.saturating_add(within) >= service_time).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lease::from_json(br#"{"id":"a..0","LeaseToken":"0","properties":{}}"#).unwrap()
    }

    #[test]
    fn two_processes_of_one_name_are_two_owners() {
        let (one, other) = (Owner::new("pod".to_owned()), Owner::new("pod".to_owned()));
        let mut lease = lease();
        one.mark(&mut lease);
        assert!(one.holds(&lease) && !other.holds(&lease));
        Owner::unmark(&mut lease);
        assert!(!one.holds(&lease) && lease.properties.is_empty());
    }

    #[test]
    fn a_wish_outlives_the_release_and_ends_when_it_is_fulfilled_or_old() {
        let (one, other) = (Owner::new("o@ne".to_owned()), Owner::new("other".to_owned()));
        let mut lease = lease();
        other.mark(&mut lease);
        one.ask(&mut lease, 70, 100);
        assert_eq!(renewed_at(&lease, 100), 70);
        assert!(other.is_asked_for(&lease) && !one.is_asked_for(&lease));
        Owner::unmark(&mut lease);
        let wanted = |at| wanted_by(&lease, at, Duration::from_secs(60));
        assert_eq!((wanted(160), wanted(161)), (Some("o@ne"), None));
        one.mark(&mut lease);
        assert!(!other.is_asked_for(&lease));
        assert_eq!(renewed_at(&lease, 130), 130);
    }
}
