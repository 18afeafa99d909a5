//! An entry in 56 bytes, for the texts that entity tags and identities are made of.
//!
//! - Entity tags of Blob Storage are a number in hexadecimal (`"0x8DCF1B2C3D4E5F6"`), those of a directory one in decimal.
//! - Identities are entity tags of Cosmos DB, which have the form of a GUID, or the place of a delete in its lineage.
//! - Lineages are few; each is kept once.
//!
//! Whatever looks different is not packed: an entry counts as packed only if unpacking it gives the same entry.

use std::collections::HashMap;

use super::super::order::Known;
use super::super::thin::Tally;
use super::Entry;

/// The digits of a GUID are grouped so.
const GUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// See the module.
pub(super) struct Packed {
    identity: Identity,
    etag: u64,
    lsn: u64,
    ts: u32,
    written: u32,
    minute: u32,
    in_minute: u32,
    lineage: u16,
    /// Hexadecimal digits of the etag; 0 where it is decimal.
    etag_digits: u8,
    exists: bool,
    thinned: bool,
    has_lsn: bool,
}

/// Every lineage once.
#[derive(Default)]
pub(super) struct Lineages {
    texts: Vec<String>,
    places: HashMap<String, u16>,
}

#[derive(Clone, Copy)]
struct Identity([u64; 2]);

impl Lineages {
    fn place(&mut self, lineage: &str) -> Option<u16> {
        if let Some(place) = self.places.get(lineage) {
            return Some(*place);
        }
        let place = u16::try_from(self.texts.len()).ok()?;
        self.texts.push(lineage.to_owned());
        self.places.insert(lineage.to_owned(), place);
        Some(place)
    }
}

impl Packed {
    /// None where an entry would not come back as it is.
    pub(super) fn new(entry: &Entry, lineages: &mut Lineages) -> Option<Self> {
        let Entry { known, tally } = entry;
        let (etag, etag_digits) = etag_number(&known.etag)?;
        let identity =
            if known.exists { Identity::of_guid(&known.identity)? } else { Identity::of_delete(&known.identity)? };
        let packed = Self {
            identity,
            etag,
            etag_digits,
            lsn: known.lsn.unwrap_or_default(),
            has_lsn: known.lsn.is_some(),
            ts: u32::try_from(known.ts).ok()?,
            written: u32::try_from(tally.written).ok()?,
            minute: u32::try_from(tally.minute).ok()?,
            in_minute: tally.in_minute,
            lineage: lineages.place(&known.lineage)?,
            exists: known.exists,
            thinned: known.thinned,
        };
        (packed.entry(lineages) == *entry).then_some(packed)
    }

    pub(super) fn entry(&self, lineages: &Lineages) -> Entry {
        let lineage = lineages.texts.get(usize::from(self.lineage)).cloned().unwrap_or_default();
        let etag = match usize::from(self.etag_digits) {
            0 => self.etag.to_string(),
            digits => format!("\"0x{:0digits$X}\"", self.etag),
        };
        let identity = if self.exists { self.identity.guid() } else { self.identity.delete(&lineage, self.lsn) };
        let known = Known {
            etag,
            identity,
            lineage,
            lsn: self.has_lsn.then_some(self.lsn),
            ts: self.ts.into(),
            exists: self.exists,
            thinned: self.thinned,
        };
        let tally = Tally { written: self.written.into(), minute: self.minute.into(), in_minute: self.in_minute };
        Entry { known, tally }
    }
}

fn etag_number(etag: &str) -> Option<(u64, u8)> {
    let Some(digits) = etag.strip_prefix("\"0x").and_then(|rest| rest.strip_suffix('"')) else {
        return Some((etag.parse().ok()?, 0));
    };
    Some((u64::from_str_radix(digits, 16).ok()?, u8::try_from(digits.len()).ok()?))
}

impl Identity {
    fn of_guid(text: &str) -> Option<Self> {
        let digits = text.bytes().filter(u8::is_ascii_hexdigit);
        let number = digits.fold(0_u128, |number, digit| (number << 4) | u128::from(value(digit)));
        let bytes = number.to_be_bytes();
        let half = |half: &[u8]| half.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Some(Self([half(&bytes[..8]), half(&bytes[8..])])).filter(|identity| identity.guid() == text)
    }

    fn guid(self) -> String {
        let digits = format!("{:016x}{:016x}", self.0[0], self.0[1]);
        let mut text = String::with_capacity(digits.len() + 6);
        let mut from = 0;
        for length in GUID_GROUPS {
            text.push(if from == 0 { '"' } else { '-' });
            text.push_str(&digits[from..from + length]);
            from += length;
        }
        text.push('"');
        text
    }

    /// `del:<lineage>:<lsn>`, and `#<nth>` behind it where one transaction holds several; lineage and LSN are the entry's own.
    fn of_delete(text: &str) -> Option<Self> {
        let nth = text.rsplit_once('#').map_or(Ok(0), |(_, nth)| nth.parse()).ok()?;
        text.starts_with("del:").then_some(Self([nth, 0]))
    }

    fn delete(self, lineage: &str, lsn: u64) -> String {
        match self.0[0] {
            0 => format!("del:{lineage}:{lsn}"),
            nth => format!("del:{lineage}:{lsn}#{nth}"),
        }
    }
}

fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::{Op, Version};
    use proptest::prelude::*;

    use super::*;
    use crate::history::memory::version;

    fn entry(etag: &str, version: &Version) -> Entry {
        let tally = Tally { written: 1_000, minute: 29_000_000, in_minute: 7 };
        Entry { known: Known::new(etag.to_owned(), version), tally }
    }

    fn is_packed(entry: &Entry) -> bool {
        let mut lineages = Lineages::default();
        let packed = Packed::new(entry, &mut lineages);
        packed.is_some_and(|packed| packed.entry(&lineages) == *entry)
    }

    #[test]
    fn what_the_services_say_is_packed() {
        let written = version("d", "\"0000d826-0000-0100-0000-5f9ab1e30000\"", 1_700_000_000, Some(u64::MAX), b"");
        for etag in
            ["\"0x8DCF1B2C3D4E5F6\"", "\"0x0\"", "\"0xFFFFFFFFFFFFFFFF\"", "\"0x00AB\"", "0", "18446744073709551615"]
        {
            assert!(is_packed(&entry(etag, &written)), "{etag}");
        }
        let deleted = Version { op: Op::Delete, etag: None, ..written.clone() };
        assert!(is_packed(&entry("\"0x1\"", &deleted)));
        assert!(is_packed(&entry("\"0x1\"", &Version { nth: Some(3), ..deleted })));
        assert!(is_packed(&entry("\"0x1\"", &Version { lsn: None, ..written })));
    }

    #[test]
    fn what_looks_different_is_not() {
        let written = version("d", "\"0000d826-0000-0100-0000-5f9ab1e30000\"", 1_700_000_000, Some(7), b"");
        for etag in ["", "W/\"0x1\"", "\"0x8dcf\"", "\"0x+1\"", "+1", "01", "\"0x11111111111111111\"", "\"0x\""] {
            assert!(!is_packed(&entry(etag, &written)), "{etag}");
        }
        for identity in ["\"1\"", "0000d826-0000-0100-0000-5f9ab1e30000", "\"0000D826-0000-0100-0000-5f9ab1e30000\""] {
            assert!(
                !is_packed(&entry("1", &Version { etag: Some(identity.to_owned()), ..written.clone() })),
                "{identity}"
            );
        }
        let deleted = Version { op: Op::Delete, etag: None, lsn: None, ..written.clone() };
        assert!(!is_packed(&entry("1", &deleted)), "it has no place in its lineage");
        assert!(!is_packed(&entry("1", &Version { ts: -1, ..written })));
    }

    #[test]
    fn of_more_lineages_than_have_numbers_the_rest_is_not_packed() {
        let mut lineages = Lineages::default();
        let with = |n: u32| {
            entry(
                "1",
                &Version {
                    lineage: n.to_string(),
                    ..version("d", "\"0000d826-0000-0100-0000-5f9ab1e30000\"", 1, Some(1), b"")
                },
            )
        };
        for n in 0..=u32::from(u16::MAX) {
            assert!(Packed::new(&with(n), &mut lineages).is_some());
        }
        assert!(Packed::new(&with(u32::MAX), &mut lineages).is_none());
        assert!(Packed::new(&with(7), &mut lineages).is_some());
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back_as_it_was(
            etag in "(\"0x[0-9A-F]{1,16}\")|([0-9]{1,20})|(\"[a-z0-9]{0,8}\")",
            identity in "\"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\"",
            (ts, lsn, exists) in (any::<i64>(), any::<Option<u64>>(), any::<bool>()),
        ) {
            let version = Version { etag: exists.then_some(identity), ..version("d", "x", ts.max(i64::MIN + 2), lsn, b"") };
            let entry = entry(&etag, &version);
            let mut lineages = Lineages::default();
            if let Some(packed) = Packed::new(&entry, &mut lineages) {
                prop_assert_eq!(packed.entry(&lineages), entry);
            }
        }
    }
}
