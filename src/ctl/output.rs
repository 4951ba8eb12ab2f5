//! Text for the terminal.

use std::io::{self, IsTerminal as _};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::termios::tcgetwinsize;

use crate::log::is_harmful;

/// Terminal of standard output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Terminal {
    /// Characters of a line.
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) has_colour: bool,
}

impl Terminal {
    /// The terminal, if there is one; without colour if `NO_COLOR` is set or `TERM` is empty or `dumb`.
    pub(super) fn of_output() -> Option<Self> {
        let output = io::stdout();
        let size = output.is_terminal().then(|| tcgetwinsize(&output).ok())?;
        let size = size.filter(|size| size.ws_col > 0).map(|size| (size.ws_col.into(), size.ws_row.into()));
        let (width, height) = size.unwrap_or((80, 24));
        let is_set = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Some(Self { width, height, has_colour: !is_set && !is_dumb })
    }

    /// The rest of it beside a column.
    pub(super) fn narrower(self, width: usize) -> Self {
        Self { width: self.width.saturating_sub(width), ..self }
    }
}

/// Waits for bytes of a socket, or for the time alone. Returns true at once when the reader of standard output has gone.
pub(super) fn reader_has_gone(socket: Option<BorrowedFd<'_>>, time: Duration) -> io::Result<bool> {
    let output = io::stdout();
    // Of standard output, the ends are reported alone.
    let mut descriptors = vec![PollFd::new(&output, PollFlags::empty())];
    descriptors.extend(socket.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)));
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    let ready = retry_on_intr(|| poll(&mut descriptors, Some(&time)))?;
    if ready == 0 && socket.is_some() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let ends = PollFlags::ERR | PollFlags::HUP;
    Ok(descriptors.first().is_some_and(|output| output.revents().intersects(ends)))
}

/// Head of the column whose words have a colour.
const STATE: &str = "STATE";
/// Colours of states: those of ANSI, ECMA-48 8.3.117.
const COLOURS: [(&str, &str); 6] = [
    ("started", GREEN),
    ("finished", GREEN),
    ("starting", YELLOW),
    ("stopping", YELLOW),
    ("paused", YELLOW),
    ("failed", "\x1b[31m"),
];
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";

/// Cells of a line.
pub(super) type Row = Vec<String>;

/// Aligned columns with a head. A last column with nothing in it is left out. In a terminal, the widest columns are
/// narrowed until the lines fit, and a line that does not fit yet is cut.
pub(super) fn table(head: &[&str], mut rows: Vec<Row>, terminal: Option<Terminal>) -> String {
    let is_empty = rows.iter().all(|row| row.last().is_none_or(String::is_empty));
    rows.insert(0, head.iter().map(|cell| (*cell).to_owned()).collect());
    if is_empty {
        rows.iter_mut().for_each(|row| drop(row.pop()));
    }
    let Some(terminal) = terminal else { return columns(&rows) };
    narrow(&mut rows, terminal.width);
    fit(&columns(&rows), terminal)
}

/// Least width of a column that is narrowed: that of the longest state.
const NARROWEST: usize = 8;

/// Cuts cells until the lines fit: those of the widest column, of several the last one.
fn narrow(rows: &mut [Row], width: usize) {
    let mut widths = widths(rows);
    while widths.iter().map(|width| width + 2).sum::<usize>() > width + 2 {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => break,
        }
    }
    for row in rows {
        for (cell, width) in row.iter_mut().zip(&widths) {
            let whole = core::mem::take(cell);
            push_cut(cell, &whole, *width);
        }
    }
}

/// Appends a text, cut with `…` at its end if it has more columns than these.
fn push_cut(to: &mut String, text: &str, columns: usize) {
    let fits = width(text) <= columns;
    let mut room = columns.saturating_sub(1);
    for c in text.chars() {
        let columns = columns_of(c);
        if !fits && columns > room {
            to.push('…');
            break;
        }
        room = room.saturating_sub(columns);
        to.push(c);
    }
}

fn fit(text: &str, terminal: Terminal) -> String {
    let state = text.find(STATE).filter(|_| terminal.has_colour);
    let mut fitted = String::new();
    for line in text.lines() {
        let begin = fitted.len();
        push_cut(&mut fitted, line, terminal.width);
        paint(&mut fitted, begin, state);
        fitted.push('\n');
    }
    fitted
}

/// Gives the state in the last line of a text, which begins at `begin`, its colour.
fn paint(text: &mut String, begin: usize, column: Option<usize>) {
    let line = text.get(begin..).unwrap_or_default();
    let Some(column) = column else { return };
    let mut passed = 0;
    let begins = |(_, c): &(usize, char)| {
        passed += columns_of(*c);
        passed > column
    };
    let Some((at, _)) = line.char_indices().find(begins) else { return };
    let rest = line.get(at..).unwrap_or_default();
    if let Some((word, colour)) = COLOURS.iter().find(|(state, _)| rest.starts_with(state)) {
        let at = begin + at;
        text.insert_str(at + word.len(), "\x1b[0m");
        text.insert_str(at, colour);
    }
}

/// Rows in aligned columns, with two spaces between them and none at the end of a line.
pub(super) fn columns(rows: &[Row]) -> String {
    let widths = widths(rows);
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            pad(&mut text, cell, *width);
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// Width of each column.
fn widths(rows: &[Row]) -> Vec<usize> {
    let mut widths: Vec<usize> = Vec::new();
    for (column, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
        if column == widths.len() {
            widths.push(0);
        }
        if let Some(width) = widths.get_mut(column) {
            *width = self::width(cell).max(*width);
        }
    }
    widths
}

/// Appends a cell of a column and the space after it.
pub(super) fn pad(text: &mut String, cell: &str, width: usize) {
    text.push_str(cell);
    let missing = width.saturating_sub(self::width(cell));
    text.extend(core::iter::repeat_n(' ', missing + 2));
}

/// Ranges of characters with two columns, wide ones and emoji of Unicode's East Asian Width, in coarse blocks.
const WIDE: [(u32, u32); 15] = [
    (0x1100, 0x115F),
    (0x231A, 0x231B),
    (0x23E9, 0x23EC),
    (0x2E80, 0x303E),
    (0x3041, 0x4DBF),
    (0x4E00, 0xA4CF),
    (0xA960, 0xA97C),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFE30, 0xFE6F),
    (0xFF01, 0xFF60),
    (0xFFE0, 0xFFE6),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F9FF),
    (0x20000, 0x3FFFD),
];
/// Ranges of characters without a column: marks that combine with the one before, joiners, selectors.
const COMBINING: [(u32, u32); 4] = [(0x0300, 0x036F), (0x200B, 0x200D), (0x20D0, 0x20F0), (0xFE00, 0xFE0F)];

/// Columns of a text at a terminal.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(c: char) -> usize {
    let is_in =
        |ranges: &[(u32, u32)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&c.into()));
    match c {
        ..'\u{300}' => 1,
        _ if is_in(&WIDE) => 2,
        _ => usize::from(!is_in(&COMBINING)),
    }
}

/// Replaces the [harmful](is_harmful) characters of a text from the server, so that it cannot control the terminal.
pub(super) fn sanitize(text: &str) -> String {
    text.replace(is_harmful, "\u{FFFD}")
}

/// Replaces them as [`sanitize`] does, but keeps line ends and tabs.
pub(super) fn sanitize_lines(text: &str) -> String {
    text.replace(|c| is_harmful(c) && !matches!(c, '\n' | '\t'), "\u{FFFD}")
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
        let rows = rows.map(|row| row.map(str::to_owned).into());
        assert_eq!(columns(&rows), "NAME   STATE\nhello  started\né\n");
        assert_eq!(columns(&[]), "");
    }

    #[test]
    fn last_column_is_there_where_it_has_a_cell() {
        let head = ["SERVICE", "STATE", "DESCRIPTION"];
        let row =
            |name: &str, description: &str| vec![name.to_owned(), "-".to_owned(), description.to_owned()];
        let rows = vec![row("a", ""), row("b", "")];
        assert_eq!(table(&head, rows, None), "SERVICE  STATE\na        -\nb        -\n");
        let rows = vec![row("a", ""), row("b", "Web page")];
        let expected = "SERVICE  STATE  DESCRIPTION\na        -\nb        -      Web page\n";
        assert_eq!(table(&head, rows, None), expected);
        assert_eq!(table(&head, Vec::new(), None), "SERVICE  STATE\n");
    }

    #[test]
    fn table_fits_the_terminal_with_its_colours() {
        let rows = || {
            [["é", "failed: exit 1", "x"], ["b", "started", "long text"], ["c", "other", ""]]
                .map(|row| row.map(str::to_owned).into())
                .into()
        };
        let mut terminal = Terminal { width: 25, height: 9, has_colour: false };
        let head = ["NAME", "STATE", "TEXT"];
        let expected = "NAME  STATE      TEXT\né     failed: …  x\nb     started    long te…\nc     other\n";
        assert_eq!(table(&head, rows(), Some(terminal)), expected);
        terminal.has_colour = true;
        let coloured =
            expected.replace("failed", "\x1b[31mfailed\x1b[0m").replace("started", "\x1b[32mstarted\x1b[0m");
        assert_eq!(table(&head, rows(), Some(terminal)), coloured);
        assert_eq!(table(&head, rows(), Some(terminal.narrower(30))), "…\n…\n…\n…\n");
    }

    #[test]
    fn long_cell_leaves_room_for_the_other_columns() {
        let name = "a-service-with-a-name-of-33-bytes";
        let rows = || {
            let row =
                |name: &str, state: &str, text: &str| [name, state, "1234", text].map(str::to_owned).into();
            vec![row(name, "stopping", "Web page of the hall"), row("web", "failed: exit 1", "")]
        };
        let head = ["SERVICE", "STATE", "PID", "DESCRIPTION"];
        for (width, expected) in [
            (
                70,
                "SERVICE                     STATE           PID   DESCRIPTION\n\
                 a-service-with-a-name-of-…  stopping        1234  Web page of the hall\n\
                 web                         failed: exit 1  1234\n",
            ),
            (
                40,
                "SERVICE     STATE       PID   DESCRIPTI…\n\
                 a-service…  stopping    1234  Web page …\n\
                 web         failed: e…  1234\n",
            ),
            (20, "SERVICE   STATE    …\na-servi…  stopping …\nweb       failed:… …\n"),
        ] {
            let terminal = Terminal { width, height: 9, has_colour: false };
            assert_eq!(table(&head, rows(), Some(terminal)), expected, "{width}");
        }
    }

    #[test]
    fn wide_characters_have_two_columns() {
        for (text, columns) in
            [("web", 3), ("日本", 4), ("한글", 4), ("🚀", 2), ("ｗ", 2), ("e\u{301}", 1), ("…€é", 3), ("", 0)]
        {
            assert_eq!(width(text), columns, "{text}");
        }
        let rows = || vec![["電灯", "started", "部屋の明かり"].map(str::to_owned).into()];
        let head = ["NAME", "STATE", "TEXT"];
        assert_eq!(table(&head, rows(), None), "NAME  STATE    TEXT\n電灯  started  部屋の明かり\n");
        let terminal = |width, has_colour| Some(Terminal { width, height: 9, has_colour });
        let painted = "NAME  STATE    TEXT\n電灯  \x1b[32mstarted\x1b[0m  部屋の明かり\n";
        assert_eq!(table(&head, rows(), terminal(27, true)), painted, "it fits");
        let cut = |width| table(&head, rows(), terminal(width, false)).lines().nth(1).unwrap().to_owned();
        assert_eq!(cut(26), "電灯  started  部屋の明か…");
        assert_eq!(cut(25), "電灯  started  部屋の明…");
        assert_eq!(cut(2), "…");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(sanitize("a\x1b[2J\nb\u{9b}é"), "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}é");
        assert_eq!(sanitize_lines("a\x1b\n\tb\r"), "a\u{FFFD}\n\tb\u{FFFD}");
        assert_eq!(sanitize("gpj\u{202E}.exe"), "gpj\u{FFFD}.exe");
        assert_eq!(sanitize_lines("a\u{2066}\n"), "a\u{FFFD}\n");
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
