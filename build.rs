//! Makes constants of the `[limits]` of the board that is built for.
//!
//! `FRIENDLET_BOARD` names the board (a directory of `boards/`; by default `host`), and for one target
//! alone, where cargo builds for several at once, `FRIENDLET_BOARD_<TARGET>`, with `_` for `-`.
//! `boards/base.toml` defines the limits, the board's `board.toml` gives values of its own, and
//! `FRIENDLET_LIMIT_<NAME>` overrides one. Any other name, and any value that is not a positive integer,
//! stops the build. The time of the build becomes a constant, too, and so do the compressed files of the console and texts
//! of `--help`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs, process};

const PREFIX: &str = "FRIENDLET_LIMIT_";

/// Files of the console, and the description of the API: path, media type, and the sources in `src/console` that it is
/// joined from.
const CONSOLE: [(&str, &str, &[&str]); 4] = [
    ("/", "text/html; charset=utf-8", &["index.html"]),
    ("/console.css", "text/css", &["console.css"]),
    (
        "/console.js",
        "text/javascript",
        &["page.js", "link.js", "services.js", "service.js", "board.js", "configuration.js", "app.js"],
    ),
    ("/api/v1/openapi.json", "application/json", &["../http/openapi.json"]),
];

fn main() {
    println!("cargo:rerun-if-env-changed=FRIENDLET_BOARD");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=boards");
    println!("cargo:rerun-if-changed=src/console");
    println!("cargo:rerun-if-changed=src/help");
    println!("cargo:rerun-if-changed=src/http/openapi.json");
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

    let mut limits = BTreeMap::new();
    let path = root.join("boards/base.toml");
    for (name, definition) in read_limits(&path)? {
        let limit = Limit::read(&definition).map_err(|e| format!("{}: {name}: {e}", path.display()))?;
        limits.insert(name, limit);
    }
    let path = root.join("boards").join(&board).join("board.toml");
    for (name, value) in read_limits(&path)? {
        set(&mut limits, &name, value.as_integer()).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    for name in limits.keys() {
        println!("cargo:rerun-if-env-changed={PREFIX}{}", name.to_ascii_uppercase());
    }
    for (key, value) in env::vars() {
        if let Some(name) = key.strip_prefix(PREFIX) {
            let name = name.to_ascii_lowercase();
            set(&mut limits, &name, value.parse().ok()).map_err(|e| format!("{key}: {e}"))?;
        }
    }

    let mut code = "limits! {\n".to_owned();
    for (name, Limit { value, about, bound }) in &limits {
        code += &format!("#[doc = {about:?}]\n{}: usize = {value}, {bound};\n", name.to_ascii_uppercase());
    }
    code += "}\n/// Every capacity by its name in `board.toml`, in the order of the names.\n";
    code += "pub const TABLE: &[(&str, usize)] = &[\n";
    for (name, Limit { value, .. }) in &limits {
        code += &format!("    ({name:?}, {value}),\n");
    }
    code += "];\n";

    let out = PathBuf::from(variable("OUT_DIR")?);
    write(&out.join("limits.rs"), &code)?;
    let own_file = root.join("boards").join(&board).join("friendlet.toml");
    let own_file = fs::read_to_string(&own_file).map_err(|e| format!("{}: {e}", own_file.display()))?;
    write(&out.join("friendlet.toml"), &own_file)?;
    write(&out.join("console.rs"), &console(&root.join("src/console"), &out)?)?;
    write(&out.join("help.rs"), &help(&root.join("src/help"))?)?;
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

/// Compresses the files of the console into `out`. Returns the table of them.
fn console(sources: &Path, out: &Path) -> Result<String, String> {
    let mut code = "[\n".to_owned();
    for (number, (path, media_type, names)) in CONSOLE.iter().enumerate() {
        let mut text = String::new();
        for name in *names {
            let source = sources.join(name);
            let source = fs::read_to_string(&source).map_err(|e| format!("{}: {e}", source.display()))?;
            // Comments and indentation are for the reader of the sources.
            let lines =
                source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
            lines.for_each(|line| text += &format!("{line}\n"));
        }
        let mut compressed = Vec::new();
        zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, text.as_bytes(), &mut compressed)
            .map_err(|e| format!("{path}: {e}"))?;
        // The last 8 bytes are the checksum of the content and its length (RFC 1952, 2.3.1).
        let tag: String = compressed.iter().rev().take(8).map(|byte| format!("{byte:02x}")).collect();
        let file = out.join(format!("console-{number}.gz"));
        fs::write(&file, compressed).map_err(|e| format!("{}: {e}", file.display()))?;
        code += &format!(
            "ConsoleFile {{ path: {path:?}, media_type: {media_type:?}, tag: \"\\\"{tag}\\\"\", gzip: include_bytes!({file:?}) }},\n"
        );
    }
    Ok(code + "]\n")
}

/// Compresses the texts of `--help`. Returns the constants of `src/help/mod.rs`.
fn help(sources: &Path) -> Result<String, String> {
    let failed = |e| format!("{}: {e}", sources.display());
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(sources).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(name) = name.strip_suffix(".txt") {
            let text = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            if !text.is_ascii() {
                return Err(format!("{}: not in ASCII", path.display()));
            }
            texts.insert(name.to_ascii_uppercase(), text);
        }
    }
    let pairs = pair_bytes(texts.values_mut());
    let mut code = format!("const PAIRS: [[u8; 2]; {}] = {pairs:?};\n", pairs.len());
    for (name, text) in texts {
        let doc = format!("Text of `{}`.", name.to_ascii_lowercase());
        code += &format!("#[doc = {doc:?}]\npub const {name}: Text = Text(b\"{}\");\n", text.escape_ascii());
    }
    Ok(code)
}

/// Replaces the pair of bytes that is most frequent in the texts by a byte that is not in them, 128, and so on up to 255.
/// Returns the pairs (byte pair encoding).
fn pair_bytes<'t>(texts: impl Iterator<Item = &'t mut Vec<u8>>) -> Vec<[u8; 2]> {
    let mut texts: Vec<_> = texts.collect();
    let mut pairs = Vec::new();
    for byte in 128..=255 {
        let mut counts = BTreeMap::<[u8; 2], usize>::new();
        for pair in texts.iter().flat_map(|text| text.windows(2)) {
            *counts.entry([pair[0], pair[1]]).or_default() += 1;
        }
        let Some((pair, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else { break };
        for text in &mut texts {
            let mut shorter = Vec::new();
            let mut rest = text.as_slice();
            while let [first, ..] = rest {
                let is_pair = rest.starts_with(&pair);
                shorter.push(if is_pair { byte } else { *first });
                rest = &rest[if is_pair { 2 } else { 1 }..];
            }
            **text = shorter;
        }
        pairs.push(pair);
    }
    pairs
}

/// The time of the build, below which no board's clock begins: `SOURCE_DATE_EPOCH` where a build is to
/// be the same every time, else now.
#[expect(clippy::disallowed_methods, reason = "the machine that builds is not a board")]
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

/// A limit of `boards/base.toml`.
struct Limit {
    value: i64,
    /// What it is a limit on.
    about: String,
    /// What happens when it is exceeded and the tests of it, or why nothing can exceed it, as the macro
    /// `limits!` of `src/limits.rs` reads it.
    bound: String,
}

impl Limit {
    fn read(definition: &toml::Value) -> Result<Self, String> {
        let text = |key: &str| definition.get(key).and_then(toml::Value::as_str);
        let tests = definition.get("tests").and_then(toml::Value::as_array);
        let tests = tests.map(|tests| tests.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>());
        let bound = match (text("exceeded"), tests, text("fixed")) {
            (Some(outcome), Some(tests), None) => format!("exceeded {outcome:?}, tests {tests:?}"),
            (None, None, Some(reason)) => format!("fixed {reason:?}"),
            _ => return Err("needs 'exceeded' and 'tests', or 'fixed'".to_owned()),
        };
        let about = text("about").ok_or("needs 'about'")?.to_owned();
        let value = positive(definition.get("value").and_then(toml::Value::as_integer))?;
        Ok(Self { value, about, bound })
    }
}

/// The `[limits]` of a board file; none where it has no such table.
fn read_limits(path: &Path) -> Result<toml::Table, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut file: toml::Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
    match file.remove("limits") {
        None => Ok(toml::Table::new()),
        Some(toml::Value::Table(limits)) => Ok(limits),
        Some(_) => Err(format!("{}: limits is not a table", path.display())),
    }
}

fn set(limits: &mut BTreeMap<String, Limit>, name: &str, value: Option<i64>) -> Result<(), String> {
    let limit = limits.get_mut(name);
    let limit = limit.ok_or_else(|| format!("'{name}' is not a limit; boards/base.toml lists them all"))?;
    limit.value = positive(value).map_err(|e| format!("{name}: {e}"))?;
    Ok(())
}

fn positive(value: Option<i64>) -> Result<i64, String> {
    value.filter(|value| *value > 0).ok_or_else(|| "expected a positive integer".to_owned())
}
