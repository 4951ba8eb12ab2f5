//! Keyboard, phone, screen reader, and pictures of it.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Console, PHONE, WIDE};
use crate::support::Device;
use crate::support::browser::{Browser, ENTER, TAB};
use crate::support::device::shell;

/// axe-core, from the root of the repository.
const AXE: &str = "target/console/axe_playwright_python/axe.min.js";
/// Longest picture of the documents.
const PICTURE_BYTES: usize = 100_000;

fn many() -> Device {
    let tables: String = (2..=32)
        .map(|number| {
            shell(
                &format!("service-{number:02}"),
                "exec sleep 1000",
                "description = \"one of many services\"",
            )
        })
        .collect();
    Device::new().with(&tables)
}

#[test]
#[ignore = "the step 'console' runs it"]
fn keyboard_alone_is_enough() {
    let console = Console::open(&Device::new(), WIDE);
    let browser = &console.browser;
    browser.until("document.activeElement.tagName === 'INPUT'");
    browser.press(&format!("fadmin{TAB}secret{ENTER}"));
    browser.sees("allowed");
    let name =
        "return document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent";
    let go_to = |wanted: &str| {
        for _ in 0..30 {
            if browser.run(name, &[]) == wanted {
                break;
            }
            browser.press(TAB);
        }
        assert_eq!(browser.run(name, &[]), wanted);
    };
    go_to("Start allowed");
    browser.press(ENTER);
    browser.until("document.querySelector('.state').textContent === 'running'");
    // The row was updated, and the focus is where it was.
    assert_eq!(browser.run(name, &[]), "Start allowed");
    go_to("Stop allowed");
    browser.press(ENTER);
    browser.until("document.querySelector('.state').textContent === 'stopped'");
    browser.run("document.querySelector('h1').scrollIntoView(); document.activeElement.blur()", &[]);
    go_to("allowed");
    browser.press(ENTER);
    browser.until("document.querySelector('h1').textContent === 'allowed'");
    assert_eq!(browser.run("return document.activeElement.tagName", &[]), "MAIN");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn phone_shows_32_services_without_scrolling_sideways() {
    let console = Console::open(&many(), PHONE);
    let browser = &console.browser;
    console.type_password("fadmin", "secret");
    browser.sees("service-32");
    browser.until("document.querySelectorAll('tbody tr').length === 32");
    browser
        .until("[...document.querySelectorAll('.state')].every((state) => state.textContent === 'stopped')");
    let is_narrow = "document.documentElement.scrollWidth <= innerWidth";
    browser.until(is_narrow);
    browser.click("Start service-32");
    browser.until("document.querySelectorAll('.state')[31].textContent === 'running'");
    for part in ["Device", "Configuration", "Account"] {
        console.go_to(part);
        browser.until(is_narrow);
    }
    console.go_to("Services");
    browser.click("service-31");
    browser.sees("Declaration");
    browser.until(is_narrow);
}

#[test]
#[ignore = "the step 'console' runs it"]
fn ordinary_description_leaves_the_words_of_other_columns_whole() {
    let description =
        "reads the sensors of the machine hall, and writes what they measure to the data base of the site";
    let keys = format!("description = \"{description}\"\nautostart = true");
    let long = format!("description = \"{}\"", "w".repeat(110));
    let console =
        Console::log_in(&Device::new().with(&shell("sensors", "exec sleep 1000", &keys)).with(&shell(
            "long",
            "exec sleep 1000",
            &long,
        )));
    let browser = &console.browser;
    browser.sees("running");
    for width in [1200, 1024, 900, 768, 360] {
        browser.resize((width, 700));
        browser.until(
            "[...document.querySelectorAll('td button, .state')].every((node) => node.offsetHeight < 46)
                && document.documentElement.scrollWidth <= innerWidth",
        );
    }
}

/// Faults of a page that axe-core finds, except those of minor impact.
#[track_caller]
fn faults(browser: &Browser) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE);
    let axe = fs::read_to_string(&file).expect("axe-core: `cargo xtask test --only console` installs it");
    browser.run(&axe, &[]);
    browser.run("window.found = null; axe.run().then((result) => { window.found = result })", &[]);
    browser.until("window.found?.passes.length > 5");
    let list = "return window.found.violations.filter(({ impact }) => impact !== 'minor')
        .map(({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map(({ html }) => html).join(' ')}`)";
    let found = browser.run(list, &[]);
    found.as_array().unwrap().iter().map(|fault| fault.as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "the step 'console' runs it"]
fn axe_finds_no_fault_in_any_part() {
    let console = Console::open(&board(), WIDE);
    let browser = &console.browser;
    browser.sees("Log in");
    assert_eq!(faults(browser), [""; 0], "log-in");
    console.type_password("fadmin", "wrong");
    browser.sees("Wrong user or password.");
    assert_eq!(faults(browser), [""; 0], "refused log-in");
    console.type_password("fadmin", "secret");
    browser.click("Start uplink");
    browser.until("document.querySelector('#message.bad')");
    for scheme in ["light", "dark"] {
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.command("Emulation.setEmulatedMedia", &scheme);
        for part in ["Services", "Device", "Audit trail", "Configuration", "Account"] {
            console.go_to(part);
            assert_eq!(faults(browser), [""; 0], "{part}");
        }
        console.go_to("Services");
        browser.click("uplink");
        browser.sees("no carrier");
        browser.sees("Declaration");
        assert_eq!(faults(browser), [""; 0], "a service");
    }
    console.go_to("Device");
    browser.click("Reboot");
    browser.until("document.querySelector('dialog').open");
    assert_eq!(faults(browser), [""; 0], "a question");
}

/// Services as on a small board, in various states.
fn board() -> Device {
    let tables = [
        shell(
            "web",
            "echo listening on port 8080; while :; do sleep 2; echo 'GET / 200'; done",
            "autostart = true\ndescription = \"pages of the panel\"",
        ),
        shell(
            "sensors",
            "echo bus 1 has 3 sensors; while :; do sleep 1; echo 21.4 degrees; done",
            "autostart = true\ndescription = \"temperature and humidity\"",
        ),
        shell(
            "uplink",
            "echo dialling; echo no carrier >&2; exit 3",
            "description = \"modem to the control room\"",
        ),
        shell("display", "exec sleep 1000", "description = \"what the panel shows\""),
    ];
    let mut device = Device::new().with(&tables.concat());
    device.tables = device
        .tables
        .replace("name = \"allowed\"", "name = \"backup\"")
        .replace("[\"allowed\"]", "[\"backup\"]");
    device
}

#[test]
#[ignore = "the step 'console' runs it"]
fn pictures_of_the_documents() {
    let console = Console::open(&board(), WIDE);
    let browser = &console.browser;
    console.type_password("fadmin", "secret");
    browser.click("Start uplink");
    browser.until("document.querySelector('#message.bad')");
    browser.until("document.querySelectorAll('.started').length === 2");
    browser.resize((1000, 560));
    picture("docs/console.png", &browser.screenshot());
    browser.click("sensors");
    browser.sees("degrees");
    browser.sees("Declaration");
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.command("Emulation.setEmulatedMedia", &dark);
    browser.resize(PHONE);
    picture("docs/console-phone.png", &browser.screenshot());
}

/// Writes a picture of the documents with `FRIENDLET_WRITE_DOCS=1`, and holds the one that is there to its size: pixels
/// differ between machines.
#[track_caller]
fn picture(path: &str, png: &[u8]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("FRIENDLET_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&file, png).unwrap();
    }
    let stored = fs::read(&file).unwrap();
    assert!(stored.starts_with(b"\x89PNG") && png.starts_with(b"\x89PNG"), "{path}");
    assert!(stored.len() <= PICTURE_BYTES, "{path}: {}", stored.len());
}
