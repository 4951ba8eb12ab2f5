//! Text of `--help`, which also names the commands and their operands.

use crate::help::CTL;

/// Beginning of the commands in the text, and of the options after them.
const TITLES: [&str; 2] = ["commands", "options"];

pub(super) fn text() -> String {
    CTL.to_string()
}

/// Name and operands of each command in the text.
pub(super) fn commands(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().skip_while(|line| *line != TITLES[0]).take_while(|line| *line != TITLES[1]);
    let terms = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    terms.map(|line| {
        let term = line.split("  ").next().unwrap_or(line);
        term.split_once(' ').unwrap_or((term, ""))
    })
}

/// Part of the text about a command.
pub(super) fn of(command: &str) -> Option<String> {
    let text = text();
    let begin = text.find(&format!("\n  {command} "))? + 1;
    let mut part = String::new();
    for line in text.get(begin..)?.lines() {
        if !part.is_empty() && !line.starts_with("   ") {
            break;
        }
        part += line;
        part.push('\n');
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_a_terminal() {
        assert!(text().lines().all(|line| line.len() <= 94));
    }

    #[test]
    fn commands_with_their_operands() {
        let text = text();
        let commands: Vec<_> = commands(&text).collect();
        for command in
            [("list", ""), ("start", "SERVICE.."), ("call", "PATH [KEY=VALUE].."), ("help", "[COMMAND]")]
        {
            assert!(commands.contains(&command), "{command:?}");
        }
        assert_eq!(
            commands.len(),
            text.lines()
                .filter(|line| line.starts_with("  ") && line.as_bytes()[2].is_ascii_lowercase())
                .count()
        );
    }

    #[test]
    fn part_about_a_command() {
        assert_eq!(of("logout").unwrap(), "  logout                end the session\n");
        assert!(
            of("configuration")
                .unwrap()
                .ends_with("    --no-confirm        leave it to `configuration confirm`\n")
        );
        assert_eq!(of("nothing"), None);
    }
}
