//! The files of a restore: the plan, and beside it what an undo needs. Both are [sealed lines](crate::sealed_lines).
//!
//! A plan is `plan`, any number of `step`, and `end`. An undo file is written while a plan is applied, each line before what it speaks of is
//! relied upon: `undo`, then for each step `before` (durable before the document is touched) and `after` (once the service has
//! answered) or `skipped` (somebody else was quicker; lines of several steps interleave), and `end` when the work stopped in order. Work
//! that is taken up again adds lines behind an `end`; the file is complete if the last line is one. Where a step has several `before`,
//! the last one holds. A `before` without `after` or `skipped` is a step of which it is not known whether it was done: what it was to
//! write, by its hash, tells.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The `format` of both files.
pub const FORMAT: u32 = 1;
/// The `format` of an undo file whose documents are encrypted: whoever does not know of [`Ciphertext`] would take them for documents that
/// were not there.
pub const ENCRYPTED_UNDO_FORMAT: u32 = 2;

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum PlanLine {
    /// The first.
    Plan(PlanHead),
    /// One document.
    Step(Step),
    /// The last.
    End(PlanEnd),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanHead {
    /// 1.
    pub format: u32,
    /// The restore's id, under which what it writes is recorded.
    pub id: String,
    /// When it was made, RFC 3339, by the host's clock.
    pub made: String,
    /// The containers, in the order in which they are restored.
    pub parts: Vec<Part>,
}

/// One container of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The endpoint of the account that the documents go to.
    pub account: String,
    /// The endpoint of the account that the mirror was made from, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored_account: Option<String>,
    /// The mirrored container as `database/container`.
    pub source: String,
    /// Resource id of the mirrored container's present life, by the mirror.
    pub rid: String,
    /// Where the documents go, as `database/container`.
    pub into: String,
    /// Resource id of that container; none where it is to be created.
    pub into_rid: Option<String>,
    /// What was selected, in words.
    pub selection: String,
    /// The instant, seconds since 1970; none where something else names the point.
    pub at: Option<i64>,
    /// The version, where one was named.
    pub version: Option<String>,
    /// The change before which the documents are wanted, where one was named.
    pub before_change: Option<String>,
    /// `always`, `if-changed`, `if-newer` or `never`.
    pub overwrite: String,
    /// Whether documents that did not exist then are to be removed.
    pub delete_extra: bool,
}

impl Part {
    /// Whether the documents go where they came from: to the mirrored life of the mirrored container, which neither its name nor a resource id
    /// alone tells.
    pub fn in_place(&self) -> bool {
        self.into == self.source && self.mirrored_account.is_none() && self.into_rid.as_ref() == Some(&self.rid)
    }

    /// Whether the container was not there when the plan was made.
    pub fn creates(&self) -> bool {
        self.into_rid.is_none()
    }
}

/// A write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is gone and comes back.
    Create,
    /// It exists and gets its earlier content.
    Replace,
    /// It exists and did not then.
    Delete,
}

/// One write that is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Which of the plan's containers, from 0.
    pub part: usize,
    /// What is done.
    pub action: Action,
    /// The document's id.
    pub id: String,
    /// Its partition key as a JSON array.
    pub partition_key: Value,
    /// The etag that the container's document had; none where there was none.
    pub etag: Option<String>,
    /// The version it gets; none for a delete.
    pub content: Option<Content>,
}

/// A version and where its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The object's name in the mirror: a document's, or a dead letter's.
    pub name: String,
    /// The store's name of the version; none for a dead letter.
    pub version: Option<String>,
    /// The identity of the version: the etag that the document had in the source.
    pub identity: String,
    /// When it was committed there, seconds since 1970.
    pub ts: i64,
    /// SHA-256 of the stored bytes in lower-case hexadecimal.
    pub sha256: String,
    /// How many bytes that are.
    pub bytes: u64,
    /// How they are encrypted, as [`Encryption`](crate::Encryption) writes it; none where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
}

/// Documents by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Gone, and to be brought back.
    pub create: u64,
    /// To be given their earlier content.
    pub replace: u64,
    /// To be removed.
    pub delete: u64,
    /// As they should be.
    pub unchanged: u64,
    /// Kept, although they are otherwise, because of the overwrite policy.
    pub conflict: u64,
    /// Did not exist then, and are kept.
    pub extra: u64,
    /// Refused: changed in an interval within which the mirror cannot tell when.
    pub uncertain: u64,
    /// Refused: the mirror lacks what would tell their state.
    pub unknown: u64,
}

impl Counts {
    /// How many documents are to be written or removed.
    pub fn changes(&self) -> u64 {
        self.create + self.replace + self.delete
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.create += other.create;
        self.replace += other.replace;
        self.delete += other.delete;
        self.unchanged += other.unchanged;
        self.conflict += other.conflict;
        self.extra += other.extra;
        self.uncertain += other.uncertain;
        self.unknown += other.unknown;
    }
}

/// What the plan comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanEnd {
    /// All containers together.
    pub counts: Counts,
    /// Documents whose stored bytes or metadata are damaged; there is no step for them.
    pub damaged: u64,
    /// Bytes that will be written.
    pub bytes: u64,
    /// Request units that it is estimated to take.
    pub request_units: f64,
    /// The digest of all lines before this one.
    pub digest: String,
}

/// One line of an undo file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum UndoLine {
    /// The first.
    Undo(UndoHead),
    /// A step is about to be done.
    Before(Before),
    /// It was done.
    After(After),
    /// It was not done, because somebody else had written the document meanwhile.
    Skipped(Skipped),
    /// The work stopped in order.
    End(UndoEnd),
}

/// What is undone by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UndoHead {
    /// 1, or 2 where the documents are encrypted.
    pub format: u32,
    /// The id of the undoing, under which what it writes is recorded.
    pub id: String,
    /// The id of the restore that is undone.
    pub undoes: String,
    /// The digest of the file that was applied: of all lines but its last.
    pub plan: String,
    /// When the work began, RFC 3339, by the host's clock.
    pub began: String,
    /// The property that marks what was written, where one was asked for.
    pub mark_field: Option<String>,
    /// The containers, as in the plan; `source` names the mirror in which the undoing is recorded.
    pub parts: Vec<Part>,
}

/// A document before it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// The step's place in the file that was applied, from 0.
    pub step: u64,
    /// Which of the containers, from 0.
    pub part: usize,
    /// The document's id.
    pub id: String,
    /// Its partition key as a JSON array.
    pub partition_key: Value,
    /// The etag that it had; none where it was not there.
    pub etag: Option<String>,
    /// Its text as the service gave it; none where it was not there.
    pub document: Option<String>,
    /// SHA-256 of what was to be written; none for a delete.
    pub sent: Option<String>,
    /// Both of these where they are encrypted; then they are none themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<Ciphertext>,
}

/// What an encrypted `before` says of its document's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ciphertext {
    /// What is done.
    pub action: Action,
    /// How it is encrypted, as [`Encryption`](crate::Encryption) writes it.
    pub encryption: String,
    /// A [`BeforeContent`] as JSON, encrypted, in standard base64.
    pub base64: String,
}

/// The two fields of a `before` that are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeContent {
    /// See [`Before::document`].
    pub document: Option<String>,
    /// See [`Before::sent`].
    pub sent: Option<String>,
}

/// What a step has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The step's place in the file that was applied, from 0.
    pub step: u64,
    /// The etag that the document has now; none for a delete.
    pub etag: Option<String>,
}

/// A step that was not done: there is nothing to undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The step's place in the file that was applied, from 0.
    pub step: u64,
}

/// How the work stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoEnd {
    /// Whether every step was done, or found to be impossible; otherwise the plan can be applied on.
    pub finished: bool,
    /// Steps that were done.
    pub done: u64,
    /// Steps that were left alone because somebody else had written the document.
    #[serde(default)]
    pub conflicts: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sealed_lines::Seals;

    fn part() -> Part {
        Part {
            account: "http://a/".to_owned(),
            mirrored_account: None,
            source: "shop/orders".to_owned(),
            rid: "r".to_owned(),
            into: "shop/orders".to_owned(),
            into_rid: Some("r".to_owned()),
            selection: "all documents".to_owned(),
            at: Some(1_700_000_000),
            version: None,
            before_change: None,
            overwrite: "if-changed".to_owned(),
            delete_extra: false,
        }
    }

    #[test]
    fn only_the_mirrored_life_of_the_container_in_its_own_account_is_the_place() {
        assert!(part().in_place());
        for elsewhere in [
            Part { into: "shop/copy".to_owned(), ..part() },
            Part { into_rid: Some("other".to_owned()), ..part() },
            Part { into_rid: None, ..part() },
            Part { mirrored_account: Some("http://b/".to_owned()), ..part() },
        ] {
            assert!(!elsewhere.in_place(), "{elsewhere:?}");
        }
    }

    #[test]
    fn golden_plan() {
        let content = Content {
            name: "shop/orders/documents/p0/d0.json".to_owned(),
            version: Some("v".to_owned()),
            identity: "\"1\"".to_owned(),
            ts: 1_699_999_999,
            sha256: "ab".to_owned(),
            bytes: 2,
            encryption: None,
        };
        let step = Step {
            part: 0,
            action: Action::Replace,
            id: "d0".to_owned(),
            partition_key: json!(["p0"]),
            etag: Some("\"2\"".to_owned()),
            content: Some(content),
        };
        let head = PlanHead {
            format: FORMAT,
            id: "x".to_owned(),
            made: "2026-01-31T08:00:00Z".to_owned(),
            parts: vec![part()],
        };
        let mut seals = Seals::default();
        let mut text = String::new();
        for line in [PlanLine::Plan(head), PlanLine::Step(step)] {
            text += &seals.seal(&line).unwrap();
        }
        let counts = Counts { replace: 1, ..Counts::default() };
        let end = PlanEnd { counts, damaged: 0, bytes: 2, request_units: 11.5, digest: seals.digest() };
        text += &seals.seal(&PlanLine::End(end)).unwrap();
        let golden = include_str!("golden/restore.plan");
        assert_eq!(text, golden);
        for line in golden.lines() {
            serde_json::from_str::<PlanLine>(line).unwrap();
        }
    }

    #[test]
    fn golden_encrypted_lines() {
        let ciphertext = Ciphertext {
            action: Action::Create,
            encryption: "age:00112233aabbccdd".to_owned(),
            base64: "eA==".to_owned(),
        };
        let before = Before {
            step: 0,
            part: 0,
            id: "d0".to_owned(),
            partition_key: json!(["p0"]),
            etag: None,
            document: None,
            sent: None,
            ciphertext: Some(ciphertext),
        };
        let golden = concat!(
            r#"{"line":"before","step":0,"part":0,"id":"d0","partition_key":["p0"],"etag":null,"document":null,"sent":null,"#,
            r#""ciphertext":{"action":"create","encryption":"age:00112233aabbccdd","base64":"eA=="}}"#,
        );
        assert_eq!(serde_json::to_string(&UndoLine::Before(before.clone())).unwrap(), golden);
        assert_eq!(serde_json::from_str::<UndoLine>(golden).unwrap(), UndoLine::Before(before));
        let content = BeforeContent { document: Some("{}".to_owned()), sent: None };
        assert_eq!(serde_json::to_string(&content).unwrap(), r#"{"document":"{}","sent":null}"#);
    }

    #[test]
    fn golden_undo() {
        let head = UndoHead {
            format: FORMAT,
            id: "y".to_owned(),
            undoes: "x".to_owned(),
            plan: "cd".to_owned(),
            began: "2026-01-31T08:00:01Z".to_owned(),
            mark_field: None,
            parts: vec![part()],
        };
        let before = Before {
            step: 0,
            part: 0,
            id: "d0".to_owned(),
            partition_key: json!(["p0"]),
            etag: Some("\"2\"".to_owned()),
            document: Some(r#"{"id":"d0"}"#.to_owned()),
            sent: Some("ef".to_owned()),
            ciphertext: None,
        };
        let lines = [
            UndoLine::Undo(head),
            UndoLine::Before(before),
            UndoLine::After(After { step: 0, etag: Some("\"3\"".to_owned()) }),
            UndoLine::Skipped(Skipped { step: 1 }),
            UndoLine::End(UndoEnd { finished: true, done: 1, conflicts: 2 }),
        ];
        let mut seals = Seals::default();
        let text: String = lines.iter().map(|line| seals.seal(line).unwrap()).collect();
        let golden = include_str!("golden/restore.undo");
        assert_eq!(text, golden);
        let read: Vec<UndoLine> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, lines);
    }
}
