//! A board whose clock chip is wrong, and an NTP server that it is configured to ask. The emulator passes port 123 of its
//! gateway on to that of this machine, so the whole case has a network namespace of its own.

use std::env;
use std::net::UdpSocket;
use std::thread;

use super::{remove, suite, tables};
use crate::board::Board;
use crate::qemu::copy;
use crate::run;

/// Set inside the namespace.
const INSIDE: &str = "FRIENDLET_NTP_NAMESPACE";
/// The emulator's gateway, as the board sees it.
const NETWORK: &str = "\n[network]\nntp = [\"10.0.2.2\"]\n";
/// Time of the server, in seconds since 1900: 2031-03-01.
const TIME: u64 = 4_139_078_400;

/// Date of the clock chip, whether the server answers, and the lines of init.
const STARTS: [(&str, bool, [&str; 2]); 2] = [
    ("2036-01-01", true, ["clock: set from 2036-01-01T00:", " to 2031-03-01T00:00:00Z, NTP server 10.0.2.2"]),
    ("2030-01-01", false, ["clock: set from 2030-01-01T00:", "the time of NTP in an earlier run"]),
];

/// Boots the board with the server, and once more without it, before that time.
pub(super) fn run(board: &Board) -> Result<(), String> {
    if env::var_os(INSIDE).is_none() {
        let mut command = run::at_root("unshare");
        command.args(["--user", "--map-root-user", "--net", "--", "sh", "-c"]);
        let program = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        command.args(["ip link set lo up && exec \"$@\"", "sh"]).arg(program);
        command.args(["ntp", "--prepared", "--board", &board.name]).env(INSIDE, "1");
        return run::shown(&mut command);
    }
    let disk = copy(board, "ntp")?;
    let file = board.directory().join("ntp.toml");
    run::write(&file, run::read(&run::root().join("tests/system/booted/friendlet.toml"))? + NETWORK)?;
    let (_, image) = tables(board)?;
    let data = format!("{}?offset={}", disk.display(), image.partitions()[3].offset());
    for request in ["rm /friendlet.toml", &format!("write {} /friendlet.toml", file.display())] {
        run::captured(run::at_root("debugfs").args(["-w", "-R", request, &data]))?;
    }
    for (date, is_answered, lines) in STARTS {
        println!(
            "==> {}: a start in {date}, {} NTP",
            board.name,
            if is_answered { "with" } else { "without" }
        );
        if is_answered {
            answer_once()?;
        }
        suite::start_at(board, "ntp", &disk, date, &lines)?;
    }
    remove(&disk);
    Ok(())
}

/// Answers one request, in a thread.
fn answer_once() -> Result<(), String> {
    let failed = |error: std::io::Error| format!("port 123: {error}");
    let socket = UdpSocket::bind("127.0.0.1:123").map_err(failed)?;
    thread::spawn(move || {
        let mut request = [0; 48];
        let Ok((48, from)) = socket.recv_from(&mut request) else { return };
        let _ = socket.send_to(&reply(&request), from);
    });
    Ok(())
}

/// Reply of a server of stratum 1 (RFC 5905, section 7.3): its time is the same in all three fields.
fn reply(request: &[u8; 48]) -> [u8; 48] {
    let mut reply = [0; 48];
    reply[..4].copy_from_slice(&[0x24, 1, 6, 0xec]);
    reply[12..16].copy_from_slice(b"GPS\0");
    for field in [16, 32, 40] {
        reply[field..field + 8].copy_from_slice(&(TIME << 32).to_be_bytes());
    }
    reply[24..32].copy_from_slice(&request[40..]);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_has_the_timestamp_of_its_request() {
        let mut request = [0; 48];
        request[40..].copy_from_slice(b"abcdefgh");
        let reply = reply(&request);
        assert_eq!((&reply[24..32], &reply[40..44]), (&b"abcdefgh"[..], &[0xf6, 0xb5, 0x53, 0][..]));
    }
}
