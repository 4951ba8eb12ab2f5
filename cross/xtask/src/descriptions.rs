//! The descriptions of the API and the schema of the configuration file, by the linters that their readers use.

use crate::{run, setup};

/// Linters, of the registry of npm.
const LINTERS: [&str; 2] = ["@stoplight/spectral-cli@6.16.3", "@taplo/cli@0.7.0"];
/// Descriptions that spectral reads.
const DESCRIPTIONS: [&str; 2] = ["src/http/openapi.json", "docs/asyncapi.json"];
/// Rules of spectral.
const RULES: &str = "cross/xtask/spectral.json";
/// Schema of the configuration files.
const SCHEMA: &str = "examples/friendlet.schema.json";
/// Description without what it needs, which spectral refuses.
const INCOMPLETE: &str = "{\"asyncapi\":\"3.0.0\",\"info\":{\"title\":\"x\"}}";
/// Configuration that the schema refuses.
const WRONG: &str = "[listen]\ntls = 1\n";

/// Runs the linters, which have to find faults where there are some.
pub(crate) fn check() -> Result<(), String> {
    let directory = run::root().join("target/linters");
    install(&directory)?;
    let program = |name: &str| directory.join("node_modules/.bin").join(name).to_string_lossy().into_owned();
    let (spectral, taplo) = (program("spectral"), program("taplo"));
    let spectral = |files: &[&str]| {
        let mut command = run::at_root(&spectral);
        command.args(["lint", "--quiet", "--fail-severity", "warn", "--ruleset", RULES]).args(files);
        command
    };
    let taplo = |files: &[String]| {
        let mut command = run::at_root(&taplo);
        let schema = format!("file://{}", run::root().join(SCHEMA).display());
        command.env("RUST_LOG", "error").args(["lint", "--no-auto-config", "--schema", &schema]).args(files);
        command
    };
    run::shown(&mut spectral(&DESCRIPTIONS))?;
    run::shown(&mut taplo(&configurations()?))?;
    let (incomplete, wrong) = (directory.join("incomplete.json"), directory.join("wrong.toml"));
    run::write(&incomplete, INCOMPLETE)?;
    run::write(&wrong, WRONG)?;
    let faulty = [
        ("spectral", spectral(&[&incomplete.to_string_lossy()])),
        ("taplo", taplo(&[wrong.to_string_lossy().into_owned()])),
    ];
    for (name, mut command) in faulty {
        let output = command.output().map_err(|error| format!("{name}: {error}"))?;
        if output.status.success() {
            return Err(format!("{name} finds no fault where there is one"));
        }
    }
    Ok(())
}

/// Configuration files of the example and of the boards.
fn configurations() -> Result<Vec<String>, String> {
    let boards = run::root().join("boards");
    let entries = std::fs::read_dir(&boards).map_err(|error| format!("{}: {error}", boards.display()))?;
    let of_boards =
        entries.flatten().map(|entry| entry.path().join("friendlet.toml")).filter(|file| file.is_file());
    let files = of_boards.chain([run::root().join("examples/friendlet.toml")]);
    Ok(files.map(|file| file.to_string_lossy().into_owned()).collect())
}

/// Installs the linters, once.
fn install(directory: &std::path::Path) -> Result<(), String> {
    let stamp = directory.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == LINTERS.join(" ")) {
        return Ok(());
    }
    if !run::works("npm", &["--version"]) {
        if !setup::is_root() {
            return Err("npm is needed (Debian: apt install npm)".to_owned());
        }
        setup::install(&["npm"])?;
    }
    run::create_directory(directory)?;
    let mut npm = run::at_root("npm");
    npm.args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"]).arg(directory).args(LINTERS);
    run::shown(&mut npm)?;
    run::write(&stamp, LINTERS.join(" "))
}
