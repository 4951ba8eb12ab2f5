//! Control beside services that use the whole processor.

use std::time::{Duration, Instant};

use super::services::{start, until_state};
use crate::support::device::{shell, stored_password};
use crate::support::{Device, Server};

const OK: &str = r#"{ "Status": "ok"}"#;
/// Rounds of the password: some milliseconds of a quick processor, as a real one on a slow board.
const ROUNDS: u32 = 20_000;
/// Measurements of which the median counts.
const TIMES: usize = 7;
/// Comparisons of which the best counts: this machine may be busy during one of them.
const TRIES: usize = 5;

/// Median of the times of a call.
fn median(mut call: impl FnMut()) -> Duration {
    let mut times = [(); TIMES].map(|()| {
        let begun = Instant::now();
        call();
        begun.elapsed()
    });
    times.sort_unstable();
    times[TIMES / 2]
}

#[test]
#[ignore = "needs a processor of its own: a booted board"]
fn login_and_stop_take_at_most_twice_their_time_beside_spinning_services() {
    let password = stored_password("slow", ROUNDS);
    let mut tables = format!("[[user]]\nname = \"slow\"\nlevel = \"admin\"\npassword = \"{password}\"\n");
    tables += &shell("calm", "exec sleep 1000", "");
    for number in 1..=4 {
        tables += &shell(&format!("spin{number}"), "while :; do :; done", "");
    }
    let server = Server::start(&Device::plain().with(&tables));
    server.pin_to_one_processor();
    let login = || median(|| _ = server.login("slow", "slow"));
    let stop = || {
        let mut total = Duration::ZERO;
        for _ in 0..TIMES {
            start(&server, "calm");
            let begun = Instant::now();
            assert_eq!(server.call("services/calm/stop"), OK);
            total += begun.elapsed();
            // Its end is its own: a service has no precedence over the others.
            until_state(&server, "calm", "stopped");
        }
        total / TIMES as u32
    };
    // A call is shorter than the time slice of a service, for which it may wait once.
    let pause = Duration::from_millis(20);
    for spinning in [1, 2, 4] {
        let names = || (1..=spinning).map(|number| format!("spin{number}"));
        let mut is_quick = (false, false);
        for _ in 0..TRIES {
            if is_quick == (true, true) {
                break;
            }
            let quiet = (login(), stop());
            names().for_each(|name| drop(start(&server, &name)));
            let busy = (login(), stop());
            for name in names() {
                assert_eq!(server.call(&format!("services/{name}/stop")), OK);
                until_state(&server, &name, "stopped");
            }
            println!(
                "{spinning} spinning: login {:?} of {:?}, stop {:?} of {:?}",
                busy.0, quiet.0, busy.1, quiet.1
            );
            is_quick.0 |= busy.0 <= 2 * quiet.0;
            is_quick.1 |= busy.1 <= 2 * quiet.1 + pause;
        }
        assert_eq!(is_quick, (true, true), "{spinning} spinning: login and stop");
    }
}
