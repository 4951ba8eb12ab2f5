//! Calls while others wait, and the loss of the connection.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Console, WIDE};
use crate::support::Device;
use crate::support::device::{ADMIN, shell};
use crate::support::wait::until;

/// Far below the time after which a start that waits is answered.
const AT_ONCE: Duration = Duration::from_secs(20);
/// A dead connection is reported by then: two pings, on a busy machine.
const REPORTED: Duration = Duration::from_secs(30);

/// A script that runs before those of the page.
fn before_the_page(console: &Console, script: &str) {
    console.browser.command("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script}));
    console.browser.go(&console.url());
}

fn set_offline(console: &Console, is_offline: bool) {
    let network =
        json!({"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
    console.browser.command("Network.emulateNetworkConditions", &network);
}

#[test]
#[ignore = "the step 'console' runs it"]
fn stop_gets_through_while_six_starts_wait() {
    let keys = "pre_start = [\"/bin/sleep\", \"500\"]\nready_timeout_s = 600";
    let waiting: String = (1..=6).map(|n| shell(&format!("slow-{n}"), "exec sleep 1000", keys)).collect();
    let running = shell("running", "exec sleep 1000", "autostart = true");
    let console = Console::log_in(&Device::new().with(&waiting).with(&running));
    let browser = &console.browser;
    for number in 1..=6 {
        browser.click(&format!("Start slow-{number}"));
    }
    browser.until("document.querySelectorAll('.starting').length === 6");
    let start = Instant::now();
    browser.click("Stop running");
    browser.until("document.querySelectorAll('tbody tr')[7].innerText.includes('stopped')");
    browser.sees("running: stop done");
    browser.click("Log out");
    browser.sees("You are logged out.");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[test]
#[ignore = "the step 'console' runs it"]
fn answer_that_a_crash_lost_does_not_count_as_a_start_that_was_not_made() {
    let keys = "pre_start = [\"/bin/sleep\", \"500\"]\nready_timeout_s = 600";
    let mut console = Console::log_in(&Device::new().with(&shell("slow", "exec sleep 1000", keys)));
    console.browser.click("Start slow");
    console.browser.until("document.querySelectorAll('.starting').length === 1");
    set_offline(&console, true);
    console.browser.until("document.querySelector('#link').className === 'offline'");
    set_offline(&console, false);
    console.browser.until("document.querySelector('#link').className === 'online'");
    console.browser.click("Stop slow");
    // The start has ended, and its answer is that of the operation.
    console.browser.until("document.querySelector('#message').className === 'bad' || document.body.innerText.includes('stopped')");
    console.browser.until("document.querySelectorAll('.starting').length === 0");
    assert!(console.server.is_running());
}

#[test]
#[ignore = "the step 'console' runs it"]
fn page_without_a_socket_has_its_reason_and_a_way_out() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    let refused = "window.WebSocket = class { static OPEN = 1; readyState = 3; close() {} send() {}
        constructor() { setTimeout(() => this.onclose?.(), 20); } }";
    before_the_page(&console, refused);
    browser.sees("offline: The device answers, but no WebSocket can be opened");
    browser.click("Log out");
    browser.sees("You are logged out.");
    // The same after a log-in.
    console.type_password("fadmin", "secret");
    browser.sees("offline: The device answers, but no WebSocket can be opened");
    let sessions = console.server.call("sessions/list");
    assert_eq!(sessions.matches("\"console-").count(), 1, "{sessions}");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn block_has_the_time_of_the_device() {
    let console = Console::open(&Device::new().session("lockout_attempts = 1\n"), WIDE);
    before_the_page(&console, "const now = Date.now; Date.now = () => now() - 7200000");
    console.type_password("fadmin", "wrong");
    console.browser.until("/Try again in \\d+ s/.test(document.querySelector('#message').textContent)");
    let cookies = console.browser.command("Network.getAllCookies", &json!({}));
    assert_eq!(cookies["cookies"], json!([]));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn dead_connection_is_reported_soon_and_no_longer_than_it_is_dead() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    set_offline(&console, true);
    browser.until("document.querySelector('#link').className === 'offline'");
    set_offline(&console, false);
    browser.until("document.querySelector('#link').className === 'online'");
    let start = Instant::now();
    console.server.pause();
    browser.click("Start allowed");
    browser.until("document.querySelector('#link').className === 'offline'");
    assert!(start.elapsed() < REPORTED, "{:?}", start.elapsed());
    console.server.resume();
    browser.until("document.querySelector('#link').className === 'online'");
    browser.until("document.querySelector('#message').className !== 'bad'");
    browser.sees("running");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn log_out_while_the_device_is_away_ends_the_session_later() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    let is_open = || console.server.call("sessions/list").contains("\"console-");
    browser.run("window.kept = fetch; window.fetch = () => Promise.reject(new TypeError('no network'))", &[]);
    browser.click("Log out");
    browser.sees("The device does not answer. Your session there ends when it does");
    assert!(is_open());
    browser.run("window.fetch = window.kept", &[]);
    until("the session has ended", || !is_open());
    browser.sees("You are logged out.");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn focus_is_not_lost_by_log_in_loss_and_a_row_that_leaves() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    let focus = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.tagName";
    browser.until(&format!("({focus}) === 'MAIN'"));
    browser.run("document.querySelector('[data-verb=start]').focus()", &[]);
    set_offline(&console, true);
    browser.until("document.querySelector('#link').className === 'offline'");
    set_offline(&console, false);
    browser.until("document.querySelector('#link').className === 'online'");
    console.server.call("services/allowed/start");
    browser.sees("running");
    assert_eq!(browser.run(&format!("return {focus}"), &[]), "Start allowed");
    console.server.login("guest", "guest");
    console.go_to("Account");
    browser.click("End the session of guest, test, 127.0.0.1");
    browser.sees("The session of guest has ended.");
    browser.until(&format!("({focus}) === 'MAIN'"));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn question_ends_with_its_part_and_with_its_session() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    console.go_to("Device");
    browser.click("Reboot");
    browser.until("document.querySelector('dialog').open");
    browser.run("history.back()", &[]);
    browser.until(
        "document.querySelector('h1').textContent === 'Services' && !document.querySelector('dialog')",
    );
    console.go_to("Device");
    browser.click("Reboot");
    browser.until("document.querySelector('dialog').open");
    console.server.post("/system.library/sessions/end", &format!("sessionid={ADMIN}&username=fadmin"));
    browser.sees("The session has ended.");
    browser.until("!document.querySelector('dialog')");
    console.type_password("fadmin", "secret");
    browser.sees("Device");
}
