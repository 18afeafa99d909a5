//! `LIKE`: <https://learn.microsoft.com/azure/cosmos-db/nosql/query/keywords#like>.

/// A part of a pattern.
enum Piece {
    /// `%`: any number of characters.
    Run,
    /// `_`: one character.
    One,
    /// A character as it is.
    Exactly(char),
    /// `[…]` or `[^…]`: one of these ranges, or of none of them.
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Run => false,
            Self::One => true,
            Self::Exactly(wanted) => c == *wanted,
            Self::Set { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }
}

/// Whether a pattern describes all of a text. Behind the escape character every character is itself.
pub(super) fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let pieces = pieces(pattern, escape);
    let (mut at, mut piece) = (0, 0);
    // Where the last run stands and how far it reaches: only the last one can be too short, so no others are tried again.
    let mut run: Option<(usize, usize)> = None;
    loop {
        let next = text[at..].chars().next();
        match (pieces.get(piece), next) {
            (Some(Piece::Run), _) => {
                run = Some((piece, at));
                piece += 1;
            }
            (Some(wanted), Some(c)) if wanted.takes(c) => {
                at += c.len_utf8();
                piece += 1;
            }
            (None, None) => return true,
            _ => {
                let longer = run.and_then(|(piece, end)| Some((piece, end + text[end..].chars().next()?.len_utf8())));
                let Some((start, end)) = longer else {
                    return false;
                };
                run = longer;
                (piece, at) = (start + 1, end);
            }
        }
    }
}

fn pieces(pattern: &str, escape: Option<char>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            c if Some(c) == escape => Piece::Exactly(chars.next().unwrap_or(c)),
            '%' => Piece::Run,
            '_' => Piece::One,
            '[' => match set(chars.as_str()) {
                Some((set, rest)) => {
                    chars = rest.chars();
                    set
                }
                // One that is not closed is itself.
                None => Piece::Exactly('['),
            },
            c => Piece::Exactly(c),
        });
    }
    pieces
}

/// The set that begins behind its bracket, and what follows it.
fn set(text: &str) -> Option<(Piece, &str)> {
    // A bracket that comes first is one of the set.
    let negated = text.starts_with('^');
    let inner = text.strip_prefix('^').unwrap_or(text);
    let first = inner.chars().next()?.len_utf8();
    let end = first + inner[first..].find(']')?;
    let members: Vec<char> = inner[..end].chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < members.len() {
        match members[at..] {
            [low, '-', high, ..] => {
                ranges.push((low, high));
                at += 3;
            }
            _ => {
                ranges.push((members[at], members[at]));
                at += 1;
            }
        }
    }
    Some((Piece::Set { negated, ranges }, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_describe_all_of_a_text() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("fruit", "fruit", true),
            ("fruits", "fruit", false),
            ("a fruit here", "%fruit%", true),
            ("aXbXbc", "a%b_", true),
            ("aXbXbcd", "a%b_", false),
            ("Fruit", "fruit", false),
            ("20é%", "20_%", true),
            ("cat", "[a-cx]at", true),
            ("xat", "[a-cx]at", true),
            ("dat", "[a-cx]at", false),
            ("dat", "[^a-c]at", true),
            ("]", "[]]", true),
            ("-", "[a-]", true),
            ("[a", "[a", true),
            ("a.b", "a.b", true),
        ] {
            assert_eq!(like(text, pattern, None), expected, "{text:?} {pattern:?}");
        }
        assert!(like("save 20% now", "%20!%%", Some('!')) && !like("save 200 now", "%20!%%", Some('!')));
        assert!(like("a!", "a!!", Some('!')) && like("a!", "a!", Some('!')));
    }
}
