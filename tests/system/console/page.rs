//! `examples/page.html`, on a web server of its own and as an own page.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use super::WIDE;
use crate::support::browser::Browser;
use crate::support::directory::Directory;
use crate::support::wait::until;
use crate::support::{Device, Server};

/// Address in the example.
const BOARD: &str = "wss://board.example:6500";

/// Serves the page on `listener`, for a board at `address`, until the test ends.
fn serve_page(listener: TcpListener, address: &str) {
    let page = include_str!("../../../examples/page.html");
    assert!(page.contains(BOARD));
    let page = page.replace(BOARD, address);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            // A browser may open a connection and send nothing.
            if lines.any(|line| line.is_empty()) {
                let head = "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n";
                let _ = stream.write_all(format!("{head}{page}").as_bytes());
            }
        }
    });
}

#[test]
#[ignore = "the step 'console' runs it"]
fn example_page_starts_and_stops_a_service_and_connects_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    // A port that the next server has, too.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let device = Device { address, ..Device::new().listen(&format!("origins = [\"{origin}\"]\n")) };
    let mut server = Server::start(&device);
    serve_page(listener, &format!("wss://{}", server.address()));
    let browser = Browser::start(WIDE);
    browser.go(&format!("{origin}/"));
    browser.fill("User", "fadmin");
    browser.fill("Password", "wrong");
    browser.click("Log in");
    browser.sees("Wrong user or password");
    browser.fill("Password", "secret");
    browser.click("Log in");
    browser.click("start allowed");
    browser.sees("started");
    browser.until("document.forms[0].hidden");
    browser.click("stop allowed");
    browser.sees("stopped");
    until("its process has ended", || server.services().is_empty());
    server.crash();
    browser.sees("offline");
    browser.until("document.querySelector('p').textContent === ''");
    browser.click("start allowed");
    browser.sees("started");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn own_page_logs_in_and_starts_a_service_beside_the_console() {
    const SCRIPT: &str = "<script type=\"module\">";
    let page = include_str!("../../../examples/page.html");
    let (head, script) = page.split_once(SCRIPT).unwrap();
    let script = script.split_once("</script>").unwrap().0;
    let script = script.replace(&format!("\"{BOARD}\""), "`wss://${location.host}`");
    assert!(script.contains("location.host"));
    let root = Directory::new();
    root.write("app.js", script);
    // A script in the page does not run.
    let inline = "<script>document.title = 'inline'</script>";
    root.write("index.html", format!("{head}{inline}<script type=\"module\" src=\"app.js\"></script>"));
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    let server =
        Server::start(&Device::new().with(&format!("[web]\nroot = \"{}\"\n", root.path().display())));
    let browser = Browser::start(WIDE);
    browser.go(&format!("https://{}/", server.address()));
    browser.fill("User", "fadmin");
    browser.fill("Password", "secret");
    browser.click("Log in");
    browser.click("start allowed");
    browser.sees("started");
    browser.until("document.title === 'Services of a board'");
    browser.go(&format!("https://{}/console", server.address()));
    browser.fill("User", "fadmin");
    browser.fill("Password", "secret");
    browser.click("Log in");
    browser.sees("allowed");
    browser.click("Stop allowed");
    until("its process has ended", || server.services().is_empty());
}
