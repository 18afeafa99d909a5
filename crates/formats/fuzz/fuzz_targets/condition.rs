//! Conditions on documents: neither their text nor a document's makes anything panic, and no document is chosen by a condition and
//! by its opposite. Input is a condition and a document with a zero byte between them.

#![no_main]

use cosmirror_sql::Condition;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((text, document)) = std::str::from_utf8(data).ok().and_then(|data| data.split_once('\0')) else { return };
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column), "{error}");
            return;
        }
    };
    let Ok(holds) = condition.matches(document) else { return };
    let again = Condition::parse(&condition.to_string()).expect("its own text");
    assert_eq!(again.matches(document), Ok(holds));
    // One level more may be one too many, and WHERE has no place within.
    if let Ok(opposite) = Condition::parse(&format!("NOT ({text}\n)")) {
        assert!(!(holds && opposite.matches(document).expect("it was a document")));
    }
});
