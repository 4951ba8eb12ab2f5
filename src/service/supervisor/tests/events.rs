//! Events of services.

use super::*;
use crate::service::{EVENT_PERIOD, EventReport, ProcessEvent, StatusText};

fn report(text: &str, life: Option<Duration>) -> ProcessEvent {
    let (text, age) = (StatusText::new(text), Duration::from_secs(3));
    ProcessEvent::Event(EventReport { text, age, life, changes: 7 })
}

fn say(supervisor: &mut Supervisor, text: &str, now: Duration) {
    supervisor.handle_event(id(0), report(text, None), now);
}

fn shown(supervisor: &Supervisor) -> List<&str> {
    supervisor.events(id(0)).map(|event| event.text.as_str()).collect()
}

#[test]
fn event_is_kept_with_its_age_until_it_is_removed() {
    let mut supervisor = one_of(|_| ());
    say(&mut supervisor, "door=open", at(10));
    say(&mut supervisor, "lamp=on", at(10));
    let first = *supervisor.events(id(0)).next().unwrap();
    assert_eq!((first.at, first.changes), (at(7), 7));
    say(&mut supervisor, "door=", at(11));
    assert_eq!(shown(&supervisor), ["lamp=on"]);
}

#[test]
fn event_is_that_of_the_current_run() {
    let mut supervisor = one_of(|_| ());
    say(&mut supervisor, "door=open", at(1));
    assert_eq!(supervisor.take_changed_events(at(1)), 1);
    command(&mut supervisor, Verb::Stop, at(2));
    assert_eq!(shown(&supervisor), ["door=open"], "it still runs");
    say(&mut supervisor, "door=closed", at(2));
    assert_eq!(shown(&supervisor), ["door=open"], "it is ending");
    exit(&mut supervisor, Exit::Code(0), true, at(3));
    assert_eq!(shown(&supervisor), [""; 0]);
    assert_eq!(supervisor.take_changed_events(at(3)), 1);
    say(&mut supervisor, "door=late", at(3));
    assert_eq!(shown(&supervisor), [""; 0], "it has ended");
}

#[test]
fn event_is_forgotten_after_its_time() {
    let mut supervisor = one_of(|_| ());
    supervisor.handle_event(id(0), report("door=open", Some(at(60))), at(10));
    assert_eq!(supervisor.take_changed_events(at(10)), 1);
    supervisor.handle_event(id(0), report("door=open", Some(at(60))), at(11));
    assert_eq!(supervisor.take_changed_events(at(11)), 0, "only its time is another one");
    supervisor.handle_timeout(at(70));
    assert_eq!(shown(&supervisor), ["door=open"]);
    assert_eq!(supervisor.poll_timeout(), Some(at(71)));
    supervisor.handle_timeout(at(71));
    assert_eq!(shown(&supervisor), [""; 0]);
    assert_eq!(supervisor.take_changed_events(at(71)), 1);
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn changes_within_the_period_are_held_back() {
    let mut supervisor = one_of(|_| ());
    supervisor.handle_timeout(at(10));
    say(&mut supervisor, "door=open", at(10));
    assert_eq!(supervisor.take_changed_events(at(10)), 1);
    let until = at(10) + EVENT_PERIOD;
    for millis in 0..10 {
        let now = at(10) + Duration::from_millis(millis);
        say(&mut supervisor, &format!("door={millis}"), now);
        assert_eq!(supervisor.take_changed_events(now), 0);
    }
    assert_eq!(supervisor.poll_timeout(), Some(until));
    assert_eq!((supervisor.take_changed_events(until), supervisor.take_changed_events(until)), (1, 0));
    assert_eq!(shown(&supervisor), ["door=9"]);
}
