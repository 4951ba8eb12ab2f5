//! `friendlet check` answers as `serve` would, on this machine and for the root of an image.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::device::{ADMIN, service, sha256_hex, shell, token};
use crate::support::directory::Directory;
use crate::support::server::{Run, behind, friendlet, run, run_command};
use crate::support::{Device, Server};

/// An address of documentation (RFC 5737), which no machine has.
const MISSING_ADDRESS: &str = "192.0.2.1:6500";

/// `FILE:LINE:COLUMN: warning: ` of a value in the text of a file.
fn warning_at(file: &str, text: &str, value: &str) -> String {
    let before = &text[..text.find(value).unwrap_or_else(|| panic!("{value} in {text}"))];
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    format!("{file}:{}:{column}: warning: ", before.matches('\n').count() + 1)
}

/// Errors of a run.
fn errors(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| line.starts_with("friendlet: ")).collect()
}

/// Runs `check` and `serve` with a configuration file, which both refuse with the same code.
#[track_caller]
fn refused(file: &str, code: i32) -> [Run; 2] {
    let runs = [run(&["check", file], ""), run(&["serve", "--config", file], "")];
    for run in &runs {
        assert_eq!(run.code, Some(code), "{run:?}");
    }
    runs
}

#[test]
fn address_of_another_machine_is_an_error_of_both() {
    let directory = Directory::new();
    let device = Device { address: MISSING_ADDRESS.to_owned(), ..Device::new() };
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    for (run, end) in refused(&file, 69).iter().zip(["; with --fall-back the server waits for it", ""]) {
        let start = format!("friendlet: cannot listen on {MISSING_ADDRESS}: ");
        let line = run.stderr.lines().find(|line| line.starts_with(&start));
        let expected = format!("; this machine does not have that address{end}");
        assert!(line.is_some_and(|line| line.ends_with(&expected)), "{run:?}");
    }
}

#[test]
fn log_that_would_write_the_configuration_file_or_the_state_is_an_error_of_both() {
    let directory = Directory::new();
    let state = directory.file("state");
    for name in ["friendlet.toml", "friendlet.toml.good", "state/passwords"] {
        let log = format!("[log]\nfile = \"{}\"\n", directory.file(name));
        let text = Device::new().text(&state).replacen("[log]\n", &log, 1);
        let file = directory.write("friendlet.toml", &text);
        for run in refused(&file, 78) {
            assert!(run.stderr.contains("; name another file"), "{run:?}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert!(!Path::new(&state).exists());
    }
}

/// The same file without the token of the documentation, which is a warning.
fn with_another_token(text: &str) -> String {
    text.replace(&sha256_hex(ADMIN), &sha256_hex("another"))
}

#[test]
fn state_directory_and_local_socket_that_cannot_be_created_are_errors_of_both() {
    let directory = Directory::new();
    let below = format!("{}/below", directory.write("file", ""));
    let text = with_another_token(&Device::new().text(&below));
    let [check, serve] = refused(&directory.write("friendlet.toml", text), 73);
    let line = format!(
        "friendlet: cannot create the state directory: {below}: Not a directory (errno 20); [state] dir names another one"
    );
    for run in [&check, &serve] {
        assert!(errors(run).contains(&line.as_str()), "{run:?}");
    }
    // `serve` ends with the first error, `check` reports that of the socket beside it, too.
    assert_eq!((errors(&check).len(), errors(&serve).len()), (2, 1), "{check:?} {serve:?}");
    assert_eq!(check.stdout, "");
    let text = Device::new().text(&directory.file("state"));
    let socket = format!("socket = \"{}.ctl\"", directory.file("state"));
    let text = text.replace(&socket, &format!("socket = \"{below}/ctl\""));
    let [check, serve] = refused(&directory.write("socket.toml", text), 73);
    let start =
        format!("friendlet: cannot create the directory of the local socket: {below}: Not a directory");
    assert!([check, serve].iter().all(|run| run.stderr.contains(&start)));
}

#[test]
fn every_error_is_reported_and_the_first_has_the_exit_code() {
    let directory = Directory::new();
    let below = format!("{}/below", directory.write("file", ""));
    let device = Device { address: MISSING_ADDRESS.to_owned(), ..Device::new() };
    let text = with_another_token(&device.with(&service("web", &["/nowhere/web"], "")).text(&below));
    let keys = "tls = \"on\"\ncertificate = \"/nowhere/c.pem\"\nkey = \"/nowhere/k.pem\"\n";
    let file = directory.write("friendlet.toml", text.replace("tls = \"on\"\n", keys));
    let [check, serve] = refused(&file, 69);
    let starts = [
        "cannot listen on ",
        "cannot create the state directory: ",
        "cannot create the directory of",
        "/nowhere/c.pem: ",
    ];
    let found = errors(&check);
    assert_eq!(found.len(), starts.len(), "{check:?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(&format!("friendlet: {start}")), "{line}");
    }
    let start = warning_at(&file, &fs::read_to_string(&file).unwrap(), "[\"/nowhere/web\"]");
    let warning =
        format!("{start}web: command: /nowhere/web: No such file or directory (errno 2); create it");
    assert!(check.stdout.starts_with(&warning) && check.stdout.lines().count() == 3, "{check:?}");
    assert_eq!(errors(&serve).len(), 1, "{serve:?}");
}

#[test]
fn running_server_is_a_note_and_another_program_a_warning() {
    let server = Server::start(&Device::plain());
    let (directory, address) = (server.directory(), server.address());
    let check = |state: &str| {
        let device = Device { address: address.to_string(), ..Device::plain() };
        let text = with_another_token(&device.text(&directory.file(state)));
        let run = run(&["check", &directory.write("other.toml", text)], "");
        assert_eq!(run.code, Some(0), "{run:?}");
        run.stdout.replace(&directory.file("other.toml"), "FILE")
    };
    let beside = check("state");
    let process = format!("by the server that runs as process {}\n", server.pid());
    for note in [
        "FILE: ok\n",
        &format!("FILE: note: {address} is in use, probably {process}"),
        &format!("FILE: note: the state directory {} is in use {process}", directory.file("state")),
    ] {
        assert!(beside.contains(note), "{beside}");
    }
    assert!(!beside.contains("warning"), "{beside}");
    let other = check("another-state");
    let warning =
        format!("FILE: warning: {address} is in use: a server exits with code 69 while another program");
    assert!(other.contains(&warning) && !other.contains("note"), "{other}");
    // The server still has its lock, and serves.
    assert_eq!(server.get("/healthz").status, 200);
}

/// Number of descriptors that `check` reports where the limit is too low for any server.
fn needed(file: &str) -> usize {
    let run = run_command(behind("ulimit -n 40").args(["check", file]), "");
    assert_eq!(run.code, Some(0), "{run:?}");
    let warning =
        "warning: descriptors: the limit here is 40 (ulimit -n), and a server with this file can need ";
    let rest = run.stdout.split_once(warning).unwrap_or_else(|| panic!("{run:?}")).1;
    rest.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn descriptors_of_a_busy_server_are_within_the_reported_number() {
    let mut tables = String::new();
    for number in 3..friendlet::limits::SERVICES {
        // Programs with as many pipes as a service can have.
        let script = "trap 'exit 0' TERM; echo >&3; while :; do sleep 1; done";
        let keys = "autostart = true\nready = \"fd:3\"\nstop_command = [\"/bin/true\"]\n";
        tables += &shell(&format!("busy-{number}"), script, keys);
    }
    let server = Server::start(&Device::new().with(&tables).slots(8));
    let sockets: Vec<_> = (0..8).map(|_| server.administrator().unwrap()).collect();
    let file = server.directory().file("friendlet.toml");
    let needed = needed(&file);
    for pid in [server.pid(), server.keeper()] {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let open: Vec<_> = open.filter_map(|open| fs::read_link(open.unwrap().path()).ok()).collect();
        assert!(
            open.len() <= needed,
            "{} of {pid} are open where {needed} were reported: {open:?}",
            open.len()
        );
    }
    drop(sockets);
    let run = run(&["check", &file], "");
    assert!(!run.stdout.contains("descriptors"), "the limit of this machine is high enough: {run:?}");
}

/// Root of an image: a user, a program behind an absolute link, and a link out of it.
fn image() -> Directory {
    let root = Directory::new();
    for path in ["etc/friendlet", "usr/bin", "srv"] {
        fs::create_dir_all(root.file(path)).unwrap();
    }
    root.write("etc/passwd", "image-user:x:7:8::/:\n");
    root.write("etc/group", "image-group:x:9:\n");
    let program = root.write("usr/bin/image-web", "");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/usr/bin", root.file("bin")).unwrap();
    root
}

#[test]
fn root_of_an_image_has_its_own_programs_users_and_files() {
    let root = image();
    let there =
        "user = \"image-user\"\ngroups = [\"image-group\"]\ncwd = \"/srv\"\nenv_file = \"/etc/passwd\"";
    let here = format!("user = \"root\"\ngroups = [\"root\"]\ncwd = \"{}\"\n", root.path().display());
    let tables = service("there", &["/bin/image-web"], there) + &service("here", &["/bin/sh"], &here);
    // Neither address nor state directory would do on this machine.
    let device = Device { address: MISSING_ADDRESS.to_owned(), tables, ..Device::new() };
    let text = device.text("/proc/none/state");
    root.write("etc/friendlet/friendlet.toml", &text);
    let directory = root.path().display().to_string();
    let run = run(&["check", "--root", &directory], "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let file = root.file("etc/friendlet/friendlet.toml");
    let warning = |value: &str, message: &str| {
        format!("{}here: {message}; create it, or correct the name", warning_at(&file, &text, value))
    };
    let expected = [
        format!("{file}: ok"),
        warning("[\"/bin/sh\"]", "command: /bin/sh: No such file or directory (errno 2)"),
        warning(&format!("\"{directory}\""), &format!("cwd: no directory {directory}")),
        warning("\"root\"", "user: no user 'root'"),
        warning("[\"root\"]", "groups: no group 'root'"),
    ];
    let findings = run.stdout.split("\n\n").next().unwrap();
    // Each has its line, and a caret.
    let lines: Vec<_> = findings.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(lines, expected);
    assert_eq!(findings.lines().count(), 1 + 4 * 3, "{findings}");
}

#[test]
fn names_that_an_image_lacks_have_the_most_similar_ones() {
    let root = image();
    let directory = root.path().display().to_string();
    let file = root.file("etc/friendlet/friendlet.toml");
    for (right, wrong, message) in [
        ("/bin/image-web", "/bin/image-wbe", "command: /bin/image-wbe: No such file or directory (errno 2)"),
        ("/bin/image-web", "./image-wbe", "command: ./image-wbe: No such file or directory (errno 2)"),
        ("image-user", "image-use", "user: no user 'image-use'"),
        ("image-group", "image-grup", "groups: no group 'image-grup'"),
        ("/srv", "/srw", "cwd: no directory /srw"),
        ("/etc/passwd", "/etc/passwrd", "env_file: no regular file /etc/passwrd"),
    ] {
        let rest =
            "user = \"image-user\"\ngroups = [\"image-group\"]\ncwd = \"/srv\"\nenv_file = \"/etc/passwd\"";
        let tables = service("web", &["/bin/image-web"], rest).replace(right, wrong);
        let text = Device { tables, ..Device::new() }.text("/data/state");
        root.write("etc/friendlet/friendlet.toml", &text);
        let run = run(&["check", "--root", &directory], "");
        let lines: Vec<_> = run.stdout.lines().filter(|line| line.contains("warning")).collect();
        let hint = match wrong {
            "./image-wbe" => "create it, or correct the name".to_owned(),
            _ => format!("did you mean '{right}'?"),
        };
        let [line] = lines[..] else { panic!("{run:?}") };
        assert!(line.starts_with(&format!("{file}:")), "{line}");
        assert!(line.ends_with(&format!(": warning: web: {message}; {hint}")), "{line}");
    }
}

#[test]
fn finding_has_its_line_and_a_caret_without_secrets() {
    let directory = Directory::new();
    let text = "[log]\n\tlevel = \"infö\"\nlevl = 1\n[[user]]\nname = \"a\"\npassword = \"hush\"\n\
                [[service]]\nname = \"s\"\ncommand = [\"s\"]\nenv = { A = \"hush\", B = 1 }\n\
                [[service]]\nname = \"t\"\ncommand = [\"s\"]\n[service.env]\nTOKEN = hush\n";
    let file = directory.write("f.toml", text);
    let run = run(&["check", &file], "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(78), ""), "{run:?}");
    let excerpts: Vec<_> = run.stderr.lines().filter(|line| !line.starts_with(&file)).collect();
    let expected = [
        "    2 |  level = \"infö\"",
        "      |          ^",
        // The value of an unknown key may be a secret.
        "    3 | levl =",
        "      | ^",
        "    6 | password =",
        "      |           ^",
        "   10 | env =",
        "      |      ^",
        "   15 | TOKEN =",
        "      |        ^",
    ];
    assert_eq!(excerpts, expected, "{run:?}");
    assert!(run.stderr.starts_with(&format!("{file}:2:10: level: expected ")), "{run:?}");
    // Those of `serve` and of a reload are the same, a line each.
    let served = crate::support::server::run(&["serve", "--config", &file], "");
    let lines: String =
        run.stderr.lines().filter(|line| line.starts_with(&file)).map(|line| format!("{line}\n")).collect();
    assert_eq!((served.code, served.stderr), (Some(78), lines));
}

#[test]
fn file_in_another_encoding_is_named() {
    let directory = Directory::new();
    let utf16 = |bytes: fn(u16) -> [u8; 2]| "[log]\n".encode_utf16().flat_map(bytes).collect::<Vec<_>>();
    for (name, content, error) in [
        ("le", [vec![0xff, 0xfe], utf16(u16::to_le_bytes)].concat(), ": UTF-16, not UTF-8; save it as UTF-8"),
        ("be", [vec![0xfe, 0xff], utf16(u16::to_be_bytes)].concat(), ": UTF-16, not UTF-8; save it as UTF-8"),
        ("plain-le", utf16(u16::to_le_bytes), ":1:1: the text is UTF-16; save it as UTF-8"),
        ("plain-be", utf16(u16::to_be_bytes), ":1:1: the text is UTF-16; save it as UTF-8"),
        (
            "latin-1",
            b"[log]\n# ger\xe4t\n".to_vec(),
            ": not UTF-8 from line 2, column 6 on; perhaps Latin-1; save it as UTF-8",
        ),
    ] {
        fs::write(directory.file(name), content).unwrap();
        let file = directory.file(name);
        for run in refused(&file, 78) {
            let lines: Vec<_> = run.stderr.lines().filter(|line| line.contains(&file)).collect();
            let [line] = lines[..] else { panic!("{run:?}") };
            assert!(line.ends_with(&format!("{file}{error}")), "{run:?}");
        }
    }
}

#[test]
fn findings_are_json_for_programs() {
    let directory = Directory::new();
    let json = |name: &str, content: &[u8], code: i32| {
        fs::write(directory.file(name), content).unwrap();
        let file = directory.file(name);
        let run = run(&["check", "--json", "--root", "/", &file], "");
        assert_eq!((run.code, run.stderr.as_str()), (Some(code), ""), "{run:?}");
        let value: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(value["file"], file);
        value
    };
    let findings = |value: &serde_json::Value| value["findings"].as_array().unwrap().clone();
    let wrong = json("wrong", b"[log]\nlevl = \"in\\tfo\"\n[[service]]\n", 78);
    assert_eq!((&wrong["ok"], &wrong["omitted"]), (&false.into(), &0.into()));
    let file = directory.file("wrong");
    let finding = |line: u64, key: &str, message: &str, hint: serde_json::Value| {
        serde_json::json!({
            "level": "error", "file": file, "line": line, "column": 1, "key": key, "message": message, "hint": hint
        })
    };
    assert_eq!(
        findings(&wrong),
        [
            finding(2, "log.levl", "unknown key 'levl' in [log]", "did you mean 'level'?".into()),
            finding(3, "service", "[[service]] has no name", serde_json::Value::Null),
            finding(3, "service", "[[service]] has no command", serde_json::Value::Null),
        ]
    );
    // A file as a whole has no place.
    let state = format!("[state]\ndir = \"{}\"\n", directory.file("state"));
    let service = "[[service]]\nname = \"s\"\ncommand = [\"/nowhere/\\\"s\\\"\"]\n";
    let right = json("right", format!("{state}{service}").as_bytes(), 0);
    assert_eq!(right["ok"], true);
    let [warning] = &findings(&right)[..] else { panic!("{right}") };
    assert_eq!((&warning["level"], &warning["line"]), (&"warning".into(), &5.into()));
    assert_eq!((&warning["column"], &warning["key"]), (&11.into(), &"service.command".into()));
    assert_eq!(warning["message"], "s: command: /nowhere/\"s\": No such file or directory (errno 2)");
    let latin = json("latin", b"# \xe4", 78);
    let [error] = &findings(&latin)[..] else { panic!("{latin}") };
    assert_eq!(
        (&error["line"], &error["column"], &error["key"]),
        (&1.into(), &3.into(), &serde_json::Value::Null)
    );
    let missing = run(&["check", "--json", "/nowhere/f"], "");
    assert_eq!(missing.code, Some(66), "{missing:?}");
    let value: serde_json::Value = serde_json::from_str(&missing.stdout).unwrap();
    assert_eq!((&value["ok"], &value["findings"][0]["line"]), (&false.into(), &serde_json::Value::Null));
}

#[test]
fn certificates_of_an_image_are_those_of_its_root() {
    let root = image();
    // A certificate of this machine, to which a link of the root leads.
    let server = Server::start(&Device::new());
    let tls = server.directory().file("state/tls");
    symlink(&tls, root.file("etc/tls")).unwrap();
    let names = ["certificate", "key"].map(|name| format!("{name} = \"/etc/tls/{name}.pem\"\n")).concat();
    let text = Device::new().listen(&names).text("/data/state");
    let file = root.write("etc/friendlet/friendlet.toml", text);
    let directory = root.path().display().to_string();
    let check = || run(&["check", &file, "--root", &directory], "");
    let run = check();
    assert_eq!(run.code, Some(78), "{run:?}");
    let error = format!("friendlet: {directory}{tls}/certificate.pem: No such file or directory (errno 2)\n");
    assert_eq!(run.stderr, error);
    fs::create_dir_all(format!("{directory}{tls}")).unwrap();
    for name in ["certificate.pem", "key.pem"] {
        fs::copy(format!("{tls}/{name}"), format!("{directory}{tls}/{name}")).unwrap();
    }
    let run = check();
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn root_without_a_file_and_missing_root_are_errors() {
    let root = Directory::new();
    let directory = root.path().display().to_string();
    // A loop leads neither to a file of the image nor to one of this machine.
    fs::create_dir(root.file("loop")).unwrap();
    symlink("/etc", root.file("loop/etc")).unwrap();
    for (path, error) in [
        (root.file("loop"), format!("friendlet: --root {directory}/loop: Too many")),
        (directory.clone(), format!("friendlet: {directory}/etc/friendlet/friendlet.toml: No such file")),
        (format!("{directory}/none"), format!("friendlet: --root {directory}/none: No such file")),
    ] {
        let run = run(&["check", "--root", &path], "");
        assert!(run.code == Some(66) && run.stderr.starts_with(&error), "{run:?}");
    }
}

#[test]
fn board_of_other_limits_is_a_usage_error_that_names_the_way() {
    let directory = Directory::new();
    let file = directory.write("friendlet.toml", Device::new().text(&directory.file("state")));
    let own = run(&["check", &file, "--board", friendlet::limits::BOARD], "");
    assert_eq!(own.code, Some(0), "{own:?}");
    let other = run(&["check", &file, "--board", "no-such-board"], "");
    assert_eq!(other.code, Some(64), "{other:?}");
    let error = format!(
        "friendlet: --board no-such-board: this program has the limits of the board {}, and no others; run the friendlet \
         of no-such-board, or `cargo xtask check FILE --board no-such-board` in the sources\n",
        friendlet::limits::BOARD
    );
    assert_eq!((other.stderr, other.stdout.as_str()), (error, ""));
}

#[test]
fn token_that_has_expired_is_a_warning() {
    let directory = Directory::new();
    let ends = |id: &str, time: &str| format!("{}expires = {time}\n", token("guest", id));
    let device =
        Device::plain().with(&(ends("old", "2026-01-02T03:04:05+01:00") + &ends("new", "2199-12-31")));
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let check = run(&["check", &file], "");
    assert_eq!(check.code, Some(0), "{check:?}");
    let warnings: Vec<_> = check.stdout.lines().filter(|line| line.contains("[[token]]")).collect();
    assert_eq!(
        warnings,
        [format!(
            "{file}: warning: [[token]] 4, of guest: has expired on 2026-01-02T02:04:05Z; it is refused: renew it and reload"
        )]
    );
}

#[test]
fn pipe_with_a_name_is_an_error_of_both_and_that_of_a_shell_is_read() {
    let directory = Directory::new();
    let pipe = directory.file("friendlet.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for run in refused(&pipe, 78) {
        assert_eq!(run.stderr, format!("friendlet: {pipe}: not a regular file\n"));
    }
    let run = run(&["check", "/dev/stdin"], "[[service]]\nname = \"a\"\ncommand = [\"/bin/true\"]\n");
    assert!(run.code == Some(0) && run.stdout.starts_with("/dev/stdin: ok\n"), "{run:?}");
}

#[test]
fn output_that_cannot_be_written_has_words() {
    let directory = Directory::new();
    let file = directory.write("friendlet.toml", "[[service]]\nname = \"a\"\ncommand = [\"x\"]\n");
    for arguments in
        [&["--help"][..], &["--version"], &["limits"], &["check", &file], &["check", "--json", &file]]
    {
        let mut command = friendlet();
        command.args(arguments).stdout(fs::File::create("/dev/full").unwrap()).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let words = "friendlet: cannot write to standard output: No space left on device (errno 28)\n";
        assert!(output.status.code() == Some(74) && said.ends_with(words), "{arguments:?}: {said}");
    }
}

/// It showed the value, which the program leaves out.
#[test]
fn output_in_the_document_is_that_of_the_program() {
    let document = include_str!("../../docs/configuration.md");
    let (_, rest) = document.split_once("```text\nf.toml:").unwrap();
    let expected = format!("f.toml:{}", rest.split("```").next().unwrap());
    let directory = Directory::new();
    let file = directory.write("f.toml", format!("{}autostrat = true\n", "\n".repeat(19) + "[[service]]\n"));
    let run = run(&["check", &file], "");
    let of_line: Vec<&str> =
        run.stderr.split_inclusive('\n').skip_while(|line| !line.contains(":21:")).collect();
    let found = of_line.iter().take(3).copied().collect::<String>().replace(&file, "f.toml");
    assert_eq!(found, expected, "{run:?}");
}

/// It was `ok`, and `serve --fall-back` refused the file.
#[test]
fn empty_file_is_a_warning() {
    let directory = Directory::new();
    for content in ["", " \n\n"] {
        let file = directory.write("friendlet.toml", content);
        let check = run(&["check", &file], "");
        let warning = format!(
            "{file}: warning: the file is empty, so each key has its default; --fall-back and a reload refuse it"
        );
        let warnings: Vec<&str> = check.stdout.lines().filter(|line| line.contains("warning")).collect();
        assert!(warnings.contains(&warning.as_str()), "{check:?}");
        assert!(!warnings.iter().any(|line| line.contains(":1:1:")), "twice: {check:?}");
    }
}
