//! Operations: calls whose result outlives the connection.

use super::fixture::{ADMIN, ANNA, Fixture, frame};
use crate::call::{
    Completion, OPERATION_ID_BYTES, OPERATION_TEXT_BYTES, OPERATIONS, OperationKey, Operations, PendingCall,
    USER_OPERATIONS, Work,
};
use crate::connection::SlotId;
use crate::service::{Exit, Program, ServiceId, Signal};
use crate::session::UserId;

const OK: &str = r#"{ "Status": "ok"}"#;

fn envelope(session: &str, path: &str, data: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"system.library/{path}","data":{data},"sessionid":"{session}"}}}}"#
    )
}

/// Content of the one answer, as the envelope has it.
fn content(messages: &[String]) -> &str {
    let mut answers = messages.iter().filter(|message| !message.contains("service-change"));
    let (Some(message), None) = (answers.next(), answers.next()) else { panic!("{messages:?}") };
    let (_, content) = message.split_once(r#""requestid":"r","data":"#).unwrap();
    content.strip_suffix("}}").unwrap()
}

fn call(fixture: &mut Fixture, id: SlotId, path: &str, data: &str) -> String {
    content(&fixture.say(id, &envelope(ADMIN, path, data))).to_owned()
}

const START: &str = r#"{"operation":"a"}"#;

#[test]
fn client_that_lost_its_connection_learns_what_became_of_its_start() {
    let mut fixture = Fixture::new(4);
    let [lost, id, other] = [(); 3].map(|()| fixture.bound(ADMIN));
    fixture.deliver(lost, &frame(&envelope(ADMIN, "services/hello/start", START)));
    fixture.hang_up(lost);
    fixture.server.release(lost);
    fixture.deliver(id, &frame(&envelope(ADMIN, "operations/list", "{}")));
    assert_eq!(
        content(&fixture.receive(id)),
        r#"{ "Status": "ok", "Operations": [{"Operation": "a", "Function": "start", "Service": "hello", "State": "running", "Ago": 0}]}"#
    );
    // It waits, and so does the same call once more: both are answered at the end of the one start.
    fixture.deliver(id, &frame(&envelope(ADMIN, "operations/wait", START)));
    fixture.deliver(other, &frame(&envelope(ADMIN, "services/hello/start", START)));
    let early = [fixture.receive(id), fixture.receive(other)].concat();
    assert!(early.iter().all(|message| message.contains("service-change")), "{early:?}");
    fixture.settle();
    assert_eq!((content(&fixture.receive(id)), content(&fixture.receive(other))), (OK, OK));
    assert_eq!(fixture.system.next_pid, 1);
    // Later, too; and the call is not executed once more after a stop.
    assert_eq!(call(&mut fixture, id, "services/hello/stop", "{}"), OK);
    fixture.exit(1234, Exit::signal(15));
    assert_eq!(call(&mut fixture, id, "services/hello/start", START), OK);
    assert_eq!(call(&mut fixture, id, "operations/wait", START), OK);
    assert_eq!(fixture.system.next_pid, 1);
    assert!(call(&mut fixture, id, "operations/list", "{}").contains(r#""State": "ended""#));
}

#[test]
fn failed_start_is_answered_once_more_in_the_form_of_the_call() {
    let mut fixture = Fixture::new(4);
    fixture.system.refuses = Some(2);
    let id = fixture.bound(ADMIN);
    let first = call(&mut fixture, id, "services/hello/start", START);
    assert!(first.contains("No such file or directory (errno 2)"), "{first}");
    assert_eq!(call(&mut fixture, id, "operations/wait", START), first);
    let path = "system.library/operations/wait";
    let id = fixture.socket();
    let in_frame = fixture
        .say(id, &format!(r#"<!--"MSG"--"1"--"{path}"-->{{"operation":"a","sessionid":"{ADMIN}"}}<--!>"#));
    assert!(
        in_frame[0].starts_with(r#"{ "ErrorMessage": "Function start returned: 2", "reason": "#),
        "{in_frame:?}"
    );
}

#[test]
fn call_that_need_not_wait_and_one_that_nothing_answers_are_kept() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    assert_eq!(call(&mut fixture, id, "services/hello/stop", START), OK);
    let event =
        envelope(ADMIN, "services/clock/pause", r#"{"operation":"b"}"#).replace("request\"", "event\"");
    assert!(fixture.say(id, &event).is_empty());
    let failure = call(&mut fixture, id, "operations/wait", r#"{"operation":"b"}"#);
    assert!(failure.contains("Function pause returned: 3"), "{failure}");
    let list = call(&mut fixture, id, "operations/list", "{}");
    assert_eq!(list.matches(r#""State": "ended""#).count(), 2, "{list}");
}

#[test]
fn end_is_kept_with_its_text_up_to_the_limit() {
    let mut fixture = Fixture::new(4);
    for (length, is_cut) in [(OPERATION_TEXT_BYTES, false), (OPERATION_TEXT_BYTES + 1, true)] {
        let lost = fixture.bound(ADMIN);
        let operation = format!(r#""operation":"c{length}""#);
        let run = envelope(ADMIN, "services/clock/command", &format!(r#"{{"cmd":"show",{operation}}}"#));
        fixture.deliver(lost, &frame(&run));
        fixture.hang_up(lost);
        fixture.server.release(lost);
        fixture.end_command("exit 0", &vec![b'x'; length]);
        let id = fixture.bound(ADMIN);
        let kept = call(&mut fixture, id, "operations/wait", &format!("{{{operation}}}"));
        assert_eq!(kept.matches('x').count(), OPERATION_TEXT_BYTES + 2, "with those of Exit and exit");
        assert_eq!(kept.contains(r#""Cut": true"#), is_cut);
    }
    let id = fixture.bound(ADMIN);
    for (length, operation) in [(OPERATION_TEXT_BYTES, "d"), (OPERATION_TEXT_BYTES + 1, "e")] {
        let data = format!(r#"{{"operation":"{operation}"}}"#);
        fixture.deliver(id, &frame(&envelope(ADMIN, "board/reload", &data)));
        let call_id = fixture.system.reloads.pop().unwrap();
        let reason = "y".repeat(length);
        let completion = Completion::Reloaded(Err(&reason));
        fixture.server.handle_completion(call_id, completion, fixture.now, &mut fixture.system);
        assert_eq!(content(&fixture.receive(id)).matches('y').count(), length);
        let kept = call(&mut fixture, id, "operations/wait", &data);
        assert_eq!(kept.matches('y').count(), OPERATION_TEXT_BYTES);
        assert!(kept.contains("Function reload returned: 22"), "{kept}");
    }
}

#[test]
fn start_can_be_given_up() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    let other = fixture.bound(ADMIN);
    fixture.deliver(id, &frame(&envelope(ADMIN, "services/hello/start", START)));
    fixture.deliver(other, &frame(&envelope(ADMIN, "operations/cancel", START)));
    assert_eq!(content(&fixture.receive(other)), OK);
    fixture.settle();
    assert!(fixture.system.signals.contains(&(1234, Signal::Kill)), "{:?}", fixture.system.signals);
    let answer = fixture.receive(id);
    assert!(content(&answer).contains("Function start returned: 3"), "{answer:?}");
    // It has ended: there is nothing to give up.
    assert_eq!(call(&mut fixture, id, "operations/cancel", START), OK);
    // A reload cannot be given up.
    fixture.deliver(id, &frame(&envelope(ADMIN, "board/reload", r#"{"operation":"r"}"#)));
    let refused = fixture.say(other, &envelope(ADMIN, "operations/cancel", r#"{"operation":"r"}"#));
    assert!(content(&refused).contains("Function cancel returned: 16"), "{refused:?}");
}

#[test]
fn id_of_a_refused_call_is_not_that_of_a_later_cancel() {
    let mut fixture = Fixture::new(4);
    let [id, other] = [(); 2].map(|()| fixture.bound(ADMIN));
    fixture.deliver(id, &frame(&envelope(ADMIN, "services/hello/start", START)));
    fixture.deliver(other, &frame(&envelope(ADMIN, "services/hello/command", r#"{"operation":"q"}"#)));
    let refused = fixture.receive(other);
    assert!(content(&refused).contains("Missing parameters: cmd"), "{refused:?}");
    fixture.deliver(other, &frame(&envelope(ADMIN, "operations/cancel", START)));
    assert_eq!(content(&fixture.receive(other)), OK);
    fixture.settle();
    let unknown = call(&mut fixture, other, "operations/wait", r#"{"operation":"q"}"#);
    assert!(unknown.contains("Function wait returned: 2"), "{unknown}");
}

#[test]
fn operation_has_an_id_up_to_its_limit() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    let longest = "i".repeat(OPERATION_ID_BYTES);
    let started = call(&mut fixture, id, "services/hello/start", &format!(r#"{{"operation":"{longest}"}}"#));
    assert_eq!(started, OK);
    for bad in [&*(longest + "i"), "a b", "\u{e9}"] {
        let data = format!(r#"{{"operation":"{bad}"}}"#);
        let refused = call(&mut fixture, id, "services/hello/restart", &data);
        assert!(refused.contains("Function restart returned: 22"), "{refused}");
        assert!(call(&mut fixture, id, "operations/wait", &data).contains("Function wait returned: 2"));
    }
    assert_eq!(fixture.system.next_pid, 1);
    assert!(call(&mut fixture, id, "operations/wait", "{}").contains("Missing parameters: operation"));
}

#[test]
fn id_of_another_call_and_of_another_user() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    assert_eq!(call(&mut fixture, id, "services/hello/start", START), OK);
    for (path, function) in [("services/hello/stop", "stop"), ("services/clock/start", "start")] {
        let refused = call(&mut fixture, id, path, START);
        assert!(refused.contains(&format!("Function {function} returned: 17")), "{refused}");
    }
    let anna = fixture.bound(ANNA);
    let mut as_anna = |path: &str| content(&fixture.say(anna, &envelope(ANNA, path, START))).to_owned();
    assert_eq!(as_anna("operations/list"), r#"{ "Status": "ok", "Operations": []}"#);
    assert!(as_anna("operations/wait").contains("Function wait returned: 2"));
    assert!(as_anna("operations/cancel").contains("Function cancel returned: 2"));
    assert_eq!(as_anna("services/hello/stop"), OK);
}

fn key(id: usize, user: u8) -> OperationKey {
    let user = if user == 0 { UserId::LOCAL_ROOT } else { UserId::LOCAL_OWNER };
    OperationKey::new(&id.to_string(), user).unwrap()
}

/// Table with operations that run, by the numbers of their calls.
fn running(table: &mut Operations, ids: core::ops::Range<usize>, user: u8) {
    for id in ids {
        assert!(table.prepare(key(id, user), 0, fixture_time(id)), "{id}");
        let work = Work::Command { service: ServiceId::from_index(0).unwrap(), program: Program::Command(0) };
        table.run(&PendingCall::new(id as u64, work));
    }
}

#[test]
fn stop_is_executed_while_calls_that_wait_use_all_operations() {
    let mut fixture = Fixture::new(USER_OPERATIONS + 1);
    let id = fixture.bound(ADMIN);
    for number in 0..USER_OPERATIONS {
        let waits = fixture.bound(ADMIN);
        let data = format!(r#"{{"cmd":"show","operation":"{number}"}}"#);
        fixture.deliver(waits, &frame(&envelope(ADMIN, "services/clock/command", &data)));
    }
    assert_eq!(call(&mut fixture, id, "services/hello/stop", r#"{"operation":"stop"}"#), OK);
    // It is not kept.
    let list = call(&mut fixture, id, "operations/list", "{}");
    assert!(
        list.matches("Operation\": \"").count() == USER_OPERATIONS && !list.contains(r#""stop""#),
        "{list}"
    );
    let command = call(&mut fixture, id, "services/hello/command", r#"{"cmd":"x","operation":"command"}"#);
    assert!(command.contains("Cannot allocate memory"), "{command}");
}

fn fixture_time(id: usize) -> core::time::Duration {
    core::time::Duration::from_secs(id as u64)
}

#[test]
fn user_has_a_share_of_the_operations() {
    let mut table = Operations::default();
    running(&mut table, 0..USER_OPERATIONS, 0);
    assert!(!table.prepare(key(99, 0), 0, fixture_time(99)), "all of them run");
    assert!(table.prepare(key(99, 1), 0, fixture_time(99)), "another user has room");
    table.prepare_none();
    table.complete(2, &Completion::Settled(Ok(())));
    running(&mut table, 99..100, 0);
    let found = |id| table.find(&key(id, 0)).is_some();
    assert!(found(0) && found(1) && !found(2) && found(3) && found(99), "the one that has ended makes room");
}

#[test]
fn oldest_operation_that_has_ended_makes_room() {
    let service = ServiceId::from_index(0).unwrap();
    let mut table = Operations::default();
    let users: Vec<UserId> = {
        let mut users = crate::session::Users::new();
        (0..OPERATIONS / USER_OPERATIONS + 1)
            .map(|number| {
                let (full_name, level) = (heapless::String::new(), crate::session::UserLevel::User);
                let name = number.to_string().as_str().try_into().unwrap();
                let services = crate::session::Grants::default();
                users.push(crate::session::User { name, full_name, level, password: None, services }).unwrap()
            })
            .collect()
    };
    let key = |id: usize| OperationKey::new(&id.to_string(), users[id / USER_OPERATIONS]).unwrap();
    for id in 0..OPERATIONS {
        assert!(table.prepare(key(id), 0, fixture_time(id)));
        table.run(&PendingCall::new(id as u64, Work::Command { service, program: Program::Command(0) }));
    }
    assert!(!table.prepare(key(OPERATIONS), 0, fixture_time(0)), "all of them run");
    for id in [7, 3] {
        table.complete(id, &Completion::Settled(Ok(())));
    }
    assert!(table.prepare(key(OPERATIONS), 0, fixture_time(0)));
    table.end_at_once("stop", service, Ok(()));
    assert_eq!((table.find(&key(3)), table.find(&key(7)).is_some()), (None, true));
    assert!(table.find(&key(OPERATIONS)).is_some());
}
