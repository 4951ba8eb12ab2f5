//! Contents to the byte.

use core::time::Duration;

use super::*;
use crate::service::{LastExit, ServiceTable, Spec, State, Status, Supervisor};
use crate::session::{Grants, User, UserLevel, Users};

fn written(form: Form, outcome: &Outcome<'_>) -> String {
    let mut buffer = [0; 1024];
    let mut out = Writer::new(&mut buffer);
    write(&mut out, form, outcome, None).unwrap();
    let text = String::from_utf8(out.finish().unwrap().to_vec()).unwrap();
    if kind(outcome) == Kind::Json {
        assert!(json::is_valid(&text), "{text}");
    }
    text
}

const LOGIN: Login<'_> = Login {
    sessionid: "8ed922535bc7cb2de39dc9bdafef502e2e20b986",
    userid: 1,
    level: "admin",
    fullname: "Friend \"Administrator\"",
    username: "fadmin",
};

#[test]
fn status_of_a_service() {
    let spec = Spec::new("hello", &["/bin/hello"]).unwrap();
    let status = Status {
        state: State::Started,
        pid: 1234,
        since: Duration::from_secs(12),
        restarts: 0,
        last_exit: LastExit::None,
        started_once: true,
        enabled: false,
    };
    assert_eq!(
        written(Form::Frame, &Outcome::Service(ServiceStatus { spec: &spec, status })),
        r#"{ "Status": "ok", "State": "started", "Pid": 1234, "Since": 12, "Restarts": 0, "LastExit": ""}"#
    );
    let described = Spec { description: "a \"door\"".try_into().ok(), ..spec.clone() };
    let text = written(Form::Http, &Outcome::Service(ServiceStatus { spec: &described, status }));
    assert!(text.ends_with(r#""LastExit": "", "Description": "a \"door\""}"#), "{text}");
    assert_eq!(written(Form::Envelope, &Outcome::Done), r#"{ "Status": "ok"}"#);
}

#[test]
fn status_of_the_board_escapes_its_strings() {
    let status = BoardStatus {
        board: "host",
        version: "0.1.0",
        build: "0a1b",
        slot: "A",
        config_origin: "last good",
        complaint: "f:1:2: unknown key '\"x'",
        notice: "",
        uptime_s: 12,
    };
    assert_eq!(
        written(Form::Http, &Outcome::Board(status)),
        concat!(
            r#"{ "Status": "ok", "Board": "host", "Version": "0.1.0", "Build": "0a1b", "Slot": "A", "#,
            r#""DeviceFile": "last good", "Complaint": "f:1:2: unknown key '\"x'", "Notice": "", "Uptime": 12}"#
        )
    );
}

#[test]
fn records_are_one_base64_string() {
    let page = LogPage {
        board: "b",
        build: "0a",
        form: "text",
        level: "info",
        wall_ms: 5,
        mono_ms: 4,
        from: 7,
        next: 17,
        records: b"0123456789",
    };
    assert_eq!(
        written(Form::Frame, &Outcome::BoardLog(page)),
        concat!(
            r#"{ "Status": "ok", "Board": "b", "Build": "0a", "Form": "text", "Level": "info", "#,
            r#""Wall": 5, "Mono": 4, "From": 7, "Next": 17, "Records": "MDEyMzQ1Njc4OQ=="}"#
        )
    );
}

#[test]
fn lists() {
    let list = |names: &[&str], form| {
        let mut table = ServiceTable::new();
        for name in names {
            table.push(Spec::new(name, &["/bin/true"]).unwrap()).unwrap();
        }
        let mut users = Users::new();
        let name = heapless::String::try_from("anna").unwrap();
        let full_name = heapless::String::new();
        let user = User { name, full_name, level: UserLevel::User, services: Grants::all(), password: None };
        let user = users.push(user).unwrap();
        let services = Supervisor::new(table);
        written(form, &Outcome::Services(ServiceList { services: &services, users: &users, user }))
    };
    assert_eq!(
        list(&["hello"], Form::Frame),
        r#"{ "Services": [ { "Service": "hello" , "Status": "0" ,  "Hosts" : "" }] }"#
    );
    assert_eq!(
        list(&["hello", "b"], Form::Frame),
        concat!(
            r#"{ "Services": [ { "Service": "hello" , "Status": "0" ,  "Hosts" : "" },"#,
            r#"{ "Service": "b" , "Status": "0" ,  "Hosts" : "" }] }"#
        )
    );
    for form in [Form::Envelope, Form::Http] {
        assert_eq!(
            list(&["hello"], form),
            r#"{ "Services": [ { "Name": "hello" , "Status": "stopped" ,  "Hosts" : "My computer" }] }"#
        );
    }
    assert_eq!(list(&[], Form::Frame), r#"{ "Services": [ ] }"#);
}

#[test]
fn command_output_is_escaped_and_cut_where_it_may_be() {
    let command = CommandOutput { exit: "0", output: b"a \"b\"\n\xff\x01", is_cut: false };
    assert_eq!(
        written(Form::Http, &Outcome::Command(command)),
        "{ \"Status\": \"ok\", \"Exit\": \"0\", \"Output\": \"a \\\"b\\\"\\n\u{FFFD}\\u0001\"}"
    );
    let long = CommandOutput { output: &[b'x'; 100], ..command };
    let mut buffer = [0; 100];
    assert_eq!(write(&mut Writer::new(&mut buffer), Form::Http, &Outcome::Command(long), None), Err(Full));
    let mut out = Writer::new(&mut buffer);
    write(&mut out, Form::Http, &Outcome::Command(long), Some(0)).unwrap();
    let text = out.finish().unwrap();
    assert_eq!(
        str::from_utf8(text).unwrap(),
        format!(r#"{{ "Status": "ok", "Exit": "0", "Output": "{}", "Cut": true}}"#, "x".repeat(25))
    );
}

#[test]
fn webgui_is_verbatim_and_json_only_where_it_is_valid() {
    assert_eq!(written(Form::Http, &Outcome::WebGui("<div>\"</div>")), "<div>\"</div>");
    assert_eq!(kind(&Outcome::WebGui("[1]")), Kind::Json);
    for html in ["{", "{}}", "{\"a\":1,}", "[1 2]", "{\"a\":\"\n\"}", "", "1"] {
        assert_eq!(kind(&Outcome::WebGui(html)), Kind::Text, "{html}");
    }
}

#[test]
fn sessions() {
    assert_eq!(
        written(Form::Http, &Outcome::LoggedIn { login: LOGIN, has_device: false }),
        r#"{ "ErrorMessage": "0", "sessionid": "8ed922535bc7cb2de39dc9bdafef502e2e20b986", "userid": "1", "fullName": "Friend \"Administrator\"" }"#
    );
    assert_eq!(
        written(Form::Frame, &Outcome::LoggedIn { login: LOGIN, has_device: true }),
        r#"{"result":"0","sessionid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986","level":"admin","userid":"1","fullname":"Friend \"Administrator\"","loginid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986","username":"fadmin"}"#
    );
    assert_eq!(
        written(Form::Frame, &Outcome::Resumed(LOGIN)),
        r#"{"result":"0","sessionid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986","level":"admin","userid":"1","fullname":"Friend \"Administrator\"","loginid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986"}"#
    );
    assert_eq!(
        written(Form::Http, &Outcome::PasswordUpdated),
        r#"ok<!--separate-->{ "updatepassword": "success!"}"#
    );
    assert_eq!(written(Form::Http, &Outcome::Valid), r#"ok<!--separate-->{"response":"true"}"#);
    assert_eq!(written(Form::Frame, &Outcome::LoggedOut), "");
    assert_eq!(written(Form::Http, &Outcome::LoggedOut), r#"ok<!--separate-->{"logout":"success"}"#);
}
