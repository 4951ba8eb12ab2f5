//! Nearest-name hints for mistyped words.

/// Longest word that is compared, in bytes; far longer than any known one.
const WORD_BYTES: usize = 64;

/// Returns the one of `known` that is nearest to `word`, if at most a third of its characters differ.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The distance costs the product of both lengths.
    if word.len() > WORD_BYTES {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Characters to insert, delete, replace, or swap with a neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(from != to);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("address", "address", 0),
            ("adress", "address", 1),
            ("addresss", "address", 1),
            ("addrses", "address", 1),
            ("Address", "address", 0),
            ("slots", "tls", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn nearest_is_suggested_and_the_far_is_not() {
        let known = ["address", "tls", "certificate"];
        assert_eq!(nearest("adress", known), Some("address"));
        assert_eq!(nearest("tsl", known), Some("tls"));
        assert_eq!(nearest("certifcat", known), Some("certificate"));
        assert_eq!(nearest("port", known), None);
        assert_eq!(nearest("", known), None);
        let long = "a".repeat(65);
        assert_eq!(nearest(&long, [long.as_str()]), None);
        assert_eq!(nearest(&long[1..], [long.as_str()]), None);
        assert_eq!(nearest(&long[1..], [&long[1..]]), Some(&long[1..]));
    }
}
