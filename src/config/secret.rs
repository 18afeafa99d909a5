//! Secrets come from a file or from an environment variable, never from the configuration itself.
//!
//! They are read when a client is built, so that a command that needs none does not ask for it. No message holds a value.

use std::path::Path;

use secrecy::SecretString;

/// Longest file that is read for a secret, in bytes. Keys and SAS tokens are far shorter.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The secret in `file` where one is configured, else in the environment variable `env`. Surrounding white space, such as
/// the newline at the end of a mounted file, is no part of it.
///
/// # Errors
///
/// One line that names the file or the variable, never the value.
pub fn resolve_secret(env: &str, file: Option<&Path>) -> Result<SecretString, String> {
    let (text, place) = match file {
        Some(file) => (read(file)?, format!("the file {}", file.display())),
        None => {
            let place = format!("the environment variable {env}");
            match std::env::var(env) {
                Ok(text) => (text, place),
                Err(std::env::VarError::NotPresent) => return Err(format!("{place} is not set")),
                Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{place} is not valid UTF-8")),
            }
        }
    };
    let secret = text.trim();
    if secret.is_empty() {
        return Err(format!("{place} is empty"));
    }
    Ok(SecretString::from(secret))
}

fn read(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let failed = |error: std::io::Error| format!("cannot read the file {shown}: {error}");
    let length = std::fs::metadata(file).map_err(failed)?.len();
    if length > SECRET_BYTES_MAX {
        return Err(format!("the file {shown} has {length} bytes: that is no key or token"));
    }
    std::fs::read_to_string(file).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_file_wins_over_the_variable_and_loses_its_newline() {
        let file = file_with(b"c2VjcmV0\n");
        // PATH is set wherever tests run, and is not what must come out.
        let secret = resolve_secret("PATH", Some(file.path())).unwrap();
        assert_eq!(secret.expose_secret(), "c2VjcmV0");
        assert!(!resolve_secret("PATH", None).unwrap().expose_secret().is_empty());
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = resolve_secret("COSMIRROR_NOBODY_SETS_THIS", None).unwrap_err();
        assert_eq!(error, "the environment variable COSMIRROR_NOBODY_SETS_THIS is not set");
        let error = resolve_secret("PATH", Some(Path::new("/nowhere/key"))).unwrap_err();
        assert!(error.starts_with("cannot read the file /nowhere/key: "), "{error}");
        let empty = file_with(b" \n");
        assert!(resolve_secret("PATH", Some(empty.path())).unwrap_err().ends_with(" is empty"));
    }

    #[test]
    fn no_message_holds_the_value() {
        let file = file_with(b"\xffvery-secret");
        let error = resolve_secret("PATH", Some(file.path())).unwrap_err();
        assert!(error.contains("UTF-8") && !error.contains("very-secret"), "{error}");
    }
}
