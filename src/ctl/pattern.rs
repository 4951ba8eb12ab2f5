//! Patterns of names, as a shell has them: `*` stands for any text, `?` for one character.

/// Word for every name.
pub(super) const ALL: &str = "all";

/// Returns true for a word that may stand for several names.
pub(super) fn is_pattern(word: &str) -> bool {
    word == ALL || word.contains(['*', '?'])
}

/// Returns true if a word stands for this name.
pub(super) fn is_match(word: &str, name: &str) -> bool {
    word == ALL || matches(word.as_bytes(), name.as_bytes())
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=name.len()).any(|start| matches(rest, name.get(start..).unwrap_or(&[])))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        ([first, rest @ ..], [byte, name @ ..]) => first == byte && matches(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, is_match) in [
            ("web", "web", true),
            ("web", "webs", false),
            ("we", "web", false),
            ("w*", "web", true),
            ("*", "", true),
            ("*b", "web", true),
            ("w?b", "web", true),
            ("w?", "w", false),
            ("*e*", "web", true),
            ("*x*", "web", false),
            ("", "web", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn words_for_several_names() {
        assert!(is_pattern("all") && is_pattern("a?") && is_pattern("*") && !is_pattern("a"));
        assert!(is_match("all", "web") && is_match("web", "web") && !is_match("al", "web"));
    }
}
