//! Import circles: no file of a directory may import, over any way, itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that are checked.
const ROOTS: [&str; 2] = ["src", "cross/xtask/src"];

/// Modules by path, each with the paths that its file imports.
type Imports = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// Every file of the directory, tests apart: its module path and its text without tests and comments.
fn modules(root: &Path) -> BTreeMap<Vec<String>, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if name == "tests" {
                continue;
            } else if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).unwrap().with_extension("");
                let mut module: Vec<String> =
                    relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                if module.last().is_some_and(|last| last == "mod" || last == "lib") {
                    module.pop();
                }
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                // A link of the documentation is not an import.
                let text = lines.collect::<Vec<_>>().join("\n").replace("#[cfg(doc)]\nuse ", "doc ");
                found.insert(module, text);
            }
        }
    }
    found
}

/// The paths of one `use` tree: `a::{b, c::{d, self}}` gives `a::b`, `a::c::d` and `a::c`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        return vec![path.strip_suffix("::self").unwrap_or(path).to_owned()];
    };
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{before}{part}"))).collect()
}

/// The `use` trees of a text, those that re-export among them.
fn uses(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for statement in text.split(';') {
        let statement = statement.rsplit_once('}').map_or(statement, |(_, rest)| {
            if statement.trim_end().ends_with('}') { statement } else { rest }
        });
        let Some(at) =
            statement.rfind("use ").filter(|at| *at == 0 || statement[..*at].ends_with(['\n', ' ', ')']))
        else {
            continue;
        };
        let is_public = statement[..at].trim_end().rsplit('\n').next().unwrap().trim().starts_with("pub");
        found.extend(expand(&statement[at + 4..]).into_iter().map(|path| (is_public, path)));
    }
    found
}

/// The absolute module path of an imported one.
fn absolute(module: &[String], path: &str) -> Option<Vec<String>> {
    let mut parts: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
    match parts.first()?.as_str() {
        "crate" => {
            parts.remove(0);
            Some(parts)
        }
        "self" => Some([module, &parts[1..]].concat()),
        "super" => {
            let ups = parts.iter().take_while(|part| *part == "super").count();
            let base = module.get(..module.len().checked_sub(ups)?)?;
            Some([base, &parts[ups..]].concat())
        }
        _ => Some([module, &parts[..]].concat()),
    }
}

fn imports(root: &Path) -> Imports {
    let modules = modules(root);
    // Where a module re-exports a name from.
    let mut exports = BTreeMap::new();
    for (module, text) in &modules {
        for (_, path) in uses(text).into_iter().filter(|(is_public, _)| *is_public) {
            if let Some(target) = absolute(module, &path)
                && let Some(name) = target.last().cloned()
            {
                exports.insert([module, &[name][..]].concat(), target);
            }
        }
    }
    let file_of = |path: &[String]| {
        let mut path = path.to_vec();
        for _ in 0..4 {
            match exports.get(&path) {
                Some(target) if *target != path => path = target.clone(),
                _ => break,
            }
        }
        (0..=path.len()).rev().map(|length| path[..length].to_vec()).find(|path| modules.contains_key(path))
    };
    let is_directory = |module: &[String]| {
        modules.keys().any(|other| other.len() > module.len() && other.starts_with(module))
    };
    let mut found = Imports::new();
    for (module, text) in &modules {
        let paths = uses(text).into_iter().filter_map(|(_, path)| absolute(module, &path));
        let files = paths.filter_map(|path| file_of(&path));
        // What stands in the file of a directory (limits, types of all its files) is below its files.
        let files = files.filter(|file| file != module && !(is_directory(file) && module.starts_with(file)));
        let files = files.filter(|file| !(is_directory(module) && file.starts_with(module)));
        found.insert(module.clone(), files.collect());
    }
    found
}

/// A module that imports itself over others, and the way.
fn circle(imports: &Imports) -> Option<String> {
    for start in imports.keys() {
        let mut ways = vec![vec![start.clone()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in &imports[way.last().unwrap()] {
                if next == start {
                    let names = way.iter().chain([start]).map(|module| module.join("::"));
                    return Some(names.collect::<Vec<_>>().join(" -> "));
                }
                if seen.insert(next.clone()) && imports.contains_key(next) {
                    ways.push([way.clone(), vec![next.clone()]].concat());
                }
            }
        }
    }
    None
}

#[test]
fn no_file_imports_itself_over_others() {
    for root in ROOTS {
        let imports = imports(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(root));
        assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 50, "{root}: imports are read");
        assert_eq!(circle(&imports), None, "in {root}");
    }
}

#[test]
fn planted_circle_is_found() {
    let planted = [
        ("a", "use super::b::X;"),
        ("b", "use crate::{c::{Y, Z}, d};"),
        ("c", "use crate::a::W;"),
        ("d", ""),
    ];
    let modules: Vec<Vec<String>> = planted.iter().map(|(name, _)| vec![(*name).to_owned()]).collect();
    let mut imports = Imports::new();
    for (name, text) in planted {
        let module = vec![name.to_owned()];
        let paths = uses(text).into_iter().filter_map(|(_, path)| absolute(&module, &path));
        let files = paths.filter_map(|path| path.first().map(|first| vec![first.clone()]));
        imports.insert(module.clone(), files.filter(|file| modules.contains(file)).collect());
    }
    assert_eq!(circle(&imports).unwrap(), "a -> b -> c -> a");
    imports.get_mut(&vec!["c".to_owned()]).unwrap().clear();
    assert_eq!(circle(&imports), None);
}
