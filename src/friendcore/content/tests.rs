//! Contents to the byte.

use core::time::Duration;

use super::*;
use crate::call::{Count, Missing, ServiceDetails, ServiceList, ServiceStatus, SlotState};
use crate::friendcore::{CHUNK_PIECE_BYTES, SHOWN_PROGRAM_BYTES};
use crate::service::{
    Arguments, Check, CheckError, CheckId, CheckKind, CheckLevel, CommandAction, EVENT_KEY_BYTES,
    EVENT_LIFE_MAX, EVENT_VALUE_BYTES, Endpoint, EventReport, Exit, LastExit, Memory, Name, NamedCommand,
    NextRun, ProcessEvent, RestartPolicy, SERVICE_EVENTS, Scope, ServiceId, ServiceKind, ServiceTable,
    Signal, SpawnError, SpawnStage, Spec, State, Status, StatusText, Supervisor, Usage, Verb,
};
use crate::session::{Grants, User, UserLevel, Users};

fn written(form: Form, outcome: &Outcome<'_>) -> String {
    let mut buffer = [0; 2048];
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
        is_ready: true,
        is_late: false,
        is_wanted: true,
        next_run: NextRun::None,
    };
    let (services, now) = (&Supervisor::new(ServiceTable::new()), Duration::ZERO);
    let service = ServiceId::from_index(0).unwrap();
    let plain = ServiceStatus { spec: &spec, status, ends: 0, text: "", services, service, now };
    assert_eq!(
        written(Form::Frame, &Outcome::Service(plain)),
        concat!(
            r#"{ "Status": "ok", "State": "started", "Pid": 1234, "Since": 12, "Restarts": 0, "LastExit": "", "#,
            r#""Reason": "", "Enabled": false, "Restart": "never", "StartedOnce": true, "Ends": 0}"#
        )
    );
    let described = Spec {
        description: "a \"door\"".try_into().ok(),
        restart: RestartPolicy::OnFailure,
        ..Spec::new("hello", &["/bin/no \"x\""]).unwrap()
    };
    let last_exit = LastExit::Spawn(SpawnError { stage: SpawnStage::Program, item: 0, errno: 2 });
    let status =
        Status { state: State::Failed, pid: 0, last_exit, started_once: false, enabled: true, ..status };
    assert_eq!(
        written(Form::Http, &Outcome::Service(ServiceStatus { spec: &described, status, ends: 8, ..plain })),
        concat!(
            r#"{ "Status": "ok", "State": "failed", "Pid": 0, "Since": 12, "Restarts": 0, "#,
            r#""LastExit": "cannot start: No such file or directory (errno 2)", "Description": "a \"door\"", "#,
            r#""Reason": "cannot start /bin/no \"x\": No such file or directory (errno 2)", "Enabled": true, "#,
            r#""Restart": "on-failure", "StartedOnce": false, "Ends": 8, "Overridden": true}"#
        )
    );
    for (next_run, expected) in [(NextRun::In(Duration::from_secs(90)), "90"), (NextRun::AwaitsClock, "null")]
    {
        let status = Status { next_run, last_exit: LastExit::Code(0), ..status };
        let service = ServiceStatus { status, ..plain };
        let text = written(Form::Http, &Outcome::Service(service));
        assert!(text.contains(&format!(r#""LastExit": "exit 0", "Next": {expected}, "Reason""#)), "{text}");
    }
    let notifying = Spec { kind: ServiceKind::Notify, autostart: true, ..spec.clone() };
    let service = ServiceStatus { spec: &notifying, status, text: "all \"well\"", ..plain };
    let text = written(Form::Http, &Outcome::Service(service));
    assert!(text.ends_with(r#""Ends": 0, "Ready": true, "Text": "all \"well\""}"#), "{text}");
    let late = Status { is_ready: false, is_late: true, ..status };
    let service = ServiceStatus { spec: &notifying, status: late, ..plain };
    let text = written(Form::Http, &Outcome::Service(service));
    assert!(text.ends_with(r#""Ends": 0, "Ready": false, "Late": 30}"#), "{text}");
    assert_eq!(written(Form::Envelope, &Outcome::Done), r#"{ "Status": "ok"}"#);
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

#[test]
fn details_have_the_programs_that_a_service_has() {
    let mut spec = Spec::new("web", &["/bin/web"]).unwrap();
    spec.pre_start.push("/bin/mkdir").unwrap();
    spec.finish.push("/bin/rm").unwrap();
    spec.finish.push("-r").unwrap();
    spec.max_runtime = Some(Duration::from_secs(60));
    let mut table = ServiceTable::new();
    table.push(spec).unwrap();
    let text = shown(&Supervisor::new(table), Duration::ZERO, &mut [0; 1024]);
    let expected = concat!(
        r#""StopTimeout": 10, "MaxRuntime": 60, "Commands": [], "Programs": ["#,
        r#"{"Name": "pre_start", "Program": ["/bin/mkdir"]},{"Name": "finish", "Program": ["/bin/rm","-r"]}], "#
    );
    assert!(text.contains(expected), "{text}");
}

/// Content of `show` for the first service.
fn shown(services: &Supervisor, now: Duration, room: &mut [u8]) -> String {
    let (service, spec) = services.table().iter().next().unwrap();
    let status = services.status(service, now);
    let used = Usage { cpu: Duration::from_millis(1250), memory: 4096 };
    let usage = (status.pid != 0).then_some(used);
    let details = Outcome::Details(ServiceDetails { spec, status, usage, services, service, now });
    let mut out = Writer::new(room);
    write(&mut out, Form::Envelope, &details, None).unwrap();
    let text = str::from_utf8(out.finish().unwrap()).unwrap().to_owned();
    assert!(kind(&details) == Kind::Json && json::is_valid(&text), "{text}");
    text
}

#[test]
fn details_of_a_service() {
    let mut spec = Spec::new("web", &["/bin/web", "-D"]).unwrap();
    spec.env.push("KEY=secret=1").unwrap();
    spec.env.push("B=").unwrap();
    spec.user = "www".try_into().unwrap();
    spec.success_codes.push(3).unwrap();
    spec.after.push(name("net")).unwrap();
    let action = CommandAction::Signal { signal: Signal::Hup, scope: Scope::Group };
    spec.commands.push(NamedCommand { name: name("reload"), action }).unwrap();
    let mut program = Arguments::new();
    program.push("/bin/web").unwrap();
    program.push("a \"b\"").unwrap();
    let action = CommandAction::Argv(program);
    spec.commands.push(NamedCommand { name: name("say"), action }).unwrap();
    let mut table = ServiceTable::new();
    let service = table.push(spec).unwrap();
    table.push(Spec::new("net", &["/bin/net"]).unwrap()).unwrap();
    let mut services = Supervisor::new(table);
    let second = Duration::from_secs(1);
    services.handle_command(service, Verb::Start, second).unwrap();
    services.handle_spawned(service, Ok(7), second);
    services.handle_exit(service, Exit::Code(1), true, second * 2 + second / 4);
    services.handle_command(service, Verb::Start, second * 3).unwrap();
    services.handle_spawned(
        service,
        Err(SpawnError { stage: SpawnStage::Program, item: 0, errno: 2 }),
        second * 4,
    );
    assert_eq!(
        shown(&services, second * 64, &mut [0; 2048]),
        concat!(
            r#"{ "Status": "ok", "State": "failed", "Pid": 0, "Since": 60, "Restarts": 0, "#,
            r#""LastExit": "cannot start: No such file or directory (errno 2)", "#,
            r#""Reason": "cannot start /bin/web: No such file or directory (errno 2)", "StartedOnce": true, "#,
            r#""Name": "web", "Command": ["/bin/web","-D"], "Env": ["KEY","B"], "Cwd": "/", "User": "www", "#,
            r#""Autostart": false, "Restart": "never", "StartLimit": 0, "SuccessCodes": [0,3], "After": ["net"], "#,
            r#""StopSignal": "TERM", "StopTimeout": 10, "Commands": ["#,
            r#"{"Name": "reload", "Signal": "HUP", "Scope": "group"},"#,
            r#"{"Name": "say", "Program": ["/bin/web","a \"b\""]}], "Enabled": false, "History": ["#,
            r#"{"Ago": 60, "Ran": 0.000, "Exit": "cannot start: No such file or directory (errno 2)", "#,
            r#""Reason": "spawn failed"},"#,
            r#"{"Ago": 61, "Ran": 1.250, "Exit": "exit 1", "Reason": "exited"}]}"#
        )
    );
}

#[test]
fn longest_details_fit_in_every_form() {
    let long = "\u{1}".repeat(SHOWN_PROGRAM_BYTES);
    let mut spec = Spec::new(&"n".repeat(limits::SERVICE_NAME_BYTES), &[&long, "x"]).unwrap();
    let mut program = Arguments::new();
    program.push(&long).unwrap();
    program.push("x").unwrap();
    spec.pre_start = program.clone();
    spec.stop_command = program.clone();
    spec.finish = program.clone();
    for _ in 0..limits::SERVICE_COMMANDS {
        let action = CommandAction::Argv(program.clone());
        let name = name(&"c".repeat(limits::SERVICE_NAME_BYTES));
        spec.commands.push(NamedCommand { name, action }).unwrap();
    }
    spec.env.push(&"\u{1}".repeat(limits::SERVICE_VARIABLE_BYTES)).unwrap();
    spec.cwd = "\u{1}".repeat(limits::FILE_PATH_BYTES).as_str().try_into().unwrap();
    spec.description = "\"".repeat(limits::DESCRIPTION_BYTES).as_str().try_into().ok();
    let mut table = ServiceTable::new();
    let service = table.push(spec).unwrap();
    let check = &"n".repeat(limits::SERVICE_NAME_BYTES);
    for _ in 0..limits::CHECKS {
        let check = Check::new(check, CheckKind::Command(Arguments::new()));
        table.push_check(Check { service: Some(service), ..check }).unwrap();
    }
    let mut services = Supervisor::new(table);
    for check in (0..limits::CHECKS).filter_map(CheckId::from_index) {
        let attempt = services.begin_check(check, Duration::ZERO);
        let error = SpawnError { stage: SpawnStage::Interpreter, item: 0, errno: 97 };
        services.handle_checked(attempt, Err(CheckError::Spawn(error)), Duration::ZERO);
    }
    for _ in 0..limits::SERVICES {
        services.handle_command(service, Verb::Start, Duration::ZERO).unwrap();
        let error = SpawnError { stage: SpawnStage::Interpreter, item: 0, errno: 2 };
        services.handle_spawned(service, Err(error), Duration::ZERO);
        while services.poll_action().is_some() {}
    }
    let mut room = vec![0; limits::REPLY_BYTES.min(CHUNK_PIECE_BYTES)];
    let longest = shown(&services, Duration::MAX, &mut room);
    let programs = 4 + limits::SERVICE_COMMANDS;
    assert!(longest.len() > programs * 6 * SHOWN_PROGRAM_BYTES, "{}", longest.len());
    assert_eq!(longest.matches(r#""Cut": true"#).count(), programs);
    services.handle_command(service, Verb::Start, Duration::ZERO).unwrap();
    services.handle_spawned(service, Ok(1), Duration::ZERO);
    services.handle_exit(service, Exit::Code(0), true, Duration::ZERO);
    services.handle_spawned(service, Ok(u32::MAX), Duration::ZERO);
    for number in 0..SERVICE_EVENTS {
        let (key, value) = ("k".repeat(EVENT_KEY_BYTES - 1), "\"".repeat(EVENT_VALUE_BYTES));
        let text = StatusText::new(&format!("{number}{key}={value}"));
        let report = EventReport { text, age: Duration::ZERO, life: Some(EVENT_LIFE_MAX), changes: u32::MAX };
        services.handle_event(service, ProcessEvent::Event(report), Duration::ZERO);
    }
    let longest = shown(&services, Duration::MAX, &mut room);
    assert_eq!(longest.matches(r#""Expires""#).count(), SERVICE_EVENTS);
}

#[test]
fn checks_of_a_service_and_of_the_board() {
    let mut table = ServiceTable::new();
    let service = table.push(Spec::new("web", &["/bin/web"]).unwrap()).unwrap();
    let tcp = || CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
    let own = Check { service: Some(service), limit: 1, grace: Duration::ZERO, ..Check::new("port", tcp()) };
    let check = table.push_check(own).unwrap();
    table.push_check(Check { level: CheckLevel::Ready, ..Check::new("uplink", tcp()) }).unwrap();
    let mut services = Supervisor::new(table);
    services.handle_command(service, Verb::Start, Duration::ZERO).unwrap();
    services.handle_spawned(service, Ok(7), Duration::ZERO);
    let attempt = services.begin_check(check, Duration::ZERO);
    services.handle_checked(attempt, Err(CheckError::Connect(111)), Duration::ZERO);
    services.handle_exit(service, Exit::Code(0), true, Duration::ZERO);
    let end = r#""Exit": "exit 0", "Reason": "unhealthy (check port)"}]"#;
    let port = concat!(
        r#""Checks": [{"Name": "port", "Level": "alive", "State": "failing", "Failures": 1, "#,
        r#""Error": "cannot connect: Connection refused (errno 111)"}"#
    );
    let text = shown(&services, Duration::ZERO, &mut [0; 2048]);
    assert!(text.ends_with(&format!("{end}, {port}]}}")), "{text}");
    let status = BoardStatus {
        build: "",
        slot: "",
        slot_state: SlotState::None,
        missing: None,
        config_origin: "given",
        complaint: "",
        notice: "",
        certificate: "",
        certificate_names: "",
        certificate_facts: &Default::default(),
        token: "",
        sandbox: &"files".to_owned(),
        syslog: "",
        uptime_s: 1,
        connections: Count { used: 2, limit: 4 },
        sessions: Count { used: 1, limit: 8 },
        memory: Memory { server: 1000, available: 2000, total: 4000 },
        services: &services,
    };
    let text = written(Form::Http, &Outcome::Board(status));
    let uplink = r#"{"Name": "uplink", "Level": "ready", "State": "unchecked", "Failures": 0}"#;
    assert!(text.ends_with(&format!(r#""MemoryTotal": 4000, {port},{uplink}]}}"#)), "{text}");
}

#[test]
fn status_of_the_board_escapes_its_strings() {
    let status = BoardStatus {
        build: "0a1b",
        slot: "A",
        slot_state: SlotState::Testing,
        missing: Some(Missing::Service("w\"")),
        config_origin: "last good",
        complaint: "f:1:2: unknown key '\"x'",
        notice: "",
        certificate: "c.pem: expires",
        certificate_names: "localhost, \"",
        certificate_facts: &["5a".to_owned(), "3c".to_owned(), "2030".to_owned()],
        token: "[[token]] 2: expires",
        sandbox: &"files".to_owned(),
        syslog: "",
        uptime_s: 12,
        connections: Count { used: 2, limit: 4 },
        sessions: Count { used: 1, limit: 8 },
        memory: Memory { server: 1000, available: 2000, total: 4000 },
        services: &Supervisor::new(ServiceTable::new()),
    };
    assert_eq!(
        written(Form::Http, &Outcome::Board(status)).replace(limits::BOARD, "host"),
        concat!(
            r#"{ "Status": "ok", "Board": "host", "Version": "0.1.0", "Build": "0a1b", "Slot": "A", "#,
            r#""SlotState": "testing", "SlotMissing": "service w\" is not up", "#,
            r#""DeviceFile": "last good", "Complaint": "f:1:2: unknown key '\"x'", "Notice": "", "Certificate": "c.pem: expires", "CertificateNames": "localhost, \"", "CertificateSum": "5a", "CertificateKey": "3c", "CertificateEnd": "2030", "Token": "[[token]] 2: expires", "Sandbox": "files", "Uptime": 12, "#,
            r#""Connections": 2, "Slots": 4, "Sessions": 1, "SessionSlots": 8, "Memory": 1000, "#,
            r#""MemoryAvailable": 2000, "MemoryTotal": 4000}"#
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
        inode: None,
        records: b"0123456789",
    };
    assert_eq!(
        written(Form::Frame, &Outcome::BoardLog(page)),
        concat!(
            r#"{ "Status": "ok", "Board": "b", "Build": "0a", "Form": "text", "Level": "info", "#,
            r#""Wall": 5, "Mono": 4, "From": 7, "Next": 17, "Records": "MDEyMzQ1Njc4OQ=="}"#
        )
    );
    let stored = written(Form::Frame, &Outcome::BoardLog(LogPage { inode: Some(9), ..page }));
    assert!(stored.contains(r#""Level": "info", "File": 9, "Wall": 5"#), "{stored}");
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
        written(
            form,
            &Outcome::Services(ServiceList {
                services: &services,
                rights: users.rights(user),
                first: None,
                now: Duration::ZERO,
            }),
        )
    };
    assert_eq!(
        list(&["hello"], Form::Frame),
        r#"{ "Services": [ { "Service": "hello" , "Status": "0" ,  "Hosts" : "", "state":"stopped" }] }"#
    );
    assert_eq!(
        list(&["hello", "b"], Form::Frame),
        concat!(
            r#"{ "Services": [ { "Service": "hello" , "Status": "0" ,  "Hosts" : "", "state":"stopped" },"#,
            r#"{ "Service": "b" , "Status": "0" ,  "Hosts" : "", "state":"stopped" }] }"#
        )
    );
    for form in [Form::Envelope, Form::Http] {
        assert_eq!(
            list(&["hello"], form),
            r#"{ "Services": [ { "Name": "hello" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"stopped" }] }"#
        );
    }
    assert_eq!(list(&[], Form::Frame), r#"{ "Services": [ ] }"#);
}

#[test]
fn list_has_the_state_and_its_reason() {
    let mut table = ServiceTable::new();
    let mut described = Spec::new("web", &["/bin/web"]).unwrap();
    described.description = "Page".try_into().ok();
    let web = table.push(described).unwrap();
    table.push(Spec::new("job", &["/bin/job"]).unwrap()).unwrap();
    let mut services = Supervisor::new(table);
    services.handle_command(web, Verb::Start, Duration::ZERO).unwrap();
    services.handle_spawned(web, Ok(7), Duration::ZERO);
    services.handle_exit(web, Exit::signal(11), true, Duration::ZERO);
    let mut users = Users::new();
    let user = User {
        name: heapless::String::try_from("anna").unwrap(),
        full_name: heapless::String::new(),
        level: UserLevel::User,
        services: Grants::all(),
        password: None,
    };
    let user = users.push(user).unwrap();
    let list = Outcome::Services(ServiceList {
        services: &services,
        rights: users.rights(user),
        first: None,
        now: Duration::ZERO,
    });
    assert_eq!(
        written(Form::Frame, &list),
        concat!(
            r#"{ "Services": [ { "Service": "web" , "Status": "0" ,  "Hosts" : "", "Description": "Page", "#,
            r#""state":"failed", "reason":"signal 11" },"#,
            r#"{ "Service": "job" , "Status": "0" ,  "Hosts" : "", "state":"stopped" }] }"#
        )
    );
    assert_eq!(
        written(Form::Http, &list),
        concat!(
            r#"{ "Services": [ { "Name": "web" , "Status": "stopped" ,  "Hosts" : "My computer", "#,
            r#""Description": "Page", "state":"failed", "reason":"signal 11" },"#,
            r#"{ "Name": "job" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"stopped" }] }"#
        )
    );
}

#[test]
fn command_output_is_escaped_and_cut_where_it_may_be() {
    let command = CommandOutput { exit: "0", output: b"a \"b\"\n\xff\x01\xe2\x80\xae", is_cut: false };
    assert_eq!(
        written(Form::Http, &Outcome::Command(command)),
        "{ \"Status\": \"ok\", \"Exit\": \"0\", \"Output\": \"a \\\"b\\\"\\n\u{FFFD}\u{FFFD}\u{FFFD}\"}"
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
        assert_eq!(kind(&Outcome::WebGui(html)), Kind::Html, "{html}");
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
