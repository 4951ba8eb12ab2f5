//! Pages of the manual, in the macros of man(7), from the texts of `--help`.

use super::usage::{Entry, Help, Part};

/// Configuration file, for the last section.
const FILE: &str = "/etc/friendlet/friendlet.toml";

/// A page for the program and for each of its commands: name of the file and text.
pub(super) fn pages(helps: &[Help], version: &str, date: &str) -> Vec<(String, Vec<u8>)> {
    let others: Vec<String> = helps.iter().map(name).collect();
    let page = |help: &Help| page(help, &purpose(helps, help), &others, version, date);
    helps.iter().map(|help| (format!("{}.1.gz", name(help)), page(help).into_bytes())).collect()
}

/// `friendlet`, `friendlet-ctl`.
fn name(help: &Help) -> String {
    ["friendlet", &help.command].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// Description of a command in a line: that of the program's own help.
fn purpose(helps: &[Help], help: &Help) -> String {
    let commands = helps.first().map(|general| general.usage.commands()).unwrap_or_default();
    let text = commands.into_iter().find(|command| command.name == help.command).map(|command| command.text);
    text.unwrap_or_else(|| without_name(&help.usage.summary).to_owned())
}

/// A summary such as `friendlet ctl: control services` without the name.
fn without_name(summary: &str) -> &str {
    summary
        .split_once(": ")
        .filter(|(name, _)| name.starts_with("friendlet"))
        .map_or(summary, |(_, rest)| rest)
}

fn page(help: &Help, purpose: &str, others: &[String], version: &str, date: &str) -> String {
    let name = name(help);
    let mut text = format!(
        ".\\\" Made from the text of --help.\n.TH {} 1 {date} \"friendlet {version}\"\n.SH NAME\n{} \\- {}\n\
         .SH SYNOPSIS\n",
        escape(&name.to_uppercase()),
        escape(&name),
        escape(purpose)
    );
    let forms: Vec<String> = help.usage.forms.iter().map(|form| format!(".B {}\n", escape(form))).collect();
    text += &forms.join(".br\n");
    text += &format!(".SH DESCRIPTION\n{}\n", escape(without_name(&help.usage.summary)));
    let (mut heading, mut is_inner) = ("DESCRIPTION".to_owned(), false);
    for part in &help.usage.parts {
        let inner = matches!(part, Part::Entry(entry) if entry.is_inner);
        if inner != is_inner {
            text += if inner { ".RS\n" } else { ".RE\n" };
            is_inner = inner;
        }
        match part {
            Part::Section(title) => section(&mut text, &mut heading, &title.to_uppercase()),
            Part::Paragraph(words) => {
                // What follows the entries is about the whole command.
                if heading != "DESCRIPTION" && heading != "NOTES" {
                    section(&mut text, &mut heading, "NOTES");
                } else {
                    text += ".PP\n";
                }
                text += &format!("{}\n", escape(words));
            }
            Part::Literal(words) => text += &format!(".PP\n.nf\n.RS\n{}\n.RE\n.fi\n", escape(words)),
            Part::Entry(Entry { term, text: words, .. }) => {
                if term.starts_with('-') && heading == "DESCRIPTION" {
                    section(&mut text, &mut heading, "OPTIONS");
                }
                text += &format!(".TP\n.B {}\n{}\n", escape(term), escape(words));
            }
        }
    }
    if is_inner {
        text += ".RE\n";
    }
    text += &format!(".SH FILES\n.I {FILE}\n.SH SEE ALSO\n");
    let others: Vec<String> = others
        .iter()
        .filter(|other| **other != name)
        .map(|other| format!(".BR {} (1)", escape(other)))
        .collect();
    text + &others.join(",\n") + "\n"
}

fn section(text: &mut String, heading: &mut String, title: &str) {
    title.clone_into(heading);
    *text += &format!(".SH {title}\n");
}

/// A text as roff has it: no escape, no command, and dashes that can be copied.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::usage::{Usage, tests::TEXT};
    use super::*;

    #[test]
    fn page_has_all_of_the_text() {
        let help = Help { command: "ctl".to_owned(), usage: Usage::parse(TEXT) };
        let pages = pages(&[help], "1.2.3", "2026-01-02");
        let [(name, page)] = pages.as_slice() else { panic!("{pages:?}") };
        let page = String::from_utf8(page.clone()).unwrap();
        assert_eq!(name, "friendlet-ctl.1.gz");
        for part in [
            ".TH FRIENDLET\\-CTL 1 2026-01-02 \"friendlet 1.2.3\"\n",
            ".SH SYNOPSIS\n.B friendlet ctl [OPTIONS] COMMAND\n",
            ".SH COMMANDS\n.TP\n.B list\nlist the services\n",
            ".RS\n.TP\n.B \\-n, \\-\\-lines N\nat most N lines\n.RE\n.TP\n.B configuration",
            ".SH OPTIONS\n.TP\n.B \\-\\-url URL\n",
            ".SH NOTES\nAt the local socket",
            ".nf\n.RS\nprintf 'x' | friendlet passwd\n",
        ] {
            assert!(page.contains(part), "{part}\nis not in\n{page}");
        }
    }

    #[test]
    fn nothing_of_a_text_is_a_command_of_roff() {
        assert_eq!(escape(".SH x"), "\\&.SH x");
        assert_eq!(escape("'\\n' -x"), "\\&'\\en' \\-x");
    }
}
