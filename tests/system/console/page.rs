//! `examples/page.html`, on a web server of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use super::WIDE;
use crate::support::browser::Browser;
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
