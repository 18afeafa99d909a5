//! A command to copy, with every word written so that a shell reads exactly it.

use cosmirror_formats::{KeyValue, PartitionKey};

use crate::json_text::moves_or_turns;

/// The command that restores one version; none where a shell cannot pass a word of it on.
pub(super) fn restore_command(source: &str, id: &str, key: &PartitionKey, version: &str) -> Option<String> {
    let key = match key.0.as_slice() {
        [KeyValue::String(only)] => format!("--pk={}", word(only)?),
        _ => format!("--pk-json={}", word(&key.to_json().to_string())?),
    };
    let (source, id, version) = (word(source)?, word(id)?, word(version)?);
    Some(format!("cosmirror restore --source={source} --id={id} {key} --version={version}"))
}

/// A text as the rest of one word of a command line, behind the `=` of a flag. What would move a terminal's cursor or turn its writing
/// around is escaped in the way of bash, zsh and ksh; everything else is plain POSIX. No argument can hold a null character.
pub(crate) fn word(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+".contains(c);
    if text.contains('\0') {
        return None;
    }
    if !text.is_empty() && text.chars().all(is_plain) {
        return Some(text.to_owned());
    }
    if !text.chars().any(|c| moves_or_turns(c) || c == '\n') {
        return Some(format!("'{}'", text.replace('\'', r"'\''")));
    }
    let mut out = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            // Bytes rather than characters, so that the words mean the same in every locale.
            _ if moves_or_turns(c) => {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| out.push_str(&format!("\\{b:03o}")))
            }
            _ => out.push(c),
        }
    }
    out.push('\'');
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What a shell makes of these words.
    fn read_by_bash(words: &[String]) -> Vec<String> {
        let script = format!("printf '%s\\0' {}", words.join(" "));
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{script}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_reads_hostile_words_as_they_are() {
        let hostile = [
            "",
            "plain-1",
            "with space",
            "it's",
            "$(touch /tmp/x)",
            "`id`",
            "\\",
            "a\\'b",
            "-rf",
            "~",
            "*",
            "\n",
            "a\r\nb",
            "\u{1b}[2J",
            "\u{202e}gpj.exe",
            "<script>alert(1)</script>",
            "\u{7f}1",
            "\u{85}2",
            "é☃'\u{1}7",
            "!!",
            "a;b|c&d",
            "$'x'",
        ];
        let words: Vec<String> = hostile.iter().map(|text| format!("--id={}", word(text).unwrap())).collect();
        assert!(words.iter().all(|word| !word.contains(moves_or_turns) && !word.contains('\n')), "{words:?}");
        let expected: Vec<String> = hostile.iter().map(|text| format!("--id={text}")).collect();
        assert_eq!(read_by_bash(&words), expected);
        assert_eq!(word("a\0b"), None);
    }

    #[test]
    fn keys_that_are_no_single_string_are_json() {
        let command = |key| restore_command("shop/orders", "d", &PartitionKey::from_json(&key).unwrap(), "v1").unwrap();
        let before = "cosmirror restore --source=shop/orders --id=d";
        assert_eq!(command(json!(["p"])), format!("{before} --pk=p --version=v1"));
        assert_eq!(command(json!(["p", 1])), format!("{before} --pk-json='[\"p\",1]' --version=v1"));
        assert_eq!(command(json!([null])), format!("{before} --pk-json='[null]' --version=v1"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_shell_reads_any_words_as_they_are(texts in prop::collection::vec("[^\0]{0,20}", 20)) {
            let words: Vec<String> = texts.iter().map(|text| format!("x={}", word(text).unwrap())).collect();
            let expected: Vec<String> = texts.iter().map(|text| format!("x={text}")).collect();
            prop_assert_eq!(read_by_bash(&words), expected);
        }
    }
}
