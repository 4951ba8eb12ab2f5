//! Links between the documents, their tables, and the functions that they name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layers::root;

/// Page that `cargo xtask test --all` writes; a clone may not have it yet.
const GATE: &str = "docs/gate.md";

/// The contents of the book, which has the pages and not itself.
const CONTENTS: &str = "docs/SUMMARY.md";

/// Returns the Markdown files directly in these directories, from the root of the repository.
fn pages(directories: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Returns the targets of the links in a text, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (part, prose) in text.split("```").enumerate() {
        if part % 2 == 1 {
            continue;
        }
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| target.to_owned()));
    }
    found
}

/// Returns the anchors of a page: its headings as GitHub links to them.
fn anchors(text: &str) -> Vec<String> {
    let heading = |line: &str| Some(line.trim_start_matches('#').strip_prefix(' ')?.to_lowercase());
    let anchor = |title: String| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).filter_map(heading).map(anchor).collect()
}

/// Returns the relative links of a page that lead nowhere.
fn broken_links(page: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for link in links(text) {
        if link.starts_with("https://") || link.starts_with("http://") {
            continue;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let path = if file.is_empty() { PathBuf::from(page) } else { Path::new(page).with_file_name(file) };
        if path == Path::new(GATE) {
            continue;
        }
        let is_there = root().join(&path).exists();
        let has_anchor = anchor.is_empty()
            || fs::read_to_string(root().join(&path))
                .is_ok_and(|text| anchors(&text).iter().any(|a| a == anchor));
        if !is_there || !has_anchor {
            broken.push(format!("{page}: {link}"));
        }
    }
    broken
}

#[test]
fn readme_links_every_page() {
    let links = links(&fs::read_to_string(root().join("README.md")).unwrap());
    for page in pages(&["docs"]).iter().filter(|page| *page != CONTENTS) {
        assert!(links.contains(page), "README.md does not link {page}");
    }
}

#[test]
fn book_has_every_page_once_under_its_title() {
    let text = fs::read_to_string(root().join(CONTENTS)).unwrap();
    let entries: Vec<(&str, &str)> = text.lines().filter_map(entry).collect();
    let own: Vec<String> = pages(&["docs"]).into_iter().filter(|page| page != CONTENTS).collect();
    for page in &own {
        let (_, name) = page.split_once('/').unwrap();
        let count = entries.iter().filter(|(_, target)| *target == name).count();
        assert_eq!(count, 1, "{CONTENTS} has {page} {count} times");
    }
    for (title, target) in entries {
        let page = Path::new(CONTENTS).with_file_name(target);
        if page == Path::new(GATE) || target.starts_with("../") {
            continue;
        }
        let text = fs::read_to_string(root().join(&page)).unwrap();
        assert!(text.starts_with(&format!("# {title}\n")), "{CONTENTS}: {target} has another title");
    }
}

/// Title and target of an entry of the book's contents.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (title, target) = line.trim_start_matches("- ").strip_prefix('[')?.split_once("](")?;
    Some((title, target.strip_suffix(')')?))
}

#[test]
fn links_lead_to_files_and_headings() {
    let boards = fs::read_dir(root().join("boards")).unwrap().map(|entry| entry.unwrap().path());
    let boards: Vec<String> = boards
        .filter(|path| path.is_dir())
        .map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut directories = vec!["", "docs", "docs/decisions", "boards", "tests/fuzz"];
    directories.extend(boards.iter().map(String::as_str));
    let pages = pages(&directories);
    assert!(pages.len() > 30, "{pages:?}");
    let broken: Vec<String> = pages
        .iter()
        .flat_map(|page| broken_links(page, &fs::read_to_string(root().join(page)).unwrap()))
        .collect();
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn planted_broken_links_are_found() {
    for (link, is_broken) in [
        ("docs/nothing.md", true),
        ("docs/protocol.md#nothing", true),
        ("docs/protocol.md#the-frame", false),
        ("#try-it", false),
        ("https://example.org", false),
    ] {
        assert_eq!(!broken_links("README.md", &format!("a [page]({link}).")).is_empty(), is_broken, "{link}");
    }
    assert_eq!(broken_links("README.md", "```\n[page](docs/nothing.md)\n```\n"), [""; 0]);
}

#[test]
fn tables_have_no_blank_line() {
    // A table without its head is what a blank line leaves of it.
    for page in pages(&["", "docs", "docs/decisions", "boards"]) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let starts = line.starts_with('|') && (index == 0 || !lines[index - 1].starts_with('|'));
            let has_head =
                lines.get(index + 1).is_some_and(|next| next.starts_with("|-") || next.starts_with("| -"));
            assert!(!starts || has_head, "{page}:{}: a table without a head", index + 1);
        }
    }
}

/// Returns the code spans of a line.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Returns the source text of a path of `src`, a file or a directory.
fn source(path: &str) -> String {
    let path = root().join("src").join(path);
    if !path.is_dir() {
        return fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.is_file()).map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn architecture_names_functions_that_are_in_their_files() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut count = 0;
    for line in text.lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        let is_step = cells.len() == 4 && cells[0].trim_start_matches("| ").parse::<u32>().is_ok();
        if !is_step {
            continue;
        }
        let source = source(code(cells[2]).next().unwrap());
        for function in code(cells[1]) {
            let name = function.rsplit("::").next().unwrap();
            let is_there =
                [format!("fn {name}("), format!("fn {name}<")].iter().any(|item| source.contains(item));
            assert!(is_there, "docs/architecture.md: {} has no function {name}", cells[2]);
            count += 1;
        }
    }
    assert!(count > 30, "{count} functions");
}

/// Returns the numbers in the first cells of the table with this head.
fn numbers_of_table(page: &str, head: &str) -> Vec<u16> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).map(|line| line.split('|').nth(1).unwrap());
    cells.flat_map(|cell| cell.split(',')).map(|number| number.trim().parse().unwrap()).collect()
}

/// Returns the numbers that follow `mark` in a text.
fn numbers_after(text: &str, mark: &str) -> Vec<u16> {
    let digits = |rest: &str| rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>();
    text.split(mark).skip(1).filter_map(|rest| digits(rest).parse().ok()).collect()
}

#[test]
fn protocol_has_every_status_and_code() {
    let statuses = numbers_of_table("docs/protocol.md", "| status |");
    let sources = source("http") + &source("connection/http.rs");
    let sent = [numbers_after(&sources, "Rejection::new("), numbers_after(&sources, "status: ")].concat();
    assert!(sent.len() > 20, "{sent:?}");
    for status in sent {
        assert!(statuses.contains(&status), "docs/protocol.md has no status {status}");
    }
    let codes = numbers_of_table("docs/protocol.md", "| code N |");
    let failures = source("friendcore/failure.rs");
    let function = failures.split("pub fn code(").nth(1).unwrap().split("\n}").next().unwrap();
    let sent = numbers_after(function, "=> ");
    assert!(sent.len() > 10, "{sent:?}");
    for code in sent {
        assert!(codes.contains(&code), "docs/protocol.md has no code {code}");
    }
}
