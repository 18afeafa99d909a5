//! The tables of outcomes, state by state.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn acquire(id: &str, seconds: Option<i64>) -> Action {
    Action::Acquire { proposed: id.to_owned(), duration: seconds.map(SignedDuration::from_secs) }
}

fn act(lease: Option<&Lease>, action: Action, now: i64) -> (Option<Lease>, Option<i64>) {
    Lease::act(lease, action, at(now)).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    result.unwrap_err().status_and_code().1
}

fn leased(seconds: Option<i64>) -> Option<Lease> {
    act(None, acquire("a", seconds), 0).0
}

fn breaking() -> Option<Lease> {
    act(leased(Some(60)).as_ref(), Action::Break { period: Some(SignedDuration::from_secs(10)) }, 0).0
}

fn state(lease: Option<&Lease>, now: i64) -> &'static str {
    Lease::shown(lease, at(now)).1
}

#[test]
fn a_lease_is_held_until_it_expires_and_renewing_starts_it_anew() {
    let lease = leased(Some(15));
    assert_eq!(Lease::shown(lease.as_ref(), at(0)), ("locked", "leased", Some("fixed")));
    assert_eq!(state(lease.as_ref(), 14), "leased");
    assert_eq!(state(lease.as_ref(), 15), "expired");
    let (renewed, _) = act(lease.as_ref(), Action::Renew { id: "A".to_owned() }, 20);
    assert_eq!(state(renewed.as_ref(), 34), "leased");
    assert_eq!(Lease::shown(leased(None).as_ref(), at(1_000_000)), ("locked", "leased", Some("infinite")));
}

#[test]
fn a_held_lease_is_acquired_again_only_by_its_holder() {
    let lease = leased(Some(15));
    assert_eq!(code(Lease::act(lease.as_ref(), acquire("b", None), at(1))), "LeaseAlreadyPresent");
    assert_eq!(state(act(lease.as_ref(), acquire("a", None), 1).0.as_ref(), 100), "leased");
    assert_eq!(state(act(lease.as_ref(), acquire("b", None), 15).0.as_ref(), 100), "leased");
    let own = Lease::act(breaking().as_ref(), acquire("a", None), at(1));
    assert_eq!(code(own), "LeaseIsBreakingAndCannotBeAcquired");
    assert_eq!(code(Lease::act(breaking().as_ref(), acquire("b", None), at(1))), "LeaseAlreadyPresent");
    assert_eq!(state(act(breaking().as_ref(), acquire("b", None), 10).0.as_ref(), 11), "leased");
}

#[test]
fn renewing_and_releasing_need_the_lease() {
    let renew = |id: &str| Action::Renew { id: id.to_owned() };
    let release = |id: &str| Action::Release { id: id.to_owned() };
    for action in [renew("b"), release("b")] {
        assert_eq!(code(Lease::act(leased(None).as_ref(), action.clone(), at(0))), "LeaseIdMismatchWithLeaseOperation");
        assert_eq!(code(Lease::act(None, action, at(0))), "LeaseIdMismatchWithLeaseOperation");
    }
    for now in [1, 11] {
        let refused = Lease::act(breaking().as_ref(), renew("a"), at(now));
        assert_eq!(code(refused), "LeaseIsBrokenAndCannotBeRenewed");
        assert_eq!(act(breaking().as_ref(), release("a"), now).0, None);
    }
    assert_eq!(act(leased(None).as_ref(), release("a"), 0).0, None);
}

#[test]
fn a_change_gives_a_held_lease_another_id_and_may_be_repeated() {
    let change = |id: &str, to: &str| Action::Change { id: id.to_owned(), proposed: to.to_owned() };
    let (changed, _) = act(leased(None).as_ref(), change("a", "b"), 0);
    assert!(changed.as_ref().unwrap().is("b"));
    assert_eq!(act(changed.as_ref(), change("a", "b"), 0).0, changed);
    let other = Lease::act(changed.as_ref(), change("x", "y"), at(0));
    assert_eq!(code(other), "LeaseIdMismatchWithLeaseOperation");
    assert_eq!(code(Lease::act(None, change("a", "b"), at(0))), "LeaseNotPresentWithLeaseOperation");
    let refused = Lease::act(breaking().as_ref(), change("a", "b"), at(0));
    assert_eq!(code(refused), "LeaseIsBreakingAndCannotBeChanged");
    let broken = Lease::act(breaking().as_ref(), change("a", "b"), at(10));
    assert_eq!(code(broken), "LeaseNotPresentWithLeaseOperation");
}

#[test]
fn a_break_takes_no_longer_than_the_lease_has_left() {
    let period = |seconds: i64| Action::Break { period: Some(SignedDuration::from_secs(seconds)) };
    let none = Action::Break { period: None };
    assert_eq!(act(leased(Some(60)).as_ref(), none.clone(), 20).1, Some(40));
    assert_eq!(act(leased(Some(60)).as_ref(), period(50), 20).1, Some(40));
    assert_eq!(act(leased(Some(60)).as_ref(), period(5), 20).1, Some(5));
    assert_eq!(act(leased(None).as_ref(), none.clone(), 0).1, Some(0));
    assert_eq!(act(leased(None).as_ref(), period(30), 0).1, Some(30));
    assert_eq!(act(breaking().as_ref(), period(3), 2).1, Some(3));
    assert_eq!(act(breaking().as_ref(), none.clone(), 2).1, Some(8));
    assert_eq!(act(breaking().as_ref(), none.clone(), 12).1, Some(0));
    assert_eq!(code(Lease::act(None, none, at(0))), "LeaseNotPresentWithLeaseOperation");
    assert_eq!(Lease::shown(breaking().as_ref(), at(9)), ("locked", "breaking", None));
    assert_eq!(Lease::shown(breaking().as_ref(), at(10)), ("unlocked", "broken", None));
}

#[test]
fn writes_need_the_lease_there_is_and_reads_only_the_one_they_name() {
    let write = |lease: &Option<Lease>, given, now| Lease::guard_write(lease.as_ref(), given, Resource::Blob, at(now));
    let read = |lease: &Option<Lease>, given, now| Lease::guard_read(lease.as_ref(), given, Resource::Blob, at(now));
    assert_eq!(write(&None, None, 0), Ok(()));
    assert_eq!(code(write(&None, Some("a"), 0)), "LeaseNotPresentWithBlobOperation");
    for (lease, now) in [(leased(Some(60)), 1), (breaking(), 1)] {
        assert_eq!(code(write(&lease, None, now)), "LeaseIdMissing");
        assert_eq!(code(write(&lease, Some("b"), now)), "LeaseIdMismatchWithBlobOperation");
        assert_eq!(write(&lease, Some("a"), now), Ok(()));
        assert!(!lease.as_ref().unwrap().is_over(at(now)));
        assert_eq!(read(&lease, None, now), Ok(()));
        assert_eq!(code(read(&lease, Some("b"), now)), "LeaseIdMismatchWithBlobOperation");
    }
    for lease in [leased(Some(60)), breaking()] {
        assert_eq!(write(&lease, None, 60), Ok(()));
        assert!(lease.as_ref().unwrap().is_over(at(60)));
        assert_eq!(code(write(&lease, Some("a"), 60)), "LeaseLost");
    }
}
