//! A booted board in a late year: after 2038-01-19, times do not fit 31 bits.

use super::*;

/// First second that does not fit.
const LATE: u64 = 1 << 31;

/// Seconds since 1970 on the board, of the head of its log.
fn time_of_the_board(person: &Person) -> u64 {
    let file = person.0.file("head");
    person.done(&["--session", ADMIN, "server-log", "--raw", &file], "");
    let head = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
    let (_, rest) = head.split_once("wall_ms=").unwrap();
    rest.split(' ').next().unwrap().parse::<u64>().unwrap() / 1000
}

#[test]
#[ignore = "needs a booted board"]
fn everything_that_reads_the_clock_goes_on() {
    let person = Person(Directory::new());
    let before = server();
    until("the clock has passed the date", || time_of_the_board(&person) > LATE);
    // The lock-out has a time of day.
    let login = || {
        let wrong = r#"{ "username":"guest", "password":"wrong", "deviceid":"d" }"#;
        socket().call(&frame("login", wrong))
    };
    let mut answer = String::new();
    until("the account is blocked", || {
        answer = login();
        answer.contains("blocked until: ") && !answer.contains("blocked until: 0")
    });
    let (_, rest) = answer.split_once("blocked until: ").unwrap_or_else(|| panic!("{answer}"));
    let time: u64 = rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!(time > LATE, "{answer}");
    let run = person.run(&["login", "guest"], "wrong\n");
    assert!(run.stderr.contains("blocked until 20") || run.stderr.contains("blocked until 21"), "{run:?}");
    person.done(&["login", "fadmin"], "secret\n");
    assert!(person.done(&["list"], "").contains("family"));
    assert!(board().run("/sbin/friendlet ctl list 2>&1").contains("family"));
    assert_eq!(server(), before, "nothing has ended");
    // Init reads the clock when it starts the next server.
    board().run(&format!("kill -9 {before}"));
    let next = next_server(before);
    assert!(call("services/list").contains("family"));
    assert_eq!(server(), next);
}
