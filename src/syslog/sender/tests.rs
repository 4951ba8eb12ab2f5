use super::super::SYSLOG_PAUSE;
use super::super::message::tests::parse;
use super::*;

const WALL: Duration = Duration::from_secs(1_735_689_600);
const S: Duration = Duration::from_secs(1);

/// Sources with the newest bytes of each, up to a capacity, from their first whole line on.
struct Fake {
    all: Vec<String, SOURCES>,
    capacity: usize,
}

impl Fake {
    fn new(capacity: usize) -> Self {
        Self { all: (0..SOURCES).map(|_| String::new()).collect(), capacity }
    }

    fn add(&mut self, source: usize, text: &str) {
        self.all[source].push_str(text);
    }
}

impl Sources for Fake {
    fn copy(&self, source: usize, since: u64, room: &mut [u8]) -> (u64, u64, usize) {
        let all = self.all[source].as_bytes();
        let oldest = all.len().saturating_sub(self.capacity);
        let (mut from, mut before) = (since as usize, 0);
        if from < oldest {
            from = oldest + all[oldest..].iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            before = all[..from].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        let count = room.len().min(all.len() - from);
        room[..count].copy_from_slice(&all[from..from + count]);
        (from as u64, before, count)
    }

    fn end(&self, service: usize) -> u64 {
        self.all[service].len() as u64
    }

    fn origin(&self, service: usize, position: u64) -> (&str, u32) {
        (["web", "door"][service], if position < 5 { 0 } else { 412 })
    }
}

fn sender() -> Sender {
    let host = HostName::try_from("board").unwrap();
    Sender::new(Form::Syslog, Facility::from_name("daemon").unwrap(), host, &|source| {
        !(2..AUDIT).contains(&source)
    })
}

fn at(now: Duration) -> Moment {
    Moment { now, of_log: now + S, wall: Some(WALL + now), is_synchronised: true }
}

/// Next message, which is sent.
fn next(sender: &mut Sender, fake: &Fake, now: Duration) -> Option<String> {
    if !sender.poll_message(fake, &at(now)) {
        return None;
    }
    let text = String::from_utf8(sender.message().datagram().to_vec()).unwrap();
    assert!(parse(text.as_bytes()).is_some(), "{text}");
    sender.handle_sent(now);
    Some(text)
}

/// Texts of all messages, each after the name of its source.
fn texts(sender: &mut Sender, fake: &Fake, now: Duration) -> std::vec::Vec<String> {
    let mut texts = std::vec::Vec::new();
    while let Some(message) = next(sender, fake, now) {
        let (fields, text) = parse(message.as_bytes()).unwrap();
        texts.push(format!("{} {} {text}", fields[3], fields[5]));
    }
    texts
}

#[test]
fn lines_of_a_service_are_messages_with_the_time_at_which_they_came() {
    let (mut sender, mut fake) = (sender(), Fake::new(1000));
    fake.add(0, "one\n<3>t");
    assert!(sender.note(0, &fake, 10 * S));
    fake.add(0, "wo\r\nthree\n");
    assert!(sender.note(0, &fake, 20 * S));
    let quality = "[timeQuality tzKnown=\"1\" isSynced=\"1\"]";
    for (priority, time, process, text) in
        [(30, "00:00:10", "-", "one"), (27, "00:00:10", "-", "two"), (30, "00:00:20", "412", "three")]
    {
        assert_eq!(
            next(&mut sender, &fake, 60 * S).unwrap(),
            format!("<{priority}>1 2025-01-01T{time}.000Z board web {process} output {quality} {text}")
        );
    }
    assert_eq!(next(&mut sender, &fake, 60 * S), None);
    assert!(!sender.is_pending());
    assert_eq!(sender.counts(), (3, 0));
}

#[test]
fn audit_trail_and_log_have_the_times_of_their_lines() {
    let (mut sender, mut fake) = (sender(), Fake::new(1000));
    fake.add(AUDIT, "[   11.000] user=anna call=services/start outcome=ok\n");
    fake.add(LOG, "2025-01-01T00:00:00.000Z [    6.000] warn  api::services: service door: start\n");
    sender.note(AUDIT, &fake, S);
    sender.note(LOG, &fake, S);
    let audit = next(&mut sender, &fake, 20 * S).unwrap();
    assert!(audit.starts_with("<85>1 2025-01-01T00:00:10.000Z board friendlet - audit [time"), "{audit}");
    assert!(audit.ends_with("] user=anna call=services/start outcome=ok"), "{audit}");
    let log = next(&mut sender, &fake, 20 * S).unwrap();
    assert!(log.starts_with("<28>1 2025-01-01T00:00:05.000Z board friendlet - log [time"), "{log}");
    assert!(log.ends_with("] api::services: service door: start"), "{log}");
}

#[test]
fn message_has_no_time_while_the_clock_is_wrong() {
    let (mut sender, mut fake) = (sender(), Fake::new(1000));
    fake.add(0, "one\n");
    sender.note(0, &fake, S);
    assert!(sender.poll_message(&fake, &Moment { wall: None, is_synchronised: false, ..at(S) }));
    let text = String::from_utf8(sender.message().datagram().to_vec()).unwrap();
    assert_eq!(text, "<30>1 - board web - output [timeQuality tzKnown=\"1\" isSynced=\"0\"] one");
}

#[test]
fn services_take_turns_and_a_line_waits_for_its_end() {
    let (mut sender, mut fake) = (sender(), Fake::new(1000));
    fake.add(0, "1\n2\n3\n4");
    fake.add(1, "a\nb\n");
    (0..2).for_each(|source| assert!(sender.note(source, &fake, S)));
    let expected =
        ["web output 1", "door output a", "web output 2", "door output b", "web output 3"].map(str::to_owned);
    assert_eq!(texts(&mut sender, &fake, S), expected);
    fake.add(0, "4\n");
    sender.note(0, &fake, S);
    assert_eq!(texts(&mut sender, &fake, S), ["web output 44"]);
    assert!(!sender.note(2, &fake, S), "its output is not sent");
}

#[test]
fn overwritten_lines_are_counted_and_the_newest_are_sent() {
    let (mut sender, mut fake) = (sender(), Fake::new(20));
    fake.add(0, "first\n");
    sender.note(0, &fake, S);
    assert_eq!(texts(&mut sender, &fake, S), ["web output first"]);
    (0..100).for_each(|number| fake.add(0, &format!("line {number}\n")));
    sender.note(0, &fake, S);
    // 20 bytes have two whole lines of 8, and a part.
    let expected =
        ["web dropped 98 lines of output were dropped", "web output line 98", "web output line 99"];
    assert_eq!(texts(&mut sender, &fake, S), expected);
    assert_eq!(sender.counts(), (4, 98));
}

#[test]
fn line_over_its_limit_is_sent_in_parts() {
    let (mut sender, mut fake) = (sender(), Fake::new(10_000));
    // A character of two bytes is where the part ends.
    let line = format!("{}ä{}", "x".repeat(SYSLOG_LINE_BYTES - 1), "y".repeat(SYSLOG_LINE_BYTES));
    fake.add(0, &line);
    sender.note(0, &fake, S);
    let text = |message: &str| message.rsplit_once(' ').unwrap().1.replace('\u{feff}', "");
    let mut sent = texts(&mut sender, &fake, S);
    assert_eq!(sent.len(), 2);
    fake.add(0, "\n");
    sender.note(0, &fake, S);
    sent.extend(texts(&mut sender, &fake, S));
    assert_eq!(sent.iter().map(|part| text(part)).collect::<String>(), line);
    assert_eq!(text(&sent[0]).len(), SYSLOG_LINE_BYTES - 1);
    assert_eq!(sent.len(), 3);
}

#[test]
fn what_was_sent_shortly_before_a_failure_is_sent_again() {
    let (mut sender, mut fake) = (sender(), Fake::new(1000));
    fake.add(0, "1\n");
    sender.note(0, &fake, S);
    assert_eq!(texts(&mut sender, &fake, S), ["web output 1"]);
    assert_eq!(sender.poll_timeout(S), Some(S + SYSLOG_REPEAT));
    assert!(!sender.handle_timeout(S) && sender.handle_timeout(S + SYSLOG_REPEAT));
    fake.add(0, "2\n");
    sender.note(0, &fake, 2 * S);
    assert_eq!(texts(&mut sender, &fake, 2 * S), ["web output 2"]);
    // The first one has been sent for two looks.
    assert!(sender.handle_timeout(3 * S));
    fake.add(0, "3\n");
    sender.note(0, &fake, 3 * S);
    assert_eq!(texts(&mut sender, &fake, 3 * S), ["web output 3"]);
    sender.handle_failure(3 * S);
    assert!(sender.is_pausing(3 * S + SYSLOG_PAUSE) && !sender.is_pausing(4 * S));
    assert_eq!(texts(&mut sender, &fake, 4 * S), ["web output 2", "web output 3"]);
    assert!(sender.handle_timeout(5 * S) && sender.handle_timeout(6 * S));
    assert_eq!(sender.poll_timeout(6 * S), None);
    assert_eq!(sender.counts(), (5, 0));
}

#[test]
fn pause_doubles_with_each_failure_up_to_its_limit() {
    let mut sender = sender();
    let (mut now, mut pauses) = (Duration::ZERO, std::vec::Vec::new());
    for _ in 0..8 {
        assert!(!sender.is_failing());
        sender.handle_failure(now);
        let end = sender.poll_timeout(now).unwrap();
        pauses.push((end - now).as_secs());
        now = end;
        if pauses.last() == Some(&SYSLOG_RETRY_MAX.as_secs()) {
            break;
        }
    }
    assert_eq!(SYSLOG_RETRY, S);
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60]);
    assert!(sender.is_failing());
    assert_eq!(sender.poll_timeout(now), None);
}

#[test]
fn times_of_output_are_thinned_out_at_their_limit() {
    let (mut sender, mut fake) = (sender(), Fake::new(10_000));
    for second in 1..=100_u32 {
        fake.add(0, &format!("{second}\n"));
        sender.note(0, &fake, S * second);
    }
    let mut last = 0;
    for second in 1..=100_u64 {
        let message = next(&mut sender, &fake, 100 * S).unwrap();
        let (fields, text) = parse(message.as_bytes()).unwrap();
        assert_eq!(text, second.to_string());
        let (minute, rest) = fields[1].split_at(17);
        let time = minute[14..16].parse::<u64>().unwrap() * 60 + rest[..2].parse::<u64>().unwrap();
        // None is earlier than its line, and none out of order.
        assert!(time >= second && time >= last && time < second + 15, "{second}: {time}");
        last = time;
    }
    assert!(sender.queues[0].times.len() <= SYSLOG_TIMES);
}

#[test]
fn another_service_in_the_place_of_one_begins_anew() {
    let (mut sender, mut fake) = (sender(), Fake::new(1000));
    fake.add(0, "1\n2\n");
    fake.add(1, "a\n");
    (0..2).for_each(|source| assert!(sender.note(source, &fake, S)));
    assert_eq!(texts(&mut sender, &fake, S).len(), 3);
    let mut other = Fake::new(1000);
    other.add(0, "new\n");
    other.add(1, "a\nb\n");
    sender.renew(&|source| source < 2, &|source| source == 0);
    (0..2).for_each(|source| assert!(sender.note(source, &other, S)));
    assert_eq!(texts(&mut sender, &other, S), ["door output b", "web output new"]);
    sender.renew(&|source| source == 1, &|_| false);
    assert!(!sender.note(0, &other, S));
}
