//! Targets beside the first.
//!
//! A **required** one is written with the first: nothing is checkpointed that both do not hold. An **optional** one is followed for on its
//! own, by leases of its own, and holds up nobody.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Config, Leases, Target};

/// What the target in `[target]` is called.
pub const FIRST_TARGET: &str = "first";

/// A target beside the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FurtherTarget {
    /// What it is called, in flags, metrics and the names of its leases.
    pub name: String,
    /// Whether the checkpoint waits for it.
    pub required: bool,
    /// Where it is.
    #[serde(flatten)]
    pub target: Target,
}

/// There is no target of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTarget {
    /// The name.
    pub name: String,
    /// Those that there are.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no target {:?}; there are {}", self.name, self.known.join(", "))
    }
}

impl std::error::Error for UnknownTarget {}

impl FurtherTarget {
    /// The leases by which it is followed for: of an optional one they are its own.
    pub fn leases(&self, of_first: &Leases) -> Leases {
        if self.required {
            return of_first.clone();
        }
        Leases { processor: format!("{}-{}", of_first.processor, self.name), ..of_first.clone() }
    }
}

impl Config {
    /// The targets that the checkpoint waits for, beside the first.
    pub fn required_targets(&self) -> impl Iterator<Item = &FurtherTarget> {
        self.targets.iter().filter(|target| target.required)
    }

    /// The targets that are followed for on their own.
    pub fn optional_targets(&self) -> impl Iterator<Item = &FurtherTarget> {
        self.targets.iter().filter(|target| !target.required)
    }

    /// The same for the mirror in one target alone, the first or another.
    ///
    /// # Errors
    ///
    /// Where no target has this name.
    pub fn on_target(&self, name: &str) -> Result<Self, UnknownTarget> {
        let alone = Self { targets: Vec::new(), ..self.clone() };
        if name == FIRST_TARGET {
            return Ok(alone);
        }
        let Some(further) = self.targets.iter().find(|further| further.name == name) else {
            let known = self.targets.iter().map(|further| further.name.clone());
            let known = [FIRST_TARGET.to_owned()].into_iter().chain(known).collect();
            return Err(UnknownTarget { name: name.to_owned(), known });
        };
        Ok(Self { target: further.target.clone(), leases: further.leases(&self.leases), ..alone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_in_one_target_has_its_own_place_and_leases() {
        let further = |name: &str, required| FurtherTarget {
            name: name.to_owned(),
            required,
            target: Target { container: name.to_owned(), ..Target::default() },
        };
        let config = Config { targets: vec![further("south", true), further("vault", false)], ..Config::default() };
        let of = |name: &str| {
            let alone = config.on_target(name).unwrap();
            assert!(alone.targets.is_empty());
            (alone.target.container, alone.leases.processor)
        };
        assert_eq!(of("first"), ("mirror".to_owned(), "cosmirror".to_owned()));
        assert_eq!(of("south"), ("south".to_owned(), "cosmirror".to_owned()));
        assert_eq!(of("vault"), ("vault".to_owned(), "cosmirror-vault".to_owned()));
        let unknown = config.on_target("north").unwrap_err().to_string();
        assert_eq!(unknown, "there is no target \"north\"; there are first, south, vault");
    }
}
