//! Where settings come from: the file, the environment, and flags, merged in this order by the `config` crate.
//!
//! That crate's own environment source turns the index of a list into the key of a table, so the one here writes
//! `containers[0].database` itself. Each value carries its origin as text, which [`Origin`] reads back.

use std::fmt;
use std::path::{Path, PathBuf};

use ::config::{ConfigError as Refused, FileFormat, Map, Source, Value};

/// What every variable that holds a setting begins with.
const PREFIX: &str = "COSMIRROR__";
/// What parts the components of such a variable's name.
const SEPARATOR: &str = "__";
/// Longest list a variable may make. One beyond it is a mistake, and would allocate whatever number it names.
const LIST_LENGTH_MAX: usize = 1_000;

const FROM_ENVIRONMENT: &str = "environment variable ";
const FROM_FLAG: &str = "flag ";

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The environment variable of that name.
    Environment(String),
    /// The flag of that name.
    Flag(String),
}

impl Origin {
    /// The origin of a merged value. What a file said is not marked.
    pub(super) fn of(value: &Value, file: Option<&Path>) -> Self {
        let mark = value.origin().unwrap_or_default();
        if let Some(variable) = mark.strip_prefix(FROM_ENVIRONMENT) {
            Self::Environment(variable.to_owned())
        } else if let Some(flag) = mark.strip_prefix(FROM_FLAG) {
            Self::Flag(flag.to_owned())
        } else {
            file.map_or(Self::Default, |file| Self::File(file.to_owned()))
        }
    }

    /// Whether values come as text that must still be read as a number or a truth value.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(variable) => write!(f, "{FROM_ENVIRONMENT}{variable}"),
            Self::Flag(flag) => write!(f, "{FROM_FLAG}{flag}"),
        }
    }
}

/// A setting given on the command line; it wins over file and environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The setting's full name, such as `admin.listen`.
    pub key: String,
    /// Its value as text.
    pub value: String,
    /// The flag that gave it, such as `--set`.
    pub flag: String,
}

/// Everything that was set anywhere, the strongest source's value for each setting. What cannot be told to be a setting at all
/// becomes a fault and is left out.
pub(super) fn merged(
    file: Option<(&Path, &str)>,
    environment: &[(String, String)],
    overrides: &[Override],
    faults: &mut Vec<Fault>,
) -> Value {
    let mut builder = ::config::Config::builder();
    if let Some((path, text)) = file {
        let source = ::config::File::from_str(text, FileFormat::Toml);
        match source.collect() {
            Ok(_) => builder = builder.add_source(source),
            Err(error) => faults.push(Fault { field: path.display().to_string(), message: one_line(&error) }),
        }
    }
    let variables = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).map(from_variable);
    let given = variables.chain(overrides.iter().map(from_flag));
    // One source for each, so that a flag follows every variable.
    for setting in given {
        match setting {
            Ok(given) => builder = builder.add_source(given),
            Err(fault) => faults.push(fault),
        }
    }
    match builder.build() {
        Ok(config) => config.cache,
        Err(error) => {
            faults.push(Fault { field: "settings".to_owned(), message: one_line(&error) });
            Value::new(None, Map::<String, Value>::new())
        }
    }
}

/// One thing that is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The setting's full name, such as `containers[1].start`; where none is to blame, the file or the variable.
    pub field: String,
    /// What is wrong with it, on one line, with the way out.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A parser's drawing of the place is left out, its words are kept: the line and column say the same.
fn one_line(error: &Refused) -> String {
    let text = match error {
        Refused::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let is_drawing =
        |line: &str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    text.lines()
        .filter(|line| !is_drawing(line))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}

/// A setting that was given on its own, under a path as the `config` crate reads it.
#[derive(Debug, Clone)]
struct Given {
    path: String,
    value: Value,
}

impl Source for Given {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, Refused> {
        Ok(Map::from([(self.path.clone(), self.value.clone())]))
    }
}

fn from_variable((name, value): &(String, String)) -> Result<Given, Fault> {
    let fault = |message: &str| Err(Fault { field: name.clone(), message: message.to_owned() });
    let mut path = String::new();
    for part in name.strip_prefix(PREFIX).unwrap_or(name).split(SEPARATOR) {
        let is_word = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match part.parse::<usize>() {
            _ if !is_word => {
                return fault("not the name of a setting; one looks like COSMIRROR__CONTAINERS__0__DATABASE");
            }
            Ok(index) if index >= LIST_LENGTH_MAX => return fault("a list has at most 1000 entries, counted from 0"),
            Ok(index) => path += &format!("[{index}]"),
            Err(_) if path.is_empty() => path += &part.to_ascii_lowercase(),
            Err(_) => path += &format!(".{}", part.to_ascii_lowercase()),
        }
    }
    Ok(Given { path, value: Value::new(Some(&format!("{FROM_ENVIRONMENT}{name}")), value.clone()) })
}

fn from_flag(given: &Override) -> Result<Given, Fault> {
    let Override { key, value, flag } = given;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
    let index = |part: &str| part.split(']').next().and_then(|digits| digits.parse::<usize>().ok());
    let indices_fit = key.split('[').skip(1).all(|part| index(part).is_some_and(|index| index < LIST_LENGTH_MAX));
    if key.is_empty() || !key.chars().all(legal) || !indices_fit {
        let message = format!("{key:?} is not the name of a setting; one looks like containers[0].database");
        return Err(Fault { field: flag.clone(), message });
    }
    Ok(Given { path: key.clone(), value: Value::new(Some(&format!("{FROM_FLAG}{flag}")), value.clone()) })
}
