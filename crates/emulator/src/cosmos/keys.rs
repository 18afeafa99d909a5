//! Partition keys: their components, their text and their place in the hash space.
//!
//! Effective partition keys come from Microsoft's driver, so that the emulator and the SDKs always agree.

mod definition;

use std::sync::Arc;

use azure_data_cosmos_driver::models::{EffectivePartitionKey, PartitionKeyValue};

use super::errors::CosmosError;
use super::json;

pub(crate) use definition::{KeyDefinition, property_names};

/// The most components a hierarchical key can have.
const COMPONENTS_MAX: usize = 3;

/// One component of a partition key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Component {
    /// The document has no such property, or one that cannot be a key.
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    String(String),
}

impl Component {
    /// The component that a property's JSON text makes.
    pub(crate) fn from_json(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => json::string(text).map_or(Self::Undefined, |text| Self::String(text.into_owned())),
            Some(b'-' | b'0'..=b'9') => text.parse().map_or(Self::Undefined, Self::Number),
            _ => Self::Undefined,
        }
    }

    /// The component as JSON; an absent one is `{}`, as in the partition key header.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Undefined => "{}".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => number_text(*value),
            Self::String(value) => serde_json::Value::from(value.as_str()).to_string(),
        }
    }

    fn to_driver(&self) -> Result<PartitionKeyValue, CosmosError> {
        Ok(match self {
            Self::Undefined => PartitionKeyValue::UNDEFINED,
            Self::Null => PartitionKeyValue::NULL,
            Self::Bool(value) => PartitionKeyValue::from(*value),
            Self::Number(value) => PartitionKeyValue::try_from(*value)
                .map_err(|_| CosmosError::bad_request("A partition key number must be finite."))?,
            Self::String(value) => PartitionKeyValue::from(value.clone()),
        })
    }
}

/// One text per number: whole numbers without a fraction, no negative zero.
fn number_text(value: f64) -> String {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        // Within the range where every whole number is exact.
        return format!("{}", value as i64);
    }
    serde_json::Number::from_f64(value).map_or_else(|| "null".to_owned(), |number| number.to_string())
}

/// A full partition key value: all its components. Keys are ordered by their place in the hash space first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) epk: EffectivePartitionKey,
    /// The components as a JSON array; equal texts are equal keys.
    pub(crate) text: Arc<str>,
}

/// The key's components as JSON.
pub(crate) fn text_of(components: &[Component]) -> String {
    let parts: Vec<String> = components.iter().map(Component::to_json).collect();
    format!("[{}]", parts.join(","))
}

/// The components in a partition key header: a JSON array of scalars, `{}` for an absent one.
pub(crate) fn parse_header(header: &str) -> Result<Vec<Component>, CosmosError> {
    let invalid =
        || CosmosError::bad_request(format!("Partition key {header:?} is not a JSON array of at most three scalars."));
    let text = json::validate(header.as_bytes()).map_err(|_| invalid())?;
    if !text.starts_with('[') {
        return Err(invalid());
    }
    let components: Vec<Component> = json::elements(text)
        .map(|element| match element.as_bytes().first() {
            Some(b'{') if json::members(element).next().is_none() => Ok(Component::Undefined),
            Some(b'{' | b'[') => Err(invalid()),
            _ => Ok(Component::from_json(element)),
        })
        .collect::<Result<_, _>>()?;
    if components.len() > COMPONENTS_MAX {
        return Err(invalid());
    }
    Ok(components)
}

/// A part of the hash space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One partition key value.
    Point(EffectivePartitionKey),
    /// Everything from `min` up to, but without, `max`.
    Span { min: EffectivePartitionKey, max: EffectivePartitionKey },
}

impl Scope {
    /// The whole hash space.
    pub(crate) fn all() -> Self {
        Self::Span { min: EffectivePartitionKey::MIN, max: EffectivePartitionKey::MAX }
    }

    /// From bounds in hexadecimal; an empty minimum is the beginning, an absent maximum the end.
    pub(crate) fn parse(min: &str, max: &str) -> Result<Self, CosmosError> {
        let parse = |hex: &str| {
            EffectivePartitionKey::try_from(hex)
                .map_err(|_| CosmosError::bad_request(format!("Effective partition key {hex:?} is not hexadecimal.")))
        };
        let (min, max) = (parse(min)?, if max.is_empty() { EffectivePartitionKey::MAX } else { parse(max)? });
        if min > max {
            return Err(CosmosError::bad_request("The effective partition key range ends before it starts."));
        }
        Ok(Self::Span { min, max })
    }

    /// Whether a key lies in this part.
    pub(crate) fn contains(&self, epk: &EffectivePartitionKey) -> bool {
        match self {
            Self::Point(point) => epk == point,
            Self::Span { min, max } => min <= epk && epk < max,
        }
    }

    /// Whether `other` lies wholly in this part.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Point(point)) => self.contains(point),
            (Self::Span { min, max }, Self::Span { min: other_min, max: other_max }) => {
                min <= other_min && other_max <= max
            }
            (Self::Point(_), Self::Span { .. }) => false,
        }
    }

    /// Whether the two parts have a key in common.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Point(point), part) | (part, Self::Point(point)) => part.contains(point),
            (Self::Span { min, max }, Self::Span { min: other_min, max: other_max }) => {
                min < other_max && other_min < max
            }
        }
    }

    /// The key before which the part ends; a single key is its own.
    pub(crate) fn max(&self) -> &EffectivePartitionKey {
        match self {
            Self::Point(point) => point,
            Self::Span { max, .. } => max,
        }
    }

    /// The lowest key.
    pub(crate) fn min(&self) -> &EffectivePartitionKey {
        match self {
            Self::Point(point) => point,
            Self::Span { min, .. } => min,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_have_equal_texts() {
        let text = |header| text_of(&parse_header(header).unwrap());
        assert_eq!(text("[3.0, \"\\u0041\"]"), "[3,\"A\"]");
        assert_eq!(text("[-0]"), "[0]");
        assert_eq!(text("[{ }, null, true]"), "[{},null,true]");
        assert_eq!(text("[1e300]"), text("[10.0e299]"));
        assert_eq!(text("[]"), "[]");
    }

    #[test]
    fn a_header_that_is_no_key_is_refused() {
        for bad in ["", "\"p\"", "[{\"a\":1}]", "[[1]]", "[1,2,3,4]", "[1", "[x]"] {
            assert!(parse_header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn trailing_zeros_do_not_move_a_bound() {
        let short = Scope::parse("", "20").unwrap();
        let long = Scope::parse("20000000000000000000000000000000", "FF").unwrap();
        assert!(!short.overlaps(&long));
        assert!(long.contains(&EffectivePartitionKey::try_from("20").unwrap()));
        assert!(Scope::all().covers(&short) && !short.covers(&Scope::all()));
        assert!(Scope::parse("30", "20").is_err());
        assert!(Scope::parse("xyz", "FF").is_err());
    }
}
