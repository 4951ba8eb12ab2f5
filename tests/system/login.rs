//! Logins, sessions, rights and lock-out.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::device::{ADMIN, GUEST, NOBODY, hashed, stored_password, token, user};
use crate::support::http::{Response, exchange, form_request, login_form, session_of};
use crate::support::server::run;
use crate::support::stream::Stream;
use crate::support::ws::{frame, request};
use crate::support::{Device, Server};

const OK: &str = r#"{ "Status": "ok"}"#;
const LOGIN: &str = "/system.library/login";
const WRONG: &str = r#"fail<!--separate-->{"result":"-1","response":"Account blocked until: 0", "code":"6"}"#;

/// Logs in from an address of the loopback.
#[track_caller]
fn login_from(server: &Server, source: [u8; 4], user: &str, password: &str) -> String {
    let stream = Stream::from_source(Ipv4Addr::from(source), server.address(), server.is_tls());
    Response::parse(&exchange(stream, form_request(LOGIN, &login_form(user, password)).as_bytes())).body
}

#[test]
fn every_form_of_a_login_gives_a_session() {
    let server = Server::start(&Device::new());
    let mut sessions = vec![
        server.login("fadmin", "secret"),
        server.login("fadmin", &hashed("secret")),
        session_of(&server.post(LOGIN, "username=fadmin&password=secret").body).unwrap(),
    ];
    let mut socket = server.socket();
    for password in ["secret", &hashed("secret")] {
        let body = format!(r#"{{"username":"fadmin","password":"{password}"}}"#);
        sessions.push(session_of(&socket.call(&frame("login", &body))).unwrap());
        let body = format!(r#"{{"username":"fadmin","password":"{password}","deviceid":"d"}}"#);
        sessions.push(session_of(&socket.call(&request("r", "login", &body, "")).replace('\\', "")).unwrap());
    }
    for session in &sessions {
        let answer = server.post("/system.library/services/list", &format!("sessionid={session}")).body;
        assert!(answer.starts_with(r#"{ "Services": "#), "{answer}");
        socket.bind(session);
    }
}

#[test]
fn reply_of_2021_contains_the_level() {
    let server = Server::start(&Device::plain());
    for (name, password, level, id) in [("fadmin", "secret", "admin", 1), ("guest", "guest", "user", 2)] {
        let reply = server.post(LOGIN, &login_form(name, password)).body;
        assert!(reply.contains(&format!(r#""level":"{level}","userid":"{id}""#)), "{reply}");
        assert!(reply.ends_with(&format!(r#""username":"{name}"}}"#)), "{reply}");
    }
}

#[test]
fn wrong_login_is_refused_without_details() {
    let server = Server::start(&Device::plain().session("lockout_attempts = 20"));
    for (user, password) in [
        ("fadmin", "Secret"),
        ("fadmin", ""),
        ("nobody-here", "secret"),
        // The stored hash is not a password.
        ("fadmin", &stored_password("secret", 1000).replace('$', "%24").replace('+', "%2B")),
        ("fadmin", &"x".repeat(200)),
    ] {
        let answer = server.post(LOGIN, &login_form(user, password)).body;
        assert!(answer.starts_with("fail<!--separate-->"), "{user}: {answer}");
        assert!(!answer.contains("\"sessionid\":\""), "{answer}");
    }
    assert_eq!(server.post(LOGIN, &login_form("nobody-here", "secret")).body, WRONG);
    assert_eq!(server.post(LOGIN, &login_form("fadmin", "Secret")).body, WRONG);
    let missing = server.post(LOGIN, "username=fadmin&deviceid=d").body;
    assert!(missing.contains(r#""code":"8""#), "{missing}");
    // A password in an address ends in logs.
    let by_query = server.get(&format!("{LOGIN}?{}", login_form("fadmin", "secret"))).body;
    assert!(by_query.contains(r#""code":"5""#), "{by_query}");
}

#[test]
fn neither_passwords_nor_sessions_are_logged() {
    let server = Server::start(&Device::plain());
    let session = server.login("fadmin", "secret");
    server.post(LOGIN, &login_form("fadmin", "wrong-password"));
    let mut socket = server.bound(&session);
    socket.service("start", "hello");
    server.post("/system.library/validate", &format!("sessionid={NOBODY}"));
    let log = server.log();
    for secret in ["secret", "wrong-password", session.as_str(), ADMIN, NOBODY] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[test]
fn validate_and_logout() {
    let server = Server::start(&Device::plain());
    let session = server.login("fadmin", "secret");
    let form = format!("sessionid={session}");
    assert_eq!(
        server.post("/system.library/validate", &form).body,
        r#"ok<!--separate-->{"response":"true"}"#
    );
    let answer = server.post("/system.library/user/logout", &form).body;
    assert_eq!(answer, r#"ok<!--separate-->{"logout":"success"}"#);
    let refused = server.post("/system.library/validate", &form);
    assert_eq!((refused.status, refused.body.contains(r#""code":"11""#)), (403, true));
    // A token is the configuration file's, not the session table's.
    server.post("/system.library/user/logout", &format!("sessionid={ADMIN}"));
    assert_eq!(server.call("services/hello/start"), OK);
}

#[test]
fn socket_of_an_ended_session_is_notified() {
    let server = Server::start(&Device::plain());
    let session = server.login("fadmin", "secret");
    let mut socket = server.bound(&session);
    server.post("/system.library/user/logout", &format!("sessionid={session}"));
    let reported = socket.push("server-notice");
    assert_eq!(reported, r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#);
    let answer = socket.call(&request("r", "services/hello/start", "{}", &session));
    assert!(answer.contains(r#"\"code\":\"11\""#), "{answer}");
}

#[test]
fn user_controls_the_granted_services() {
    let server = Server::start(&Device::plain());
    let session = server.login("guest", "guest");
    for session in [session.as_str(), GUEST] {
        let call = |path: &str| {
            server.post(&format!("/system.library/services/{path}"), &format!("sessionid={session}")).body
        };
        assert_eq!(call("allowed/start"), OK);
        assert_eq!(call("allowed/stop"), OK);
        for verb in ["start", "stop", "restart", "pause", "install", "uninstall", "command"] {
            let answer = call(&format!("hello/{verb}"));
            assert!(answer.contains(r#""code":"4""#), "{verb}: {answer}");
        }
    }
    let mut socket = server.socket();
    let refused =
        socket.call(&frame("services/start", &format!(r#"{{"serviceName":"hello","sessionid":"{GUEST}"}}"#)));
    assert!(refused.contains(r#""code":"4""#), "{refused}");
    let list = server.call("services/list");
    assert!(list.contains(r#"{ "Name": "hello" , "Status": "stopped" ,"#), "nothing changed: {list}");
}

#[test]
fn wrong_passwords_lock_out_the_user_from_that_address() {
    let server = Server::start(&Device::new());
    let (here, there) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    for _ in 0..3 {
        assert!(login_from(&server, here, "fadmin", "guess").contains("fail<!--separate-->"));
    }
    let blocked = login_from(&server, here, "fadmin", "secret");
    assert!(blocked.contains("Account blocked until: ") && blocked.contains(r#""code":"6""#), "{blocked}");
    assert_ne!(blocked, WRONG, "it says until when");
    // Elsewhere the owner still gets in, and so does another user from here.
    assert!(session_of(&login_from(&server, there, "fadmin", "secret")).is_some());
    assert!(session_of(&login_from(&server, here, "guest", "guest")).is_some());
    // What has a session keeps it.
    assert_eq!(server.call("services/hello/start"), OK);
    // Who is at the machine, or has a session, ends the block.
    let url = format!("unix:{}", server.local_socket());
    let unlocked = run(&["ctl", "--url", &url, "unlock", "fadmin"], "");
    assert_eq!((unlocked.code, unlocked.stdout.as_str()), (Some(0), "unlock fadmin: ok\n"), "{unlocked:?}");
    assert!(session_of(&login_from(&server, here, "fadmin", "secret")).is_some());
}

#[test]
fn a_block_ends() {
    let server = Server::start(&Device::plain().session("lockout_attempts = 1\nlockout_s = 2"));
    server.post(LOGIN, &login_form("fadmin", "guess"));
    assert!(session_of(&server.post(LOGIN, &login_form("fadmin", "secret")).body).is_none());
    thread::sleep(Duration::from_millis(2600));
    server.login("fadmin", "secret");
}

#[test]
fn password_check_does_not_block_other_calls() {
    // Some seconds of work for one password.
    let slow = format!(
        "[[user]]\nname = \"slow\"\nlevel = \"admin\"\npassword = \"{}\"\n",
        stored_password("slow", 8_000_000)
    );
    let server = Server::start(&Device::plain().with(&slow));
    let mut others = [server.bound(ADMIN), server.bound(ADMIN)];
    thread::scope(|scope| {
        let login = scope.spawn(|| {
            let start = Instant::now();
            server.login("slow", "slow");
            start.elapsed()
        });
        let mut longest = Duration::ZERO;
        while !login.is_finished() {
            for socket in &mut others {
                let start = Instant::now();
                socket.call(&request("r", "services/list", "{}", ADMIN));
                longest = longest.max(start.elapsed());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let took = login.join().unwrap();
        assert!(longest * 3 < took, "a call took {longest:?} while a login took {took:?}");
    });
}

#[test]
fn logins_beyond_the_sessions_evict_old_ones() {
    let server = Server::start(&Device::plain());
    let mut sessions = Vec::new();
    for number in 0..friendlet::limits::SESSIONS + 5 {
        let form = format!("username=guest&password=guest&deviceid=d{number}");
        sessions.extend(session_of(&server.post(LOGIN, &form).body));
    }
    assert!(sessions.len() >= friendlet::limits::SESSIONS, "{}", sessions.len());
    // However the table makes room, the administrator gets in.
    server.login("fadmin", "secret");
    assert_eq!(server.call("services/hello/start"), OK);
}

#[test]
fn user_without_a_password_has_only_the_token() {
    let id = "1111111111111111111111111111111111111111";
    let tables = "[[user]]\nname = \"robot\"\nlevel = \"admin\"\n".to_owned()
        + &token("robot", id)
        + &user("other", "admin", "other", "");
    let server = Server::start(&Device::plain().with(&tables));
    for password in ["", "robot", "HASHED"] {
        assert!(session_of(&server.post(LOGIN, &login_form("robot", password)).body).is_none());
    }
    let answer = server.post("/system.library/services/hello/start", &format!("sessionid={id}")).body;
    assert_eq!(answer, OK);
}
