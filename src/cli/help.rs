//! Texts of `--help`.

/// Placeholder for the table of exit codes.
pub(super) const EXIT_CODES: &str = "EXIT-CODES\n";

pub(super) const GENERAL: &str = "\
friendlet: service control for small boards over one secure WebSocket

Usage: friendlet [COMMAND] [OPTIONS]

Commands:
  serve    run the server (default)
  init     run as process 1 of a board, with the server as a child
  check    validate a configuration file and print its worst-case memory
  passwd   print a [[user]] table for the configuration file, from a password
  ctl      control the services of a running server
  notify   report events of a service, such as door=open, from its script
  limits   print the limits of this build
  hello    write a line a second; the built-in service

Options:
  --config FILE   configuration file [default: /etc/friendlet/friendlet.toml,
                  or the built-in one if that does not exist]
  -h, --help      print this help, or after a command its help
  -V, --version   print version, board and build

Exit codes:
EXIT-CODES
";

pub(super) const SERVE: &str = "\
Runs the server until TERM or INT. Then it stops its services, in order.

Usage: friendlet [serve] [--config FILE] [--fall-back]

  --config FILE   configuration file [default: /etc/friendlet/friendlet.toml,
                  or the built-in one if that does not exist]
  --fall-back     if the configuration file is not usable, use its last good copy, FILE.good, or
                  else the built-in one; the copy is written once the server serves

With NOTIFY_SOCKET, as set by systemd (Type=notify), the server reports ready and stopping; with
WATCHDOG_USEC it also sends heartbeats.
Once the server accepts connections, it prints 'listening on https://ADDRESS:PORT' to standard
error. If the configuration file has no user, the first start creates 'admin' and prints its
password once.
";

pub(super) const CHECK: &str = "\
Reports what 'serve' would do with a configuration file and its drop-ins, such as
friendlet.d/*.toml beside friendlet.toml, and changes nothing. Prints each error with its line and
column, or else the worst-case memory of a server with these files, and with drop-ins the file of
each service.

Usage: friendlet check [FILE] [--json] [--root DIR] [--board BOARD]

  --json          print all findings as one JSON object; docs/configuration.md describes it
  --root DIR      check the file for an image whose root directory is DIR: certificates, programs,
                  directories, users and groups are those in DIR. Address, state directory, local
                  socket and descriptors are not checked: they are those of another machine
  --board BOARD   end with code 64 if the limits of this program are not those of BOARD

FILE defaults to the configuration file that the server would use; with --root, to
DIR/etc/friendlet/friendlet.toml. A running server is not affected.
An error ends 'serve' too, with the same exit code: the address is not one of this machine (69),
the state directory or the local socket cannot be created (73), a certificate, a key or the file
itself cannot be used (78). Warnings and notes leave the exit code 0. Among them are an address in
use, a limit of descriptors that is too low, and what a service lacks.
";

pub(super) const PASSWD: &str = "\
Reads a password and prints a [[user]] table for the configuration file, with its hash.

Usage: friendlet passwd USER

On a terminal the prompt appears twice, without echo. Otherwise the password is the first line:
  printf 'secret\\n' | friendlet passwd admin >> /etc/friendlet/friendlet.toml
'admin' becomes an administrator, any other name a user without services; add those by hand.
Exit code 65: the password is empty or too long, or the two entries differ.
";

pub(super) const NOTIFY: &str = "\
Reports what a service of type notify knows, from one of its processes, to NOTIFY_SOCKET.

Usage: friendlet notify KEY=VALUE... [--for SECONDS]

  --for SECONDS   forget these values after that time, unless they are reported again

A key of a-z 0-9 . - _ is an event, such as door=open, which users see beside the state until the
service ends; without a value (door=) it is removed. Capital letters are those of sd_notify(3):
READY=1, STATUS=text, WATCHDOG=1.
Exit code 69: NOTIFY_SOCKET is missing, or not read within 5 s.
";

pub(super) const LIMITS: &str = "\
Prints the limits of this build: the board's and the modules', times in seconds.

Usage: friendlet limits

The configuration file may lower 'slots' and raise nothing. docs/limits.md describes each limit.
";

pub(super) const HELLO: &str = "\
Writes a line a second to standard output until TERM. The built-in service runs this.

Usage: friendlet hello
";

pub(super) const INIT: &str = "\
Runs as process 1 of a board: mounts the file systems, arms the watchdog, runs and restarts the
server, and shuts the board down in order. A program with the name 'init' does this by default.

Usage: friendlet init

Options on the kernel command line:
  friendlet.root=DEVICE      root file system (squashfs) to switch to from the initramfs
  friendlet.data=DEVICE      data partition (ext4), mounted on /data
  friendlet.slot=A|B         name of this root
  friendlet.state=DEVICE     disk with the boot state, which selects the root
  friendlet.watchdog=SECONDS timeout of the watchdog driver; 0 leaves the watchdog disabled
TERM and INT (ctrl-alt-del) restart the board, USR2 powers it off.
In any process other than process 1 it exits with code 64.
";
