//! JSON texts that a parser and a printer between them would change, made by whoever picks numbers.
//!
//! `pick(n)` gives a number below `n`; one that always gives 0 gives the plainest text, and an end. Every text is valid JSON by RFC 8259,
//! which allows a name twice, any number of digits, and escapes of halves of surrogate pairs.

/// Picks a number below the one it is given.
pub(crate) type Pick<'a> = &'a mut dyn FnMut(usize) -> usize;

/// Deepest nesting of a value that is made member by member.
const DEPTH_MAX: usize = 5;
/// Brackets around some values, which no reader may count on the stack.
const BRACKETS: usize = 90;

const SPACES: [&str; 6] = ["", "", " ", "\n", "\t ", " \r\n"];

const NUMBERS: [&str; 18] = [
    "0",
    "1e5",
    "1.10",
    "-0",
    "-0.0",
    "0e0",
    "1E-7",
    "1e+05",
    "0.30000000000000004",
    "9007199254740993",
    "12345678901234567890",
    "-98765432109876543210",
    "98765432109876543210987654321.50e-3",
    "1.7976931348623157e308",
    "5e-324",
    "123456789.123456789123456789",
    "-1",
    "100000000000000000000000000000000000000000",
];

const STRINGS: [&str; 19] = [
    "",
    "a",
    r#"\u0000\u001f\u007f"#,
    r#"\/ \\ \" \b\f\n\r\t"#,
    r"\ud83d\ude00 😀",
    r"half \ud800 a pair",
    r"\udc00\ud800",
    r"\u2028\u2029\ufeff",
    "\u{2028}\u{feff}\u{7f}",
    "☃ é e\u{301} ﷺ 👩‍👩‍👧",
    r"\u00E9\u00e9",
    "שלום \u{202e} مرحبا",
    "</script>&amp;<![CDATA[]]>",
    r#"{\"a\":1}"#,
    "}",
    ",\\\"_rid\\\":",
    "1e5",
    "%2F~2F+",
    "2026-02-30T25:61:61Z",
];

/// Names within a document, some of them the service's or the feed's at another place.
const NAMES: [&str; 22] = [
    "n",
    "_lsn",
    "_ts",
    "_etag",
    "_rid",
    "_self",
    "_attachments",
    "id",
    "pk",
    "current",
    "metadata",
    "previous",
    "operationType",
    "",
    "☃",
    r"\u005fts",
    r"\ud800",
    r#"a\"b"#,
    "x.y/z",
    "__proto__",
    "$type",
    "ID",
];

/// Names at a document's top that are a client's. What the service writes itself, or what names the document, is not among them.
const TOP_NAMES: [&str; 15] = [
    "n",
    "_lsn",
    "current",
    "metadata",
    "previous",
    "operationType",
    "lsn",
    "crts",
    "",
    "☃",
    r"\udfff",
    r#"a\"b"#,
    "_Ts",
    "ID",
    "_id",
];

fn space(pick: Pick<'_>) -> &'static str {
    SPACES[pick(SPACES.len())]
}

/// A value.
fn value(pick: Pick<'_>, depth: usize) -> String {
    match pick(if depth < DEPTH_MAX { 8 } else { 5 }) {
        0 => NUMBERS[pick(NUMBERS.len())].to_owned(),
        1 => format!("\"{}\"", STRINGS[pick(STRINGS.len())]),
        2 => format!("\"{}{}\"", STRINGS[pick(STRINGS.len())], STRINGS[pick(STRINGS.len())]),
        3 => ["null", "true", "false"][pick(3)].to_owned(),
        4 => {
            let brackets = pick(BRACKETS);
            let inner = ["0", "{}", "null"][pick(3)];
            format!("{}{inner}{}", "[".repeat(brackets), "]".repeat(brackets))
        }
        5 => {
            let items: Vec<String> = (0..pick(4)).map(|_| spaced(pick, |pick| value(pick, depth + 1))).collect();
            let inner = if items.is_empty() { space(pick).to_owned() } else { items.join(",") };
            format!("[{inner}]")
        }
        _ => {
            // Of so few names some stand twice.
            let names = &NAMES[pick(NAMES.len())..];
            let names = &names[..names.len().min(3)];
            let members: Vec<String> = (0..pick(5)).map(|_| member(pick, names, depth + 1)).collect();
            let inner = if members.is_empty() { space(pick).to_owned() } else { members.join(",") };
            format!("{{{inner}}}")
        }
    }
}

fn spaced(pick: Pick<'_>, inner: impl FnOnce(Pick<'_>) -> String) -> String {
    let before = space(pick);
    let inner = inner(pick);
    format!("{before}{inner}{}", space(pick))
}

fn member(pick: Pick<'_>, names: &[&str], depth: usize) -> String {
    let name = names[pick(names.len())];
    named(pick, name, |pick| value(pick, depth))
}

fn named(pick: Pick<'_>, name: &str, value: impl FnOnce(Pick<'_>) -> String) -> String {
    let (before, behind) = (space(pick), space(pick));
    let value = spaced(pick, value);
    format!("{before}\"{name}\"{behind}:{value}")
}

/// A document as a client may send it: the members given by name and raw value, and others before, between and behind them.
pub(crate) fn document(pick: Pick<'_>, fixed: &[(&str, &str)]) -> String {
    let mut members: Vec<String> = fixed.iter().map(|(name, raw)| named(pick, name, |_| (*raw).to_owned())).collect();
    let mut names: Vec<&str> = TOP_NAMES.to_vec();
    for _ in 0..pick(6) {
        // At the top no name stands twice.
        let name = names.swap_remove(pick(names.len()));
        let member = named(pick, name, |pick| value(pick, 1));
        members.insert(pick(members.len() + 1), member);
    }
    format!("{{{}}}", members.join(","))
}
