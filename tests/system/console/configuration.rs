//! The configuration: what others change meanwhile, drafts, trials, and long texts.

use std::net::TcpListener;

use super::{Console, PHONE, WIDE};
use crate::support::Device;
use crate::system::services::OK;
use crate::system::trial::{BOSS, change_by, device, post, text, written};

/// Adds to the text, as a person who types.
const EDIT: &str = "const text = document.querySelector('textarea');
    text.value += arguments[0];
    text.dispatchEvent(new Event('input'))";

/// Opens the configuration of a device with two administrators, as the first of them.
#[track_caller]
fn open(device: &Device) -> Console {
    let console = Console::log_in(device);
    show(&console);
    console
}

#[track_caller]
fn show(console: &Console) {
    console.go_to("Configuration");
    console.browser.until("document.querySelector('textarea').value.includes('<kept secret>')");
}

fn edit(console: &Console, lines: &str) {
    console.browser.run(EDIT, &[lines.into()]);
}

/// Puts the text in force after the question.
#[track_caller]
fn try_it(console: &Console) {
    console.browser.click("Try it");
    console.browser.until("document.querySelector('dialog')?.open");
    console.browser.run("document.querySelector('dialog .main').click()", &[]);
}

/// The other administrator tries the file in force with further lines.
#[track_caller]
fn other_tries(console: &Console, lines: &str) {
    let text = text(&console.server, &device("")) + lines;
    let answer = change_by(&console.server, BOSS, &text, "");
    assert!(answer.contains("\"Change\""), "{answer}");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn change_that_another_administrator_kept_meanwhile_is_not_lost() {
    let console = open(&device(""));
    let browser = &console.browser;
    edit(&console, "# mine\n");
    browser.sees("+ # mine");
    other_tries(&console, "# theirs\n");
    assert_eq!(post(&console.server, "confirm", BOSS, ""), OK);
    try_it(&console);
    browser.sees("another configuration is in force by now");
    browser.sees("Another configuration is in force since you began.");
    browser.sees("- # theirs");
    assert!(written(&console.server).contains("# theirs"));
    browser.click("Go on with my text");
    edit(&console, "# theirs\n");
    browser.until("!/^- /m.test(document.querySelector('pre').textContent)");
    try_it(&console);
    browser.click("Keep it");
    browser.sees("The configuration is confirmed and written.");
    assert!(written(&console.server).contains("# mine\n# theirs\n"));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn same_error_of_a_second_check_is_shown_again_and_fits_on_a_phone() {
    let console = open(&device(""));
    let browser = &console.browser;
    edit(&console, "bogus = 1\n");
    browser.click("Check");
    browser.sees("unknown key 'bogus'");
    browser.run("document.querySelector('main li').className = 'first'", &[]);
    browser.click("Check");
    browser.until("document.querySelector('main li:not(.first)').innerText.includes('bogus')");
    browser.resize(PHONE);
    browser.until("document.documentElement.scrollWidth <= innerWidth");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn draft_survives_other_parts_and_a_new_log_in_of_its_administrator() {
    let console = open(&device(""));
    let browser = &console.browser;
    let has_draft = "document.querySelector('textarea')?.value.includes('# draft')";
    edit(&console, "# draft\n");
    console.go_to("Account");
    console.go_to("Configuration");
    browser.until(has_draft);
    browser.sees("+ # draft");
    browser.click("Log out");
    console.type_password("fadmin", "secret");
    console.go_to("Configuration");
    browser.until(has_draft);
    browser.click("Discard changes");
    browser.until("document.querySelector('dialog')?.open");
    browser.run("document.querySelector('dialog .main').click()", &[]);
    browser.until(&format!("!{has_draft}"));
    // It may contain secrets.
    edit(&console, "# draft\n");
    browser.click("Log out");
    console.type_password("boss", "boss");
    show(&console);
    browser.until(&format!("!{has_draft}"));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn trial_is_in_view_of_every_administrator_also_after_another_part() {
    let console = open(&device(""));
    let browser = &console.browser;
    other_tries(&console, "# theirs\n");
    browser.sees("In force, but not kept. boss tries it.");
    browser.until("/^\\d+ s$/.test(document.querySelector('[role=timer]').textContent)");
    assert!(!browser.text().contains("Keep it"), "another one made it");
    assert_eq!(post(&console.server, "confirm", BOSS, ""), OK);
    browser.sees("The trial has ended: what is shown is in force.");
    edit(&console, "# mine\n");
    try_it(&console);
    browser.sees("Keep it");
    console.go_to("Services");
    show(&console);
    browser.sees("In force, but not kept. Without a confirmation");
    browser.sees("+ # mine");
    browser.click("Take it back");
    browser.sees("Not confirmed: the earlier configuration is back.");
    browser.sees("+ # mine");
    try_it(&console);
    browser.sees("Keep it");
    edit(&console, "# later\n");
    browser.click("Keep it");
    browser.sees("The configuration is confirmed and written.");
    assert!(written(&console.server).ends_with("# theirs\n# mine\n"));
    browser.until("document.querySelector('textarea').value.endsWith('# later\\n')");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn change_of_the_address_is_confirmed_where_the_link_leads() {
    let console = open(&Device { tls: true, ..device("") });
    let browser = &console.browser;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let change = "const text = document.querySelector('textarea');
        text.value = text.value.replace(/address = .*/, arguments[0]);
        text.dispatchEvent(new Event('input'))";
    browser.run(change, &[format!("address = \"0.0.0.0:{port}\"").into()]);
    try_it(&console);
    browser.sees("It opens another address.");
    let url = format!("https://127.0.0.1:{port}/#/configuration");
    assert_eq!(browser.run("return document.querySelector('.trial a').href", &[]), url.as_str());
    assert!(!browser.text().contains("Keep it"), "the old address cannot");
    browser.go(&url);
    console.type_password("fadmin", "secret");
    browser.sees("In force, but not kept.");
    browser.click("Keep it");
    browser.sees("The configuration is confirmed and written.");
    assert!(written(&console.server).contains(&format!("0.0.0.0:{port}")));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn long_text_is_refused_at_once_and_has_few_elements() {
    let console = open(&device(""));
    let browser = &console.browser;
    edit(&console, &"# line\n".repeat(6000));
    browser.until("document.querySelector('pre ins')?.textContent.length > 6000 * 7");
    browser.until("document.querySelectorAll('pre *').length < 9");
    edit(&console, &"x\n".repeat(40_000));
    browser.sees("The text is too long: ");
    browser.until("document.querySelector('pre').hidden");
    browser.click("Check");
    browser.until("document.querySelector('#message').textContent.includes('The text is too long: ')");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn administrator_opens_the_window_of_a_certificate_and_sets_a_password() {
    let console = Console::log_in(&Device { tls: true, ..device("") });
    let browser = &console.browser;
    console.go_to("Account");
    browser.sees("No window is open.");
    browser.fill("User (empty for all)", "guest");
    browser.click("Pair a certificate");
    browser.sees("The window is open for guest.");
    browser.click("Close the window");
    browser.sees("No window is open.");
    browser.fill("His new password", "another-1");
    browser.click("Set password");
    browser.sees("guest has another password");
    // A session that begins meanwhile is listed without a look at another part.
    console.server.login("guest", "another-1");
    browser.until("document.querySelector('tbody').innerText.includes('guest')");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn log_level_is_seen_and_set_in_the_part_of_the_device() {
    let console = Console::open(&Device::new(), WIDE);
    let browser = &console.browser;
    console.type_password("fadmin", "secret");
    console.go_to("Device");
    browser.until("document.querySelector('select').value === 'debug'");
    let set = "const level = document.querySelector('select'); level.value = 'warn'; level.dispatchEvent(new Event('change'))";
    browser.run(set, &[]);
    browser.sees("Records of the level warn and above");
    assert!(console.server.call("board/log").contains(r#""Level": "warn""#));
}
