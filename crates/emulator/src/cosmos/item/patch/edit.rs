//! Edits of JSON text at a path. Each gives the whole new text; an error is a clause of a message.

use std::ops::Range;

use crate::cosmos::json;

/// Where a new element of an array goes: behind the last one.
const END: &str = "-";

/// Puts a value at a path: a new member, in place of one, or before an element of an array.
pub(super) fn add(text: &str, path: &[String], value: &str) -> Result<String, String> {
    put(text, path, value, true)
}

/// As [`add`], but in place of an array's element.
pub(super) fn set(text: &str, path: &[String], value: &str) -> Result<String, String> {
    put(text, path, value, false)
}

/// Changes a value that is there.
pub(super) fn replace(text: &str, path: &[String], value: &str) -> Result<String, String> {
    let place = find(text, path).ok_or_else(missing)?;
    Ok(spliced(text, place, value))
}

/// Removes a value that is there.
pub(super) fn remove(text: &str, path: &[String]) -> Result<String, String> {
    let (name, parent) = path.split_last().ok_or_else(missing)?;
    find(text, path).ok_or_else(missing)?;
    let place = find(text, parent).ok_or_else(missing)?;
    let within = &text[place.clone()];
    let kept = if json::is_object(within) {
        let members = json::members(within).filter(|member| member.name != *name);
        format!("{{{}}}", members.map(|member| &within[member.span]).collect::<Vec<_>>().join(","))
    } else {
        let index = index_of(name).ok_or_else(missing)?;
        let elements = json::elements(within).enumerate().filter(|(at, _)| *at != index);
        format!("[{}]", elements.map(|(_, element)| element).collect::<Vec<_>>().join(","))
    };
    Ok(spliced(text, place, &kept))
}

/// Adds a number to the one at a path; an absent one counts as 0.
pub(super) fn increment(text: &str, path: &[String], by: &str) -> Result<String, String> {
    let by_number = number(by).ok_or("its value is not a number")?;
    let Some(place) = find(text, path) else {
        return set(text, path, by);
    };
    let found = &text[place.clone()];
    let found_number = number(found).ok_or("the value there is not a number")?;
    // Whole numbers stay exact where floating point would round them.
    let whole = found.parse::<i64>().ok().zip(by.parse::<i64>().ok());
    let sum = match whole.and_then(|(found, by)| found.checked_add(by)) {
        Some(sum) => sum.to_string(),
        None => serde_json::Number::from_f64(found_number + by_number).ok_or("the sum is too large")?.to_string(),
    };
    Ok(spliced(text, place, &sum))
}

/// Moves a value that is there to another path.
pub(super) fn relocate(text: &str, from: &[String], to: &[String]) -> Result<String, String> {
    if to.starts_with(from) {
        return Err("a value cannot be moved into itself".to_owned());
    }
    let place = find(text, from).ok_or("there is nothing at its from")?;
    let value = text[place].to_owned();
    add(&remove(text, from)?, to, &value)
}

fn put(text: &str, path: &[String], value: &str, insert: bool) -> Result<String, String> {
    let (name, parent) = path.split_last().ok_or_else(missing)?;
    let place = find(text, parent).ok_or("what should hold the value is not there")?;
    let within = &text[place.clone()];
    if json::is_object(within) {
        if let Some(member) = find(text, path) {
            return Ok(spliced(text, member, value));
        }
        let comma = if json::members(within).next().is_some() { "," } else { "" };
        let open = within.strip_suffix('}').unwrap_or(within);
        let changed = format!("{open}{comma}{}:{value}}}", serde_json::Value::from(name.as_str()));
        return Ok(spliced(text, place, &changed));
    }
    if !within.starts_with('[') {
        return Err("what should hold the value is neither an object nor an array".to_owned());
    }
    let mut elements: Vec<&str> = json::elements(within).collect();
    match if name == END { Some(elements.len()) } else { index_of(name) } {
        Some(index) if index == elements.len() => elements.push(value),
        Some(index) if index < elements.len() && insert => elements.insert(index, value),
        Some(index) if index < elements.len() => elements[index] = value,
        _ => return Err("the array has no such place".to_owned()),
    }
    Ok(spliced(text, place, &format!("[{}]", elements.join(","))))
}

/// Where the value at a path lies in the text.
fn find(text: &str, path: &[String]) -> Option<Range<usize>> {
    let mut found = 0..text.len();
    for name in path {
        let within = &text[found.clone()];
        let value = if json::is_object(within) {
            json::member(within, name)?
        } else {
            json::elements(within).nth(index_of(name)?)?
        };
        // Both are parts of the same text.
        let start = value.as_ptr() as usize - text.as_ptr() as usize;
        found = start..start + value.len();
    }
    Some(found)
}

fn index_of(name: &str) -> Option<usize> {
    name.parse().ok().filter(|_| name.bytes().all(|byte| byte.is_ascii_digit()))
}

fn number(text: &str) -> Option<f64> {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then(|| text.parse().ok())?
}

fn spliced(text: &str, place: Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..place.start], &text[place.end..])
}

fn missing() -> String {
    "there is nothing at its path".to_owned()
}
