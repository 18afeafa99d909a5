//! A container's partition key definition: paths, kind and hash version.

use std::sync::Arc;

use azure_data_cosmos_driver::models::{FeedRange, PartitionKey, PartitionKeyDefinition};

use super::{COMPONENTS_MAX, Component, Key, Scope, text_of};
use crate::cosmos::errors::CosmosError;
use crate::cosmos::json;

/// A definition as the container holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyDefinition {
    driver: PartitionKeyDefinition,
    /// Each path's property names from the outermost in.
    paths: Vec<Vec<String>>,
}

impl KeyDefinition {
    /// Reads the `partitionKey` of a container and completes it: an absent kind is Hash.
    pub(crate) fn from_properties(properties: &mut serde_json::Value) -> Result<Self, CosmosError> {
        let invalid =
            |reason: String| CosmosError::bad_request(format!("The partition key definition is invalid: {reason}."));
        let object = properties.as_object_mut().ok_or_else(|| invalid("it is not an object".to_owned()))?;
        object.entry("kind").or_insert_with(|| "Hash".into());
        // Without its version the driver would take a hierarchical key for a plain one.
        if object["kind"] == "MultiHash" && object.get("version") != Some(&2.into()) {
            return Err(invalid("kind MultiHash needs version 2".to_owned()));
        }
        let driver: PartitionKeyDefinition =
            serde_json::from_str(&properties.to_string()).map_err(|error| invalid(error.to_string()))?;
        let paths = driver
            .paths()
            .iter()
            .map(|path| {
                property_names(path).ok_or_else(|| invalid(format!("path {path:?} is not like /name or /outer/inner")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let most = if properties["kind"] == "MultiHash" { COMPONENTS_MAX } else { 1 };
        if paths.is_empty() || paths.len() > most {
            return Err(invalid(format!("it has {} paths, between 1 and {most} are possible", paths.len())));
        }
        Ok(Self { driver, paths })
    }

    /// The components in a document.
    pub(crate) fn components_of(&self, document: &str) -> Vec<Component> {
        self.paths
            .iter()
            .map(|path| {
                path.iter()
                    .try_fold(document, |value, name| json::member(value, name))
                    .map_or(Component::Undefined, Component::from_json)
            })
            .collect()
    }

    /// The key of a full set of components.
    pub(crate) fn key(&self, components: &[Component]) -> Result<Key, CosmosError> {
        if components.len() != self.paths.len() {
            return Err(CosmosError::bad_request(format!(
                "The partition key supplied has {} components, the container's definition has {}.",
                components.len(),
                self.paths.len()
            )));
        }
        let range = self.feed_range(components)?;
        Ok(Key { text: Arc::from(text_of(components)), epk: range.min_inclusive().clone() })
    }

    /// The part of the hash space of a key or of a hierarchical key's first components.
    pub(crate) fn scope(&self, components: &[Component]) -> Result<Scope, CosmosError> {
        if components.is_empty() {
            return Ok(Scope::all());
        }
        if components.len() >= self.paths.len() {
            return Ok(Scope::Point(self.key(components)?.epk));
        }
        let range = self.feed_range(components)?;
        Ok(Scope::Span { min: range.min_inclusive().clone(), max: range.max_exclusive().clone() })
    }

    /// A key's components as the object of a delete's metadata: by path, without absent ones.
    pub(crate) fn named(&self, key_text: &str) -> String {
        let members: Vec<String> = self
            .paths
            .iter()
            .zip(json::elements(key_text))
            .filter(|(_, component)| !json::is_object(component))
            .map(|(path, component)| format!("{}:{component}", serde_json::Value::from(path.join("/"))))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// The property names of the first path, from the outermost in.
    pub(crate) fn first_path(&self) -> &[String] {
        &self.paths[0]
    }

    /// How many components a key has.
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    fn feed_range(&self, components: &[Component]) -> Result<FeedRange, CosmosError> {
        let values = components.iter().map(Component::to_driver).collect::<Result<Vec<_>, _>>()?;
        let key = PartitionKey::try_from(values).map_err(|error| CosmosError::bad_request(error.to_string()))?;
        Ok(FeedRange::for_partition(key, &self.driver))
    }
}

/// The property names of a path like `/outer/"in/ner"`; `None` if it is no path.
pub(crate) fn property_names(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.strip_prefix('/')?;
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        };
        if name.is_empty() {
            return None;
        }
        names.push(name.to_owned());
        rest = after;
    }
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(json: &str) -> Result<KeyDefinition, CosmosError> {
        KeyDefinition::from_properties(&mut serde_json::from_str(json).unwrap())
    }

    fn epk(definition: &KeyDefinition, document: &str) -> String {
        definition.key(&definition.components_of(document)).unwrap().epk.to_hex()
    }

    #[test]
    fn both_hash_versions_give_the_services_effective_keys() {
        let v2 = definition(r#"{"paths":["/pk"],"kind":"Hash","version":2}"#).unwrap();
        assert_eq!(epk(&v2, r#"{"pk":"p1"}"#), "062B23DEC15212F01B9A85F4E93A940C");
        let v1 = definition(r#"{"paths":["/pk"]}"#).unwrap();
        assert_eq!(epk(&v1, r#"{"pk":"p1"}"#), "05C1CFEDCF076008713200");
    }

    #[test]
    fn nested_and_quoted_paths_are_followed() {
        let definition = definition(r#"{"paths":["/a/\"b/c\"","/d"],"kind":"MultiHash","version":2}"#).unwrap();
        let components = definition.components_of(r#"{"a":{"b/c":[1]},"d":2.0}"#);
        assert_eq!(text_of(&components), "[{},2]");
        assert_eq!(definition.named("[\"x\",2]"), r#"{"a/b/c":"x","d":2}"#);
        assert_eq!(definition.named("[{},2]"), r#"{"d":2}"#);
    }

    #[test]
    fn a_prefix_covers_its_keys() {
        let definition = definition(r#"{"paths":["/a","/b"],"kind":"MultiHash","version":2}"#).unwrap();
        let scope = definition.scope(&[Component::String("t".into())]).unwrap();
        let full = definition.key(&[Component::String("t".into()), Component::Number(1.0)]).unwrap();
        let other = definition.key(&[Component::String("u".into()), Component::Number(1.0)]).unwrap();
        assert!(scope.contains(&full.epk) && !scope.contains(&other.epk));
    }

    #[test]
    fn impossible_definitions_are_refused() {
        for bad in [
            r#"{"paths":[]}"#,
            r#"{"paths":["pk"]}"#,
            r#"{"paths":["/"]}"#,
            r#"{"paths":["/a","/b"],"version":2}"#,
            r#"{"paths":["/a","/b"],"kind":"MultiHash"}"#,
            r#"{"paths":["/a"],"version":3}"#,
            r#"{"paths":["/a","/b","/c","/d"],"kind":"MultiHash","version":2}"#,
            r#"[]"#,
        ] {
            assert!(definition(bad).is_err(), "{bad}");
        }
    }
}
