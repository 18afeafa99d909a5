//! A listing as lines, from the service and from the model.

use super::super::super::xml::Element;
use super::super::client::Client;
use super::state::{Kept, Place};

/// What a listing includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Includes {
    pub(super) versions: bool,
    pub(super) snapshots: bool,
    pub(super) deleted: bool,
    pub(super) deleted_with_versions: bool,
    pub(super) metadata: bool,
    pub(super) tags: bool,
    pub(super) legal_hold: bool,
}

impl Includes {
    pub(super) fn from_bits(bits: u8) -> Self {
        // One time in four everything, because that is where most can differ.
        let bit = |n: u8| bits >> n & 1 == 1 || bits & 0b1000_0001 == 0;
        Self {
            versions: bit(0),
            snapshots: bit(1),
            deleted: bit(2),
            deleted_with_versions: bit(3),
            metadata: bit(4),
            tags: bit(5),
            legal_hold: bit(6),
        }
    }

    fn text(self) -> String {
        let words = [
            (self.versions, "versions"),
            (self.snapshots, "snapshots"),
            (self.deleted, "deleted"),
            (self.deleted_with_versions, "deletedwithversions"),
            (self.metadata, "metadata"),
            (self.tags, "tags"),
            (self.legal_hold, "legalhold"),
        ];
        let words: Vec<_> = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
        words.join(",")
    }

    /// What the model expects of one item.
    pub(super) fn line(self, kept: &Kept, only: bool, stand_in: bool, today: u32) -> Line {
        let live_base = kept.place == Place::Base && kept.deleted.is_none();
        let snapshot = if kept.place == Place::Snapshot { &kept.id } else { "" };
        let version = if kept.numbered && !stand_in { &kept.id } else { "" };
        Line {
            name: kept.name.to_owned(),
            snapshot: snapshot.to_owned(),
            version: version.to_owned(),
            current: live_base && kept.numbered,
            deleted: kept.deleted.is_some(),
            // The day it was deleted on has begun, so it is not counted.
            days_left: kept.deleted.map(|(day, days)| (day + days).saturating_sub(today + 1)),
            only,
            body: kept.body,
            metadata: kept.metadata.filter(|_| self.metadata),
            tag: kept.tag.filter(|_| self.tags),
            tagged: kept.tag.is_some(),
            hold: kept.hold && self.legal_hold,
            leased: live_base,
        }
    }
}

/// An item of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    name: String,
    snapshot: String,
    version: String,
    current: bool,
    deleted: bool,
    days_left: Option<u32>,
    only: bool,
    body: u8,
    metadata: Option<u8>,
    tag: Option<u8>,
    tagged: bool,
    hold: bool,
    leased: bool,
}

impl Line {
    fn read(blob: &Element) -> Self {
        let properties = blob.child("Properties").unwrap();
        let text = |name: &str| blob.text_of(name).unwrap_or_default().to_owned();
        let flag = |name: &str| blob.text_of(name) == Some("true");
        let number = |text: &str| text.parse().unwrap();
        let tag = blob.child("Tags").map(|tags| &tags.children[0].children[0]);
        Self {
            name: text("Name"),
            snapshot: text("Snapshot"),
            version: text("VersionId"),
            current: flag("IsCurrentVersion"),
            deleted: flag("Deleted"),
            days_left: properties.text_of("RemainingRetentionDays").map(|days| days.parse().unwrap()),
            only: flag("HasVersionsOnly"),
            // The content type tells the body's byte, so that a listing shows which state it is.
            body: number(properties.text_of("Content-Type").unwrap().trim_start_matches("text/")),
            metadata: blob.child("Metadata").and_then(|metadata| metadata.text_of("m")).map(number),
            tag: tag.map(|tag| number(tag.text_of("Value").unwrap())),
            tagged: properties.text_of("TagCount") == Some("1"),
            hold: properties.text_of("LegalHold") == Some("true"),
            leased: properties.text_of("LeaseState") == Some("available"),
        }
    }
}

/// The service's listing, page by page.
pub(super) async fn listed(client: &Client, includes: Includes, page: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut marker = String::new();
    loop {
        let answer = client.list(&format!("include={}&maxresults={page}&marker={marker}", includes.text())).await;
        let root = Element::document(answer.body.as_bytes(), "EnumerationResults").unwrap();
        let blobs = &root.child("Blobs").unwrap().children;
        assert!(blobs.len() <= page);
        lines.extend(blobs.iter().map(Line::read));
        match root.text_of("NextMarker") {
            Some("") | None => return lines,
            Some(next) => marker = next.to_owned(),
        }
    }
}
