//! The format strings of a program as a text: what `friendlet ctl server-log` reads the frames of a device with.
//!
//! After a first line with the build id, each line has the index of a string in hexadecimal, its level, its module and
//! the string; level and module are `-` where there is none, as for types of arguments.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::program::Programs;
use crate::stream;

/// First word of the text; the number is the version of its format.
const MARK: &str = "friendlet-texts 1";

/// The text of the program at `path`.
pub(crate) fn of(path: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let program = Programs::new(None, Some(path.to_owned())).find(None)?;
    let elf = fs::read(path).map_err(|error| failed(&error))?;
    let file = object::File::parse(&*elf).map_err(|error| failed(&error))?;
    let id = file.build_id().ok().flatten().ok_or_else(|| failed(&"has no build id"))?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("{MARK} build={id}\n");
    let is_defmt = |name: &str| name == ".defmt" || name.starts_with(".defmt.");
    let sections: Vec<_> = file
        .sections()
        .filter(|section| section.name().is_ok_and(is_defmt))
        .map(|section| section.index())
        .collect();
    let mut lines = Vec::new();
    for symbol in file.symbols() {
        let is_text = symbol.section_index().is_some_and(|section| sections.contains(&section));
        let Some(name) = symbol.name().ok().filter(|_| is_text) else { continue };
        let (Some(tag), Some(data)) = (member(name, "tag"), member(name, "data")) else { continue };
        let level = tag.strip_prefix("defmt_").filter(|tag| stream::LEVELS.contains(tag)).unwrap_or("-");
        let location = program.locations.get(&symbol.address());
        let module = match (level, location.map(stream::source)) {
            ("-", _) | (_, None) => "-".to_owned(),
            // The module is in the text of these.
            (_, Some(file)) if file.ends_with(stream::WRITTEN) => "-".to_owned(),
            (_, Some(file)) => stream::module(&file),
        };
        lines.push((symbol.address() & 0xffff, level.to_owned(), module, data));
    }
    lines.sort();
    for (index, level, module, data) in lines {
        let _ = writeln!(text, "{index:x} {level} {module} {}", data.replace('\n', " "));
    }
    Ok(text)
}

/// The string of a member of a JSON object without nested ones.
fn member(json: &str, name: &str) -> Option<String> {
    let rest = json.split_once(&format!("\"{name}\":\""))?.1;
    let mut value = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                'u' => {
                    let code: String = characters.by_ref().take(4).collect();
                    value.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_symbol() {
        let name =
            r#"{"package":"friendlet","tag":"defmt_info","data":"a \"{}\" \u00e4\\","disambiguator":"7"}"#;
        assert_eq!(member(name, "tag").as_deref(), Some("defmt_info"));
        assert_eq!(member(name, "data").as_deref(), Some("a \"{}\" ä\\"));
        assert_eq!(member(name, "other"), None);
        assert_eq!(member(r#"{"data":"cut"#, "data"), None);
    }
}
