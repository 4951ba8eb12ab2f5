use core::time::Duration;

use super::*;
use crate::call::{Failure, Login, Outcome, Parameters, ServiceList};
use crate::service::{LastExit, Program, ServiceTable, SpawnError, SpawnStage, Spec, Supervisor};
use crate::session::{Grants, User, UserLevel, Users};

fn body(outcome: &Outcome<'_>) -> std::string::String {
    let mut buffer = [0; 4096];
    let position = write(&mut buffer, outcome).unwrap();
    let text = str::from_utf8(&buffer[position]).unwrap().to_owned();
    assert!(crate::json::is_valid(&text), "{text}");
    text
}

#[test]
fn resources_are_calls() {
    for (resource, call) in [
        ("services", "services/list"),
        ("services/hello", "services/hello/show"),
        ("services/list", "services/list/show"),
        ("services/hello/start", "services/hello/start"),
        ("sessions", "sessions/list"),
        ("sessions/end", "sessions/end"),
        ("operations", "operations/list"),
        ("login", "login"),
        ("board/status", "board/status"),
        ("", ""),
    ] {
        assert_eq!(*call_path(resource).unwrap(), format!("system.library/{call}"));
    }
    let longest = format!("services/{}", "a".repeat(PATH_BYTES - "services/".len()));
    assert!(call_path(&longest).is_some());
    assert!(call_path(&"a".repeat(CALL_PATH_BYTES)).is_none());
}

#[test]
fn requests_for_resources_are_known_by_their_first_bytes() {
    let resource = |request: &'static str, prefix| path(request.as_bytes(), prefix)?.strip_prefix(PREFIX);
    assert_eq!(resource("GET /api/v1/services HTTP/1.1\r\n", ""), Some("services"));
    assert_eq!(resource("DELETE /api/v1/services/a?b HTTP/1.1\r\n", ""), Some("services/a"));
    assert_eq!(resource("GET /board/api/v1/services HTTP/1.1\r\n", "/board"), Some("services"));
    for other in ["GET / HTTP/1.1", "GET /api/v2/ HTTP/1.1", "GET /x/api/v1/ HTTP/1.1", "GET", ""] {
        assert_eq!(resource(other, ""), None, "{other}");
    }
    assert_eq!(path(b"GET /board/healthz?level=ready HTTP/1.1", "/board"), Some("/healthz"));
}

#[test]
fn session_is_in_the_field_or_else_in_the_cookie() {
    assert_eq!(session(Some("Bearer abc"), None), Some("abc"));
    assert_eq!(session(Some("bearer  abc "), Some("friendlet=d")), Some("abc"));
    // An empty one counts, whatever the cookie is. Another scheme is that of a proxy.
    assert_eq!(session(Some("Bearer"), Some("friendlet=d")), Some(""));
    assert_eq!(session(Some("Bearer  "), None), Some(""));
    assert_eq!(session(Some("Basic abc"), Some("friendlet=d")), Some("d"));
    assert_eq!(session(None, Some("a=1; friendlet=d;b")), Some("d"));
    assert_eq!(session(None, Some("xfriendlet=d")), None);
    assert_eq!(session(None, None), None);
}

#[test]
fn bodies_are_one_flat_object() {
    let collected = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        let (mut table, mut parameters) = (Table::default(), Parameters::default());
        collect(&mut bytes, &mut table, &mut parameters)
            .map(|()| parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
    };
    assert_eq!(collected("").unwrap(), Vec::<std::string::String>::new());
    assert_eq!(collected(" \r\n").unwrap(), Vec::<std::string::String>::new());
    assert_eq!(collected(r#"{"a":"\u00fc\n","b":7,"c":true}"#).unwrap(), ["a=\u{fc}\n", "b=7", "c=true"]);
    for wrong in ["{", "[]", "\"a\"", r#"{"a":{"b":1}}"#, r#"{"a":[1]}"#, r#"{"a":null}"#, "a=1"] {
        assert_eq!(collected(wrong).unwrap_err(), BODY, "{wrong}");
    }
    assert_eq!(collected(r#"{"a":1,"a":2}"#).unwrap_err(), PARAMETERS);
    let members = |count: usize| {
        let members: Vec<std::string::String> = (0..count).map(|number| format!("\"m{number}\":1")).collect();
        collected(&format!("{{{}}}", members.join(",")))
    };
    assert!(members(crate::limits::PARAMETERS).is_ok());
    assert_eq!(members(crate::limits::PARAMETERS + 1).unwrap_err(), PARAMETERS);
}

#[test]
fn body_is_json_by_its_type() {
    for json in ["application/json", "Application/JSON ; charset=utf-8"] {
        assert_eq!(check_content_type(Some(json)), Ok(()));
    }
    // Forms of other pages have these (Fetch, 4.8).
    for other in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data")]
    {
        assert_eq!(check_content_type(other).unwrap_err().status, 415);
    }
}

#[test]
fn contents_are_those_of_the_calls_in_camel_case() {
    assert_eq!(body(&Outcome::Done), "{}");
    assert_eq!(body(&Outcome::PasswordUpdated), "{}");
    assert_eq!(body(&Outcome::Received(7)), r#"{ "received": 7}"#);
    assert_eq!(body(&Outcome::WebGui("<b>\"")), r#"{"html":"<b>\""}"#);
    let login =
        Login { sessionid: "d1", userid: 1, level: "admin", fullname: "Anna \"A\"", username: "anna" };
    assert_eq!(
        body(&Outcome::LoggedIn { login, has_device: false }),
        r#"{"session":"d1","user":"anna","level":"admin","fullName":"Anna \"A\""}"#
    );
}

/// Values keep their letters, whatever they look like.
#[test]
fn only_names_of_members_are_changed() {
    let text = crate::call::CommandOutput { exit: "exit 0", output: b"\"Exit\": \"A\"", is_cut: true };
    assert_eq!(
        body(&Outcome::Command(text)),
        r#"{ "exit": "exit 0", "output": "\"Exit\": \"A\"", "cut": true}"#
    );
}

#[test]
fn services_are_listed_in_full_as_far_as_they_fit() {
    let mut table = ServiceTable::new();
    for name in ["one", "two", "three"] {
        table.push(Spec::new(name, &["/bin/true"]).unwrap()).unwrap();
    }
    let services = Supervisor::new(table);
    let mut users = Users::new();
    let name = String::try_from("anna").unwrap();
    let full_name = String::new();
    let user = User { name, full_name, level: UserLevel::User, services: Grants::all(), password: None };
    let user = users.push(user).unwrap();
    let rights = users.rights(user);
    let list = |first: Option<&str>, bytes: usize| {
        let first = first.map(|name| services.table().find(name).unwrap());
        let outcome =
            Outcome::Services(ServiceList { services: &services, rights, first, now: Duration::ZERO });
        let mut buffer = vec![0; bytes];
        let position = write(&mut buffer, &outcome).unwrap();
        let text = str::from_utf8(&buffer[position]).unwrap();
        assert!(crate::json::is_valid(text), "{text}");
        let value = |part: &str, name: &str| {
            let (_, rest) = part.split_once(&format!("\"{name}\":"))?;
            Some(rest.split('"').nth(1)?.to_owned())
        };
        let names: Vec<_> =
            text.split(r#"{"state": "stopped""#).skip(1).map(|one| value(one, "name").unwrap()).collect();
        assert_eq!(text.matches(r#""command": ["/bin/true"]"#).count(), names.len());
        (names.join(" "), value(text, "next"))
    };
    assert_eq!(list(None, 4096), ("one two three".to_owned(), None));
    assert_eq!(list(Some("two"), 4096), ("two three".to_owned(), None));
    assert_eq!(list(None, 1200), ("one two".to_owned(), Some("three".to_owned())));
    assert_eq!(list(Some("three"), 1200), ("three".to_owned(), None));
}

#[test]
fn every_failure_is_a_problem() {
    let spec = Spec::new("web", &["/bin/web"]).unwrap();
    let end = LastExit::Spawn(SpawnError::new(SpawnStage::Program, 2));
    let cases = [
        (Failure::MissingParameters { names: "cmd" }, 400, "missing-parameters", "missing: cmd"),
        (Failure::MissingCredentials { has_device: false }, 400, "missing-parameters", "missing: username"),
        (Failure::MissingSession, 401, "no-session", "log in first"),
        (Failure::UnknownSession { given: "x" }, 401, "unknown-session", "log in again"),
        (Failure::CannotResume, 401, "unknown-session", "log in again"),
        (Failure::LoginRefused { has_device: true, until_s: 0 }, 401, "wrong-password", "wrong user name"),
        (Failure::LoginRefused { has_device: true, until_s: 9 }, 429, "blocked", "too many"),
        (Failure::Blocked { until_s: 0 }, 403, "wrong-password", "wrong"),
        (Failure::Blocked { until_s: 9 }, 429, "blocked", "too many"),
        (Failure::NotAllowed, 403, "not-allowed", "lacks the right"),
        (Failure::UnknownFunction, 404, "unknown-call", "call is unknown"),
        (Failure::UnknownLibrary, 404, "unknown-call", "call is unknown"),
        (Failure::NoServiceName, 404, "unknown-service", "service is unknown"),
        (Failure::UnknownService, 404, "unknown-service", "service is unknown"),
        (Failure::UnknownUser, 404, "unknown-user", "user is unknown"),
        (Failure::NotPost, 405, "needs-post", "send it by POST"),
        (Failure::Failed { function: "stop", result: 3 }, 409, "failed", "stop: it does not run, or"),
        (
            Failure::Failed { function: "end", result: 2 },
            404,
            "not-found",
            "no session or certificate has this id",
        ),
        (Failure::Unchanged { function: "reload", reason: "line 3" }, 409, "unchanged", "line 3"),
        (
            Failure::NotStored { function: "end", result: 28 },
            409,
            "not-stored",
            "in force, but not stored: No space left on device (errno 28); the server repeats the write, and forgets the change if it is restarted before",
        ),
        (Failure::Internal, 500, "internal", "see the log"),
        (Failure::TableFull, 503, "full", "try again later"),
        (
            Failure::NotStarted {
                function: "start",
                spec: &spec,
                program: Program::Main,
                end,
                output: b"a\nb\n",
            },
            409,
            "not-started",
            "web: cannot start /bin/web",
        ),
    ];
    for (failure, number, name, words) in cases {
        assert_eq!((status(failure), code(failure)), (number, name));
        let problem = body(&Outcome::Failed(failure));
        let title = crate::http::phrase(number);
        let start = format!(r#"{{"title":"{title}","status":{number},"code":"{name}","detail":""#);
        assert!(problem.starts_with(&start) && !title.is_empty(), "{problem}");
        assert!(problem.contains(words), "{problem}");
        assert_eq!(problem.contains(r#","until":9"#), number == 429, "{problem}");
        assert_eq!(problem.contains(r#", "output": ["a","b"]"#), name == "not-started", "{problem}");
    }
}
