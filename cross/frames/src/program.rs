//! The programs that frames come from, by their build ids.

use std::fs;
use std::path::{Path, PathBuf};

use defmt_decoder::{Locations, Table};
use object::Object as _;

/// The format strings of a program, and where they stand in its source.
pub(crate) struct Program {
    pub(crate) table: Table,
    pub(crate) locations: Locations,
}

/// Places to look for programs.
pub(crate) struct Programs {
    directory: Option<PathBuf>,
    elf: Option<PathBuf>,
}

impl Programs {
    /// Uses the programs of `directory`, each named by its build id, or the program `elf`.
    pub(crate) fn new(directory: Option<PathBuf>, elf: Option<PathBuf>) -> Self {
        Self { directory, elf }
    }

    /// The program with this build id; without one, the one that was named.
    pub(crate) fn find(&self, build: Option<&str>) -> Result<Program, String> {
        // A build id becomes part of a path.
        if let Some(build) =
            build.filter(|id| id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(format!("'{build}' is not a build id"));
        }
        let path = match (&self.elf, &self.directory, build) {
            (Some(elf), ..) => elf.clone(),
            (None, Some(directory), Some(build)) => directory.join(build),
            (None, _, None) => {
                return Err("the stream does not say which program wrote it: name it with --elf".to_owned());
            }
            (None, None, Some(build)) => return Err(format!("name the program {build} with --elf")),
        };
        if self.elf.is_none() && !path.is_file() {
            let build = build.unwrap_or_default();
            return Err(format!(
                "{} is not there: the log is of build {build}, and no other program can read it; \
                 `cargo xtask build` keeps each build's there, and --elf names one kept elsewhere",
                path.display()
            ));
        }
        read(&path, build)
    }
}

fn read(path: &Path, build: Option<&str>) -> Result<Program, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let elf = fs::read(path).map_err(|error| failed(&error))?;
    let own = build_id(&elf).ok_or_else(|| failed(&"is not a program with a build id"))?;
    if let Some(build) = build
        && own != build
    {
        return Err(failed(&format!("is build {own}, and the log is of {build}: its lines would be wrong")));
    }
    let table = Table::parse(&elf).map_err(|error| failed(&error))?;
    let table = table.filter(|table| !table.is_empty());
    let table = table.ok_or_else(|| failed(&"has no format strings: it is stripped, or its log is text"))?;
    let locations = table.get_locations(&elf).map_err(|error| failed(&error))?;
    Ok(Program { table, locations })
}

fn build_id(elf: &[u8]) -> Option<String> {
    let file = object::File::parse(elf).ok()?;
    let id = file.build_id().ok()??;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        let complaint = |programs: &Programs, build| programs.find(build).err().unwrap();
        let directory = Programs::new(Some("/nowhere".into()), None);
        assert!(complaint(&directory, Some("0a1b")).contains("/nowhere/0a1b is not there"));
        assert!(complaint(&directory, Some("../etc")).contains("not a build id"));
        assert!(complaint(&directory, None).contains("--elf"));
        // This test is a program without frames, and mostly with a build id.
        let own = std::env::current_exe().unwrap();
        let named = Programs::new(None, Some(own.clone()));
        match build_id(&fs::read(own).unwrap()) {
            Some(id) => {
                assert!(complaint(&named, Some("0a1b")).contains("its lines would be wrong"));
                assert!(complaint(&named, Some(&id)).contains("has no format strings"));
            }
            None => assert!(complaint(&named, None).contains("build id")),
        }
    }
}
