//! Servers of a command line: names, several of them, a path of a proxy.

use super::certificates::{tls_config, tls_server};
use super::*;

/// A server that answers `list` this often.
fn lists(times: usize) -> (String, JoinHandle<()>) {
    server(times, |_, stream| {
        let mut socket = grant(stream);
        respond(&mut socket, 1, LIST, LIST_CONTENT);
        finish(socket);
    })
}

fn write_devices(directory: &TestDirectory, text: &str) {
    fs::create_dir_all(directory.path().join("config")).unwrap();
    fs::write(directory.path().join("config/devices"), text).unwrap();
}

/// Remembers the session that the servers here expect.
fn log_in(directory: &TestDirectory, authority: &str) {
    let state = StateDir::new(directory.path().join("state"));
    state.set(SESSIONS, &format!("ws://{authority}"), Some("S/1")).unwrap();
}

#[test]
fn several_servers_are_handled_one_after_the_other() {
    let directory = TestDirectory::new();
    let (hall, of_hall) = lists(2);
    let (kitchen, of_kitchen) = lists(2);
    let (dead, of_dead) = server(0, |_, _| {});
    of_dead.join().unwrap();
    for authority in [&hall, &kitchen, &dead] {
        log_in(&directory, authority);
    }
    write_devices(
        &directory,
        &format!(
            "# x ws://{dead}\nhall ws://{hall}\nhallway ws://{dead}\nkitchen ws://{kitchen} {}\n",
            "0a".repeat(32)
        ),
    );
    let said = ctl(&directory, "--on kitchen,hall* list");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(
        lines,
        [
            "kitchen  SERVICE  STATE",
            "kitchen  hello    started",
            "kitchen  a        stopped",
            "hall     SERVICE  STATE",
            "hall     hello    started",
            "hall     a        stopped"
        ]
    );
    assert_eq!(said.code, UNAVAILABLE);
    assert!(said.err.starts_with("hallway  friendlet ctl: cannot connect to ws://"), "{}", said.err);
    let setting = Setting { url: Some(format!("kitchen,hall,hall,ws://{dead}")), ..Setting::default() };
    let said = setting.run(&directory, "--json list");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], format!("{{\"kitchen\":{LIST_CONTENT}}}"));
    assert_eq!(lines[1], format!("{{\"hall\":{LIST_CONTENT}}}"));
    assert!(lines[2].starts_with(&format!("{{\"ws://{dead}\":{{\"error\":\"cannot connect")), "{}", lines[2]);
    assert_eq!((lines.len(), said.code, said.err.as_str()), (3, UNAVAILABLE, ""));
    of_hall.join().unwrap();
    of_kitchen.join().unwrap();
}

#[test]
fn names_that_are_none() {
    let directory = TestDirectory::new();
    write_devices(&directory, "hall wss://hall\nbad ftp://x\nworse wss://a 12\ntwo wss://a\ntwo wss://b\n");
    for (line, part) in [
        ("--on two list", "devices: two has two lines that differ"),
        ("--on hall,,hall list", "an address of --url, --on or FRIENDLET_URL is empty"),
        ("--on hal list", "devices names no server 'hal'; did you mean 'hall'?"),
        ("--on garden list", "an address is like wss://garden:6500"),
        ("--on z* list", "devices names no server 'z*'; an address is like wss://HOST:6500"),
        ("--url garden list", "an address is like wss://garden:6500"),
        ("--on bad list", "'ftp://x' is not the address of a server"),
        ("--on worse list", "devices: '12' of worse is not a SHA-256 fingerprint"),
        ("--url wss://a --url wss://b watch", "there are several"),
        ("--url wss://a --url wss://b logs x -f", "there are several"),
        ("--url wss://a --url wss://b --session S list", "--session, FRIENDLET_SESSION and"),
    ] {
        let said = ctl(&directory, line);
        assert!(said.code == USAGE && said.err.contains(part), "{line}: {said:?}");
    }
}

#[test]
fn wrong_name_of_a_server_keeps_no_other_from_being_handled() {
    let directory = TestDirectory::new();
    let (hall, of_hall) = lists(2);
    log_in(&directory, &hall);
    write_devices(&directory, &format!("hall ws://{hall}\nbad ftp://x\n"));
    let said = ctl(&directory, "--on gaden,hal,bad,hall list");
    assert_eq!((said.code, said.out.lines().count()), (USAGE, 3), "{said:?}");
    let lines: Vec<&str> = said.err.lines().collect();
    let file = directory.path().join("config/devices").display().to_string();
    for (line, expected) in lines.iter().zip([
        format!("gaden  friendlet ctl: {file} names no server 'gaden'; "),
        format!("hal    friendlet ctl: {file} names no server 'hal'; did you mean 'hall'?"),
        "bad    friendlet ctl: 'ftp://x' is not the address of a server; ".to_owned(),
    ]) {
        assert!(line.starts_with(&expected), "{line}");
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    let said = ctl(&directory, "--json --on hal,hall list");
    let (error, list) = said.out.split_once('\n').unwrap();
    assert!(error.starts_with("{\"hal\":{\"error\":") && error.ends_with("\"exit\":64}}"), "{error}");
    assert_eq!((said.code, list, said.err.as_str()), (USAGE, &*format!("{{\"hall\":{LIST_CONTENT}}}\n"), ""));
    of_hall.join().unwrap();
}

#[test]
fn comment_after_an_address_and_spaces_between_names_are_left_out() {
    let directory = TestDirectory::new();
    let hex = "0a".repeat(32);
    let lines = ["wss://a # hall", "wss://a\t#", "unix:/run/a#b # path", &*format!("wss://a {hex} # {hex}")];
    for (number, line) in lines.iter().enumerate() {
        write_devices(&directory, &format!("hall {line}\nkitchen\tws://b\t# x\n"));
        // The one command that connects to none of them.
        let setting = Setting { url: Some(" hall, kitchen ".to_owned()), ..Setting::default() };
        let said = setting.run(&directory, "complete-calls");
        assert!(said.code == 0 && said.out.contains("hall     services/list\n"), "{number}: {said:?}");
        assert!(said.out.contains("kitchen  services/list\n"), "{number}: {said:?}");
    }
}

#[test]
fn fingerprint_of_the_file_is_required() {
    let directory = TestDirectory::new();
    let (authority, thread) = tls_server(vec![tls_config()]);
    write_devices(&directory, &format!("hall wss://{authority} {}\n", "0a".repeat(32)));
    let said = ctl(&directory, "--on hall --session S/1 list");
    assert_eq!(said.code, UNTRUSTED);
    assert!(said.err.contains("not the one demanded"), "{}", said.err);
    let file = directory.path().join("config/devices").display().to_string();
    assert!(said.err.contains(&file), "{}", said.err);
    thread.join().unwrap();
}

#[test]
fn path_of_a_proxy_precedes_those_of_the_server() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(2, |number, mut stream| {
        let request = read_request(&mut stream);
        let expected =
            ["GET /a/b/fcws?sessionid=S HTTP/1.1\r\n", "POST /a/b/system.library/board/reboot HTTP/1.1\r\n"];
        assert!(request.starts_with(expected[number]), "{request}");
        answer(&mut stream, "502 Bad Gateway", "down\n");
    });
    for line in ["list", "reboot"] {
        let said = ctl(&directory, &format!("--url ws://{authority}/a/b --session S {line}"));
        assert_eq!(
            (said.code, said.err.as_str()),
            (FAILED, "friendlet ctl: the server responded with status 502: down\n")
        );
    }
    thread.join().unwrap();
}

#[test]
fn file_of_the_document_is_read() {
    let directory = TestDirectory::new();
    let document = include_str!("../../../docs/ctl.md");
    let (_, rest) = document.split_once("```text\n").unwrap();
    write_devices(&directory, rest.split("```").next().unwrap());
    // The one command that connects to none of them.
    let said = ctl(&directory, "--on * complete-calls");
    for line in ["hall     services/list\n", "kitchen  services/list\n"] {
        assert!(said.code == 0 && said.out.contains(line), "{said:?}");
    }
}

#[test]
fn question_of_one_of_several_servers_names_it() {
    let directory = TestDirectory::new();
    let ask = |connections| {
        server(connections, |number, mut stream| {
            if number == 1 {
                read_request(&mut stream);
                answer(&mut stream, "200 OK", "{\"result\":\"0\",\"sessionid\":\"1\",\"level\":\"admin\"}");
            }
        })
    };
    let [(hall, of_hall), (kitchen, of_kitchen)] = [ask(2), ask(2)];
    write_devices(&directory, &format!("hall ws://{hall}\nkitchen ws://{kitchen}\n"));
    let answers = [("hall: password of a at ws://", "one"), ("kitchen: password of a at ws://", "two")];
    let setting = Setting { answers: &answers, ..Setting::default() };
    let said = setting.run(&directory, "--on * login a");
    let expected = format!(
        "hall     logged in to ws://{hall} as a (admin)\nkitchen  logged in to ws://{kitchen} as a (admin)\n"
    );
    assert_eq!((said.code, said.out), (0, expected), "{}", said.err);
    of_hall.join().unwrap();
    of_kitchen.join().unwrap();
}
