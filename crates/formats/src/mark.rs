//! A property that is added to a document's text, every other byte as it was.

use crate::json_scan::for_each_member;

/// The document with `"name":"value"` as its last property. Where it has a property of that name, its value is replaced in
/// place; of several the last one, which is the one that readers keep.
pub fn with_property(document: &str, name: &str, value: &str) -> Result<String, serde_json::Error> {
    let quoted = serde_json::to_string(value)?;
    let mut members = 0u64;
    let mut found = None;
    for_each_member(document, |member, raw| {
        members += 1;
        if member == name.as_bytes() {
            let begin = raw.get().as_ptr() as usize - document.as_ptr() as usize;
            found = Some((begin, begin + raw.get().len()));
        }
    })?;
    if let Some((begin, end)) = found {
        return Ok(format!("{}{quoted}{}", &document[..begin], &document[end..]));
    }
    let end = document.rfind('}').unwrap_or(document.len());
    let comma = if members == 0 { "" } else { "," };
    let name = serde_json::to_string(name)?;
    Ok(format!("{}{comma}{name}:{quoted}{}", &document[..end], &document[end..]))
}

#[cfg(test)]
mod tests {
    use super::with_property;

    #[test]
    fn the_property_is_added_at_the_end_and_all_else_keeps_its_bytes() {
        let marked = |text: &str| with_property(text, "restored", "r\"1").unwrap();
        assert_eq!(marked(r#"{ "a" : 1.0 }"#), r#"{ "a" : 1.0 ,"restored":"r\"1"}"#);
        assert_eq!(marked("{}"), r#"{"restored":"r\"1"}"#);
        assert_eq!(marked(r#"{"b":{"restored":1}}"#), r#"{"b":{"restored":1},"restored":"r\"1"}"#);
    }

    #[test]
    fn a_property_of_that_name_gets_the_value_where_it_stands() {
        let marked = |text: &str| with_property(text, "restored", "r2").unwrap();
        assert_eq!(marked(r#"{"restored" : [1, 2] ,"z":1}"#), r#"{"restored" : "r2" ,"z":1}"#);
        assert_eq!(marked(r#"{"re\u0073tored":1}"#), r#"{"re\u0073tored":"r2"}"#);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(with_property("[1]", "a", "b").is_err());
    }
}
