//! Completions of bash, zsh and fish, from the texts of `--help`.

use super::usage::{Command, Help, Opt};

/// Command that prints the names of the services of the server on this machine. It asks no question.
const SERVICES: &str = "friendlet ctl list </dev/null 2>/dev/null | sed -n '2,$s/ .*//p'";
/// Command that prints the path of every call.
const CALLS: &str = "friendlet ctl complete-calls";
/// Command whose own commands are completed, too.
const CLIENT: &str = "ctl";

/// Operand that is one of the commands.
const COMMAND: &str = "COMMAND";

/// Words that may follow a command.
#[derive(Debug, PartialEq)]
struct Row {
    /// The command and, of `ctl`, its own: `ctl logs`.
    command: String,
    inner: String,
    /// Words with their descriptions.
    words: Vec<(String, String)>,
    operand: Operand,
}

/// Kind of operand that can be completed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operand {
    None,
    File,
    Service,
    Call,
}

impl Operand {
    fn of(name: &str) -> Self {
        match name {
            "FILE" | "DIR" => Self::File,
            "SERVICE" => Self::Service,
            "PATH" => Self::Call,
            _ => Self::None,
        }
    }

    /// Command that prints every value.
    fn source(self) -> Option<&'static str> {
        match self {
            Self::Service => Some(SERVICES),
            Self::Call => Some(CALLS),
            Self::None | Self::File => None,
        }
    }
}

/// The table of all three shells.
fn rows(helps: &[Help]) -> Vec<Row> {
    let mut rows = Vec::new();
    for help in helps {
        let commands = help.usage.commands();
        let options = words_of(&help.usage.options());
        let names = commands.iter().map(|command| (command.name.clone(), command.text.clone()));
        rows.push(Row {
            command: help.command.clone(),
            inner: String::new(),
            words: names.chain(options.clone()).collect(),
            operand: Operand::of(&operand(help)),
        });
        for command in commands.iter().filter(|_| help.command == CLIENT) {
            let Command { name, operand, options: own, .. } = command;
            let others = commands.iter().filter(|_| operand == COMMAND);
            let others = others.map(|other| (other.name.clone(), other.text.clone()));
            rows.push(Row {
                command: CLIENT.to_owned(),
                inner: name.clone(),
                words: others.chain(words_of(own)).chain(options.clone()).collect(),
                operand: Operand::of(operand),
            });
        }
    }
    rows
}

fn words_of(options: &[Opt]) -> Vec<(String, String)> {
    options.iter().map(|option| (option.name.clone(), option.value.clone())).collect()
}

/// Operand of a command in its usage: the word in capitals that is not the value of an option.
fn operand(help: &Help) -> String {
    let form = help.usage.forms.first().map_or("", String::as_str);
    let words: Vec<&str> = form.split(' ').map(|word| word.trim_matches(['[', ']', '.'])).collect();
    let operand = words.windows(2).find(|pair| {
        !pair[0].starts_with('-')
            && !pair[1].is_empty()
            && pair[1].bytes().all(|byte| byte.is_ascii_uppercase())
    });
    operand.map_or(String::new(), |pair| pair[1].to_owned())
}

/// Options that a value follows, as a pattern of a shell.
fn with_value(helps: &[Help]) -> String {
    let mut names: Vec<String> = helps
        .iter()
        .flat_map(|help| {
            let inner = help.usage.commands().into_iter().flat_map(|command| command.options);
            help.usage.options().into_iter().chain(inner)
        })
        .filter(|option| !option.value.is_empty())
        .map(|option| option.name)
        .collect();
    names.sort();
    names.dedup();
    names.join(" | ")
}

/// Finds command and inner command among the words before the one that is completed; the same in bash and zsh.
fn walk(words: &str, with_value: &str) -> String {
    format!(
        "    local word command='' inner='' skip=''
    for word in \"{words}\"; do
        if [ -n \"$skip\" ]; then skip=''; continue; fi
        case $word in
        {with_value}) skip=1 ;;
        -*) ;;
        *) if [ -z \"$command\" ]; then command=$word; elif [ -z \"$inner\" ]; then inner=$word; fi ;;
        esac
    done
"
    )
}

/// Begin of a `case` over the commands: what is completed after an option that a value follows, and the variables.
fn begin(variables: &str, files: &str) -> String {
    format!(
        "    {variables}
    if [ -n \"$skip\" ]; then
        {files}
        return
    fi
    case \"$command $inner\" in
"
    )
}

/// The pattern of a row in that `case`: after a command without commands of its own, any operand may stand.
fn pattern(row: &Row) -> String {
    let has_operands = row.inner.is_empty() && row.command != CLIENT && !row.command.is_empty();
    format!("\"{} {}\"{}", row.command, row.inner, if has_operands { "*" } else { "" })
}

/// The completion of bash.
pub(super) fn bash(helps: &[Help]) -> String {
    let walk = walk("${COMP_WORDS[@]:1:COMP_CWORD-1}", &with_value(helps));
    let begin = begin("local found='' files=''", "compopt -o default");
    let mut text = format!(
        "# Completion of friendlet for bash, made from the text of --help.\n_friendlet() {{\n{walk}{begin}"
    );
    for row in rows(helps) {
        let words: Vec<&str> = row.words.iter().map(|(word, _)| word.as_str()).collect();
        text += &format!("    {}) found='{}'", pattern(&row), words.join(" "));
        match (row.operand, row.operand.source()) {
            (Operand::File, _) => text += "; files=1",
            (_, Some(source)) => text += &format!("; found+=\" $({source})\""),
            _ => {}
        }
        text += " ;;\n";
    }
    text + "    esac\n    [ -z \"$files\" ] || compopt -o default\n    \
            mapfile -t COMPREPLY < <(compgen -W \"$found\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n}\n\
            complete -F _friendlet friendlet\n"
}

/// The completion of zsh.
pub(super) fn zsh(helps: &[Help]) -> String {
    let walk = walk("${words[@]:1:$((CURRENT - 2))}", &with_value(helps));
    let begin = begin("local -a found", "_files");
    let mut text = format!(
        "#compdef friendlet\n# Completion of friendlet for zsh, made from the text of --help.\n\
         _friendlet() {{\n{walk}{begin}"
    );
    for row in rows(helps) {
        let quoted = |(word, about): &(String, String)| {
            format!("'{}:{}'", word.replace(':', "\\:"), about.replace('\'', "'\\''"))
        };
        let words: Vec<String> = row.words.iter().map(quoted).collect();
        text += &format!("    {})\n        found=({})\n", pattern(&row), words.join(" "));
        match (row.operand, row.operand.source()) {
            (Operand::File, _) => text += "        _files\n",
            (_, Some(source)) => text += &format!("        found+=(${{(f)\"$({source})\"}})\n"),
            _ => {}
        }
        text += "        ;;\n";
    }
    text + "    esac\n    _describe friendlet found\n}\n_friendlet \"$@\"\n"
}

/// The completion of fish.
pub(super) fn fish(helps: &[Help]) -> String {
    let rows = rows(helps);
    let all = |inner: bool| -> String {
        let row = rows.iter().find(|row| row.inner.is_empty() && (row.command == CLIENT) == inner);
        let words = row.map(|row| row.words.as_slice()).unwrap_or_default().iter();
        words.filter(|(word, _)| !word.starts_with('-')).map(|(word, _)| format!(" {word}")).collect()
    };
    let (outer, inner) = (all(false), all(true));
    let seen = |words: &str| format!("__fish_seen_subcommand_from{words}");
    let mut text =
        "# Completion of friendlet for fish, made from the text of --help.\ncomplete -c friendlet -f\n"
            .to_owned();
    for row in &rows {
        let condition = match (row.command.as_str(), row.inner.as_str()) {
            ("", _) => format!("not {}", seen(&outer)),
            (CLIENT, "") => format!("{}; and not {}", seen(" ctl"), seen(&inner)),
            (CLIENT, name) => format!("{}; and {}", seen(" ctl"), seen(&format!(" {name}"))),
            (name, _) => format!("not {}; and {}", seen(" ctl"), seen(&format!(" {name}"))),
        };
        let begin = format!("complete -c friendlet -n '{condition}'");
        for (word, about) in &row.words {
            let about = about.replace('\\', "\\\\").replace('\'', "\\'");
            match (word.strip_prefix("--"), word.strip_prefix('-')) {
                (Some(name), _) if about.is_empty() => text += &format!("{begin} -l {name}\n"),
                (Some(name), _) => {
                    text += &format!("{begin} -l {name} -r{}\n", if about == "FILE" { " -F" } else { "" })
                }
                (None, Some(name)) => {
                    text += &format!("{begin} -s {name}{}\n", if about.is_empty() { "" } else { " -r" })
                }
                (None, None) => text += &format!("{begin} -a {word} -d '{about}'\n"),
            }
        }
        match (row.operand, row.operand.source()) {
            (Operand::File, _) => text += &format!("{begin} -F\n"),
            (_, Some(source)) => text += &format!("{begin} -a \"({})\"\n", source.replace('$', "\\$")),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::usage::{Usage, tests::TEXT};
    use super::*;

    #[test]
    fn table_has_commands_options_and_operands() {
        let general = "friendlet: x\n\nUsage: friendlet [COMMAND]\n\nCommands:\n  check    validate\n";
        let check = "Reports.\n\nUsage: friendlet check [--root DIR] [FILE]\n\n  --root DIR   root\n";
        let helps = [("", general), ("check", check), ("ctl", TEXT)]
            .map(|(name, text)| Help { command: name.to_owned(), usage: Usage::parse(text) });
        let rows = rows(&helps);
        let found = |command: &str, inner: &str| {
            let row = rows.iter().find(|row| row.command == command && row.inner == inner).unwrap();
            (row.words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" "), row.operand)
        };
        assert_eq!(found("", ""), ("check".to_owned(), Operand::None));
        assert_eq!(found("check", ""), ("--root".to_owned(), Operand::File));
        assert_eq!(
            found("ctl", ""),
            ("list logs configuration help --url -h --help".to_owned(), Operand::None)
        );
        assert_eq!(found("ctl", "logs"), ("-n --lines --url -h --help".to_owned(), Operand::Service));
        let help = "list logs configuration help --url -h --help".to_owned();
        assert_eq!(found("ctl", "help"), (help, Operand::None));
        assert_eq!(with_value(&helps), "--lines | --root | --url | -n");
        let fish = fish(&helps);
        assert!(
            fish.contains(" -s n -r\n") && fish.contains(" -l lines -r\n") && fish.contains(" -s h\n"),
            "{fish}"
        );
    }
}
