//! From file, environment and flags to a checked [`Config`].
//!
//! Every fault is found in one run: each value is tried on its own against a configuration that is otherwise right, so a
//! wrong one hides no other. What is known is read off the types themselves, so a new setting needs no second list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};
use cosmirror_formats::MirrorPaths;
use serde_json::Value as Json;

use super::sources::{Fault, Origin, Override, merged};
use super::suggest::suggestion;
use super::validate::validate;
use super::{Config, Container, FeedMode, FurtherTarget, MirrorUrl, Start, Target};

/// Names the configuration file where `-c` does not.
const FILE_VARIABLE: &str = "COSMIRROR_CONFIG";

/// A configuration and where each of its values comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The origin of each, by full name such as `containers[0].database`.
    pub origins: BTreeMap<String, Origin>,
}

impl Default for Loaded {
    fn default() -> Self {
        let config = Config::default();
        let mut origins = BTreeMap::new();
        for (name, _) in settings(&config) {
            origins.insert(name, Origin::Default);
        }
        Self { config, origins }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// The faults, by field; each displays as one line.
    pub faults: Vec<Fault>,
}

/// Reads the configuration of this process. `file` is what `-c` named; without it `COSMIRROR_CONFIG` may name one, and without
/// either there is none.
pub fn load(file: Option<&Path>, overrides: &[Override]) -> Result<Loaded, ConfigError> {
    load_from(file, &variables()?, overrides)
}

/// The same where a mirror takes the place of the file: none is read, and no container is configured.
pub fn load_mirror(mirror: &MirrorUrl, overrides: &[Override]) -> Result<Loaded, ConfigError> {
    load_mirror_from(mirror, &variables()?, overrides)
}

/// The variables of this process that may be settings.
fn variables() -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in std::env::vars_os() {
        // A variable of another name may hold anything; it is none of ours.
        let Some(name) = name.to_str().filter(|name| name.starts_with("COSMIRROR_")) else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name.to_owned(), value)),
            Err(_) => faults.push(Fault { field: name.to_owned(), message: "not valid UTF-8".to_owned() }),
        }
    }
    if faults.is_empty() { Ok(variables) } else { Err(ConfigError { faults }) }
}

/// [`load_mirror`] with the environment as an argument.
pub fn load_mirror_from(
    mirror: &MirrorUrl,
    environment: &[(String, String)],
    overrides: &[Override],
) -> Result<Loaded, ConfigError> {
    // What is followed, and where to, is the daemon's business; the mirror itself says what it holds.
    let others = ["COSMIRROR__CONTAINERS__", "COSMIRROR__TARGETS__", "COSMIRROR__LEASES__"];
    let applies =
        |(name, _): &&(String, String)| name != FILE_VARIABLE && !others.iter().any(|others| name.starts_with(others));
    let environment: Vec<(String, String)> = environment.iter().filter(applies).cloned().collect();
    let all = [mirror.settings(&environment, overrides), overrides.to_vec()].concat();
    let mut loaded = load_from(None, &environment, &all)?;
    loaded.config.containers.clear();
    loaded.config.targets.clear();
    loaded.origins.retain(|name, _| !name.starts_with("containers[") && !name.starts_with("targets["));
    Ok(loaded)
}

/// The same with the environment as an argument.
pub fn load_from(
    file: Option<&Path>,
    environment: &[(String, String)],
    overrides: &[Override],
) -> Result<Loaded, ConfigError> {
    let named = environment.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
    let file: Option<PathBuf> = file.map(Path::to_owned).or_else(|| named.map(|(_, value)| value.into()));
    let mut faults = Vec::new();
    let text = file.as_deref().and_then(|file| read(file).map_err(|fault| faults.push(fault)).ok());
    let merged = merged(file.as_deref().zip(text.as_deref()), environment, overrides, &mut faults);
    let mut reading = Reading::new(file, &merged, faults);
    reading.section("", &merged, &reading.schema.clone());
    reading.finish()
}

fn read(file: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(file).map_err(|error| Fault {
        field: file.display().to_string(),
        message: format!("cannot read the configuration file: {error}"),
    })
}

/// The names and values of all settings, in the order of the types.
pub fn settings(config: &Config) -> Vec<(String, Json)> {
    let mut all = Vec::new();
    // Strings, numbers, truth values and lists of them have no failing serialisation.
    leaves("", serde_json::to_value(config).unwrap_or_default(), &mut all);
    all
}

fn leaves(path: &str, value: Json, all: &mut Vec<(String, Json)>) {
    match value {
        Json::Object(members) => members.into_iter().for_each(|(key, value)| leaves(&join(path, &key), value, all)),
        Json::Array(items) => {
            items.into_iter().enumerate().for_each(|(at, item)| leaves(&format!("{path}[{at}]"), item, all));
        }
        leaf => all.push((path.to_owned(), leaf)),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The state of reading one merged tree.
struct Reading {
    file: Option<PathBuf>,
    /// One value of every setting, to tell what is known and of which type it is.
    schema: Json,
    /// A configuration that is right; each value that fits moves into it.
    config: Config,
    origins: BTreeMap<String, Origin>,
    faults: Vec<Fault>,
}

impl Reading {
    fn new(file: Option<PathBuf>, merged: &Value, faults: Vec<Fault>) -> Self {
        let template = Container {
            database: String::new(),
            container: String::new(),
            feed: FeedMode::default(),
            start: Start::default(),
            versions_per_minute_max: 0,
        };
        let mut further = FurtherTarget::default();
        further.target.recipients = vec![String::new()];
        let mut config = Config { containers: vec![template], targets: vec![further], ..Config::default() };
        config.target.recipients = vec![String::new()];
        let schema = serde_json::to_value(&config).unwrap_or_default();
        let template = config.containers.remove(0);
        config.containers = vec![template; entries(merged, &["containers"])];
        config.target.recipients = vec![String::new(); entries(merged, &["target", "recipients"])];
        config.targets = vec![FurtherTarget::default(); entries(merged, &["targets"])];
        for (at, further) in config.targets.iter_mut().enumerate() {
            let path = ["targets", &at.to_string(), "recipients"];
            further.target.recipients = vec![String::new(); entries(merged, &path)];
        }
        Self { file, schema, config, origins: BTreeMap::new(), faults }
    }

    fn section(&mut self, path: &str, value: &Value, schema: &Json) {
        match (&value.kind, schema) {
            (ValueKind::Table(table), Json::Object(known)) => {
                for (key, value) in table {
                    let path = join(path, key);
                    match known.get(key) {
                        Some(schema) => self.section(&path, value, schema),
                        None => self.unknown(&path, value),
                    }
                }
            }
            (ValueKind::Array(items), Json::Array(known)) => {
                for (at, item) in items.iter().enumerate() {
                    self.section(&format!("{path}[{at}]"), item, &known[0]);
                }
            }
            // An entry of a list that only a later variable named.
            (ValueKind::Nil, Json::Object(_)) => {}
            (_, Json::Object(_)) => self.fault(path, format!("must be a section, [{path}]"), value),
            (_, Json::Array(known)) => {
                let variable = path.to_ascii_uppercase().replace('.', "__");
                let sections = known[0].is_object();
                let (shape, more) =
                    if sections { (format!("[[{path}]]"), "__…") } else { ("[\"…\"]".to_owned(), "") };
                let message = format!("must be a list, {shape}; in the environment COSMIRROR__{variable}__0{more}");
                self.fault(path, message, value);
            }
            (_, leaf) => self.leaf(path, value, leaf),
        }
    }

    fn unknown(&mut self, path: &str, value: &Value) {
        let known: Vec<String> = settings_of(&self.schema);
        let message = match suggestion(path, &known) {
            Some(near) => format!("unknown setting; did you mean {near}?"),
            None => "unknown setting".to_owned(),
        };
        self.fault(path, message, value);
    }

    fn leaf(&mut self, path: &str, value: &Value, schema: &Json) {
        let origin = Origin::of(value, self.file.as_deref());
        let tried = typed(value, schema, origin.is_text()).and_then(|typed| with_setting(&self.config, path, typed));
        match tried {
            Ok(config) => {
                self.config = config;
                self.origins.insert(path.to_owned(), origin);
            }
            Err(message) => self.fault(path, message, value),
        }
    }

    fn fault(&mut self, field: &str, message: String, value: &Value) {
        let message = match Origin::of(first_leaf(value), self.file.as_deref()) {
            Origin::Environment(variable) => format!("{message} (from the environment variable {variable})"),
            _ => message,
        };
        self.faults.push(Fault { field: field.to_owned(), message });
    }

    fn finish(mut self) -> Result<Loaded, ConfigError> {
        let of_containers = (0..self.config.containers.len())
            .flat_map(|at| ["database", "container"].map(|required| format!("containers[{at}].{required}")));
        let of_targets = (0..self.config.targets.len())
            .flat_map(|at| ["name", "required"].map(|required| format!("targets[{at}].{required}")));
        for field in of_containers.chain(of_targets) {
            if !self.origins.contains_key(&field) && !self.faults.iter().any(|fault| fault.field == field) {
                self.faults.push(Fault { field, message: "missing".to_owned() });
            }
        }
        // A field that could not be read holds a stand-in, about which there is nothing to say.
        let found = validate(&self.config);
        let new = found.into_iter().filter(|fault| !self.faults.iter().any(|known| known.field == fault.field));
        let new: Vec<Fault> = new.collect();
        self.faults.extend(new);
        if self.faults.is_empty() {
            for (name, _) in settings(&self.config) {
                self.origins.entry(name).or_insert(Origin::Default);
            }
            self.config.target.feeds = feeds(&self.config.containers, &self.config.target);
            for further in &mut self.config.targets {
                further.target.feeds = feeds(&self.config.containers, &further.target);
            }
            return Ok(Loaded { config: self.config, origins: self.origins });
        }
        self.faults.sort();
        Err(ConfigError { faults: self.faults })
    }
}

/// What tags of a target tell; nothing where there are none.
fn feeds(containers: &[Container], target: &Target) -> BTreeMap<String, FeedMode> {
    let base = |c: &Container| MirrorPaths::new(&target.prefix, &c.database, &c.container).base().to_owned();
    let tagged = containers.iter().filter(|_| target.tags);
    tagged.map(|container| (base(container), container.feed)).collect()
}

/// How many entries the list at `path` has; an entry of a list is named by its index.
fn entries(merged: &Value, path: &[&str]) -> usize {
    match (&merged.kind, path) {
        (ValueKind::Table(members), [first, rest @ ..]) => members.get(*first).map_or(0, |value| entries(value, rest)),
        (ValueKind::Array(items), [index, rest @ ..]) => {
            index.parse().ok().and_then(|at: usize| items.get(at)).map_or(0, |item| entries(item, rest))
        }
        (ValueKind::Array(items), []) => items.len(),
        _ => 0,
    }
}

fn settings_of(schema: &Json) -> Vec<String> {
    let mut all = Vec::new();
    leaves("", schema.clone(), &mut all);
    let sections = schema.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    sections.chain(all.into_iter().map(|(name, _)| name)).collect()
}

/// A section has no origin of its own when it came from variables; any value in it does.
fn first_leaf(value: &Value) -> &Value {
    match &value.kind {
        ValueKind::Table(table) => {
            table.iter().min_by_key(|(key, _)| *key).map_or(value, |(_, first)| first_leaf(first))
        }
        ValueKind::Array(items) => items.first().map_or(value, first_leaf),
        _ => value,
    }
}

/// The value as JSON of the schema's type. Variables and flags are text whatever they mean.
fn typed(value: &Value, schema: &Json, is_text: bool) -> Result<Json, String> {
    let number = "must be a whole number from 0 to 4294967295";
    match (&value.kind, schema) {
        (ValueKind::Boolean(given), Json::Bool(_)) => Ok(Json::Bool(*given)),
        (ValueKind::String(text), Json::Bool(_)) if is_text => {
            text.parse().map(Json::Bool).map_err(|_| "must be true or false".to_owned())
        }
        (_, Json::Bool(_)) => Err("must be true or false, without quotes".to_owned()),
        (ValueKind::I64(given), Json::Number(_)) => {
            u32::try_from(*given).map(Json::from).map_err(|_| number.to_owned())
        }
        (ValueKind::String(text), Json::Number(_)) if is_text => {
            text.parse::<u32>().map(Json::from).map_err(|_| number.to_owned())
        }
        (_, Json::Number(_)) => Err(format!("{number}, without quotes")),
        (ValueKind::String(text), _) => Ok(Json::String(text.clone())),
        (ValueKind::I64(given), _) => Ok(Json::from(*given)),
        _ => Err("must be text in quotes".to_owned()),
    }
}

/// The configuration with one more value in it.
fn with_setting(config: &Config, path: &str, value: Json) -> Result<Config, String> {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let is_number = value.is_number();
    let mut whole = serde_json::to_value(config).map_err(|error| error.to_string())?;
    match whole.pointer_mut(&pointer) {
        Some(place) => *place = value,
        None => return Err("unknown setting".to_owned()),
    }
    serde_json::from_value(whole).map_err(|error| {
        let message = error.to_string();
        if is_number && message.starts_with("invalid type") {
            return "must be text in quotes".to_owned();
        }
        // Whoever wrote a key here by mistake must not find it in a log.
        match message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected ")) {
            Some((_, choices)) => format!("must be {}", choices.replace('`', "\"")),
            None => message,
        }
    })
}
