//! Deaths, upgrades and reloads in their hundreds: no service runs twice, restarts or is forgotten. The numbers of
//! `crash`, `upgrade` and `reload` are for each change, these for the whole gate.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::reload::reload;
use super::services::{status, until_state};
use super::supervision::send;
use crate::support::device::{ADMIN, service, shell};
use crate::support::directory::Directory;
use crate::support::http::session_of;
use crate::support::wait::{SOON, until};
use crate::support::ws::request;
use crate::support::{Device, Server, process};

/// Run of a server after which the next one starts at once.
const GOOD_RUN: Duration = Duration::from_millis(1050);
const NAMES: [&str; 8] = ["print-1", "print-2", "a", "b", "c", "d", "line", "descriptor"];

/// Eight services, of which two print all the time.
fn eight(files: &[String; 2], rest: &str) -> String {
    let count = "i=100000; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
    let runs = "exec sleep 100000";
    let auto = "autostart = true\nrestart = \"always\"";
    let mut tables: Vec<_> = (0..2)
        .map(|index| shell(NAMES[index], count, &format!("{auto}\noutput_file = \"{}\"", files[index])))
        .collect();
    tables.extend(NAMES[2..6].iter().map(|name| shell(name, runs, auto)));
    tables.push(shell("line", &format!("echo up; {runs}"), &format!("{auto}\nready = \"line:up\"")));
    tables.push(shell("descriptor", &format!("echo >&3; {runs}"), &format!("{auto}\nready = \"fd:3\"")));
    tables.concat() + rest
}

fn files(directory: &Directory) -> [String; 2] {
    ["print-1", "print-2"].map(|name| directory.file(name))
}

fn until_all_run(server: &Server) {
    NAMES.iter().for_each(|name| drop(until_state(server, name, "started")));
}

/// Pid and restarts of each service, and how many processes the keeper has beside the server.
fn facts(server: &Server) -> (BTreeMap<&'static str, (u32, u32)>, usize) {
    let of = |name: &&'static str| {
        let now = status(server, name);
        assert_eq!(now.state, "started", "{name}: {}", server.log());
        (*name, (now.pid, now.restarts))
    };
    (NAMES.iter().map(of).collect(), server.services().len())
}

/// Lines of an output file that are missing, without a mark in the place.
fn unmarked_gaps(file: &str) -> usize {
    let (mut last, mut gaps, mut is_marked) = (None, 0, false);
    for line in fs::read_to_string(file).unwrap().lines() {
        if line.contains("(friendlet: another server") {
            is_marked = true;
            continue;
        }
        let number: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        if last.is_some_and(|last| number != last + 1) && !is_marked {
            gaps += 1;
        }
        (last, is_marked) = (Some(number), false);
    }
    gaps
}

/// Ends the server `times` times by `end`, which waits for the next one.
fn assert_outlived(times: usize, mut end: impl FnMut(&mut Server)) {
    let directory = Directory::new();
    let files = files(&directory);
    let mut server = Server::start(&Device::plain().with(&eight(&files, "")));
    until_all_run(&server);
    let form = "username=guest&password=guest&deviceid=phone";
    let session = session_of(&server.post("/system.library/login", form).body).unwrap();
    let before = facts(&server);
    let keeper = server.keeper();
    let used = |server: &Server| (process::anonymous(server.keeper()), process::descriptors(server.keeper()));
    let mut first = None;
    let begun = Instant::now();
    for number in 0..times {
        end(&mut server);
        let known = server.post("/system.library/services/list", &format!("sessionid={session}"));
        assert_eq!(known.status, 200, "the session lives, after {number}");
        if number % 10 == 0 {
            assert_eq!(facts(&server), before, "after {number}");
        }
        if number == times / 10 {
            first = Some(used(&server));
        }
    }
    assert_eq!(facts(&server), before);
    assert_eq!(server.keeper(), keeper);
    let (first, last) = (first.unwrap(), used(&server));
    println!("{times} in {:?}; the keeper had {first:?} kB and descriptors, has {last:?}", begun.elapsed());
    assert_eq!(first.1, last.1, "descriptors");
    assert!(last.0 <= first.0 + 64, "{first:?} {last:?}");
    server.stop();
    assert_eq!(files.map(|file| unmarked_gaps(&file)), [0, 0]);
}

#[test]
#[ignore = "takes minutes"]
fn thousand_servers_are_killed() {
    assert_outlived(1000, |server| {
        std::thread::sleep(GOOD_RUN);
        server.crash();
    });
}

#[test]
#[ignore = "takes minutes"]
fn hundred_upgrades_follow_each_other() {
    assert_outlived(100, Server::upgrade);
}

#[test]
#[ignore = "takes minutes"]
fn hundred_keepers_are_killed() {
    let directory = Directory::new();
    // A service that runs twice finds its own mark.
    let mark = directory.file("mark");
    let script = format!(
        "trap '' PIPE; trap 'rm -f {mark}; exit 0' TERM; test -e {mark} && echo twice >> {mark}.twice; : > {mark}; \
         while :; do sleep 0.02; done"
    );
    let rest = shell("single", &script, "autostart = true\nrestart = \"always\"");
    let device = Device::plain().with(&eight(&files(&directory), &rest));
    let mut server = Server::start(&device);
    for number in 0..100 {
        until_all_run(&server);
        until_state(&server, "single", "started");
        until("its mark is there", || fs::exists(&mark).unwrap());
        assert!(!fs::exists(format!("{mark}.twice")).unwrap(), "no service ran twice, after {number}");
        assert_eq!(server.services().len(), NAMES.len() + 1, "after {number}: {}", server.log());
        let old: Vec<u32> = NAMES.iter().map(|name| status(&server, name).pid).collect();
        for pid in [server.keeper(), server.pid()] {
            send(pid, Signal::KILL);
        }
        server.wait(SOON);
        server = Server::start_in(server.take_directory(), &device);
        until_all_run(&server);
        until("nothing of the last one is left", || process::alive(&old).is_empty());
    }
    server.stop();
}

#[test]
#[ignore = "takes minutes"]
fn thousand_reloads_drop_no_connection() {
    let directory = Directory::new();
    let files = files(&directory);
    let device = |number: usize| {
        let turn = service("turn", &["/bin/sleep", &(1000 + number).to_string()], "autostart = true");
        Device::plain().with(&eight(&files, &turn))
    };
    let server = Server::start(&device(0));
    until_all_run(&server);
    let before = NAMES.map(|name| status(&server, name).pid);
    let mut sockets = [server.bound(ADMIN), server.bound(ADMIN)];
    let used = |server: &Server| [server.keeper(), server.pid()].map(process::descriptors);
    let mut first = None;
    let begun = Instant::now();
    for number in 1..=1000 {
        let answer = reload(&server, &device(number));
        assert!(answer.starts_with(r#"{ "Status": "ok""#), "{answer}");
        for socket in &mut sockets {
            assert!(socket.call(&request("s", "services/a/status", "{}", ADMIN)).contains("started"));
        }
        if number == 100 {
            until_state(&server, "turn", "started");
            first = Some(used(&server));
        }
    }
    println!("1000 reloads in {:?}", begun.elapsed());
    until_state(&server, "turn", "started");
    assert_eq!(
        NAMES.map(|name| (status(&server, name).pid, status(&server, name).restarts)),
        before.map(|pid| (pid, 0))
    );
    // One may be that of a connection, or of a start.
    let is_near = |(before, now): (usize, usize)| now <= before + 2;
    assert!(first.unwrap().into_iter().zip(used(&server)).all(is_near), "{first:?} {:?}", used(&server));
    server.stop();
    assert_eq!(files.map(|file| unmarked_gaps(&file)), [0, 0]);
}
