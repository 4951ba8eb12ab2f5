//! How soon a server takes its first connection.

use std::fs;
use std::time::Duration;

use super::counts::written;
use super::kit::Kit;
use super::peer::Peer;
use super::server::{Server, Under};

/// From the spawn until a connection was accepted, by the clock of whoever started it.
pub(super) fn first_accept(kit: &Kit, peer: &Peer, tls: bool) -> Result<Duration, String> {
    let server = Server::start(kit, peer, tls, &Under::Nothing, false)?;
    let took = server.first_accept;
    server.stop()?;
    Ok(took)
}

/// From `execve` to `listen`, by strace's clock. strace stops the server at these two calls alone.
pub(super) fn until_listen(kit: &Kit, peer: &Peer, tls: bool) -> Result<Duration, String> {
    let out = kit.file("start.out");
    let _ = fs::remove_file(&out);
    let options = &["--seccomp-bpf", "-ttt", "-e", "trace=execve,listen"];
    let server = Server::start(kit, peer, tls, &Under::Strace(options, out.clone()), false)?;
    server.stop()?;
    let text = written(&out, |text| between(text).is_some())?;
    between(&text).ok_or_else(|| format!("{}: no listen after execve", out.display()))
}

/// The time between the first `execve` and the first `listen` after it; lines are `PID TIME CALL(..`,
/// the PID missing where there is one process alone.
fn between(text: &str) -> Option<Duration> {
    let mut calls = text.lines().filter_map(|line| {
        let at = line.split_whitespace().find(|word| word.contains('.'))?;
        Some((at.parse::<f64>().ok()?, line))
    });
    let (begin, _) = calls.find(|(_, line)| line.contains(" execve("))?;
    let (end, _) = calls.find(|(_, line)| line.contains(" listen("))?;
    Duration::try_from_secs_f64(end - begin).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_execve_to_listen() {
        let text = "12 1795374850.100000 execve(\"/x/friendlet\", [\"f\"], 0x7ff /* 9 vars */) = 0\n\
                    12 1795374850.102500 listen(3, 128)  = 0\n12 1795374850.2 +++ exited with 0 +++\n";
        let took = between(text).unwrap().as_secs_f64();
        assert!((took - 0.0025).abs() < 1e-6, "{took}");
        assert_eq!(between("1795374850.1 execve(\"/x\") = 0\n"), None);
    }
}
