//! How names of objects become paths, and back.
//!
//! A component of a name is a directory of the same name. Four kinds of entries are not: version files (20 digits), the store's staging
//! directory, its locks, and what the file system puts into a root (`lost+found`). A component that looks like
//! one of them gets a `~` at its end, and so does one that already is such a name with `~` at its end; so every name has
//! one path and every path at most one name.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind};

/// Where versions are written before they get their place.
pub(super) const STAGING: &str = ".staging";
/// The file that is locked by who writes the mirror beside it. The names of a mirror have no plus.
pub(super) const LOCK: &str = "+lock";
/// Digits of a version file's name; enough for every `u64`.
const SEQUENCE_DIGITS: usize = 20;
/// Longest name, as on Azure, in bytes.
const NAME_BYTES_MAX: usize = 1_024;
/// Longest component the common file systems take, in bytes.
const COMPONENT_BYTES_MAX: usize = 255;

/// The directory of the object with this name.
pub(super) fn object_directory(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Failure::new(Kind::Refused, format!("an object name has more than {NAME_BYTES_MAX} bytes")));
    }
    name.split('/').try_fold(root.to_path_buf(), |path, component| {
        check(name, component)?;
        Ok(path.join(physical(component).as_ref()))
    })
}

/// Whether a name may hold it.
pub(super) fn is_component(component: &str) -> bool {
    check(component, component).is_ok()
}

fn check(name: &str, component: &str) -> Result<(), Failure> {
    let fault = if component.is_empty() {
        "has an empty component"
    } else if component == "." || component == ".." {
        "has a component made of dots"
    } else if component.contains(|c: char| c == '\\' || c.is_control()) {
        "has a backslash or a control character"
    } else if physical(component).len() > COMPONENT_BYTES_MAX {
        "has a component of more than 255 bytes"
    } else {
        return Ok(());
    };
    Err(Failure::new(Kind::Refused, format!("the object name {name:?} {fault}")))
}

/// A directory's name for a component.
pub(super) fn physical(component: &str) -> Cow<'_, str> {
    if is_reserved(component.trim_end_matches('~')) {
        Cow::Owned(format!("{component}~"))
    } else {
        Cow::Borrowed(component)
    }
}

/// The component for a directory's name; none for what is the store's own or not made by it.
pub(super) fn logical(directory: &str) -> Option<&str> {
    let component = if is_reserved(directory.trim_end_matches('~')) { directory.strip_suffix('~')? } else { directory };
    is_component(component).then_some(component)
}

fn is_reserved(stem: &str) -> bool {
    [STAGING, LOCK, "lost+found"].contains(&stem) || is_sequence(stem)
}

fn is_sequence(text: &str) -> bool {
    text.len() == SEQUENCE_DIGITS && text.bytes().all(|b| b.is_ascii_digit())
}

/// A version file's name.
pub(super) fn version_file(sequence: u64) -> String {
    format!("{sequence:020}")
}

/// The sequence number of a version file; none for any other file.
pub(super) fn sequence_of(file: &str) -> Option<u64> {
    if is_sequence(file) { file.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_component_that_looks_like_the_stores_own_files_has_a_path_of_its_own() {
        let digits = "12345678901234567890";
        let components = [
            digits,
            &format!("{digits}~"),
            &format!("{digits}~~"),
            ".staging",
            ".staging~",
            "lost+found",
            "+lock",
            "1234",
            "a~",
        ];
        let mut paths = BTreeSet::new();
        for component in components {
            let path = physical(component);
            assert_eq!(logical(&path), Some(component));
            assert!(logical(&path).is_some() && sequence_of(&path).is_none() && path != STAGING);
            assert!(paths.insert(path.into_owned()));
        }
        assert_eq!((logical(digits), logical(STAGING), logical("lost+found")), (None, None, None));
    }

    #[test]
    fn a_name_that_would_leave_the_root_is_refused() {
        for name in
            ["", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "a\\b", "a\0b", "a\nb", &"x".repeat(256)]
        {
            let failure = object_directory(Path::new("/base"), name).unwrap_err();
            assert_eq!(failure.kind, Kind::Refused, "{name:?}");
        }
        assert_eq!(object_directory(Path::new("/base"), "a/..b.json").unwrap(), Path::new("/base/a/..b.json"));
    }
}
