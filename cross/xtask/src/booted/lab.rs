//! The lab of a board under test: a shell behind a port.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The lab's port on the board; those of servers under test follow it.
pub(crate) const PORT: u16 = 7000;
/// A script that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(180);
const END: &str = "end of the script\n";

/// Runs `script` in the lab behind `port` of this machine. Returns its output.
pub(crate) fn run(port: u16, script: &str) -> Result<String, String> {
    let start = Instant::now();
    loop {
        match ask(port, script) {
            Ok(output) => {
                if let Some(output) = output.strip_suffix(END) {
                    return Ok(output.to_owned());
                }
            }
            Err(error) if start.elapsed() > TIMEOUT => return Err(format!("the board's shell: {error}")),
            Err(_) => {}
        }
        if start.elapsed() > TIMEOUT {
            return Err("the board's shell does not answer".to_owned());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn ask(port: u16, script: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("{script}\necho {END}").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut output = String::new();
    stream.read_to_string(&mut output)?;
    Ok(output)
}
