//! Events of services: what a service says of the things it is for, such as `door=open`.

use core::time::Duration;

use heapless::Vec;

use super::{
    EVENT_KEY_BYTES, EVENT_VALUE_BYTES, EVENTS, SERVICE_EVENTS, STATUS_TEXT_BYTES, ServiceId, StatusText,
};

const _: () = assert!(EVENT_KEY_BYTES + 1 + EVENT_VALUE_BYTES < STATUS_TEXT_BYTES, "a cut text is invalid");

/// Value of a key, as one run of a service has said it last. A text without a value removes the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event {
    /// Service of the run.
    pub service: ServiceId,
    /// `KEY=VALUE`.
    pub text: StatusText,
    /// Time of the change to this value.
    pub at: Duration,
    /// Time from which on it is not known any more.
    pub until: Option<Duration>,
    /// Values that the key has had.
    pub changes: u32,
    /// It was passed on.
    pub is_sent: bool,
}

impl Event {
    /// The key.
    pub fn key(&self) -> &str {
        parse(self.text.as_str()).map_or("", |(key, _)| key)
    }

    /// The value; empty for a key that is to be removed.
    pub fn value(&self) -> &str {
        parse(self.text.as_str()).map_or("", |(_, value)| value)
    }
}

/// Key and value of `KEY=VALUE`. `None`: the key has other characters than small letters, digits, `.`, `-` and `_`,
/// or one of both is too long.
pub fn parse(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let is_of_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let is_key = (1..=EVENT_KEY_BYTES).contains(&key.len()) && key.bytes().all(is_of_key);
    (is_key && value.len() <= EVENT_VALUE_BYTES).then_some((key, value))
}

/// An event is invalid, or has no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

/// Events of all services, in the order of their keys' first values.
#[derive(Debug, Default)]
pub struct Events(Vec<Event, EVENTS>);

impl Events {
    /// Notes that a service has said `KEY=VALUE`, for all its run or for a time.
    ///
    /// # Errors
    /// The text is invalid, or has a new key without a place for it.
    pub fn say(
        &mut self,
        service: ServiceId,
        text: StatusText,
        life: Option<Duration>,
        now: Duration,
    ) -> Result<(), Refused> {
        let (key, value) = parse(text.as_str()).ok_or(Refused)?;
        self.expire(now);
        let until = life.filter(|_| !value.is_empty()).map(|life| now.saturating_add(life));
        let new = Event { service, text, at: now, until, changes: 1, is_sent: false };
        match self.0.iter_mut().find(|event| event.service == service && event.key() == key) {
            // Said again: nothing to pass on, unless it would end.
            Some(event) if event.text == text && event.until.is_none() && until.is_none() => {}
            Some(event) if event.text == text => {
                *event = Event { at: event.at, changes: event.changes, ..new }
            }
            Some(event) => *event = Event { changes: event.changes.saturating_add(1), ..new },
            None if value.is_empty() => {}
            None => self.push(new)?,
        }
        Ok(())
    }

    /// Stores an event that was passed on; one without a value is removed.
    ///
    /// # Errors
    /// As for [`say`](Self::say).
    pub fn store(&mut self, new: Event) -> Result<(), Refused> {
        parse(new.text.as_str()).ok_or(Refused)?;
        match self.0.iter_mut().find(|event| event.service == new.service && event.key() == new.key()) {
            Some(event) => *event = new,
            None => self.push(new)?,
        }
        self.0.retain(|event| !event.value().is_empty());
        Ok(())
    }

    fn push(&mut self, new: Event) -> Result<(), Refused> {
        let others = self.0.iter().filter(|event| event.service == new.service).count();
        if others >= SERVICE_EVENTS { Err(Refused) } else { self.0.push(new).map_err(|_| Refused) }
    }

    /// Events of a service.
    pub fn of(&self, service: ServiceId) -> impl Iterator<Item = &Event> {
        self.0.iter().filter(move |event| event.service == service)
    }

    /// Passes on what is not passed on yet, until `send` returns false.
    pub fn send(&mut self, mut send: impl FnMut(&Event) -> bool) {
        for event in self.0.iter_mut().filter(|event| !event.is_sent) {
            event.is_sent = send(event);
            if !event.is_sent {
                break;
            }
        }
        self.0.retain(|event| !event.is_sent || !event.value().is_empty());
    }

    /// Returns true if something is not passed on yet.
    pub fn is_unsent(&self) -> bool {
        self.0.iter().any(|event| !event.is_sent)
    }

    /// Passes everything on again.
    pub fn send_again(&mut self) {
        self.0.iter_mut().for_each(|event| event.is_sent = false);
    }

    /// Forgets the events of services of which this returns false.
    pub fn retain(&mut self, is_kept: impl Fn(ServiceId) -> bool) {
        self.0.retain(|event| is_kept(event.service));
    }

    /// Forgets the events whose time is over. Returns the mask of their services.
    pub fn expire(&mut self, now: Duration) -> u64 {
        let mut expired = 0;
        self.0.retain(|event| {
            let is_over = event.until.is_some_and(|until| until <= now);
            expired |= u64::from(is_over) << event.service.index();
            !is_over
        });
        expired
    }

    /// Time of the next call of [`expire`](Self::expire).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.0.iter().filter_map(|event| event.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: usize) -> ServiceId {
        ServiceId::from_index(index).unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn say(events: &mut Events, service: usize, text: &str, now: u64) -> Result<(), Refused> {
        events.say(id(service), StatusText::new(text), None, at(now))
    }

    fn shown(events: &Events, service: usize) -> std::vec::Vec<(&str, u64, u32)> {
        let shown = |event: &'_ Event| (event.at.as_secs(), event.changes);
        events.of(id(service)).map(|event| (event.text.as_str(), shown(event).0, shown(event).1)).collect()
    }

    #[test]
    fn value_has_the_time_of_its_change_and_the_number_of_changes() {
        let mut events = Events::default();
        for (text, now) in [("door=open", 1), ("door=open", 2), ("door=closed", 3), ("lamp=a=b ö", 4)] {
            say(&mut events, 0, text, now).unwrap();
        }
        assert_eq!(shown(&events, 0), [("door=closed", 3, 2), ("lamp=a=b ö", 4, 1)]);
        assert_eq!(shown(&events, 1), []);
    }

    #[test]
    fn key_and_value_up_to_their_limits() {
        let text = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
        let mut events = Events::default();
        say(&mut events, 0, &text(EVENT_KEY_BYTES, EVENT_VALUE_BYTES), 0).unwrap();
        for invalid in [
            text(EVENT_KEY_BYTES + 1, 1),
            text(1, EVENT_VALUE_BYTES + 1),
            text(1, STATUS_TEXT_BYTES),
            "=open".into(),
            "door".into(),
            "Door=open".into(),
            "\u{1b}[2J=x".into(),
            "a b=c".into(),
        ] {
            assert_eq!(say(&mut events, 0, &invalid, 0), Err(Refused), "{invalid}");
        }
    }

    #[test]
    fn new_keys_over_the_limits_are_refused_and_known_ones_still_change() {
        let mut events = Events::default();
        let services = EVENTS / SERVICE_EVENTS;
        for service in 0..services {
            for key in 0..SERVICE_EVENTS {
                say(&mut events, service, &format!("k{key}=1"), 0).unwrap();
            }
            assert_eq!(say(&mut events, service, "one=more", 0), Err(Refused));
        }
        assert_eq!(say(&mut events, services, "one=more", 0), Err(Refused));
        assert_eq!(say(&mut events, 0, "k0=2", 1), Ok(()));
        assert_eq!(shown(&events, 0)[0], ("k0=2", 1, 2));
    }

    #[test]
    fn event_is_passed_on_once_and_its_removal_too() {
        let sent = |events: &mut Events| {
            let mut sent = std::vec::Vec::new();
            events.send(|event| {
                sent.push(event.text.as_str().to_owned());
                true
            });
            sent
        };
        let mut events = Events::default();
        say(&mut events, 0, "door=open", 0).unwrap();
        events.send(|_| false);
        assert!(events.is_unsent());
        assert_eq!(sent(&mut events), ["door=open"]);
        say(&mut events, 0, "door=open", 1).unwrap();
        assert_eq!(sent(&mut events), [""; 0]);
        events.send_again();
        assert_eq!(sent(&mut events), ["door=open"]);
        say(&mut events, 0, "door=", 1).unwrap();
        say(&mut events, 0, "lamp=", 1).unwrap();
        assert_eq!(sent(&mut events), ["door="]);
        assert_eq!(shown(&events, 0), []);
    }

    #[test]
    fn event_ends_with_its_time_or_with_its_run() {
        let mut events = Events::default();
        let text = StatusText::new("door=open");
        events.say(id(3), text, Some(at(5)), at(0)).unwrap();
        say(&mut events, 0, "lamp=on", 0).unwrap();
        // Said again, it has its time anew, and is the same value.
        events.say(id(3), text, Some(at(5)), at(2)).unwrap();
        assert_eq!(events.poll_timeout(), Some(at(7)));
        assert_eq!(shown(&events, 3), [("door=open", 0, 1)]);
        assert_eq!((events.expire(at(6)), events.expire(at(7))), (0, 1 << 3));
        assert_eq!((shown(&events, 3), events.poll_timeout()), (vec![], None));
        events.retain(|service| service != id(0));
        assert_eq!(shown(&events, 0), []);
    }

    #[test]
    fn value_that_gets_its_time_anew_has_its_changes_still() {
        let mut events = Events::default();
        say(&mut events, 0, "door=open", 0).unwrap();
        for now in [1, 2] {
            events.say(id(0), StatusText::new("door=closed"), Some(at(5)), at(now)).unwrap();
        }
        assert_eq!(shown(&events, 0), [("door=closed", 1, 2)]);
    }

    #[test]
    fn event_that_cannot_be_passed_on_is_the_next_one() {
        let mut events = Events::default();
        let sent = |events: &mut Events, room: usize| {
            let mut sent = std::vec::Vec::new();
            events.send(|event| {
                sent.push(event.key().to_owned());
                sent.len() <= room
            });
            sent
        };
        assert!(!events.is_unsent());
        ["a=1", "b=1", "c=1"].iter().for_each(|text| say(&mut events, 0, text, 0).unwrap());
        assert_eq!(sent(&mut events, 1), ["a", "b"], "b is refused");
        assert!(events.is_unsent());
        assert_eq!(sent(&mut events, 2), ["b", "c"]);
        assert!(!events.is_unsent());
    }

    #[test]
    fn stored_event_takes_the_place_of_its_key_in_its_service() {
        let mut events = Events::default();
        let mut store = |service, text| {
            let (service, text) = (id(service), StatusText::new(text));
            let event = Event { service, text, at: at(1), until: None, changes: 1, is_sent: true };
            let result = events.store(event);
            let texts =
                |service| shown(&events, service).iter().map(|row| row.0).collect::<std::vec::Vec<_>>();
            (result, [0, 1].map(|service| texts(service).join(" ")).join("; "))
        };
        for (service, text, stored) in [
            (0, "door=open", "door=open; "),
            (0, "lamp=on", "door=open lamp=on; "),
            (1, "door=open", "door=open lamp=on; door=open"),
            (0, "lamp=off", "door=open lamp=off; door=open"),
            (0, "door=", "lamp=off; door=open"),
        ] {
            assert_eq!(store(service, text), (Ok(()), stored.to_owned()));
        }
        assert_eq!(store(0, "door").0, Err(Refused));
    }
}
