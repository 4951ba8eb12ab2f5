//! Log-in and out, rights, and the loss of the server.

use std::net::{Ipv4Addr, TcpListener};

use super::{Console, WIDE};
use crate::support::Device;
use crate::support::device::{shell, user};

#[test]
#[ignore = "the step 'console' runs it"]
fn wrong_password_and_lock_out_have_words() {
    let console = Console::open(&Device::new().session("lockout_attempts = 2\n"), WIDE);
    let browser = &console.browser;
    console.type_password("fadmin", "wrong");
    browser.sees("Wrong user or password.");
    console.type_password("fadmin", "wrong");
    browser.sees("Too many wrong passwords");
    console.type_password("fadmin", "secret");
    browser.until("/Try again in \\d+ s/.test(document.querySelector('#message').textContent)");
    assert_eq!(browser.run("return sessionStorage.length", &[]), 0);
    // The block of ten seconds is over.
    browser.until(
        "document.querySelector('nav a') || (document.querySelector('form').requestSubmit(), document.querySelector('nav a'))",
    );
}

#[test]
#[ignore = "the step 'console' runs it"]
fn session_lives_in_its_tab_and_ends_with_the_log_out() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    let kept = "return [sessionStorage.length, localStorage.length, document.cookie, location.href.length]";
    let length = console.url().len();
    assert_eq!(browser.run(kept, &[]), serde_json::json!([1, 0, "", length]));
    browser.go(&console.url());
    browser.sees("allowed");
    browser.click("Log out");
    browser.sees("You are logged out.");
    assert_eq!(browser.run("return sessionStorage.length", &[]), 0);
    browser.go(&console.url());
    browser.sees("Password");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn plain_user_sees_his_services_alone() {
    let console = Console::open(&Device::new().with(&shell("other", "exec sleep 1000", "")), WIDE);
    let browser = &console.browser;
    console.type_password("guest", "guest");
    browser.sees("allowed");
    let text = browser.text();
    for hidden in ["other", "Device", "Audit", "Configuration"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    for part in ["device", "audit", "configuration", "service/other"] {
        browser.run("location.hash = arguments[0]", &[format!("#/{part}").into()]);
        browser.until("document.querySelector('h1')?.textContent.match(/^(Services|Not here)$/)");
    }
    console.go_to("Account");
    assert!(!browser.text().contains("Unlock"));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn other_sessions_are_listed_and_ended() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    let session = console.server.login("guest", "guest");
    console.go_to("Account");
    browser.sees("this one");
    browser.sees("guest");
    browser.click("End the session of guest, test, 127.0.0.1");
    browser.sees("The session of guest has ended.");
    browser.until("document.querySelectorAll('tbody tr').length === 1");
    let answer = console.server.post("/system.library/validate", &format!("sessionid={session}"));
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn viewer_sees_and_has_no_buttons() {
    let viewer = user("wall", "viewer", "a display", "services = [\"*\"]");
    let console = Console::open(&Device::new().with(&viewer), WIDE);
    let browser = &console.browser;
    console.type_password("wall", "a display");
    browser.sees("allowed");
    browser.until("document.querySelectorAll('main button').length === 0");
    console.server.call("services/allowed/start");
    browser.until("document.querySelector('.state').textContent === 'running'");
    browser.click("allowed");
    browser.sees("Declaration");
    browser.until("document.querySelectorAll('main button').length === 0");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn killed_server_is_found_again_with_all_that_changed() {
    let ticking = shell("ticking", "while :; do echo tick; sleep 0.2; done", "autostart = true");
    // The server that follows has the same port: free a moment ago.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let device = Device { address: address.to_string(), ..Device::new().with(&ticking) };
    let mut console = Console::log_in(&device);
    console.browser.click("Start allowed");
    console.browser.sees("allowed: start done");
    console.browser.click("ticking");
    console.browser.sees("tick");
    // What the line of the connection shows, and the log since.
    console.browser.run(
        "window.lines = []; new MutationObserver(() => window.lines.push(document.querySelector('#link').textContent))
            .observe(document.querySelector('#link'), { childList: true, characterData: true, subtree: true })",
        &[],
    );
    console.server.crash();
    console
        .browser
        .until("window.lines.some((line) => line.includes('offline')) && window.lines.at(-1) === ''");
    let length = "document.querySelector('.log').textContent.length";
    let before = console.browser.run(&format!("return {length}"), &[]);
    console.browser.until(&format!("{length} > {before}"));
    console.server.crash();
    console.browser.until(
        "window.lines.filter((line) => line.includes('offline')).length === 2 && window.lines.at(-1) === ''",
    );
    console.browser.click("All services");
    console.browser.until("document.querySelectorAll('tbody tr')[0].innerText.includes('running')");
    console.browser.click("Stop allowed");
    console.browser.until("document.querySelectorAll('tbody tr')[0].innerText.includes('stopped')");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn password_is_changed_with_the_old_one() {
    let console = Console::log_in(&Device::new().with(&user("second", "user", "second", "")));
    let browser = &console.browser;
    console.go_to("Account");
    let change = |old: &str, new: &str, again: &str| {
        browser.fill("Old password", old);
        browser.fill("New password", new);
        browser.fill("New password, again", again);
        browser.click("Change password");
    };
    change("wrong", "another one", "another one");
    browser.sees("The old password is wrong.");
    change("secret", "another one", "a third one");
    browser.sees("The two new passwords differ.");
    change("secret", "another one", "another one");
    browser.sees("The password is changed.");
    browser.fill("User (empty for all)", "second");
    browser.click("Unlock");
    browser.sees("second may log in again.");
    browser.click("Log out");
    browser.sees("You are logged out.");
    console.type_password("fadmin", "another one");
    browser.sees("Logged in as");
}
