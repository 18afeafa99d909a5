//! The model's states, and what happens to them.

use super::listing::{Includes, Line};
use super::{Condition, NAMES, Snapshots};

/// What a state is under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Base,
    Version,
    Snapshot,
}

/// A state as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// The id it has, or would get once it is a version.
    pub(super) id: String,
    /// Whether it was written with versioning on.
    pub(super) numbered: bool,
    pub(super) etag: String,
    pub(super) body: u8,
    pub(super) metadata: Option<u8>,
    pub(super) tag: Option<u8>,
    pub(super) hold: bool,
    /// The day it was deleted on, and for how many days it is kept.
    pub(super) deleted: Option<(u32, u32)>,
}

/// What a write will have made, if it succeeds.
#[derive(Debug, Clone, Copy)]
pub(super) struct New {
    pub(super) body: u8,
    pub(super) metadata: Option<u8>,
    pub(super) tag: Option<u8>,
    pub(super) hold: bool,
}

/// The whole container.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) states: Vec<Kept>,
    pub(super) versioning: bool,
    pub(super) days: u32,
    pub(super) today: u32,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { states: Vec::new(), versioning: true, days: 7, today: 0 }
    }

    pub(super) fn base(&self, name: &str) -> Option<&Kept> {
        self.states.iter().find(|kept| kept.name == name && kept.place == Place::Base && kept.deleted.is_none())
    }

    /// All states that a request can name by an id, dead or alive: version and snapshot ids that exist.
    pub(super) fn pick(&self, number: usize) -> Option<Kept> {
        let nameable: Vec<_> = self.states.iter().filter(|kept| kept.place != Place::Base || kept.numbered).collect();
        (!nameable.is_empty()).then(|| nameable[number % nameable.len()].clone())
    }

    pub(super) fn advance(&mut self, days: u32) {
        self.today += days;
        let today = self.today;
        self.states.retain(|kept| kept.hold || kept.deleted.is_none_or(|(day, days)| today - day < days));
    }

    fn live_snapshots(&self, name: &str) -> impl Iterator<Item = &Kept> {
        let live = move |kept: &&Kept| kept.place == Place::Snapshot && kept.deleted.is_none();
        self.states.iter().filter(move |kept| kept.name == name).filter(live)
    }

    /// The status of a put that is to be: the table's preconditions.
    pub(super) fn judge_put(&self, name: &str, condition: Condition, hold: bool) -> u16 {
        if hold && !self.versioning {
            return 409;
        }
        let base = self.base(name);
        match (condition, base) {
            (Condition::Absent, Some(_)) => return 409,
            (Condition::Matching, None) | (Condition::Other, _) => return 412,
            _ => {}
        }
        let lost = base.is_some_and(|base| base.hold && !base.numbered && !self.versioning);
        if lost { 409 } else { 201 }
    }

    /// Overwrite: what becomes of the base blob, and the new one.
    pub(super) fn overwrite(&mut self, name: &'static str, id: String, etag: String, new: New) {
        let (versioning, today, days) = (self.versioning, self.today, self.days);
        if let Some(at) = self.states.iter().position(|kept| kept.name == name && kept.place == Place::Base) {
            let old = &mut self.states[at];
            if old.deleted.is_some() {
                // It was deleted while versioning was off; now it is a deleted snapshot.
                old.place = Place::Snapshot;
            } else if versioning || old.numbered {
                (old.place, old.numbered) = (Place::Version, true);
            } else if days > 0 {
                (old.place, old.deleted) = (Place::Snapshot, Some((today, days)));
            } else {
                self.states.remove(at);
            }
        }
        let New { body, metadata, tag, hold } = new;
        let place = Place::Base;
        let numbered = versioning;
        self.states.push(Kept { name, place, id, numbered, etag, body, metadata, tag, hold, deleted: None });
    }

    /// Set Metadata: a version with versioning, nothing kept without.
    pub(super) fn amend(&mut self, name: &'static str, id: String, etag: String, value: u8) {
        let Some(at) = self.states.iter().position(|kept| kept.name == name && kept.place == Place::Base) else {
            panic!("the model lost its base");
        };
        let mut new = Kept { id, etag, metadata: Some(value), numbered: self.versioning, ..self.states[at].clone() };
        new.place = Place::Base;
        if self.versioning || self.states[at].numbered {
            (self.states[at].place, self.states[at].numbered) = (Place::Version, true);
            self.states.push(new);
        } else {
            self.states[at] = new;
        }
    }

    /// Snapshot Blob; `version` is the id of the new version, which it makes with versioning.
    pub(super) fn snapshot(&mut self, name: &str, id: String, version: String) {
        let Some(base) = self.base(name).cloned() else {
            panic!("the model lost its base");
        };
        if self.versioning {
            for kept in &mut self.states {
                if kept.name == name && kept.place == Place::Base {
                    (kept.place, kept.numbered) = (Place::Version, true);
                }
            }
            self.states.push(Kept { id: version, numbered: true, hold: false, ..base.clone() });
        }
        self.states.push(Kept { place: Place::Snapshot, id, numbered: false, hold: false, ..base });
    }

    /// Delete Blob without an id: its status, and what becomes of everything.
    pub(super) fn delete(&mut self, name: &str, snapshots: Snapshots) -> u16 {
        let Some(base) = self.base(name) else {
            return 404;
        };
        let mut kept = self.live_snapshots(name);
        let refused = match snapshots {
            Snapshots::Unsaid => kept.next().is_some() || base.hold,
            Snapshots::Include => kept.any(|snapshot| snapshot.hold) || base.hold,
            Snapshots::Only => kept.any(|snapshot| snapshot.hold),
        };
        drop(kept);
        if refused {
            return 409;
        }
        let (versioning, today, days) = (self.versioning, self.today, self.days);
        self.states.retain_mut(|kept| {
            let live = kept.name == name && kept.deleted.is_none();
            match kept.place {
                Place::Snapshot if live && snapshots != Snapshots::Unsaid => {}
                Place::Base if live && snapshots != Snapshots::Only => {
                    if versioning || kept.numbered {
                        (kept.place, kept.numbered) = (Place::Version, true);
                        return true;
                    }
                }
                _ => return true,
            }
            kept.deleted = Some((today, days));
            days > 0
        });
        202
    }

    /// Delete Blob with an id.
    pub(super) fn delete_older(&mut self, target: &Kept) -> u16 {
        let (today, days) = (self.today, self.days);
        let Some(at) = self.states.iter().position(|kept| kept.name == target.name && kept.id == target.id) else {
            return 404;
        };
        let kept = &mut self.states[at];
        if kept.deleted.is_some() {
            return 404;
        }
        match kept.place {
            Place::Base => return 403,
            _ if kept.hold => return 409,
            _ => {}
        }
        if days > 0 {
            kept.deleted = Some((today, days));
        } else {
            self.states.remove(at);
        }
        202
    }

    pub(super) fn undelete(&mut self, name: &str) -> u16 {
        let mut status = 404;
        for kept in self.states.iter_mut().filter(|kept| kept.name == name) {
            status = 200;
            kept.deleted = None;
        }
        status
    }

    /// The state that a request for tags or holds means, unless it is deleted.
    pub(super) fn aside(&mut self, name: &str, target: Option<&Kept>) -> Option<&mut Kept> {
        let wanted = |kept: &Kept| match target {
            None => kept.name == name && kept.place == Place::Base,
            Some(target) => kept.name == target.name && kept.place == target.place && kept.id == target.id,
        };
        self.states.iter_mut().find(|kept| wanted(kept) && kept.deleted.is_none())
    }

    /// The whole listing.
    pub(super) fn listing(&self, includes: Includes) -> Vec<Line> {
        let mut lines = Vec::new();
        for name in NAMES {
            let mut own: Vec<_> = self.states.iter().filter(|kept| kept.name == name).collect();
            own.sort_by_key(|kept| (kept.place == Place::Base, kept.id.clone()));
            let bare = includes.deleted_with_versions && self.base(name).is_none();
            let seen = |kept: &&&Kept| kept.deleted.is_none() || includes.deleted;
            let mut base_seen = false;
            for kept in own.iter().filter(seen) {
                let only = match kept.place {
                    Place::Version if includes.versions => bare,
                    Place::Snapshot if includes.snapshots => false,
                    Place::Base => {
                        base_seen = true;
                        false
                    }
                    _ => continue,
                };
                lines.push(includes.line(kept, only, false, self.today));
            }
            if bare && !includes.versions && !base_seen {
                let mut versions = own.iter().filter(seen).filter(|kept| kept.place == Place::Version);
                lines.extend(versions.next_back().map(|kept| includes.line(kept, true, true, self.today)));
            }
        }
        lines
    }
}
