//! Changes by others while the page is open, and output that does not end.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::super::reload::{reload, rewrite};
use super::{Console, WIDE};
use crate::support::Device;
use crate::support::device::{shell, user};

const RUNS_ON: &str = "exec sleep 1000";

#[test]
#[ignore = "the step 'console' runs it"]
fn removed_service_leaves_the_list_and_its_own_page_at_once() {
    let beta = shell("beta", RUNS_ON, "");
    let (before, after) = (Device::new().with(&beta), Device::new());
    let console = Console::log_in(&before);
    let browser = &console.browser;
    browser.sees("beta");
    let start = Instant::now();
    reload(&console.server, &after);
    browser.until("!document.querySelector('main').innerText.includes('beta')");
    reload(&console.server, &before);
    browser.click("beta");
    browser.sees("Declaration");
    reload(&console.server, &after);
    browser.sees("no service beta that you may control");
    assert!(start.elapsed() < Duration::from_secs(40), "not by the look of each minute");
    reload(&console.server, &before);
    browser.sees("Declaration");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn changed_rights_change_parts_and_buttons() {
    let with = |level: &str| Device::new().with(&user("anna", level, "her word", "services = [\"*\"]"));
    let console = Console::open(&with("user"), WIDE);
    let browser = &console.browser;
    console.type_password("anna", "her word");
    browser.sees("Start");
    reload(&console.server, &with("viewer"));
    browser.until("document.querySelectorAll('main button').length === 0");
    browser.sees("allowed");
    reload(&console.server, &with("admin"));
    browser.sees("Audit trail");
    browser.until("document.querySelector('[data-verb=start]')");
    console.go_to("Device");
    reload(&console.server, &with("user"));
    browser.sees("no such part, or it is for administrators");
    browser.until("document.querySelectorAll('nav a').length === 2");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn error_stays_in_view_while_others_change_and_these_are_reported_rarely() {
    let looping = shell("looping", "sleep 0.5; exit 1", "restart = \"always\"\nstart_limit = 0");
    let gone = "[[service]]\nname = \"gone\"\ncommand = [\"/nonexistent/program\"]\n";
    let more: String = (0..25).map(|number| shell(&format!("more-{number:02}"), RUNS_ON, "")).collect();
    let console = Console::log_in(&Device::new().with(&looping).with(&more).with(gone));
    let browser = &console.browser;
    browser.click("Start looping");
    browser.sees("looping: start done");
    browser.run(
        "window.lines = []; new MutationObserver(() => window.lines.push(performance.now()))
            .observe(document.querySelector('#news'), { childList: true, characterData: true, subtree: true })",
        &[],
    );
    browser.click("Start gone");
    browser.until("document.querySelector('#message.bad').textContent.includes('/nonexistent/program')");
    browser.until("window.lines.length >= 3");
    let is_rare = "return window.lines.every((time, at, all) => at === 0 || time - all[at - 1] > 4000)";
    assert_eq!(browser.run(is_rare, &[]), true, "{}", browser.run("return window.lines", &[]));
    browser.until("document.querySelector('#message.bad').textContent.includes('/nonexistent/program')");
    let in_view = "const box = document.querySelector('#message').getBoundingClientRect();
        return [scrollY > 0, box.top >= 0 && box.bottom < innerHeight]";
    assert_eq!(browser.run(in_view, &[]), json!([true, true]));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn notice_leaves_with_its_cause() {
    let device = Device::new();
    let console = Console::log_in(&device);
    let browser = &console.browser;
    rewrite(&console.server, &device.clone().with("bogus = 1\n"));
    console.server.signal(Signal::HUP);
    browser.until("document.querySelector('#notice').innerText.includes('bogus')");
    rewrite(&console.server, &device);
    console.server.signal(Signal::HUP);
    browser.until("document.querySelector('#notice').hidden");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn malformed_address_has_its_words() {
    let console = Console::log_in(&Device::new());
    for address in ["service/%E0", "service/%", "nonsense"] {
        console.browser.run("location.hash = arguments[0]", &[format!("#/{address}").into()]);
        console.browser.until("document.querySelector('h1').textContent === 'Not here'");
        console.browser.run("location.reload()", &[]);
        console.browser.until("document.querySelector('h1').textContent === 'Not here'");
    }
    console.go_to("Services");
    assert_eq!(console.browser.log(), [""; 0]);
}

#[test]
#[ignore = "the step 'console' runs it"]
fn last_lines_before_an_end_are_there_for_whom_comes_later() {
    let console =
        Console::log_in(&Device::new().with(&shell("web", "echo no port left; sleep 1.5; exit 3", "")));
    let browser = &console.browser;
    browser.click("Start web");
    browser.until("document.querySelectorAll('tbody tr')[1].innerText.includes('exit 3')");
    browser.go(&console.url());
    browser.click("web");
    browser.sees("Last lines before the end");
    browser.until("[...document.querySelectorAll('pre')].filter((node) => node.innerText.includes('no port left')).length === 2");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn followed_output_leaves_selection_and_reader_alone() {
    let script = "i=0; while [ $i -lt 2300 ]; do i=$((i+1)); echo line $i; done
        while :; do i=$((i+1)); echo line $i; sleep 0.03; done";
    let console = Console::log_in(&Device::new().with(&shell("talker", script, "")));
    let browser = &console.browser;
    browser.click("Start talker");
    browser.click("talker");
    browser.sees("line 2310\n");
    // A fact, and its selection, while the time beside it goes on.
    browser.run(
        "window.fact = [...document.querySelectorAll('dt')].find((node) => node.textContent === 'Process').nextSibling;
         window.since = document.querySelector('dd').textContent;
         getSelection().selectAllChildren(window.fact)",
        &[],
    );
    browser.until("document.querySelector('dd').textContent !== window.since");
    browser.until("String(getSelection()) === window.fact.textContent && window.fact.isConnected");
    // A block in the middle, for a reader who has scrolled up, while the first ones leave.
    browser.run(
        "window.box = document.querySelector('.log'); box.scrollTop = box.scrollHeight / 2;
         window.block = box.children[Math.floor(box.children.length * 0.6)]; window.first = box.firstChild;
         window.at = block.getBoundingClientRect().top;
         getSelection().selectAllChildren(block); window.text = block.textContent",
        &[],
    );
    browser.until("!window.first.isConnected");
    browser.until(
        "Math.abs(block.getBoundingClientRect().top - window.at) < 2 && block.textContent === window.text",
    );
    browser.until("String(getSelection()).includes(window.text.split('\\n')[1])");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn output_without_an_end_leaves_the_page_usable() {
    let console = Console::log_in(&Device::new().with(&shell("endless", "exec yes a line of output", "")));
    let browser = &console.browser;
    browser.click("Start endless");
    browser.click("endless");
    browser.until("document.querySelector('.log').textContent.split('\\n').length > 1900");
    browser.until("document.querySelector('.log').children.length < 2200");
    let start = Instant::now();
    browser.click("Stop endless");
    browser.until("document.querySelector('.state').textContent === 'stopped'");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let length = "return document.querySelector('.log').textContent.split('\\n').length";
    assert!(browser.run(length, &[]).as_u64().unwrap() <= 2200);
}
