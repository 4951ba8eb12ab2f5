//! Nearest-name hints for mistyped words.

/// Longest word that is compared, in bytes; far longer than any known one.
const WORD_BYTES: usize = 64;

/// Returns the one of `known` that is nearest to `word`, if at most a third of its bytes differ.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    nearest_of(word, &mut known.into_iter())
}

/// The same for any kind of iterator, once in the program.
fn nearest_of<'k>(word: &str, known: &mut dyn Iterator<Item = &'k str>) -> Option<&'k str> {
    // The distance costs the product of both lengths.
    if word.len() > WORD_BYTES {
        return None;
    }
    let allowed = (word.len() / 3).max(1) as u8;
    known
        .filter(|candidate| candidate.len() <= WORD_BYTES)
        .map(|candidate| (distance(word.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Bytes to insert, delete, replace, or swap with a neighbour (optimal string alignment), in words of at most
/// [`WORD_BYTES`]. Case counts nothing.
fn distance(a: &[u8], b: &[u8]) -> u8 {
    let mut rows = [[0_u8; WORD_BYTES + 1]; WORD_BYTES + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                (i + j) as u8
            } else {
                let differ = |i: usize, j: usize| !a[i - 1].eq_ignore_ascii_case(&b[j - 1]);
                let replaced = rows[i - 1][j - 1] + u8::from(differ(i, j));
                let least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && !differ(i, j - 1) && !differ(i - 1, j) {
                    least.min(rows[i - 2][j - 2] + 1)
                } else {
                    least
                }
            };
        }
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
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
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
