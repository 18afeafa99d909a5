use super::*;

mod forms;
mod hostile;
mod round_trip;

/// What an id begins with whose host, database and container are made up.
const PREFIX: &str = "mirroracct.documents.azure.com_TQxHAA==_TQxHAKF8vo8=";

fn read(json: &str) -> Lease {
    Lease::from_json(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn refusal(json: &str) -> String {
    match Lease::from_json(json.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(lease) => panic!("{lease:?} was read from {json}"),
    }
}

fn written(lease: &Lease) -> String {
    String::from_utf8(lease.to_json()).unwrap()
}

#[test]
fn ids_carry_host_and_resource_ids() {
    let prefix = id_prefix("cosmirror", "acct.documents.azure.com", "TQxHAKF8vo8=").unwrap();
    assert_eq!(prefix, "cosmirroracct.documents.azure.com_TQxHAA==_TQxHAKF8vo8=");
    assert_eq!(id_prefix("p", "h", "not base64"), None);
}

#[test]
fn holes_between_leases_are_found() {
    let range = EpkRange::new;
    assert!(uncovered(&[EpkRange::full()]).is_empty());
    assert!(uncovered(&[range("20", "FF"), range("", "10"), range("10", "20")]).is_empty());
    assert_eq!(uncovered(&[range("", "10"), range("20", "3F")]), [range("10", "20"), range("3F", "FF")]);
    assert_eq!(uncovered(&[]), [EpkRange::full()]);
}
