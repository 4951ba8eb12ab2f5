//! Turns the `[limits]` of the board that is built for into constants.
//!
//! `FRIENDLET_BOARD` names the board (a folder of `boards/`; `host` unless said), and for one target
//! alone, where cargo builds for several at once, `FRIENDLET_BOARD_<TARGET>`, with `_` for `-`.
//! `FRIENDLET_LIMIT_<NAME>` overrides one limit. The names are those of `boards/base.toml`;
//! any other name, and any value that is not a positive integer, stops the build. The time of the
//! build becomes a constant, too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs, process};

const PREFIX: &str = "FRIENDLET_LIMIT_";

fn main() {
    println!("cargo:rerun-if-env-changed=FRIENDLET_BOARD");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=boards");
    println!("cargo:rerun-if-changed=src/log/defmt-linux.x");
    if let Err(message) = generate() {
        eprintln!("error: {message}");
        process::exit(1);
    }
}

fn generate() -> Result<(), String> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let of_target = format!("FRIENDLET_BOARD_{}", variable("TARGET")?.replace('-', "_"));
    println!("cargo:rerun-if-env-changed={of_target}");
    let board = env::var(of_target).or_else(|_| env::var("FRIENDLET_BOARD"));
    let board = board.unwrap_or_else(|_| "host".to_owned());
    if board.is_empty() || !board.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(format!("FRIENDLET_BOARD: '{board}' is not a board name"));
    }

    let mut limits = read_limits(&root.join("boards/base.toml"))?;
    let path = root.join("boards").join(&board).join("board.toml");
    for (name, value) in read_limits(&path)? {
        set(&mut limits, &name, value).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    for name in limits.keys() {
        println!("cargo:rerun-if-env-changed={PREFIX}{}", name.to_ascii_uppercase());
    }
    for (key, value) in env::vars() {
        if let Some(name) = key.strip_prefix(PREFIX) {
            let value = value
                .parse()
                .ok()
                .filter(|value| *value > 0)
                .ok_or_else(|| format!("{key}: '{value}' is not a positive integer"))?;
            set(&mut limits, &name.to_ascii_lowercase(), value).map_err(|e| format!("{key}: {e}"))?;
        }
    }

    let mut code = String::new();
    for (name, value) in &limits {
        code += &format!("/// `{name}` of the board built for.\n");
        code += &format!("pub const {}: usize = {value};\n", name.to_ascii_uppercase());
    }
    code += "/// Every limit by its name in `board.toml`, in the order of the names.\n";
    code += "pub const TABLE: &[(&str, usize)] = &[\n";
    for (name, value) in &limits {
        code += &format!("    (\"{name}\", {value}),\n");
    }
    code += "];\n";

    let out = PathBuf::from(variable("OUT_DIR")?);
    write(&out.join("limits.rs"), &code)?;
    let own_file = root.join("boards").join(&board).join("friendlet.toml");
    let own_file = fs::read_to_string(&own_file).map_err(|e| format!("{}: {e}", own_file.display()))?;
    write(&out.join("friendlet.toml"), &own_file)?;
    println!("cargo:rustc-env=FRIENDLET_BOARD={board}");
    println!("cargo:rustc-env=FRIENDLET_TARGET={}", variable("TARGET")?);
    println!("cargo:rustc-env=FRIENDLET_BUILT_UNIX_S={}", built_unix_s()?);
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        // Every level is compiled in, and the level in force decides at run time.
        println!("cargo:rustc-env=DEFMT_LOG=trace");
        // The tests' programs hold the same records as the server.
        println!("cargo:rustc-link-arg=-Wl,-T,{}", root.join("src/log/defmt-linux.x").display());
    }
    Ok(())
}

/// The time of the build, below which no board's clock begins: `SOURCE_DATE_EPOCH` where a build is to
/// be the same every time, else now.
fn built_unix_s() -> Result<u64, String> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|e| format!("SOURCE_DATE_EPOCH: '{text}': {e}")),
        Err(_) => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Ok(since.map_err(|e| format!("this machine's clock: {e}"))?.as_secs())
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn read_limits(path: &Path) -> Result<BTreeMap<String, i64>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let file: toml::Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
    let Some(section) = file.get("limits") else {
        return Ok(BTreeMap::new());
    };
    let section = section.as_table().ok_or_else(|| format!("{}: limits is not a table", path.display()))?;
    let mut limits = BTreeMap::new();
    for (name, value) in section {
        let value = value
            .as_integer()
            .filter(|value| *value > 0)
            .ok_or_else(|| format!("{}: {name} is not a positive integer", path.display()))?;
        limits.insert(name.clone(), value);
    }
    Ok(limits)
}

fn set(limits: &mut BTreeMap<String, i64>, name: &str, value: i64) -> Result<(), String> {
    match limits.get_mut(name) {
        Some(slot) => {
            *slot = value;
            Ok(())
        }
        None => Err(format!("'{name}' is no limit; boards/base.toml lists them all")),
    }
}
