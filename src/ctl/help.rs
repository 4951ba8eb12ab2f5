//! Text of `--help`, which also names the commands and their operands.

/// Beginning of the commands in the text, and of the options after them.
const TITLES: [&str; 2] = ["commands", "options"];

pub(super) const TEXT: &str = "\
friendlet ctl: control the services of a server

usage: friendlet ctl [OPTIONS] COMMAND

commands
  login USER            ask for the password, open a session and remember it
  logout                end the session
  list                  list the services with their states
  status [SERVICE..]    status of these or of all; exit code 3 if one of these does not run
  show SERVICE          all that is configured for SERVICE, its state and its last ends
  start SERVICE..       start them, or resume them after `pause`
    --wait              return when they are ready or have failed
  stop SERVICE..        stop them with all their processes
    --wait              return when their processes have ended
  restart SERVICE..     stop those that run, then start them
    --wait              return when they are ready or have failed
  pause SERVICE..       stop their processes by SIGSTOP until `start`
  enable SERVICE..      start them with the server from now on; also `install`
  disable SERVICE..     do not start them with the server from now on; also `uninstall`
  command SERVICE NAME  run a named command of the service and print its output
  logs SERVICE..        print the newest output of the services
    -n, --lines N       at most N lines of each
    -f, --follow        then print new output as it is written
  watch [SERVICE..]     print the states of these or of all, then changes as they happen
  board                 print the status of the board
  reload                read the configuration file again and put it in force, all of it or
                        nothing: only services that it changes are restarted
    --dry-run           only print what would change
  configuration [set FILE|confirm]
                        print the configuration file in force, without its secrets; `set`
                        prints what FILE changes (- is standard input), puts it in force,
                        and confirms it over a new connection: then the server writes it,
                        else the earlier one is back. `<kept secret>` keeps a secret
    --sources           print the file of each service, check and device rule instead
    --dry-run           only print what would change
    --seconds N         time to confirm, up to a minute
    --no-confirm        leave it to `configuration confirm`
  edit                  open the configuration file in force in $VISUAL or $EDITOR; what was
                        saved is then put in force as by `configuration set`; a draft
                        that was not put in force is kept for the next `edit`
  upgrade               let the program that is at the path of friendlet by now take over,
                        if it can: services run on, connections end
  mark-good             confirm the running slot, where the configuration file wants that of
                        an administrator
  server-log            print the newest records of the server's own log
    -f, --follow        then print new records as they are logged
    --earlier           print the log files instead, those of earlier runs included
    --audit             print the audit trail instead: who did what, from where
    --level LEVEL       set the log level until the server exits: off, error, warn, info,
                        debug
    --raw FILE          store the records unchanged, for `cargo xtask log`; - is standard
                        output
  reboot                stop the services in order and restart the board
  poweroff              stop the services in order and switch the board off
  factory-reset         erase configuration, users, certificate and all data of the board,
                        and restart it: asks for the name of the board
  passwd [USER]         change your own password: asks for the old one, then for the new
                        one; an administrator changes that of USER. Without a terminal,
                        each password is a line of standard input
  unlock [USER]         end the block of USER, or all blocks, after wrong passwords and early
                        attempts to pair
  sessions [end ID]     list your sessions and paired certificates, those of all users for an
                        administrator; `end` ends the one with this ID of the list, or the
                        certificate with this SHA-256 of its public key
  pair [USER]           for two minutes, accept one client certificate as that of USER;
                        without USER, on the client: pair the certificate of --cert
    --only SHA256       accept the one whose public key has this SHA-256, or a beginning of it
    --cancel            accept none any more
  call PATH [KEY=VALUE]..
                        make any call and print its reply: `call services/hello/status`
  complete-calls        print the path of every call, for the completion of a shell
  help [COMMAND]        print this, or what is in it about COMMAND

options
  --url URL             wss://HOST:PORT, or ws:// for a server on this machine without TLS,
                        or unix:PATH for the local socket, which needs no login; a path is
                        that of `public_url` [environment: FRIENDLET_URL, default: the local
                        socket of this user if it exists, such as unix:/run/friendlet/ctl of
                        root, else wss://127.0.0.1:6500]
  --on NAME,..          the servers with these names or patterns in the file
                        ~/.config/friendlet/devices, one after the other
  --session ID          use this session instead of the remembered one [environment:
                        FRIENDLET_SESSION]
  --fingerprint HEX     require the server whose public key, or certificate, has this SHA-256
  --cert FILE           PEM file of a client certificate; a paired one needs no login
  --key FILE            that of its private key
  --json                print the server's replies unchanged, and an error as an object too
  -h, --help            print this

SERVICE.. stands for names, patterns such as `web*`, and `all`, handled one after the other,
those of a pattern in the order of the configuration file; for `stop`, `pause` and `disable`
from the last to the first. A failure does not keep the others from being handled.

At the local socket, root and the user of the server are administrators. Elsewhere `login`
comes first. The fingerprint of the server's public key is remembered when it is first seen,
on a terminal after a question, and required from then on.

exit codes: 0 success, 1 call failed, 3 service not running, 4 no such service, command or
call, 64 command line error, 65 file of --cert or --key not usable, 69 server not reached,
74 output not written, 76 another public key than expected, 77 not logged in or permission
denied; of several services or servers the highest
";

/// Name and operands of each command.
pub(super) fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = TEXT.lines().skip_while(|line| *line != TITLES[0]).take_while(|line| *line != TITLES[1]);
    let terms = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    terms.map(|line| {
        let term = line.split("  ").next().unwrap_or(line);
        term.split_once(' ').unwrap_or((term, ""))
    })
}

/// Part of the text about a command.
pub(super) fn of(command: &str) -> Option<String> {
    let begin = TEXT.find(&format!("\n  {command} "))? + 1;
    let mut part = String::new();
    for line in TEXT.get(begin..)?.lines() {
        if !part.is_empty() && !line.starts_with("   ") {
            break;
        }
        part += line;
        part.push('\n');
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_a_terminal() {
        assert!(TEXT.lines().all(|line| line.len() <= 94));
    }

    #[test]
    fn commands_with_their_operands() {
        let commands: Vec<_> = commands().collect();
        for command in
            [("list", ""), ("start", "SERVICE.."), ("call", "PATH [KEY=VALUE].."), ("help", "[COMMAND]")]
        {
            assert!(commands.contains(&command), "{command:?}");
        }
        assert_eq!(
            commands.len(),
            TEXT.lines()
                .filter(|line| line.starts_with("  ") && line.as_bytes()[2].is_ascii_lowercase())
                .count()
        );
    }

    #[test]
    fn part_about_a_command() {
        assert_eq!(of("logout").unwrap(), "  logout                end the session\n");
        assert!(
            of("configuration")
                .unwrap()
                .ends_with("    --no-confirm        leave it to `configuration confirm`\n")
        );
        assert_eq!(of("nothing"), None);
    }
}
