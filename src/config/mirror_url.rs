//! The place of a mirror in one URL, for those who have nothing else: no configuration, no source.
//!
//! | form | place |
//! |---|---|
//! | `https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]` | a blob container, whatever the host is called |
//! | `http://127.0.0.1:10000/ACCOUNT/CONTAINER[/PREFIX]` | the same where the host is an address or `localhost`, as emulators have it |
//! | `file:///ABSOLUTE/DIR`, or a path | a directory |
//!
//! A URL holds no secret: it stands in the history of a shell and in the list of processes. One with a signature or a user is
//! refused, and no message repeats what was given.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::validate::{blob_container_name, is_address, is_loopback, prefix_name};
use super::{Override, Target, TargetAuth, TargetKind};

/// Longest URL that is read, in bytes: an endpoint, a container and the longest prefix take less.
const URL_BYTES_MAX: usize = 4_096;
/// The flag that gives it.
const FLAG: &str = "--mirror";
/// The setting that says how to prove who we are, in the environment.
const AUTH_VARIABLE: &str = "COSMIRROR__TARGET__AUTH";
const AUTH: &str = "target.auth";

/// Where a mirror is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorUrl(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Azure { endpoint: String, container: String, prefix: String, loopback: bool },
    Directory(PathBuf),
}

impl MirrorUrl {
    /// Reads a URL or a path.
    ///
    /// # Errors
    ///
    /// What is wrong with it and the way out, on one line that repeats nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty; name a URL or a directory".to_owned());
        }
        if text.len() > URL_BYTES_MAX {
            return Err(format!("has more than {URL_BYTES_MAX} bytes"));
        }
        if text.contains(char::is_control) || text.trim() != text {
            return Err("has control characters, or white space at its ends; leave them out".to_owned());
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") => azure(text),
            Some("file") => file(text),
            _ => directory(text),
        }
    }

    /// Makes it the place of a target. How to prove who we are stays as it is.
    pub fn apply(&self, target: &mut Target) {
        match &self.0 {
            Place::Azure { endpoint, container, prefix, .. } => {
                target.kind = TargetKind::Azure;
                target.endpoint.clone_from(endpoint);
                target.container.clone_from(container);
                target.prefix.clone_from(prefix);
            }
            Place::Directory(path) => {
                target.kind = TargetKind::Directory;
                target.path = Some(path.clone());
                target.prefix = String::new();
            }
        }
    }

    /// How to prove who we are where nobody said: the emulator's key is public, and elsewhere there is the person who types, signed in by
    /// the tools of a developer.
    pub fn usual_auth(&self) -> TargetAuth {
        match &self.0 {
            Place::Azure { loopback: false, .. } => TargetAuth::Developer,
            Place::Azure { loopback: true, .. } | Place::Directory(_) => TargetAuth::Emulator,
        }
    }

    /// The settings that it stands for, stronger than the environment and weaker than `overrides`.
    pub(super) fn settings(&self, environment: &[(String, String)], overrides: &[Override]) -> Vec<Override> {
        let mut target = Target::default();
        self.apply(&mut target);
        let kind = match target.kind {
            TargetKind::Azure => "azure",
            TargetKind::Directory => "directory",
        };
        let mut settings = vec![("target.kind", kind.to_owned()), ("target.prefix", target.prefix)];
        match target.path {
            Some(path) => settings.push(("target.path", path.display().to_string())),
            None => settings.extend([("target.endpoint", target.endpoint), ("target.container", target.container)]),
        }
        let said = environment.iter().any(|(name, _)| name.eq_ignore_ascii_case(AUTH_VARIABLE))
            || overrides.iter().any(|given| given.key == AUTH);
        if !said {
            let auth = if self.usual_auth() == TargetAuth::Developer { "developer" } else { "emulator" };
            settings.push((AUTH, auth.to_owned()));
        }
        let flag = |(key, value): (&str, String)| Override { key: key.to_owned(), value, flag: FLAG.to_owned() };
        settings.into_iter().map(flag).collect()
    }
}

impl fmt::Display for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Azure { endpoint, container, prefix, .. } => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "{endpoint}/{container}{slash}{prefix}")
            }
            Place::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

fn azure(text: &str) -> Result<MirrorUrl, String> {
    let url = plain(text)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
    if url.scheme() == "http" && !is_loopback(host) {
        return Err("is of another machine and not encrypted on the way; begin it with https://".to_owned());
    }
    if url.path().contains("//") {
        return Err("has an empty name between two slashes".to_owned());
    }
    let mut names = url.path().split('/').filter(|name| !name.is_empty());
    let account = if is_address(host) || host == "localhost" {
        let missing = "names no account: where the host is an address the path is /ACCOUNT/CONTAINER";
        format!("/{}", names.next().ok_or(missing)?)
    } else {
        String::new()
    };
    let container = names.next().ok_or("names no container: the path is /CONTAINER or /CONTAINER/PREFIX")?;
    blob_container_name(container).map_err(|fault| format!("names no container: its name {fault}"))?;
    let prefix = names.map(decoded).collect::<Result<Vec<_>, _>>()?.join("/");
    prefix_name(&prefix).map_err(|fault| format!("has a prefix that no mirror has: it {fault}"))?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(MirrorUrl(Place::Azure {
        endpoint: format!("{}://{host}{port}{account}", url.scheme()),
        container: container.to_owned(),
        prefix,
        loopback: is_loopback(host),
    }))
}

fn decoded(name: &str) -> Result<String, String> {
    let text = percent_decode_str(name).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| "has a prefix that is not UTF-8".to_owned())
}

fn file(text: &str) -> Result<MirrorUrl, String> {
    let url = plain(text)?;
    let path = url.to_file_path().ok().filter(|path| path.to_str().is_some());
    let path = path.ok_or("names no directory of this machine; the form is file:///ABSOLUTE/DIR")?;
    if path.to_str().is_some_and(|path| path.contains(char::is_control)) {
        return Err("has control characters; leave them out".to_owned());
    }
    Ok(MirrorUrl(Place::Directory(path)))
}

fn directory(text: &str) -> Result<MirrorUrl, String> {
    if text.contains("://") {
        return Err("is neither an https:// nor a file:// URL nor a directory".to_owned());
    }
    // A URL without its beginning is no directory's name, and may hold a signature.
    if text.contains("sig=") || text.contains(".blob.") {
        return Err(format!("begins neither with https:// nor is it a directory; {SECRETS}"));
    }
    Ok(MirrorUrl(Place::Directory(text.into())))
}

const SECRETS: &str =
    "a signature does not stand in it: set target.auth = \"sas\" and the variable COSMIRROR_TARGET_SAS to the token";

/// The URL, which has nothing but a place in it.
fn plain(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password; set target.auth, and the variable or file that it needs".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has something behind its path, at ? or #; {SECRETS}"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> (String, String, String, TargetAuth) {
        let (url, mut target) = (MirrorUrl::parse(text).unwrap(), Target::default());
        url.apply(&mut target);
        assert_eq!((target.kind, target.path), (TargetKind::Azure, None));
        (target.endpoint, target.container, target.prefix, url.usual_auth())
    }

    fn owned(endpoint: &str, container: &str, prefix: &str, auth: TargetAuth) -> (String, String, String, TargetAuth) {
        (endpoint.to_owned(), container.to_owned(), prefix.to_owned(), auth)
    }

    #[test]
    fn an_account_is_in_the_host_or_where_that_is_an_address_in_the_path() {
        use TargetAuth::{Developer, Emulator};
        let service = "https://store.blob.core.windows.net";
        let azurite = "http://127.0.0.1:10000/devstoreaccount1";
        for (text, expected) in [
            (format!("{service}/mirror"), owned(service, "mirror", "", Developer)),
            (format!("{service}/mirror/"), owned(service, "mirror", "", Developer)),
            (format!("{service}/mirror/a/b-c.d/"), owned(service, "mirror", "a/b-c.d", Developer)),
            (format!("{service}:443/mirror"), owned(service, "mirror", "", Developer)),
            (
                "HTTPS://Blobs.example:8443/mirror/x".to_owned(),
                owned("https://blobs.example:8443", "mirror", "x", Developer),
            ),
            (format!("{azurite}/mirror"), owned(azurite, "mirror", "", Emulator)),
            (format!("{azurite}/mirror/p"), owned(azurite, "mirror", "p", Emulator)),
            ("http://localhost/acc/mirror".to_owned(), owned("http://localhost/acc", "mirror", "", Emulator)),
            ("http://[::1]:1/acc/mirror".to_owned(), owned("http://[::1]:1/acc", "mirror", "", Emulator)),
            ("https://10.0.0.1/acc/mirror".to_owned(), owned("https://10.0.0.1/acc", "mirror", "", Developer)),
        ] {
            assert_eq!(place(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_directory_is_a_path_or_a_file_url() {
        for (text, path) in [
            ("/var/mirror", "/var/mirror"),
            ("mirror", "mirror"),
            ("./a:b", "./a:b"),
            ("file:///var/my%20mirror", "/var/my mirror"),
            ("file://localhost/var/mirror", "/var/mirror"),
        ] {
            let mut target = Target { prefix: "x".to_owned(), ..Target::default() };
            MirrorUrl::parse(text).unwrap().apply(&mut target);
            let expected = (TargetKind::Directory, Some(PathBuf::from(path)), String::new());
            assert_eq!((target.kind, target.path, target.prefix), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_way_out_and_without_its_secret() {
        for (text, part) in [
            ("", "empty"),
            (" /var/mirror", "white space"),
            ("https://a.blob.core.windows.net/mirror?sv=1&sig=SECRET", "target.auth = \"sas\""),
            ("https://a.blob.core.windows.net/mirror?", "?"),
            ("https://a.blob.core.windows.net/mirror#SECRET", "#"),
            ("https://user:SECRET@a.blob.core.windows.net/mirror", "user"),
            ("https://SECRET@a.blob.core.windows.net/mirror", "user"),
            ("a.blob.core.windows.net/mirror?sig=SECRET", "https://"),
            ("mirror?sv=1&sig=SECRET", "https://"),
            ("https://a.blob.core.windows.net", "no container"),
            ("https://a.blob.core.windows.net/", "no container"),
            ("https://a.blob.core.windows.net/Mirror", "lower-case"),
            ("https://a.blob.core.windows.net/mirror//SECRET", "empty name"),
            ("https://a.blob.core.windows.net/mirror/a%20b", "prefix"),
            ("https://a.blob.core.windows.net/mirror/%ff", "UTF-8"),
            ("http://127.0.0.1:10000", "no account"),
            ("http://127.0.0.1:10000/devstoreaccount1", "no container"),
            ("http://a.blob.core.windows.net/mirror/SECRET", "https://"),
            ("http://10.0.0.1/acc/mirror", "https://"),
            ("https://", "not a URL"),
            ("https://[::1/acc/mirror", "not a URL"),
            ("abfss://mirror@a.dfs.core.windows.net/SECRET", "neither"),
            ("file://elsewhere/var/mirror", "file:///"),
            ("file:///var/mirror?sig=SECRET", "sas"),
            ("file:///var/%00", "control"),
        ] {
            let fault = MirrorUrl::parse(text).unwrap_err();
            assert!(fault.contains(part) && !fault.contains("SECRET") && !fault.contains('\n'), "{text}: {fault}");
        }
    }

    #[test]
    fn the_settings_leave_room_for_another_proof() {
        let url = MirrorUrl::parse("https://a.blob.core.windows.net/mirror").unwrap();
        let auth = |environment: &[(String, String)], overrides: &[Override]| {
            let settings = url.settings(environment, overrides).into_iter();
            settings.filter(|given| given.key == "target.auth").map(|given| given.value).collect::<Vec<_>>()
        };
        assert_eq!(auth(&[], &[]), ["developer"]);
        assert!(auth(&[("COSMIRROR__TARGET__AUTH".to_owned(), "sas".to_owned())], &[]).is_empty());
        let set = Override { key: "target.auth".to_owned(), value: "shared-key".to_owned(), flag: "--set".to_owned() };
        assert!(auth(&[], &[set]).is_empty());
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down_and_what_is_a_place_is_so_when_it_is_written_again(
            text in prop_oneof![
                "\\PC{0,60}",
                "(https?|file)://[a-z0-9.:@\\[\\]]{0,12}/[-a-z0-9%/.?#=&_]{0,40}",
                "https://a\\.b(:[0-9]{1,5})?/[a-z0-9-]{1,9}(/[a-zA-Z0-9._%-]{1,9}){0,3}/?",
            ],
        ) {
            if let Ok(url) = MirrorUrl::parse(&text) {
                prop_assert!(!text.contains("sig="), "{text}");
                let mut target = Target::default();
                url.apply(&mut target);
                if target.kind == TargetKind::Azure {
                    prop_assert!(!target.endpoint.contains(['?', '#', '@']), "{text}: {target:?}");
                    prop_assert_eq!(MirrorUrl::parse(&url.to_string()), Ok(url));
                }
            }
        }

        /// Whatever stands behind the place never reaches a message.
        #[test]
        fn a_secret_is_never_repeated(secret in "[A-Z]{12}", shape in 0..5usize) {
            let text = [
                format!("https://a.blob.core.windows.net/mirror?sig={secret}"),
                format!("https://{secret}:x@a.blob.core.windows.net/mirror"),
                format!("https://a.blob.core.windows.net/mirror#{secret}"),
                format!("mirror?sig={secret}"),
                format!("ftp://a/{secret}"),
            ][shape].clone();
            prop_assert!(!MirrorUrl::parse(&text).unwrap_err().contains(&secret));
        }
    }
}
