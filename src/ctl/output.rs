//! Text for the terminal.

/// Rows in aligned columns, with two spaces between them and none at the end of a line.
pub(super) fn columns(rows: &[impl AsRef<[String]>]) -> String {
    let mut text = String::new();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.as_ref().iter().enumerate() {
            let width = width(column);
            line += &format!("{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Replaces the control characters of a text from the server, so that it cannot control the terminal.
pub(super) fn sanitize(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// Replaces control characters as [`sanitize`] does, but keeps line ends and tabs.
pub(super) fn sanitize_lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{FFFD}' } else { c }).collect()
}

/// Formats a number of seconds in its two largest units.
pub(super) fn format_duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days}d {}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned() {
        let rows = [["NAME", "STATE"], ["hello", "started"], ["é", ""]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "NAME   STATE\nhello  started\né\n");
        let none: [[String; 1]; 0] = [];
        assert_eq!(columns(&none), "");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(sanitize("a\x1b[2J\nb\u{9b}é"), "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}é");
        assert_eq!(sanitize_lines("a\x1b\n\tb\r"), "a\u{FFFD}\n\tb\u{FFFD}");
    }

    #[test]
    fn durations() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3599, "59m 59s"), (3660, "1h 1m"), (90_000, "1d 1h")]
        {
            assert_eq!(format_duration(seconds), text);
        }
    }
}
