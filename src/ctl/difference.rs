//! Lines that differ between two texts.

/// Lines of both texts that are compared with each other; more are shown as changed as a whole.
const LINES: usize = 1000;

/// Lines that only `before` has, after a `-`, and those that only `after` has, after a `+`, in their order.
pub(super) fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let start = same(&mut before.iter().zip(&after));
    let (before, after) = (before.get(start..).unwrap_or_default(), after.get(start..).unwrap_or_default());
    let end = same(&mut before.iter().rev().zip(after.iter().rev()));
    let before = before.get(..before.len() - end).unwrap_or_default();
    let after = after.get(..after.len() - end).unwrap_or_default();
    let mut text = String::new();
    let (mut a, mut b) = (0, 0);
    let mut line =
        |sign: char, line: &str| text.extend([sign, ' '].into_iter().chain(line.chars()).chain(['\n']));
    for (same_a, same_b) in common(before, after).into_iter().chain([(before.len(), after.len())]) {
        before.get(a..same_a).into_iter().flatten().for_each(|removed| line('-', removed));
        after.get(b..same_b).into_iter().flatten().for_each(|added| line('+', added));
        (a, b) = (same_a + 1, same_b + 1);
    }
    text
}

/// Positions of a longest common subsequence of lines.
fn common(before: &[&str], after: &[&str]) -> Vec<(usize, usize)> {
    if before.len() > LINES || after.len() > LINES {
        return Vec::new();
    }
    // Length of the longest one of the lines from a position on in each text.
    let width = after.len() + 1;
    let mut lengths = vec![0_u16; (before.len() + 1) * width];
    let at = |lengths: &[u16], a: usize, b: usize| lengths.get(a * width + b).copied().unwrap_or_default();
    for (a, removed) in before.iter().enumerate().rev() {
        for (b, added) in after.iter().enumerate().rev() {
            let longest = if removed == added {
                at(&lengths, a + 1, b + 1) + 1
            } else {
                at(&lengths, a + 1, b).max(at(&lengths, a, b + 1))
            };
            if let Some(length) = lengths.get_mut(a * width + b) {
                *length = longest;
            }
        }
    }
    let (mut a, mut b, mut found) = (0, 0, Vec::new());
    while let (Some(removed), Some(added)) = (before.get(a), after.get(b)) {
        if removed == added {
            found.push((a, b));
            (a, b) = (a + 1, b + 1);
        } else if at(&lengths, a + 1, b) >= at(&lengths, a, b + 1) {
            a += 1;
        } else {
            b += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_differ_are_shown() {
        for (before, after, shown) in [
            ("a\nb\n", "a\nb\n", ""),
            ("", "a\n", "+ a\n"),
            ("a\nb\nc\n", "a\nx\nc\n", "- b\n+ x\n"),
            ("a\nb\nc\nd\n", "b\nd\ne\n", "- a\n- c\n+ e\n"),
            ("a\na\n", "a\n", "- a\n"),
        ] {
            assert_eq!(difference(before, after), shown, "{before:?} {after:?}");
        }
    }

    #[test]
    fn long_texts_are_changed_as_a_whole() {
        let text = |from: usize| (from..from + LINES + 1).map(|line| format!("{line}\n")).collect::<String>();
        let shown = difference(&text(0), &text(1));
        assert_eq!(shown.lines().count(), 2 * (LINES + 1));
        let shown = difference(&text(0), &(text(0) + "x\n"));
        assert_eq!(shown, "+ x\n");
    }

    proptest! {
        #[test]
        fn difference_leads_from_one_text_to_the_other(
            before in prop::collection::vec("[a-c]?", 0..12),
            after in prop::collection::vec("[a-c]?", 0..12),
        ) {
            let text = |lines: &[String]| lines.iter().map(|line| line.clone() + "\n").collect::<String>();
            let shown = difference(&text(&before), &text(&after));
            let count = |sign| shown.lines().filter(|line| line.starts_with(sign)).count();
            prop_assert_eq!(before.len() - count('-'), after.len() - count('+'));
            let (a, b): (Vec<&str>, Vec<&str>) =
                (before.iter().map(String::as_str).collect(), after.iter().map(String::as_str).collect());
            prop_assert!(common(&a, &b).iter().all(|(at, to)| a[*at] == b[*to]));
        }
    }
}
