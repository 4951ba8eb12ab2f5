//! What `--help` says.

pub(super) const GENERAL: &str = "\
friendlet: service control for small boards over one secure WebSocket

Usage: friendlet [COMMAND] [OPTIONS]

Commands:
  serve    run the server (without a command, this one)
  init     be process 1 of a board, with the server as its child
  check    tell all that is wrong with a device file, and what memory it can take at worst
  passwd   make a [[user]] table for the device file from a password
  ctl      control the services of a running server
  limits   print the limits this program was built with
  hello    write a line a second; the built-in service

Options:
  --config FILE   the device file [default: /etc/friendlet/friendlet.toml,
                  and where that is not there, the one built in]
  -h, --help      print this, or after a command what it does
  -V, --version   print version, board and build

Exit codes:
  0    all is well
  64   the command line is wrong
  65   what was typed in cannot be used
  66   the device file is not there
  71   the system refuses something
  73   a file or folder cannot be made
  74   something cannot be read or written
  77   a right is missing
  78   the device file is wrong
";

pub(super) const SERVE: &str = "\
Runs the server, until it is sent TERM or INT. Then it stops its services, in order.

Usage: friendlet [serve] [--config FILE] [--fall-back]

  --config FILE   the device file [default: /etc/friendlet/friendlet.toml,
                  and where that is not there, the one built in]
  --fall-back     where the device file cannot be used, serve with its last good copy, FILE.good,
                  and where there is none, with the one built in; it is kept once the server serves

Started by systemd (Type=notify) or anything else that sets NOTIFY_SOCKET, it tells when it serves
and when it ends, and WATCHDOG_USEC that it lives.
Once connections are taken, a line 'listening on https://ADDRESS:PORT' goes to standard error.
Without any user in the device file, the first start makes 'admin' and shows its password once.
";

pub(super) const CHECK: &str = "\
Reads a device file. Every error is told with its line and column; without any, what memory the
server can take with this file at worst.

Usage: friendlet check [FILE]

FILE is the device file that the server would take, unless named. A running server is not touched.
Exit codes: 0 the file is right, 66 it is not there, 78 it is wrong.
";

pub(super) const PASSWD: &str = "\
Reads a password and prints a [[user]] table for the device file with the hash of it.

Usage: friendlet passwd USER

On a terminal the password is asked for twice and not shown. Else it is the first line:
  printf 'secret\\n' | friendlet passwd admin >> /etc/friendlet/friendlet.toml
'admin' becomes an administrator, any other a user without services, which are to be filled in.
Exit code 65: the password is empty, too long, or was typed differently the second time.
";

pub(super) const LIMITS: &str = "\
Prints the limits this program was built with: the board's, as in its board.toml, and those of the
modules, times in seconds.

Usage: friendlet limits

The configuration file may lower 'slots' and raise nothing. docs/limits.md describes each.
";

pub(super) const HELLO: &str = "\
Writes a line a second to standard output, until it is sent TERM. The built-in service runs this.

Usage: friendlet hello
";

pub(super) const INIT: &str = "\
Is process 1 of a board: mounts what there is, arms the watchdog, runs the server and starts it
again, and ends the board in order. A program of the name 'init' does this without being told.

Usage: friendlet init

The kernel's command line says the rest:
  friendlet.root=DEVICE      root to leave the initramfs for, a squashfs
  friendlet.data=DEVICE      data partition, an ext4, for /data
  friendlet.slot=A|B         which of two roots this is
  friendlet.state=DEVICE     disk whose boot state says which one serves
  friendlet.watchdog=SECONDS what the watchdog's driver was given; 0: it is left alone
TERM and INT (ctrl-alt-del) restart the board, USR2 switches it off.
As any other process than the first one it refuses, with exit code 64.
";
