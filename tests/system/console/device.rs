//! The parts of the administrator: device, audit trail, configuration.

use super::{Console, WIDE};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::server::friendlet;
use crate::support::wait::until;
use crate::support::{Device, Server};

#[test]
#[ignore = "the step 'console' runs it"]
fn reboot_is_confirmed_first() {
    let directory = Directory::new();
    let file = directory.file("ended");
    let board = format!("[board]\nreboot = [\"/bin/touch\", \"{file}\"]\n");
    let console = Console::log_in(&Device::new().with(&board));
    let browser = &console.browser;
    console.go_to("Device");
    browser.until("/Connections\\s+\\d+ open; at most \\d+ with/.test(document.body.innerText)");
    browser.until("/Sessions\\s+1 of \\d+/.test(document.body.innerText)");
    browser
        .until("/Memory\\s+\\d+ [KM]iB of the server; \\d+ MiB of \\d+ MiB/.test(document.body.innerText)");
    browser.click("Power off");
    browser.sees("switch the device off?");
    browser.click("Cancel");
    browser.click("Reboot");
    browser.sees("restart the device?");
    browser.until("document.querySelector('dialog').open");
    browser.run("document.querySelector('dialog .main').click()", &[]);
    until("it ends", || std::fs::exists(&file).unwrap());
}

#[test]
#[ignore = "the step 'console' runs it"]
fn audit_trail_is_shown_and_searched() {
    let directory = Directory::new();
    let audit = format!("level = \"debug\"\naudit = \"{}\"", directory.file("audit"));
    let text = Device::new().text(&directory.file("state")).replacen("level = \"debug\"", &audit, 1);
    let (file, trail) = (directory.write("friendlet.toml", text), directory.file("audit"));
    let mut command = friendlet();
    command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
    let console = Console::on(Server::start_command(directory, command), WIDE);
    console.type_password("fadmin", "secret");
    let browser = &console.browser;
    browser.click("Start allowed");
    browser.sees("running");
    // A thread writes it.
    until("it is recorded", || {
        std::fs::read_to_string(&trail).unwrap_or_default().contains("services/start")
    });
    console.go_to("Audit trail");
    browser.until("[...document.querySelectorAll('tbody tr')].some((row) => row.innerText.includes('services/start') && row.innerText.includes('allowed'))");
    browser.fill("Search", "call=login");
    browser
        .until("[...document.querySelectorAll('tbody tr')].every((row) => row.innerText.includes('login'))");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn missing_audit_trail_has_its_reason() {
    let console = Console::log_in(&Device::new());
    console.browser.click("Audit trail");
    console.browser.sees("This device keeps no audit trail");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn configuration_is_tried_and_confirmed() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    console.go_to("Configuration");
    browser.until("document.querySelector('textarea').value.includes('<kept secret>')");
    let edit = "const text = document.querySelector('textarea');
        text.value = arguments[1] ? text.value.replace(arguments[0], arguments[1]) : text.value + arguments[0];
        text.dispatchEvent(new Event('input'))";

    browser.run(edit, &["[[service]]\nname = \"new\"\ncomand = [\"/bin/true\"]\n".into()]);
    browser.sees("+ name = \"new\"");
    browser.click("Check");
    browser.sees("unknown key 'comand'");
    browser.sees("Nothing was changed.");
    browser.run("document.querySelector('main li:last-child button').click()", &[]);
    browser.until("(() => { const text = document.querySelector('textarea'); return text.value.slice(text.selectionStart).startsWith('comand') })()");

    let good = shell("new", "exec sleep 1000", "");
    let bad = "[[service]]\nname = \"new\"\ncomand = [\"/bin/true\"]\n";
    browser.run(edit, &[bad.into(), good.into()]);
    browser.click("Check");
    browser.sees("The configuration has no error.");
    browser.until("document.querySelector('dl').innerText.includes('new')");
    let try_it = || {
        browser.click("Try it");
        browser.until("document.querySelector('dialog')?.open");
        browser.run("document.querySelector('dialog .main').click()", &[]);
        browser.sees("In force, but not kept.");
    };
    let file = console.server.config_file();
    browser.fill("Seconds to confirm it", "3");
    try_it();
    browser.sees("Not confirmed: the earlier configuration is back.");
    // What was typed stays.
    browser.until("document.querySelector('textarea').value.includes('name = \"new\"')");
    browser.sees("+ name = \"new\"");

    browser.fill("Seconds to confirm it", "60");
    try_it();
    assert!(!std::fs::read_to_string(&file).unwrap().contains("name = \"new\""));
    browser.until("/^\\d+ s$/.test(document.querySelector('[role=timer]').textContent)");
    browser.click("Keep it");
    browser.sees("The configuration is confirmed and written.");
    assert!(std::fs::read_to_string(&file).unwrap().contains("name = \"new\""));
    console.go_to("Services");
    browser.sees("new");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn files_of_the_device_are_read_again_after_a_question() {
    let console = Console::log_in(&Device::new());
    let browser = &console.browser;
    console.go_to("Configuration");
    let file = console.server.config_file();
    let text = std::fs::read_to_string(&file).unwrap() + &shell("later", "exec sleep 1000", "");
    std::fs::write(&file, text).unwrap();
    browser.click("Reload from the file");
    browser.sees("New services: later.");
    browser.until("document.querySelector('dialog')?.open");
    browser.run("document.querySelector('dialog .main').click()", &[]);
    browser.sees("The configuration file is in force.");
    browser.until("document.querySelector('textarea').value.includes('later')");
    console.go_to("Services");
    browser.sees("later");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn problem_of_the_board_is_shown_to_administrators_alone() {
    let directory = Directory::new();
    let file = directory.write("friendlet.toml", Device::new().text(&directory.file("state")));
    let mut command = friendlet();
    command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
    command.env("FRIENDLET_NOTICE", "the certificate ends in 6 days");
    let console = Console::on(Server::start_command(directory, command), WIDE);
    let browser = &console.browser;
    console.type_password("fadmin", "secret");
    browser.until(
        "document.querySelector('[role=alert]').innerText.startsWith('the certificate ends in 6 days')",
    );
    browser.click("Dismiss");
    browser.until("document.querySelector('[role=alert]').hidden");
    browser.click("Log out");
    browser.sees("You are logged out.");
    console.type_password("guest", "guest");
    browser.sees("allowed");
    assert!(!browser.text().contains("certificate"));
}
