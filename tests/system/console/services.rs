//! Services: every button, ends with their reasons, output.

use super::Console;
use crate::support::Device;
use crate::support::device::shell;
use crate::support::wait::until;

const IGNORED: [&str; 0] = [];

/// Its name has every kind of character that a name may have: that of an instance.
#[test]
#[ignore = "the step 'console' runs it"]
fn every_button_of_a_service() {
    let commands = "description = \"the tool\"\n[service.commands]\nsay = [\"/bin/sh\", \"-c\", \"echo said; exit 4\"]\nreload = \"USR1\"";
    let script = "trap 'echo reloaded' USR1; echo begun; while :; do sleep 0.1; done";
    let console = Console::log_in(&Device::new().with(&shell("tool@a.b-c", script, commands)));
    let browser = &console.browser;
    browser.click("Start tool@a.b-c");
    // Its answer, which comes after the state, would take the place of that of the next button.
    browser.sees("tool@a.b-c: start done");
    browser.until("document.querySelectorAll('tbody tr')[1].innerText.includes('running')");
    browser.click("tool@a.b-c");
    browser.until("document.querySelector('h1').textContent === 'tool@a.b-c'");
    browser.sees("the tool");
    browser.sees("begun");
    for (button, state) in [
        ("Pause tool@a.b-c", "paused"),
        ("Start tool@a.b-c", "running"),
        ("Restart tool@a.b-c", "running"),
        ("Stop tool@a.b-c", "stopped"),
        ("Start tool@a.b-c", "running"),
    ] {
        browser.click(button);
        // A button does nothing while its verb is under way.
        let (verb, name) = button.split_once(' ').unwrap();
        browser.sees(&format!("{name}: {} done", verb.to_lowercase()));
        browser.until(&format!("document.querySelector('.state').textContent === '{state}'"));
    }
    browser.sees("Memory");
    browser.sees("Processor time");
    browser.click("say");
    browser.sees("say: exit 4");
    browser.sees("said");
    browser.click("reload");
    browser.sees("reloaded");
    browser.click("Start at boot");
    browser.sees("Do not start at boot");
    let file = console.server.directory().file("state/enabled");
    until("it is stored", || std::fs::read_to_string(&file).unwrap_or_default().contains("tool"));
    browser.click("Do not start at boot");
    browser.until("document.body.innerText.includes('Starts at boot\\nno') || document.body.innerText.match(/Starts at boot\\s+no/)");
    assert_eq!(browser.log(), IGNORED);
}

#[test]
#[ignore = "the step 'console' runs it"]
fn death_has_its_reason_and_its_last_lines() {
    let script = "echo warming up; sleep 1; echo no port left >&2; exit 3";
    let console = Console::log_in(&Device::new().with(&shell("web", script, "")));
    let browser = &console.browser;
    browser.click("Start web");
    browser.until("document.querySelector('#news').textContent.includes('exit 3')");
    browser.until("document.querySelectorAll('tbody tr')[1].innerText.includes('exit 3')");
    browser.click("web");
    browser.sees("Last lines before the end");
    browser.sees("no port left");
    browser.sees("Ends");
    browser.sees("exited");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn start_that_fails_has_its_reason() {
    let gone = "[[service]]\nname = \"gone\"\ncommand = [\"/nonexistent/program\"]\n";
    let console = Console::log_in(&Device::new().with(gone));
    console.browser.click("Start gone");
    console.browser.until(
        "document.querySelector('#message.bad')?.textContent.includes('/nonexistent/program: No such file or directory')",
    );
}

#[test]
#[ignore = "the step 'console' runs it"]
fn crash_loop_is_counted() {
    let looping = shell("looping", "echo again; sleep 0.3; exit 1", "restart = \"always\"\nstart_limit = 0");
    let console = Console::log_in(&Device::new().with(&looping));
    console.browser.click("Start looping");
    console.browser.click("looping");
    console.browser.until("Number(document.body.innerText.match(/Restarts\\s+(\\d+)/)?.[1]) >= 2");
    console.browser.sees("exit 1");
    console.browser.click("Stop looping");
    console.browser.until("document.querySelector('.state').textContent === 'stopped'");
}

#[test]
#[ignore = "the step 'console' runs it"]
fn output_is_followed_and_searched() {
    let script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done";
    let console = Console::log_in(&Device::new().with(&shell("talker", script, "autostart = true")));
    let browser = &console.browser;
    browser.click("talker");
    browser.sees("line 1\n");
    browser.sees("line 12");
    browser.fill("Search", "LINE 1");
    browser.until("/^\\d+ of \\d+ lines$/.test(document.querySelector('section .quiet').textContent)");
    browser.until("document.querySelector('.log').textContent.split('\\n').every((line) => !line || line.includes('line 1'))");
    browser.click("Follow");
    browser.fill("Search", "");
    let count = "return document.querySelector('.log').textContent.length";
    browser.until("document.querySelector('[type=checkbox]').checked === false");
    let before = browser.run(count, &[]);
    let log = console.server.call("services/talker/log");
    until("more lines are there", || {
        let later = console.server.call("services/talker/log");
        later.matches("line ").count() > log.matches("line ").count() + 2
    });
    assert_eq!(browser.run(count, &[]), before, "it does not follow any more");
    browser.click("Follow");
    browser.until(&format!("document.querySelector('.log').textContent.length > {before}"));
}

#[test]
#[ignore = "the step 'console' runs it"]
fn text_of_services_is_never_html() {
    const HOSTILE: &str = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>";
    let table = format!(
        "[[service]]\nname = \"evil\"\ncommand = [\"/bin/sh\", \"-c\", 'printf \"\\033[31m%s\\n\" \"$TEXT\"; sleep 1; exit 1']\n\
         description = '{HOSTILE}'\nenv = {{ TEXT = '{HOSTILE}' }}\n\
         [service.commands]\nsay = [\"/bin/echo\", '{HOSTILE}']\n"
    );
    let mut device = Device::new().with(&table);
    device.tables = device.tables.replace("Friend Administrator", "<b>Friend</b> Administrator");
    let console = Console::log_in(&device);
    let browser = &console.browser;
    browser.sees("<b>Friend</b> Administrator");
    browser.sees(HOSTILE);
    browser.click("Start evil");
    browser.click("evil");
    browser.sees("Last lines before the end");
    browser.click("say");
    browser.sees("say: exit 0");
    browser.until("document.querySelectorAll('pre').length === 3");
    let found = browser.run(
        "return [window.hacked ?? 0, document.querySelectorAll('main img, main script, #user b').length]",
        &[],
    );
    assert_eq!(found, serde_json::json!([0, 0]));
    assert_eq!(browser.log(), IGNORED);
}
