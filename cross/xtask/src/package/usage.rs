//! Texts of `--help` taken apart, for the manual and the completions.

/// Text of `--help`, taken apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Text before the usage.
    pub(super) summary: String,
    /// Lines of the usage.
    pub(super) forms: Vec<String>,
    /// The parts after the usage, in their order.
    pub(super) parts: Vec<Part>,
}

/// Text of `--help` of a command.
#[derive(Debug)]
pub(super) struct Help {
    /// Name of the command; empty for the program.
    pub(super) command: String,
    pub(super) usage: Usage,
}

/// Part of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// Title of the parts below it.
    Section(String),
    Paragraph(String),
    /// Line to be shown as it is.
    Literal(String),
    Entry(Entry),
}

/// Command, option or exit code with its description.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// `--lines N`, `start SERVICE`, `-h, --help`.
    pub(super) term: String,
    pub(super) text: String,
    /// True for an option of the command above it.
    pub(super) is_inner: bool,
}

/// Columns before the description of an entry, at least.
const DEEP: usize = 8;

impl Usage {
    /// Takes a text of `--help` apart.
    pub(super) fn parse(text: &str) -> Self {
        let mut usage = Self::default();
        let mut is_open = false;
        for line in text.lines() {
            let words = line.trim();
            let indent = line.len() - line.trim_start().len();
            if words.is_empty() {
                is_open = false;
            } else if let Some(form) = words.strip_prefix("Usage: ").or(words.strip_prefix("usage: ")) {
                usage.forms.push(form.to_owned());
            } else if usage.forms.is_empty() {
                join(&mut usage.summary, words);
            } else if indent == 0 {
                usage.outer(words, is_open);
                is_open = true;
            } else {
                usage.inner(words, indent);
                is_open = false;
            }
        }
        usage
    }

    /// A line at the left: a title, or a line of a paragraph, which goes on if it `is_open`.
    fn outer(&mut self, words: &str, is_open: bool) {
        let title = words.strip_suffix(':').unwrap_or(words);
        let is_title = !is_open && title.split(' ').count() <= 2 && !title.contains(['.', ',']);
        match self.parts.last_mut() {
            Some(Part::Paragraph(text)) if is_open => join(text, words),
            _ if is_title => self.parts.push(Part::Section(title.to_lowercase())),
            _ => self.parts.push(Part::Paragraph(words.to_owned())),
        }
    }

    /// A line that is indented: an entry, a line of its description, or one to be shown as it is.
    fn inner(&mut self, words: &str, indent: usize) {
        match (self.parts.last_mut(), words.split_once("  ")) {
            (Some(Part::Entry(entry)), _) if indent >= DEEP => join(&mut entry.text, words),
            (_, Some((term, text))) => {
                let (term, text) = (term.to_owned(), text.trim().to_owned());
                self.parts.push(Part::Entry(Entry { term, text, is_inner: indent > 2 }));
            }
            // Its description begins in the next line, or is missing: then it is an example.
            (Some(Part::Section(_) | Part::Entry(_)), None) => {
                self.parts.push(Part::Entry(Entry {
                    term: words.to_owned(),
                    is_inner: indent > 2,
                    ..Entry::default()
                }));
            }
            _ => self.parts.push(Part::Literal(words.to_owned())),
        }
    }

    /// Every command: name, description, and names of its options.
    pub(super) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for (section, entry) in self.entries() {
            let mut words = entry.term.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            if section == "commands" && !entry.is_inner {
                let text = entry.text.clone();
                let operand = words.next().unwrap_or_default().trim_matches(['[', ']', '.']).to_owned();
                commands.push(Command { name, text, operand, options: Vec::new() });
            } else if let Some(command) = commands.last_mut().filter(|_| section == "commands") {
                command.options.extend(options(&entry.term));
            }
        }
        commands
    }

    /// Every option of the text that is not that of a command in it.
    pub(super) fn options(&self) -> Vec<Opt> {
        let outer = self.entries().into_iter().filter(|(_, entry)| !entry.is_inner);
        outer.flat_map(|(_, entry)| options(&entry.term)).collect()
    }

    /// The entries, each with the title above it.
    fn entries(&self) -> Vec<(&str, &Entry)> {
        let mut section = "";
        let mut entries = Vec::new();
        for part in &self.parts {
            match part {
                Part::Section(title) => section = title,
                Part::Entry(entry) => entries.push((section, entry)),
                _ => {}
            }
        }
        entries
    }
}

/// Command of a text.
#[derive(Debug, PartialEq)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) text: String,
    /// First operand, in capitals, such as `SERVICE`; empty without one.
    pub(super) operand: String,
    pub(super) options: Vec<Opt>,
}

/// Option of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Opt {
    /// With its dashes.
    pub(super) name: String,
    /// Its value, in capitals, such as `FILE`; empty without one.
    pub(super) value: String,
}

/// The options of a term such as `-h, --help` or `--lines N`.
fn options(term: &str) -> Vec<Opt> {
    let value = term.split(' ').find(|word| !word.starts_with('-')).unwrap_or_default();
    let names = term.split(' ').map(|word| word.trim_end_matches(','));
    let options = names.filter(|word| word.starts_with('-'));
    options.map(|name| Opt { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn join(text: &mut String, words: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    *text += words;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A text with everything that those of friendlet have.
    pub(in crate::package) const TEXT: &str = "\
friendlet ctl: control the
services of a server

usage: friendlet ctl [OPTIONS] COMMAND

commands
  list                  list the services
  logs SERVICE..        print the newest output
                        of the services
    -n, --lines N       at most N lines
  configuration [set FILE|confirm]
                        print the file
  help [COMMAND]        print this

Options:
  --url URL      address [default: the local
                 socket]
  -h, --help     print this

At the local socket, root is an
administrator.
On a terminal the prompt appears:
  printf 'x' | friendlet passwd
";

    fn entry(term: &str, text: &str, is_inner: bool) -> Part {
        Part::Entry(Entry { term: term.to_owned(), text: text.to_owned(), is_inner })
    }

    #[test]
    fn every_part_of_a_text_is_found() {
        let usage = Usage::parse(TEXT);
        assert_eq!(usage.summary, "friendlet ctl: control the services of a server");
        assert_eq!(usage.forms, ["friendlet ctl [OPTIONS] COMMAND"]);
        let parts = [
            Part::Section("commands".to_owned()),
            entry("list", "list the services", false),
            entry("logs SERVICE..", "print the newest output of the services", false),
            entry("-n, --lines N", "at most N lines", true),
            entry("configuration [set FILE|confirm]", "print the file", false),
            entry("help [COMMAND]", "print this", false),
            Part::Section("options".to_owned()),
            entry("--url URL", "address [default: the local socket]", false),
            entry("-h, --help", "print this", false),
            Part::Paragraph(
                "At the local socket, root is an administrator. On a terminal the prompt appears:".to_owned(),
            ),
            Part::Literal("printf 'x' | friendlet passwd".to_owned()),
        ];
        assert_eq!(usage.parts, parts);
    }

    #[test]
    fn commands_have_their_options_and_operands() {
        let usage = Usage::parse(TEXT);
        let commands = usage.commands();
        let names: Vec<_> =
            commands.iter().map(|c| (c.name.as_str(), c.operand.as_str(), c.options.len())).collect();
        assert_eq!(
            names,
            [("list", "", 0), ("logs", "SERVICE", 2), ("configuration", "set", 0), ("help", "COMMAND", 0)]
        );
        assert_eq!(commands[1].options[1], Opt { name: "--lines".to_owned(), value: "N".to_owned() });
        let options: Vec<String> = usage.options().into_iter().map(|option| option.name).collect();
        assert_eq!(options, ["--url", "-h", "--help"]);
    }
}
