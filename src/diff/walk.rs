//! The changes from one document to another, in an order in which they can be made one by one.
//!
//! Arrays are gone through from the front, so that everything before the place of a change already is as it will be: a change's path
//! is right at the moment in which it is made, which is what a patch needs. Where a value was in the first document is kept beside it.

use super::align::{CELLS_MAX, align};
use super::text::{Json, Pointer};
use super::tree::{Document, Kind, Node, Object};

/// Characters of all paths together; what would need more is told as one change of the object or array around it.
const PATHS_CHARACTERS_MAX: usize = 64 * 1024 * 1024;

/// What happened to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// It is only in the second document.
    Add,
    /// It is only in the first one.
    Remove,
    /// It is another one.
    Replace,
}

impl Op {
    /// Its name in JSON, here and in RFC 6902.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// What happened.
    pub op: Op,
    /// Where, when the changes before it have been made; where it is in the second document, unless it is removed.
    pub path: Pointer,
    /// Where it was in the first document; where a value is added, that of what it is added to.
    pub path_from: Pointer,
    /// What it was.
    pub from: Option<Json<'a>>,
    /// What it is.
    pub to: Option<Json<'a>>,
}

/// What makes `to` of `from`. A document that does not exist is none; two that do not exist are equal.
pub fn changes<'a>(from: Option<&Document<'a>>, to: Option<&Document<'a>>) -> Vec<Change<'a>> {
    let mut walk = Walk {
        path: Pointer::default(),
        path_from: Pointer::default(),
        changes: Vec::new(),
        cells_left: CELLS_MAX,
        characters_left: PATHS_CHARACTERS_MAX,
    };
    match (from, to) {
        (None, None) => {}
        (Some(from), None) => walk.remove(&from.root),
        (None, Some(to)) => walk.add(&to.root),
        (Some(from), Some(to)) => walk.compare(&from.root, &to.root),
    }
    walk.changes
}

struct Walk<'a> {
    path: Pointer,
    path_from: Pointer,
    changes: Vec<Change<'a>>,
    cells_left: usize,
    characters_left: usize,
}

impl<'a> Walk<'a> {
    fn compare(&mut self, from: &Node<'a>, to: &Node<'a>) {
        if from.same(to) {
            return;
        }
        match (&from.kind, &to.kind) {
            (Kind::Array(one), Kind::Array(two)) if self.affords(one.len() + two.len()) => self.arrays(one, two),
            (Kind::Object(one), Kind::Object(two)) if self.affords(one.members.len() + two.members.len()) => {
                self.objects(one, two);
            }
            _ => self.push(Op::Replace, Some(from), Some(to)),
        }
    }

    /// Whether the paths of so many changes here may still be told.
    fn affords(&mut self, changes: usize) -> bool {
        let length = self.path.len().max(self.path_from.len()) + 1;
        let left = self.characters_left.checked_sub(length.saturating_mul(changes));
        self.characters_left = left.unwrap_or(self.characters_left);
        left.is_some()
    }

    fn objects(&mut self, from: &Object<'a>, to: &Object<'a>) {
        for (name, one) in &from.members {
            self.member(name, |walk| match to.get(name) {
                None => walk.remove(one),
                Some(two) => walk.compare(one, two),
            });
        }
        for (name, two) in to.members.iter().filter(|(name, _)| from.get(name).is_none()) {
            self.member(name, |walk| walk.add(two));
        }
    }

    fn arrays(&mut self, from: &[Node<'a>], to: &[Node<'a>]) {
        let pairs = align(from, to, &mut self.cells_left);
        let (mut one, mut two) = (0, 0);
        for (end_one, end_two) in pairs.into_iter().chain([(from.len(), to.len())]) {
            for (at, removed) in from.iter().enumerate().take(end_one).skip(one) {
                self.element(at, two, |walk| walk.remove(removed));
            }
            for (at, added) in to.iter().enumerate().take(end_two).skip(two) {
                self.element(end_one, at, |walk| walk.add(added));
            }
            if let (Some(from), Some(to)) = (from.get(end_one), to.get(end_two)) {
                self.element(end_one, end_two, |walk| walk.compare(from, to));
            }
            (one, two) = (end_one + 1, end_two + 1);
        }
    }

    fn member(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let lengths = (self.path.len(), self.path_from.len());
        self.path.push_name(name);
        self.path_from.push_name(name);
        visit(self);
        self.back(lengths);
    }

    fn element(&mut self, from: usize, to: usize, visit: impl FnOnce(&mut Self)) {
        let lengths = (self.path.len(), self.path_from.len());
        self.path.push_index(to);
        self.path_from.push_index(from);
        visit(self);
        self.back(lengths);
    }

    fn back(&mut self, (path, path_from): (usize, usize)) {
        self.path.truncate(path);
        self.path_from.truncate(path_from);
    }

    fn add(&mut self, node: &Node<'a>) {
        self.push(Op::Add, None, Some(node));
    }

    fn remove(&mut self, node: &Node<'a>) {
        self.push(Op::Remove, Some(node), None);
    }

    fn push(&mut self, op: Op, from: Option<&Node<'a>>, to: Option<&Node<'a>>) {
        let (from, to) = (from.map(|node| Json(node.text)), to.map(|node| Json(node.text)));
        self.changes.push(Change { op, path: self.path.clone(), path_from: self.path_from.clone(), from, to });
    }
}
