//! One operation, sent to the service and done to the model; both answer the same.

use super::super::client::{Answer, Client};
use super::state::{Kept, Model, New, Place};
use super::{Condition, Do, NAMES};

const DAY_MS: i64 = 86_400_000;

pub(super) struct Step<'a> {
    pub(super) client: &'a Client,
    pub(super) model: &'a mut Model,
}

impl Step<'_> {
    pub(super) async fn run(&mut self, operation: &Do) {
        match *operation {
            Do::Put { name, body, condition, tag, hold } => {
                self.put(NAMES[name], condition, New { body, metadata: None, tag, hold }).await;
            }
            Do::SetMetadata { name, value } => self.set_metadata(NAMES[name], value).await,
            Do::Snapshot { name } => self.snapshot(NAMES[name]).await,
            Do::Delete { name, snapshots } => {
                let expected = self.model.delete(NAMES[name], snapshots);
                let headers: &[_] = match snapshots {
                    super::Snapshots::Unsaid => &[],
                    super::Snapshots::Include => &[("x-ms-delete-snapshots", "include")],
                    super::Snapshots::Only => &[("x-ms-delete-snapshots", "only")],
                };
                let answer = self.client.send("DELETE", &format!("/con/{}", NAMES[name]), headers, "").await;
                check(&answer, expected);
            }
            Do::DeleteOlder { pick } => {
                let Some(target) = self.model.pick(pick) else { return };
                let answer = self.client.send("DELETE", &path_of(&target, ""), &[], "").await;
                check(&answer, self.model.delete_older(&target));
            }
            Do::Undelete { name } => {
                let answer = self.client.send("PUT", &format!("/con/{}?comp=undelete", NAMES[name]), &[], "").await;
                check(&answer, self.model.undelete(NAMES[name]));
            }
            Do::Promote { name, pick } => self.promote(NAMES[name], pick).await,
            Do::SetTags { name, pick, tag } => self.set_tags(NAMES[name], pick, tag).await,
            Do::SetHold { name, pick, hold } => self.set_hold(NAMES[name], pick, hold).await,
            Do::Settings { versioning, soft_delete_days } => {
                self.client.set(versioning, soft_delete_days);
                (self.model.versioning, self.model.days) = (versioning, soft_delete_days);
            }
            Do::Days(days) => {
                self.client.clock.advance_ms(i64::from(days) * DAY_MS);
                self.model.advance(days);
            }
        }
    }

    async fn put(&mut self, name: &'static str, condition: Condition, new: New) {
        let expected = self.model.judge_put(name, condition, new.hold);
        let content_type = format!("text/{}", new.body);
        let tags = new.tag.map(|tag| format!("t={tag}"));
        let etag = self.model.base(name).map_or_else(|| "\"0x1\"".to_owned(), |base| base.etag.clone());
        let mut headers = vec![("content-type", content_type.as_str())];
        headers.extend(tags.as_deref().map(|tags| ("x-ms-tags", tags)));
        headers.extend(new.hold.then_some(("x-ms-legal-hold", "true")));
        match condition {
            Condition::None => {}
            Condition::Absent => headers.push(("if-none-match", "*")),
            Condition::Matching => headers.push(("if-match", &etag)),
            Condition::Other => headers.push(("if-match", "\"0x2\"")),
        }
        let answer = self.client.put_with(name, "x", &headers).await;
        check(&answer, expected);
        if expected == 201 {
            self.overwritten(name, &answer, new);
        }
    }

    /// Tells the model of a write and checks the version id that the answer has, or has not.
    fn overwritten(&mut self, name: &'static str, answer: &Answer, new: New) {
        let id = id_of(answer);
        assert_eq!(answer.header("x-ms-version-id"), if self.model.versioning { id.as_str() } else { "" });
        self.model.overwrite(name, id, answer.header("etag").to_owned(), new);
    }

    async fn set_metadata(&mut self, name: &'static str, value: u8) {
        let expected = self.model.base(name).map_or(404, |base| if base.hold { 409 } else { 200 });
        let text = value.to_string();
        let headers = [("x-ms-meta-m", text.as_str())];
        let answer = self.client.send("PUT", &format!("/con/{name}?comp=metadata"), &headers, "").await;
        check(&answer, expected);
        if expected == 200 {
            self.model.amend(name, id_of(&answer), answer.header("etag").to_owned(), value);
        }
    }

    async fn snapshot(&mut self, name: &'static str) {
        let expected = if self.model.base(name).is_some() { 201 } else { 404 };
        let answer = self.client.send("PUT", &format!("/con/{name}?comp=snapshot"), &[], "").await;
        check(&answer, expected);
        if expected == 201 {
            let (id, version) = (answer.header("x-ms-snapshot"), answer.header("x-ms-version-id"));
            self.model.snapshot(name, id.to_owned(), version.to_owned());
        }
    }

    /// Copies a version or snapshot onto a base blob, mostly another one's.
    async fn promote(&mut self, name: &'static str, pick: usize) {
        let Some(source) = self.model.pick(pick) else { return };
        let expected = match self.model.judge_put(name, Condition::None, false) {
            _ if source.deleted.is_some() => 404,
            201 => 202,
            refused => refused,
        };
        let address = self.client.source(&path_of(&source, ""));
        let headers = [("x-ms-copy-source", address.as_str())];
        let answer = self.client.send("PUT", &format!("/con/{name}"), &headers, "").await;
        check(&answer, expected);
        if expected == 202 {
            let new = New { body: source.body, metadata: source.metadata, tag: None, hold: false };
            self.overwritten(name, &answer, new);
        }
    }

    async fn set_tags(&mut self, name: &'static str, pick: Option<usize>, tag: u8) {
        let target = pick.and_then(|pick| self.model.pick(pick));
        let body = format!("<Tags><TagSet><Tag><Key>t</Key><Value>{tag}</Value></Tag></TagSet></Tags>");
        let answer = self.client.send("PUT", &aside(name, target.as_ref(), "tags"), &[], &body).await;
        let found = self.model.aside(name, target.as_ref());
        check(&answer, if found.is_some() { 204 } else { 404 });
        if let Some(kept) = found {
            kept.tag = Some(tag);
        }
    }

    async fn set_hold(&mut self, name: &'static str, pick: Option<usize>, hold: bool) {
        let target = pick.and_then(|pick| self.model.pick(pick));
        let headers = [("x-ms-legal-hold", if hold { "true" } else { "false" })];
        let answer = self.client.send("PUT", &aside(name, target.as_ref(), "legalhold"), &headers, "").await;
        let supported = self.model.versioning;
        let found = self.model.aside(name, target.as_ref());
        let expected = match (supported, &found) {
            (false, _) => 409,
            (true, Some(_)) => 200,
            (true, None) => 404,
        };
        check(&answer, expected);
        if let Some(kept) = found.filter(|_| supported) {
            kept.hold = hold;
        }
    }
}

fn check(answer: &Answer, expected: u16) {
    assert_eq!(answer.status.as_u16(), expected, "{} {}", answer.header("x-ms-error-code"), answer.body);
}

/// The address of a state that has an id.
fn path_of(kept: &Kept, component: &str) -> String {
    let parameter = if kept.place == Place::Snapshot { "snapshot" } else { "versionid" };
    format!("/con/{}?{component}{parameter}={}", kept.name, kept.id)
}

fn aside(name: &str, target: Option<&Kept>, component: &str) -> String {
    match target {
        None => format!("/con/{name}?comp={component}"),
        Some(kept) => path_of(kept, &format!("comp={component}&")),
    }
}

/// The id a written state has or will get as a version: the instant in its ETag, in ticks of .NET.
fn id_of(answer: &Answer) -> String {
    const TICKS_TO_UNIX: i128 = 621_355_968_000_000_000;
    let hex = answer.header("etag").trim_matches('"').trim_start_matches("0x");
    let ticks = i128::from_str_radix(hex, 16).unwrap() - TICKS_TO_UNIX;
    let instant = jiff::Timestamp::from_nanosecond(ticks * 100).unwrap();
    format!("{instant:.7}")
}
