//! The clients in `examples`, which `docs/pages.md` quotes.

use std::env;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::device::{ADMIN, service};
use crate::support::wait::until;
use crate::support::{Device, Server, generated};

/// Each example, and the language of its block.
const EXAMPLES: [(&str, &str); 4] =
    [("page.html", "html"), ("client.py", "python"), ("client.mjs", "js"), ("client.rs", "rust")];

#[test]
fn page_quotes_the_examples() {
    for (name, language) in EXAMPLES {
        let text = std::fs::read_to_string(example(name)).unwrap();
        generated::check("docs/pages.md", name, &format!("```{language}\n{text}```\n"));
    }
}

/// Path of an example.
fn example(name: &str) -> String {
    format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A client that prints until the test ends.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `command` beside the certificate of the server, with a token and the name of the service.
fn prepared(server: &Server, mut command: Command, service: &str) -> Command {
    let directory = server.directory();
    let certificate = std::fs::read(directory.file("state/tls/certificate.pem")).unwrap();
    directory.write("board.pem", certificate);
    command.current_dir(directory.path()).env("TOKEN", ADMIN).env("NODE_EXTRA_CA_CERTS", "board.pem");
    command.arg(service);
    command
}

/// Runs a client: a service starts, a later change is printed, and a refusal is an error in words.
#[track_caller]
fn check(command: impl Fn(&Server) -> Command) {
    let server = Server::start(&Device::new().with(&service("hello", &["/bin/sleep", "1000"], "")));
    let output = server.directory().file("output");
    let mut started = prepared(&server, command(&server), "hello");
    let mut client = Client(started.stdout(File::create(&output).unwrap()).spawn().unwrap());
    let mut prints = |line: &str| {
        until(line, || {
            let status = client.0.try_wait().unwrap();
            assert!(status.is_none(), "the client has ended: {status:?}");
            std::fs::read_to_string(&output).unwrap().lines().any(|printed| printed == line)
        });
    };
    prints("hello started");
    server.call("services/hello/stop");
    prints("hello stopped");
    let refused = prepared(&server, command(&server), "nothing").stdout(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && error.contains("nothing: "), "{refused:?}");
}

/// A program with a script of the examples and the URL of the server.
fn script(program: &str, name: &str, scheme: &str, server: &Server) -> Command {
    let mut command = Command::new(program);
    command.args([example(name), format!("{scheme}://localhost:{}", server.address().port())]);
    command
}

#[test]
fn client_of_python_starts_a_service_and_sees_its_end() {
    check(|server| script("python3", "client.py", "https", server));
}

#[test]
#[ignore = "the step 'book' installs Node and runs it"]
fn client_of_node_starts_a_service_and_sees_its_end() {
    let node = env::var("FRIENDLET_NODE").expect("FRIENDLET_NODE: `cargo xtask book` sets it");
    check(|server| script(&node, "client.mjs", "wss", server));
}

#[test]
fn client_of_rust_starts_a_service_and_sees_its_end() {
    let binary = Path::new(env!("CARGO_BIN_EXE_friendlet")).with_file_name("examples").join("client");
    assert!(binary.exists(), "{}: run `cargo build --example client` first", binary.display());
    check(|server| {
        let mut command = Command::new(&binary);
        command.args(["localhost", &server.address().port().to_string()]);
        command
    });
}
