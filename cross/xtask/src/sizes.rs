//! Size of a board's build: the binary by its sections, the memory by the program's own table.

use std::path::Path;

use crate::board::Board;
use crate::elf::Elf;
use crate::{build, emulation, run};

/// The parts of a binary worth a line, and the sections that make them.
const PARTS: [(&str, &[&str]); 4] = [
    ("code", &[".init", ".text", ".fini", ".plt", ".iplt"]),
    ("constants", &[".rodata", ".data.rel.ro", ".got", ".relro_padding"]),
    ("unwind tables", &[".eh_frame", ".eh_frame_hdr", ".ARM.extab", ".ARM.exidx", ".gcc_except_table"]),
    ("variables", &[".data", ".bss", ".tdata", ".tbss"]),
];

/// One line of the table.
#[derive(Debug, PartialEq)]
struct Line {
    item: String,
    used: u64,
    limit: Option<u64>,
}

/// Prints the table of a board; an error when something is over its budget.
pub(crate) fn show(board: &Board) -> Result<(), String> {
    let binary = build::binary(board)?;
    let elf = Elf::read(&binary)?;
    let lines = lines(board, &elf, &memory(board, &binary)?);
    print!("{}", table(&lines));
    let over: Vec<&str> = lines.iter().filter(|line| is_over(line)).map(|line| line.item.as_str()).collect();
    if over.is_empty() {
        Ok(())
    } else {
        Err(format!("boards/{}/board.toml [budget]: over it is {}", board.name, over.join(", ")))
    }
}

fn lines(board: &Board, elf: &Elf, memory: &[(String, u64)]) -> Vec<Line> {
    let line = |item: &str, used, limit| Line { item: item.to_owned(), used, limit };
    let mut lines = vec![line("binary", elf.file_bytes, Some(board.binary_bytes))];
    for (part, sections) in PARTS {
        let of_part = elf.sections.iter().filter(|(name, _)| sections.contains(&name.as_str()));
        lines.push(line(&format!("  {part}"), of_part.map(|(_, bytes)| bytes).sum(), None));
    }
    // The program counts itself by what is mapped where it runs, an emulator's pages too.
    let mut items: Vec<Line> = Vec::new();
    for (item, bytes) in memory {
        let bytes = if item == "program" { elf.memory_bytes } else { *bytes };
        items.push(line(&format!("  {item}"), bytes, None));
    }
    let total = items.iter().map(|item| item.used).sum();
    lines.push(line("memory at worst", total, Some(board.memory_bytes)));
    lines.extend(items);
    lines
}

fn is_over(line: &Line) -> bool {
    line.limit.is_some_and(|limit| line.used > limit)
}

fn table(lines: &[Line]) -> String {
    let mut text = format!("{:<36} {:>10} {:>10}\n", "ITEM", "USED", "LIMIT");
    for line in lines {
        let limit = line.limit.map_or_else(String::new, |limit| limit.to_string());
        let mark = if is_over(line) { "  OVER" } else { "" };
        let row = format!("{:<36} {:>10} {limit:>10}{mark}", line.item, line.used);
        text += row.trim_end();
        text.push('\n');
    }
    text
}

/// The program's own table of memory, with the board's configuration file: names and bytes.
fn memory(board: &Board, binary: &Path) -> Result<Vec<(String, u64)>, String> {
    let file = run::root().join("boards").join(&board.name).join("friendlet.toml");
    let mut command = emulation::command(board, binary)?;
    // The table is that of the board, so this machine and its programs do not count.
    let text = run::captured(command.args(["check", "--root"]).arg(board.directory()).arg(file))?;
    parse(&text).ok_or_else(|| format!("`friendlet check` printed no table:\n{text}"))
}

/// The first part of the table of `friendlet check`: what is held while it runs.
fn parse(text: &str) -> Option<Vec<(String, u64)>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("ITEM "));
    lines.next()?;
    let mut items = Vec::new();
    for line in lines {
        let mut numbers = line.split_whitespace().rev();
        let total = numbers.next()?.parse().ok()?;
        if line.starts_with("all, bytes") {
            return Some(items);
        }
        let words: Vec<&str> = numbers.skip(2).collect();
        items.push((words.into_iter().rev().collect::<Vec<_>>().join(" "), total));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: &str = "f: ok\n\nITEM        COUNT  EACH  TOTAL\nuser table      1  5  5\n\
                         program   1  10  10\nall, bytes  15\npipe 1 1 1\nin the kernel, bytes  1\n";

    #[test]
    fn the_programs_table_is_read() {
        let items = parse(CHECK).unwrap();
        assert_eq!(items, [("user table".to_owned(), 5), ("program".to_owned(), 10)]);
        assert_eq!(parse("f: ok\n"), None);
        assert_eq!(parse("ITEM COUNT EACH TOTAL\nuser table 1 5 5\n"), None);
    }

    #[test]
    fn what_is_over_its_limit_is_marked() {
        let line = |used, limit| Line { item: "binary".to_owned(), used, limit };
        let text = table(&[line(5, Some(5)), line(6, Some(5)), line(7, None)]);
        let rows: Vec<&str> = text.lines().collect();
        assert!(!rows[1].contains("OVER") && rows[2].ends_with("6          5  OVER"), "{text}");
        assert!(rows[3].ends_with(" 7"), "{text}");
    }
}
