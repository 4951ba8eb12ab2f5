//! RFC 6455 conformance: kosoku, a native form of the Autobahn test suite, against the echo server
//! of `tests/conformance/echo.rs`, case by case with `tests/conformance/expected.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cargo::{cargo, executable};
use crate::{run, setup};

/// The suite, pinned: another version has other cases.
const SUITE: &str = "kosoku==0.1.0";
/// Results that the server is held to.
const EXPECTED: &str = "tests/conformance/expected.json";
/// The compression cases: the server offers no extension.
const EXCLUDED: [&str; 2] = ["12.*", "13.*"];
/// Text before the address that the echo prints on standard error once it accepts.
const LISTENING: &str = "listening on ws://";
/// The suite needs seconds; one case waits 100 s before it gives up.
const TIMEOUT: Duration = Duration::from_secs(400);

/// Installs the suite, builds the echo, runs one against the other and compares.
pub(crate) fn check() -> Result<(), String> {
    let expected: Verdicts = read(&run::root().join(EXPECTED))?;
    let directory = run::root().join("target/conformance");
    let suite = install(&directory, SUITE, &[])?.join("bin/kosoku");
    // As the tests are built, and by them already: overflows and broken assumptions end it.
    let echo = Echo::start(&executable(
        &mut cargo(&["build", "--workspace", "--locked", "--example", "echo"]),
        "echo",
    )?)?;

    let report = directory.join("report");
    if report.exists() {
        fs::remove_dir_all(&report).map_err(|error| format!("{}: {error}", report.display()))?;
    }
    let mut command = run::at_root(&suite.to_string_lossy());
    command.args(["--mode", "fuzzingclient", "--parallelism", "4", "--outdir"]).arg(&report);
    for case in EXCLUDED {
        command.args(["--exclude", case]);
    }
    // The report has its output too, and its exit code says less.
    command.arg(format!("ws://{}", echo.address)).stdout(Stdio::null()).stderr(Stdio::null());
    wait(command, TIMEOUT)?;

    let servers: BTreeMap<String, Verdicts> = read(&report.join("index.json"))?;
    match servers.values().collect::<Vec<_>>()[..] {
        [seen] => compare(&expected, seen),
        _ => Err("the report is not of one server".to_owned()),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = run::read(path)?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Installs a package of the Python registry with `pip install OPTIONS`, in an environment of its own under `directory`;
/// returns the environment.
pub(crate) fn install(directory: &Path, package: &str, options: &[&str]) -> Result<PathBuf, String> {
    let environment = directory.join("venv");
    let stamp = directory.join("installed");
    if environment.is_dir() && fs::read_to_string(&stamp).is_ok_and(|text| text == package) {
        return Ok(environment);
    }
    run::create_directory(directory)?;
    if !run::works("python3", &["-c", "import venv, ensurepip"]) {
        install_python()?;
    }
    // Without it, an environment that fails half-way would pass for the one before.
    let _ = fs::remove_file(&stamp);
    run::shown(run::at_root("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pip = environment.join("bin/pip");
    let mut command = run::at_root(&pip.to_string_lossy());
    command.args(["install", "--quiet", "--disable-pip-version-check"]).args(options).arg(package);
    run::shown(&mut command)?;
    run::write(&stamp, package)?;
    Ok(environment)
}

/// Debian keeps `venv` and `ensurepip` in packages of their own.
fn install_python() -> Result<(), String> {
    const WANTED: [&str; 2] = ["python3", "python3-venv"];
    if !run::works("apt-get", &["--version"]) || !setup::is_root() {
        return Err(format!(
            "python3 with venv and ensurepip is needed (Debian: apt install {})",
            WANTED.join(" ")
        ));
    }
    setup::install(&WANTED)
}

/// The running echo server; it ends with this value.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start(program: &Path) -> Result<Self, String> {
        let mut command = run::at_root(&program.to_string_lossy());
        command.args(["--port", "0"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut echo = Self { child, address: String::new() };
        let stderr = echo.child.stderr.take().ok_or("the echo has no standard error")?;
        let mut said = String::new();
        let mut lines = BufReader::new(stderr);
        while echo.address.is_empty() {
            let start = said.len();
            if lines.read_line(&mut said).map_err(|error| format!("echo: {error}"))? == 0 {
                return Err(format!("the echo ended before it listened; it said:\n{said}"));
            }
            if let Some((_, address)) = said[start..].split_once(LISTENING) {
                echo.address = address.trim().to_owned();
            }
        }
        // A full pipe would stop the server.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = lines.read_to_end(&mut rest);
        });
        Ok(echo)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end, however it ends; kills it after `timeout`.
fn wait(mut command: Command, timeout: Duration) -> Result<(), String> {
    let mut child =
        command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => return Ok(()),
            Ok(None) if start.elapsed() < timeout => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the suite did not end within {} s", timeout.as_secs()));
            }
            Err(error) => return Err(format!("waiting for the suite: {error}")),
        }
    }
}

/// Result of one case: the behaviour, and how the connection was closed.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    behavior: String,
    behavior_close: String,
}

/// Results by the number of the case.
type Verdicts = BTreeMap<String, Verdict>;

/// Passed are the cases that went exactly as expected, or better.
fn compare(expected: &Verdicts, seen: &Verdicts) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (id, wanted) in expected {
        match seen.get(id) {
            Some(verdict) if verdict.behavior == "OK" && verdict.behavior_close == wanted.behavior_close => {}
            Some(verdict) if verdict == wanted => {}
            Some(verdict) => wrong.push(format!("{id}: {verdict:?}, not {wanted:?}")),
            None => wrong.push(format!("{id}: was not run")),
        }
    }
    let unknown = seen.keys().filter(|id| !expected.contains_key(*id));
    wrong.extend(unknown.map(|id| format!("{id}: is not in expected.json")));
    println!("    {} of {} cases as expected", expected.len().saturating_sub(wrong.len()), expected.len());
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} cases differ\n{}", wrong.len(), wrong.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(text: &str) -> Verdicts {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_case_may_go_better_than_expected_and_not_worse() {
        let expected = cases(r#"{"1.1":{"behavior":"NON-STRICT","behaviorClose":"OK"}}"#);
        let ok = cases(r#"{"1.1":{"behavior":"OK","behaviorClose":"OK","duration":3}}"#);
        assert_eq!(compare(&expected, &ok), Ok(()));
        assert_eq!(compare(&expected, &expected), Ok(()));
        assert!(compare(&ok, &expected).is_err());
        let failed = cases(r#"{"1.1":{"behavior":"OK","behaviorClose":"FAILED"}}"#);
        assert!(compare(&expected, &failed).is_err());
    }

    #[test]
    fn a_missing_or_unknown_case_differs() {
        let one = cases(r#"{"1.1":{"behavior":"OK","behaviorClose":"OK"}}"#);
        let none = BTreeMap::new();
        assert!(compare(&one, &none).unwrap_err().contains("was not run"));
        assert!(compare(&none, &one).unwrap_err().contains("not in expected.json"));
        assert!(serde_json::from_str::<Verdicts>(r#"{"1.1":{"behavior":"OK"}}"#).is_err());
    }

    #[test]
    fn the_expectations_name_all_301_cases_and_no_failure() {
        let expected: Verdicts = read(&run::root().join(EXPECTED)).unwrap();
        assert_eq!(expected.len(), 301);
        let passed = ["OK", "NON-STRICT", "INFORMATIONAL"];
        assert!(expected.values().all(|verdict| {
            passed.contains(&verdict.behavior.as_str()) && passed.contains(&verdict.behavior_close.as_str())
        }));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut command = run::at_root("sleep");
        command.arg("100");
        assert!(wait(command, Duration::from_millis(100)).is_err());
    }

    #[test]
    fn an_echo_that_ends_at_once_is_an_error() {
        assert!(Echo::start(Path::new("/bin/true")).is_err());
    }
}
