//! A booted board whose disk hangs, and is back afterwards. `cargo xtask hang` puts the program of the service `far`
//! on the disk alone, and lets it hang before the first of these and no longer before the second.

use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// Longer than the time of the board's watchdog.
const HANGS: Duration = Duration::from_secs(20);
/// Most time of an answer meanwhile.
const ANSWER: Duration = Duration::from_secs(2);

#[test]
#[ignore = "needs a booted board"]
fn requests_are_answered_while_the_disk_hangs() {
    let begun = Instant::now();
    // What waits for the disk: a program, and a change of the state.
    let mut waiting = [socket(), socket()];
    waiting[0].send(&request("r", "services/far/start", "{}", ADMIN));
    waiting[1].send(&request("r", "services/two/install", "{}", ADMIN));
    let mut asked = socket();
    let mut slowest = Duration::ZERO;
    let mut number = 0;
    while begun.elapsed() < HANGS {
        let at = Instant::now();
        let answer = match number % 4 {
            0 => asked.call(&request("r", "services/list", "{}", ADMIN)),
            1 => asked.call(&request("r", "services/far/show", "{}", ADMIN)),
            2 => asked.call(&request("r", "board/status", "{}", ADMIN)),
            // A new connection, with its handshake and its login.
            _ => Socket::open(Stream::tls(board().server()))
                .call(&frame("login", r#"{ "username":"fadmin", "password":"secret" }"#)),
        };
        assert!(!answer.is_empty());
        slowest = slowest.max(at.elapsed());
        number += 1;
        thread::sleep(Duration::from_millis(100));
    }
    println!("{number} requests answered, the slowest after {slowest:?}");
    assert!(slowest < ANSWER, "{slowest:?}");
    assert_eq!(state("far"), "starting");
    // Services whose programs are in memory are started and stopped as ever.
    for _ in 0..3 {
        let at = Instant::now();
        assert_eq!(asked.service("start", "near"), OK);
        assert_eq!(asked.service("stop", "near"), OK);
        until("it is stopped", || state("near") == "stopped");
        assert!(at.elapsed() < ANSWER, "{:?}", at.elapsed());
    }
}

#[test]
#[ignore = "needs a booted board"]
fn what_waited_is_done_when_the_disk_is_back() {
    until("the program runs", || state("far") == "started");
    until("the change is kept", || board().run("cat /data/state/enabled").contains("two enabled"));
}
