//! Made-up documents of the kinds that get lost in translation.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};

use super::wire::ascii;

/// A document as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// The partition key as a JSON array.
    pub(super) key: String,
    pub(super) id: String,
    pub(super) text: String,
}

/// Names of properties, as they stand in the text.
const NAMES: [&str; 15] = [
    r#""n""#,
    r#""☃""#,
    r#""""#,
    r#""a\"b""#,
    r#""\u0061scii""#,
    r#""_lsn""#,
    r#""current""#,
    r#""metadata""#,
    r#""__proto__""#,
    r#""$type""#,
    r#""x.y/z""#,
    r#""ID""#,
    r#""_Ts""#,
    r#""e\u0301""#,
    r#""ﷺ""#,
];

/// Values that a parser and a printer between them would change.
const VALUES: [&str; 22] = [
    "1.10",
    "1e5",
    "1E-7",
    "-0.0",
    "0.30000000000000004",
    "12345678901234567890",
    "-98765432109876543210",
    "98765432109876543210987654321.50e-3",
    "9007199254740993",
    "null",
    r#""☃ é \u00e9 e\u0301""#,
    r#""😀 \ud83d\ude00 👩‍👩‍👧‍👦""#,
    r#""\/ \\ \" \b\f\n\r\t\u0000\u001f\u007f""#,
    r#""\u2028\u2029\ufeff""#,
    r#""half \ud800 a pair""#,
    r#""</script>&amp;<![CDATA[""#,
    "\"שלום مرحبا \u{202e}\"",
    r#"{"a":1,"a":2,"b":{"a":[],"a":{}}}"#,
    r#"{"_lsn":1,"_ts":2,"_etag":"x","_rid":null,"_self":{}}"#,
    "[[[[[[]]]],[{}],null,true,false]]",
    r#"{ "spaced" : [ 1 ,2 ,	3 ] }"#,
    r#""2026-02-30T25:61:61Z""#,
];

/// Randomness of a test. The seed is printed; `COSMIRROR_TEST_SEED` repeats it.
pub(super) fn random() -> StdRng {
    let given = std::env::var("COSMIRROR_TEST_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(rand::random::<u64>);
    println!("COSMIRROR_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// The document of a number, other in every generation.
pub(super) fn document(random: &mut StdRng, number: usize, generation: usize) -> Document {
    let id = match number % 5 {
        0 => format!("d{number}"),
        1 => format!("Größe {number} ☃"),
        2 => format!("{number}.e\u{301}"),
        3 => format!("{{\"{number}\":'%20'}}"),
        _ => format!(" {number}#?& "),
    };
    let key = format!("p{}", number % 7);
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let escaped = random.random_bool(0.5);
    let shown = if escaped { ascii(&quoted(&id)) } else { quoted(&id) };
    let mut members =
        vec![format!("\"id\":{shown}"), format!("\"pk\" :\"{key}\""), format!("\"generation\":{generation}")];
    let count = random.random_range(1..NAMES.len());
    for name in NAMES.sample(random, count) {
        let value = VALUES.choose(random).unwrap();
        members.push(format!("{name}:{value}"));
    }
    if random.random_bool(0.05) {
        members.push(format!("\"long\":\"{}\"", "schön ".repeat(random.random_range(1_000..8_000))));
    }
    members.shuffle(random);
    let space = [("{", ",", "}"), ("{ ", " , ", " }"), ("{\t", ",\t", "\t}")].choose(random).unwrap();
    let text = format!("{}{}{}", space.0, members.join(space.1), space.2);
    Document { key: format!("[{}]", quoted(&key)), id, text }
}
