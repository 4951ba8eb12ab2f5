//! Programs of others as services of a booted board: the broker, the panel that requires it, the web server and
//! the jobs of `tests/system/stack/services.toml`.

use super::super::ordering::assert_order_in;
use super::*;

/// Directory of the files of the services.
const DIRECTORY: &str = "/data/stack";

/// A value of `services/NAME/show`.
fn shown(name: &str, key: &str) -> String {
    member(&call(&format!("services/{name}/show")), key)
}

fn is_ready(name: &str) -> bool {
    call(&format!("services/{name}/status")).contains(r#""Ready": true"#)
}

fn panel_received(text: &str) -> usize {
    call("services/panel/log").matches(&format!("received {text}")).count()
}

/// The page that the web server answers with.
fn page() -> String {
    board().run("wget -q -O - http://127.0.0.1:8080/ 2>&1")
}

#[test]
#[ignore = "needs a booted board"]
fn a_stack_starts_in_order() {
    within(wait::SOON * 3, "the last ones are ready", || {
        (is_ready("panel") && is_ready("web")).then_some(())
    });
    within(wait::SOON * 3, "the job has run", || (state("job") == "finished").then_some(()));
    let directory = Directory::new();
    let file = directory.file("log");
    let log = || log_file("log", &file);
    let prepared = "prepare: exited, exit 0";
    let order =
        [prepared, "broker: started", "broker: ready", "panel: started", "panel: ready", "job: started"];
    assert_order_in(log, &order);
    assert_order_in(log, &[prepared, "web: started", "web: ready"]);
    until("the message of the job has arrived", || panel_received("21.5 degrees") == 1);
    within(wait::SOON * 3, "it has run on schedule", || (panel_received("a reading") >= 2).then_some(()));
    println!("{}", board().run("grep -E '^Mem(Total|Available)' /proc/meminfo").replace('\n', ", "));
}

#[test]
#[ignore = "needs a booted board"]
fn broker_that_is_killed_is_back_with_what_requires_it() {
    let restarts = |name: &str| shown(name, "Restarts").parse::<u32>().unwrap();
    let [broker, panel] = ["broker", "panel"].map(restarts);
    board().run(&format!("kill -9 {}", shown("broker", "Pid")));
    let is_back = || restarts("panel") > panel && is_ready("panel");
    within(wait::SOON * 3, "the panel is back", || is_back().then_some(()));
    assert_eq!(restarts("broker"), broker + 1);
    assert_eq!(shown("broker", "LastExit"), "signal 9");
    assert!(call("services/panel/log").contains("lost the broker"));
}

#[test]
#[ignore = "needs a booted board"]
fn pages_are_served_by_a_plain_user_through_a_reload() {
    let pid = shown("web", "Pid");
    assert_eq!(page(), "the first page");
    board().run(&format!("sed -i s/first/second/ {DIRECTORY}/web.conf"));
    let command = request("r", "services/web/command", r#"{"cmd":"reload"}"#, ADMIN);
    let answer = socket().call(&command);
    assert!(answer.contains(OK), "{answer}");
    until("the file is in force", || page() == "the second page");
    assert_eq!(shown("web", "Pid"), pid);
    assert_eq!(process::status(pid.parse().unwrap(), "Uid"), 33);
    assert_eq!(board().run("stat -c %u /data/lib/stack /data/log/stack /run/stack"), "33\n33\n33\n");
}

/// Runs last, by its name. The next server starts all of it again.
#[test]
#[ignore = "needs a booted board"]
fn stack_stops_in_reverse_and_is_back_with_the_server() {
    let before = server();
    board().run(&format!("kill -TERM {}", keeper()));
    next_server(before);
    let directory = Directory::new();
    let file = directory.file("log");
    let log = || log_file("log", &file);
    // The broker still accepts what the panel publishes at its end.
    assert_order_in(log, &["stopping", "panel: exited, exit 0", "broker: exited, exit 0"]);
    assert_order_in(log, &["stopping", "web: exited, exit 0"]);
    assert!(board().run(&format!("ls {DIRECTORY}/kept")).contains("mosquitto.db"), "it has stored its data");
    within(wait::SOON * 3, "all are back", || (is_ready("panel") && is_ready("web")).then_some(()));
}
