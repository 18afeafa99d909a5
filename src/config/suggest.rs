//! "Did you mean": the known name that a mistyped one is nearest to.

/// The known name nearest to `name`: one with the same last word elsewhere, or one that a few typing mistakes away.
/// Both are full names such as `source.endpoint`; an index in `name` stands for any.
pub(super) fn suggestion(name: &str, known: &[String]) -> Option<String> {
    let plain = without_indices(name);
    let (section, last) = plain.rsplit_once('.').unwrap_or(("", &plain));
    let siblings = known.iter().filter(|candidate| {
        let candidate = without_indices(candidate);
        candidate.rsplit_once('.').map_or("", |(section, _)| section) == section
    });
    let near = siblings
        .map(|candidate| (distance(last, last_word(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + last_word(candidate).chars().count().min(last.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| in_place(name, last_word(candidate)));
    near.or_else(|| elsewhere(&plain, last, known))
}

fn elsewhere(plain: &str, last: &str, known: &[String]) -> Option<String> {
    let whole = known.iter().map(|candidate| (distance(plain, &without_indices(candidate)), candidate));
    let nearest = whole.filter(|(distance, _)| *distance <= 2).min_by_key(|(distance, _)| *distance);
    let same_word = || known.iter().find(|candidate| last_word(candidate) == last && candidate.contains('.'));
    nearest.map(|(_, candidate)| candidate).or_else(same_word).cloned()
}

/// The mistyped name with its last word put right, so that its index is kept.
fn in_place(name: &str, word: &str) -> String {
    name.rsplit_once('.').map_or_else(|| word.to_owned(), |(section, _)| format!("{section}.{word}"))
}

fn last_word(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

fn without_indices(name: &str) -> String {
    let mut inside = false;
    name.chars()
        .filter(|c| {
            let was_inside = inside;
            inside = (inside || *c == '[') && *c != ']';
            !inside && !was_inside
        })
        .collect()
}

/// Levenshtein's distance: insertions, deletions and replacements of one character.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        let names =
            ["source", "containers", "admin", "target", "source.endpoint", "source.auth", "containers[0].start"];
        names.into_iter().chain(["target.endpoint", "target.path", "admin.listen"]).map(str::to_owned).collect()
    }

    #[test]
    fn a_mistyped_name_is_put_right_where_it_stands() {
        assert_eq!(suggestion("source.endpiont", &known()).unwrap(), "source.endpoint");
        assert_eq!(suggestion("containers[3].strat", &known()).unwrap(), "containers[3].start");
        assert_eq!(suggestion("container", &known()).unwrap(), "containers");
        assert_eq!(suggestion("targets", &known()).unwrap(), "target");
    }

    #[test]
    fn a_name_in_the_wrong_place_is_sent_to_the_right_one() {
        assert_eq!(suggestion("listen", &known()).unwrap(), "admin.listen");
        assert_eq!(suggestion("sorce.auth", &known()).unwrap(), "source.auth");
    }

    #[test]
    fn what_resembles_nothing_gets_no_suggestion() {
        assert_eq!(suggestion("source.colour", &known()), None);
        assert_eq!(suggestion("xyz.abc", &known()), None);
    }

    #[test]
    fn distance_counts_single_character_edits() {
        assert_eq!([distance("", "abc"), distance("kitten", "sitting"), distance("same", "same")], [3, 3, 0]);
    }
}
