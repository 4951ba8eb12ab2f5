//! How connections end: with their last answer, in order, and in time.

use super::world::{FOUNDING, World};
use crate::limits::ANSWER_TIMEOUT;
use crate::slot::Finish;

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A named command of `clock` that runs, over HTTP.
fn tell(world: &mut World) -> crate::slot::SlotId {
    let id = world.connect();
    let body = format!("cmd=tell&sessionid={FOUNDING}");
    world.put(id, post("/system.library/services/clock/command", &body).as_bytes());
    id
}

#[test]
fn call_over_http_that_is_given_up_is_answered() {
    let mut world = World::new(4);
    let id = tell(&mut world);
    world.pass(ANSWER_TIMEOUT);
    assert_eq!(world.server.state(id).finish, Some(Finish::Graceful));
    let response = String::from_utf8(world.get(id)).unwrap();
    assert!(response.contains(r#""code":"17""#), "{response}");
}
