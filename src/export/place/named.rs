//! The place of an export as a person names it: a directory, or blobs by their URL.

use std::fmt;
use std::path::PathBuf;

use crate::config::MirrorUrl;
use crate::failure::{CommandError, Exit};

/// Bytes of lines of which a file has at most this many where nothing is said: a blob is put as a whole, so it is in memory.
const FILE_BYTES_IN_DIRECTORY: u64 = 64 << 20;
const FILE_BYTES_IN_BLOBS: u64 = 8 << 20;
/// Largest one that may be asked for in blobs.
const FILE_BYTES_IN_BLOBS_MAX: u64 = 256 << 20;

/// Where an export lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExportPlace {
    Directory(PathBuf),
    Blobs(MirrorUrl),
}

impl ExportPlace {
    /// Reads a URL of blobs, or a path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return MirrorUrl::parse(text).map(Self::Blobs);
        }
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Self::Directory(PathBuf::from(text))) }
    }

    /// Whether something of that kind is there; of blobs nobody is asked.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Directory(path) => path.is_dir(),
            Self::Blobs(_) => true,
        }
    }

    /// The place of this name in it.
    pub(crate) fn within(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Directory(path) => Ok(Self::Directory(path.join(name))),
            Self::Blobs(url) => {
                MirrorUrl::parse(&format!("{}/{name}", url.to_string().trim_end_matches('/'))).map(Self::Blobs)
            }
        }
    }

    /// Bytes of lines of a file, as asked for or as fits the place.
    pub(crate) fn file_bytes(&self, asked: Option<u64>) -> Result<u64, CommandError> {
        match (self, asked) {
            (Self::Directory(_), asked) => Ok(asked.unwrap_or(FILE_BYTES_IN_DIRECTORY)),
            (Self::Blobs(_), None) => Ok(FILE_BYTES_IN_BLOBS),
            (Self::Blobs(_), Some(asked)) if asked <= FILE_BYTES_IN_BLOBS_MAX => Ok(asked),
            (Self::Blobs(_), Some(_)) => {
                let message = "a file in blobs has at most 256MiB, because it is put as a whole";
                Err(CommandError::new(Exit::Usage, message, "ask for less with --file-size"))
            }
        }
    }
}

impl fmt::Display for ExportPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Blobs(url) => write!(f, "{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_of_blobs_or_a_path() {
        let url = "https://account.blob.core.windows.net/exports/monday";
        assert_eq!(ExportPlace::parse(url).unwrap().to_string(), url);
        assert_eq!(ExportPlace::parse("a b").unwrap(), ExportPlace::Directory("a b".into()));
        for wrong in ["", "https://account.blob.core.windows.net", "https://a.blob.core.windows.net/c?sig=SECRET"] {
            assert!(!ExportPlace::parse(wrong).unwrap_err().contains("SECRET"), "{wrong}");
        }
    }

    #[test]
    fn a_place_within_a_place_is_of_its_kind() {
        let within = |text: &str| ExportPlace::parse(text).unwrap().within("monday").unwrap().to_string();
        assert_eq!(within("/exports"), "/exports/monday");
        let account = "https://account.blob.core.windows.net/exports";
        assert_eq!(
            [within(account), within(&format!("{account}/a/"))],
            [format!("{account}/monday"), format!("{account}/a/monday")]
        );
    }

    #[test]
    fn a_file_in_blobs_is_small_enough_for_memory() {
        let [blobs, directory] = ["http://127.0.0.1:1/a/exports", "dir"].map(|text| ExportPlace::parse(text).unwrap());
        assert_eq!(blobs.file_bytes(None).unwrap(), 8 << 20);
        assert_eq!(directory.file_bytes(None).unwrap(), 64 << 20);
        assert_eq!(directory.file_bytes(Some(1 << 40)).unwrap(), 1 << 40);
        assert_eq!(blobs.file_bytes(Some(1 << 40)).unwrap_err().exit, Exit::Usage);
    }
}
