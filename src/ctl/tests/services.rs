//! Commands about several services.

use super::*;

const UNKNOWN_SERVICE: &str =
    r#""fail<!--separate-->{ \"response\": \"Service not found\", \"code\":\"20\" }""#;
const DONE: &str = "{ \"Status\": \"ok\"}";
const THREE: &str =
    "{ \"Services\": [ { \"Name\": \"web\" },{ \"Name\": \"db\" },{ \"Name\": \"webcam\" }] }";

/// A call of a verb or of `status`.
fn of(call: &str, service: &str) -> String {
    format!("{call}\",\"data\":{{\"serviceName\":\"{service}\"}}")
}

/// Runs a command against a server with these calls and replies.
fn calls(line: &str, setting: &Setting<'_>, calls: Vec<(String, String)>) -> Run {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, move |_, stream| {
        let mut socket = grant(stream);
        for (number, (call, content)) in (1..).zip(&calls) {
            respond(&mut socket, number, call, content);
        }
        finish(socket);
    });
    let said = setting.run(&directory, &format!("--url ws://{authority} --session S/1 {line}"));
    thread.join().unwrap();
    said
}

fn list() -> (String, String) {
    (LIST.to_owned(), THREE.to_owned())
}

fn reply(call: &str, service: &str, content: &str) -> (String, String) {
    (of(call, service), content.to_owned())
}

#[test]
fn patterns_are_handled_in_the_order_of_the_list_and_stopped_from_the_last() {
    for (line, call, services) in [
        ("start all", "start", ["web", "db", "webcam"]),
        ("restart db all", "restart", ["db", "web", "webcam"]),
        ("stop all", "stop", ["webcam", "db", "web"]),
        ("disable db *", "uninstall", ["db", "webcam", "web"]),
    ] {
        let replies = services.iter().map(|service| reply(call, service, DONE));
        let said = calls(line, &Setting::default(), [list()].into_iter().chain(replies).collect());
        let word = line.split(' ').next().unwrap();
        let lines: String = services.iter().map(|service| format!("{word} {service}: ok\n")).collect();
        assert_eq!((said.code, said.out, said.err.as_str()), (0, lines, ""), "{line}");
    }
}

#[test]
fn a_failure_keeps_no_other_service_from_being_handled() {
    let busy = r#""fail<!--separate-->{ \"response\": \"Function start returned: 11\", \"code\":\"18\" }""#;
    let script = || {
        let near = (LIST.to_owned(), THREE.to_owned());
        vec![
            reply("start", "web", busy),
            reply("start", "bd", UNKNOWN_SERVICE),
            near,
            reply("start", "db", DONE),
        ]
    };
    let said = calls("start web bd db web", &Setting::default(), script());
    assert_eq!((said.code, said.out.as_str()), (UNKNOWN, "start db: ok\n"));
    let expected = "friendlet ctl: web: start: an earlier command has not ended; try again\n\
                    friendlet ctl: no service 'bd'; did you mean 'db'?\n";
    assert_eq!(said.err, expected);
    let said = calls("--json start web bd db", &Setting::default(), script());
    let expected = concat!(
        r#"{"web":{"error":"web: start: an earlier command has not ended; try again","exit":1},"#,
        r#""bd":{"error":"no service 'bd'; did you mean 'db'?","exit":4},"db":{ "Status": "ok"}}"#,
        "\n"
    );
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (UNKNOWN, expected, ""));
}

#[test]
fn failure_of_a_service_names_it() {
    let refusal = |number: u32| {
        format!(
            r#""fail<!--separate-->{{ \"response\": \"Function pause returned: {number}\", \"code\":\"18\" }}""#
        )
    };
    let said = calls("pause web", &Setting::default(), vec![(of("pause", "web"), refusal(3))]);
    assert_eq!((said.code, said.err.as_str()), (FAILED, "friendlet ctl: web: it does not run\n"));
}

#[test]
fn closed_output_keeps_no_service_from_being_handled() {
    let replies = vec![reply("start", "web", DONE), reply("start", "db", DONE)];
    let said = calls("start web db", &Setting { is_closed: true, ..Setting::default() }, replies);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn pattern_without_a_service() {
    let said = calls("stop x*", &Setting::default(), vec![list()]);
    assert_eq!((said.code, said.out.as_str()), (UNKNOWN, ""));
    assert!(said.err.contains("no service matches 'x*'; `friendlet ctl list`"), "{}", said.err);
}

const NO_MATCH: &str = "no service matches 'x*'; `friendlet ctl list` names the services";

#[test]
fn pattern_without_a_match_keeps_no_other_service_from_being_handled() {
    let err = format!("friendlet ctl: {NO_MATCH}\n");
    let object = format!("{{\"error\":\"{NO_MATCH}\",\"exit\":4}}");
    for word in ["start", "stop", "restart", "pause"] {
        let script = || vec![list(), reply(word, "web", DONE)];
        let said = calls(&format!("{word} x* web"), &Setting::default(), script());
        let out = format!("{word} web: ok\n");
        assert_eq!((said.code, &said.out, &said.err), (UNKNOWN, &out, &err), "{word}");
        let said = calls(&format!("--json {word} x* web"), &Setting::default(), script());
        let out = format!("{{\"x*\":{object},\"web\":{DONE}}}\n");
        assert_eq!((said.code, said.out, said.err.as_str()), (UNKNOWN, out, ""), "{word}");
    }
    let up = "{ \"Status\": \"ok\", \"State\": \"started\"}";
    let waits = vec![list(), reply("start", "web", DONE), reply("status", "web", up)];
    let said = calls("start --wait x* web", &Setting::default(), waits);
    assert_eq!((said.code, said.out.as_str(), &said.err), (UNKNOWN, "start web: started\n", &err));
    let said = calls("status x* web", &Setting::default(), vec![list(), reply("status", "web", up)]);
    assert!(said.code == UNKNOWN && said.out.contains("\nweb      started ") && said.err == err, "{said:?}");
    let page = r#"{ "Status": "ok", "From": 0, "Next": 2, "Lost": 0, "Lines": ["a"]}"#;
    let script = || vec![list(), reply("log", "web", page)];
    let said = calls("logs x* web", &Setting::default(), script());
    assert_eq!((said.code, said.out.as_str(), &said.err), (UNKNOWN, "web  a\n", &err));
    let said = calls("--json logs x* web", &Setting::default(), script());
    let out = format!("{{\"x*\":{object}}}\n{{\"web\":{page}}}\n");
    assert_eq!((said.code, said.out, said.err.as_str()), (UNKNOWN, out, ""));
}

#[test]
fn watch_says_which_operand_matches_no_service() {
    let up = "{ \"State\": \"started\"}";
    let said = |line| {
        let directory = TestDirectory::new();
        let (authority, thread) = server(1, move |_, stream| {
            let mut socket = grant(stream);
            respond(&mut socket, 1, LIST, THREE);
            respond(&mut socket, 2, &of("status", "web"), up);
            say(&mut socket, r#"{"type":"msg","data":{"type":"server-notice","data":"session timeout"}}"#);
            finish(socket);
        });
        let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 {line}"));
        thread.join().unwrap();
        said
    };
    let plain = said("watch web x*");
    assert!(plain.out.ends_with("Z  web  started\n"), "{plain:?}");
    assert!(plain.err.starts_with(&format!("friendlet ctl: {NO_MATCH}\n")), "{plain:?}");
    let json = said("--json watch web x*");
    assert!(
        json.out.starts_with(&format!("{{\"x*\":{{\"error\":\"{NO_MATCH}\",\"exit\":4}}}}\n")),
        "{json:?}"
    );
}

#[test]
fn status_of_several_has_the_highest_exit_code() {
    let state = |state: &str| format!("{{ \"Status\": \"ok\", \"State\": \"{state}\"}}");
    let said = calls(
        "status web*",
        &Setting::default(),
        vec![list(), (of("status", "web"), state("finished")), (of("status", "webcam"), state("failed"))],
    );
    assert_eq!(said.code, NOT_RUNNING);
    assert!(said.out.contains("web      finished") && said.out.contains("webcam   failed"), "{}", said.out);
    let said = calls("status bd", &Setting::default(), vec![reply("status", "bd", UNKNOWN_SERVICE), list()]);
    assert_eq!((said.code, said.out.as_str()), (UNKNOWN, ""));
    assert!(said.err.contains("did you mean 'db'?"), "{}", said.err);
}

#[test]
fn wait_for_services_until_they_are_ready_or_have_failed() {
    let state = |state: &str, rest: &str| format!("{{ \"Status\": \"ok\", \"State\": \"{state}\"{rest}}}");
    let said = calls(
        "start --wait web db",
        &Setting::default(),
        vec![
            reply("start", "web", DONE),
            reply("start", "db", DONE),
            (of("status", "web"), state("starting", "")),
            (of("status", "web"), state("started", ", \"Ready\": false")),
            (of("status", "web"), state("started", ", \"Ready\": true")),
            (of("status", "db"), state("failed", ", \"Reason\": \"exit 2\"")),
        ],
    );
    assert_eq!((said.code, said.out.as_str()), (FAILED, "start web: started\n"));
    assert_eq!(said.err, "friendlet ctl: db: failed: exit 2; see `friendlet ctl logs db`\n");
    let said = calls(
        "stop --wait web",
        &Setting::default(),
        vec![
            reply("stop", "web", DONE),
            (of("status", "web"), state("stopping", "")),
            (of("status", "web"), state("stopped", "")),
        ],
    );
    assert_eq!((said.code, said.out.as_str()), (0, "stop web: stopped\n"), "{}", said.err);
    // A program that has done its work.
    let done = state("stopped", ", \"LastExit\": \"exit 0\"");
    let said = calls(
        "restart --wait web",
        &Setting::default(),
        vec![reply("restart", "web", DONE), (of("status", "web"), done)],
    );
    assert_eq!((said.code, said.out.as_str()), (0, "restart web: stopped\n"), "{}", said.err);
}

#[test]
fn named_command_that_is_a_signal_or_unknown() {
    let call = |name: &str| format!("command\",\"data\":{{\"serviceName\":\"web\",\"cmd\":\"{name}\"}}");
    let said = calls("command web reload", &Setting::default(), vec![(call("reload"), DONE.to_owned())]);
    assert_eq!((said.code, said.out.as_str()), (0, "command reload of web: ok\n"));
    let output = r#"{ "Status": "ok", "Exit": "exit 3", "Output": "a\u001b"}"#;
    let said = calls("command web reload", &Setting::default(), vec![(call("reload"), output.to_owned())]);
    assert_eq!((said.code, said.out.as_str()), (FAILED, "a\u{FFFD}\n"));
    assert_eq!(said.err, "friendlet ctl: command reload of web failed: exit 3\n");
    let unknown = r#""fail<!--separate-->{ \"response\": \"Function not found\", \"code\":\"1\" }""#;
    let show = r#"{ "Status": "ok", "Commands": [{"Name": "reload"},{"Name": "version"}]}"#;
    let said = calls(
        "command web relaod",
        &Setting::default(),
        vec![(call("relaod"), unknown.to_owned()), reply("show", "web", show)],
    );
    assert_eq!(said.code, UNKNOWN);
    assert_eq!(said.err, "friendlet ctl: web has no command 'relaod'; it has reload, version\n");
}

#[test]
fn output_of_several_services_has_their_names() {
    let page =
        |line: &str| format!(r#"{{ "Status": "ok", "From": 0, "Next": 2, "Lost": 0, "Lines": ["{line}"]}}"#);
    let log = |name: &str| format!("log\",\"data\":{{\"serviceName\":\"{name}\"}}");
    let script = || vec![list(), (log("web"), page("a")), (log("webcam"), page("b"))];
    let said = calls("logs web*", &Setting::default(), script());
    assert_eq!((said.code, said.out.as_str()), (0, "web     a\nwebcam  b\n"), "{}", said.err);
    let said = calls("--json logs web*", &Setting::default(), script());
    assert_eq!(said.out, format!("{{\"web\":{}}}\n{{\"webcam\":{}}}\n", page("a"), page("b")));
    let unknown = || vec![(log("bd"), UNKNOWN_SERVICE.to_owned()), list(), (log("web"), page("a"))];
    let said = calls("logs bd web", &Setting::default(), unknown());
    assert_eq!((said.code, said.out.as_str()), (UNKNOWN, "web  a\n"));
    assert!(said.err.contains("did you mean 'db'?"), "{}", said.err);
    let said = calls("--json logs bd web", &Setting::default(), unknown());
    let error = r#"{"bd":{"error":"no service 'bd'; did you mean 'db'?","exit":4}}"#;
    let expected = format!("{error}\n{{\"web\":{}}}\n", page("a"));
    assert_eq!((said.code, said.out, said.err.as_str()), (UNKNOWN, expected, ""));
}

#[test]
fn errors_are_objects_with_json() {
    let said = Setting::default().run(&TestDirectory::new(), "--json strat web");
    let expected = "{\"error\":\"'strat' is not a command; did you mean 'start'?\",\"exit\":64}\n";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (USAGE, expected, ""));
    let said = Setting { is_closed: true, ..Setting::default() }.run(&TestDirectory::new(), "--json strat");
    assert!(said.code == USAGE && said.err.contains("'strat' is not"), "{said:?}");
}

#[test]
fn service_that_is_not_ready_in_time_is_a_failure() {
    let status = |members: &str| {
        reply(
            "status",
            "web",
            &format!("{{ \"State\": \"started\", \"Reason\": \"\", \"Ready\": false{members}}}"),
        )
    };
    let script = vec![reply("start", "web", DONE), status(""), status(", \"Late\": 5")];
    let said = calls("start --wait web", &Setting::default(), script);
    let expected = "friendlet ctl: web: not ready within 5 s; see `friendlet ctl logs web`\n";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (FAILED, "", expected));
}
