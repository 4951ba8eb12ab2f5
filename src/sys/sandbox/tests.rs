use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketType, socket};

use super::calls::{ALLOWED, IOCTLS, NAMES, NO, PROCESSOR, rules};
use super::filter::{ALLOW, Call, IF_ANY_BIT, IF_EQUAL, Instruction, LOAD, MISSING, RETURN, TRAP, program};
use super::*;
use crate::log::test_process::alone;
use crate::sys::tests::{TestDirectory, lock_children};

/// Pid of the process of a filter.
const PROCESS: u32 = 4711;

/// Decision of a filter about a call.
fn decide(program: &[Instruction], call: &Call) -> u32 {
    let words = |value: u64| [value as u32, (value >> 32) as u32];
    let mut data = vec![call.number, call.processor];
    data.extend(words(call.instruction));
    call.arguments.iter().for_each(|value| data.extend(words(*value)));
    let (mut accumulator, mut at) = (0, 0);
    loop {
        let Instruction { code, if_true, if_false, operand } = program[at];
        at += 1;
        let jump = |is: bool| usize::from(if is { if_true } else { if_false });
        match code {
            LOAD => accumulator = data[operand as usize / 4],
            IF_EQUAL => at += jump(accumulator == operand),
            IF_ANY_BIT => at += jump(accumulator & operand != 0),
            RETURN => return operand,
            _ => panic!("{code}"),
        }
    }
}

fn call(number: u32, arguments: [u64; 6]) -> Call {
    Call { number, processor: PROCESSOR.unwrap().1, instruction: 0, arguments }
}

#[test]
fn calls_of_the_table_are_allowed_and_no_others() {
    let program = program(PROCESS).unwrap();
    assert!(program.len() < 4096, "the kernel takes no longer one");
    let of_rules = rules(&[PROCESS]).map(|rule| u32::from(rule.number));
    for number in (0..=1000).chain([NO.into(), 0x4000_0000, 0x000f_0005, u32::MAX]) {
        let is_allowed =
            number != u32::from(NO) && ALLOWED.iter().any(|allowed| u32::from(*allowed) == number);
        let expected = if is_allowed { ALLOW } else { TRAP };
        if !of_rules.contains(&number) {
            assert_eq!(decide(&program, &call(number, [u64::MAX; 6])), expected, "{number}");
        }
        let foreign = Call { processor: 0x4000_0003, ..call(number, [0; 6]) };
        assert_eq!(decide(&program, &foreign), TRAP, "{number}");
    }
}

#[test]
fn arguments_decide_about_their_calls() {
    // Input for a terminal, as if it was typed.
    const TIOCSTI: u64 = 0x5412;
    let program = program(PROCESS).unwrap();
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM) as u64;
    let exec = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    #[cfg(target_arch = "arm")]
    let mmap = libc::SYS_mmap2;
    #[cfg(not(target_arch = "arm"))]
    let mmap = libc::SYS_mmap;
    for (number, argument, value, expected) in [
        (libc::SYS_socket, 0, libc::AF_UNIX as u64, ALLOW),
        (libc::SYS_socket, 0, libc::AF_INET as u64, ALLOW),
        (libc::SYS_socket, 0, libc::AF_INET6 as u64, ALLOW),
        (libc::SYS_socket, 0, libc::AF_PACKET as u64, TRAP),
        (libc::SYS_socket, 0, libc::AF_NETLINK as u64, TRAP),
        (libc::SYS_ioctl, 1, IOCTLS[0].into(), ALLOW),
        (libc::SYS_ioctl, 1, IOCTLS[2].into(), ALLOW),
        (libc::SYS_ioctl, 1, TIOCSTI, TRAP),
        (libc::SYS_clone, 0, thread, ALLOW),
        (libc::SYS_clone, 0, libc::SIGCHLD as u64, TRAP),
        (libc::SYS_clone3, 0, 0, MISSING),
        (libc::SYS_clone3, 0, u64::MAX, MISSING),
        (mmap, 2, libc::PROT_READ as u64, ALLOW),
        (mmap, 2, exec, TRAP),
        (libc::SYS_mprotect, 2, libc::PROT_READ as u64, ALLOW),
        (libc::SYS_mprotect, 2, exec, TRAP),
        (libc::SYS_tgkill, 0, PROCESS.into(), ALLOW),
        (libc::SYS_tgkill, 0, 1, TRAP),
        (libc::SYS_tkill, 0, PROCESS.into(), ALLOW),
        (libc::SYS_tkill, 0, 1, TRAP),
        (libc::SYS_prctl, 0, libc::PR_SET_NAME as u64, ALLOW),
        (libc::SYS_prctl, 0, libc::PR_SET_DUMPABLE as u64, TRAP),
        (libc::SYS_prlimit64, 0, 0, ALLOW),
        (libc::SYS_prlimit64, 0, 1, TRAP),
        (libc::SYS_sched_setaffinity, 0, 0, ALLOW),
        (libc::SYS_sched_setaffinity, 0, 1, TRAP),
        (libc::SYS_setpriority, 1, 0, ALLOW),
        (libc::SYS_setpriority, 1, 1, TRAP),
    ] {
        let mut arguments = [0; 6];
        arguments[argument] = value;
        let number = number as u32;
        assert_eq!(decide(&program, &call(number, arguments)), expected, "call {number}, {value}");
    }
}

#[test]
fn numbers_are_those_of_the_system() {
    macro_rules! check {
        ($($name:ident $number:ident,)*) => {
            [$((stringify!($name), libc::$number)),*]
        };
    }
    // Those that every processor has.
    let known = check! {
        read SYS_read, write SYS_write, readv SYS_readv, writev SYS_writev, pread64 SYS_pread64,
        close SYS_close, fcntl SYS_fcntl, openat SYS_openat, statx SYS_statx, readlinkat SYS_readlinkat,
        getdents64 SYS_getdents64, mkdirat SYS_mkdirat, unlinkat SYS_unlinkat, renameat SYS_renameat,
        renameat2 SYS_renameat2, fchmod SYS_fchmod, fchmodat SYS_fchmodat, fchown SYS_fchown, fsync SYS_fsync,
        flock SYS_flock, memfd_create SYS_memfd_create, eventfd2 SYS_eventfd2, epoll_ctl SYS_epoll_ctl,
        epoll_pwait SYS_epoll_pwait, ppoll SYS_ppoll, bind SYS_bind, listen SYS_listen, accept4 SYS_accept4,
        connect SYS_connect, getsockname SYS_getsockname, setsockopt SYS_setsockopt, sendto SYS_sendto,
        sendmsg SYS_sendmsg, recvfrom SYS_recvfrom, recvmsg SYS_recvmsg, shutdown SYS_shutdown,
        socketpair SYS_socketpair, munmap SYS_munmap, mremap SYS_mremap, madvise SYS_madvise, brk SYS_brk,
        futex SYS_futex, set_robust_list SYS_set_robust_list, sched_yield SYS_sched_yield,
        sched_getaffinity SYS_sched_getaffinity, sigaltstack SYS_sigaltstack, rt_sigaction SYS_rt_sigaction,
        rt_sigprocmask SYS_rt_sigprocmask, rt_sigreturn SYS_rt_sigreturn, exit SYS_exit,
        exit_group SYS_exit_group, gettid SYS_gettid, getpid SYS_getpid, getppid SYS_getppid,
        geteuid SYS_geteuid, uname SYS_uname, getrandom SYS_getrandom, clock_gettime SYS_clock_gettime,
    };
    let numbers: Vec<_> = NAMES.iter().zip(ALLOWED).collect();
    assert_eq!(numbers.len(), ALLOWED.len());
    for (name, number) in known {
        let found = numbers.iter().find(|(known, _)| **known == name);
        assert_eq!(found.map(|(_, number)| libc::c_long::from(**number)), Some(number), "{name}");
    }
    let mut sorted: Vec<_> = ALLOWED.iter().filter(|number| **number != NO).collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(
        sorted.len(),
        ALLOWED.iter().filter(|number| **number != NO).count(),
        "a number is there twice"
    );
}

/// Variable of a process that makes one forbidden call.
const CALL: &str = "FRIENDLET_FORBIDDEN_CALL";

/// Calls that a server must not make, each with its name and the number that is reported: none where the signal is
/// blocked, as by posix_spawn(3), and the kernel ends the process itself.
type Attempt = (&'static str, Option<libc::c_long>, fn());
const ATTEMPTS: [Attempt; 7] = [
    ("execve", Some(libc::SYS_execve), || drop(Command::new("/bin/true").exec())),
    ("clone", None, || drop(Command::new("/bin/true").spawn())),
    ("mount", Some(libc::SYS_umount2), || {
        let _ = rustix::mount::unmount("/proc", rustix::mount::UnmountFlags::DETACH);
    }),
    ("packets", Some(libc::SYS_socket), || {
        drop(socket(AddressFamily::PACKET, SocketType::RAW, None));
    }),
    ("kill", Some(libc::SYS_kill), || {
        let _ = rustix::process::test_kill_process(rustix::process::Pid::INIT);
    }),
    ("sethostname", Some(libc::SYS_sethostname), || {
        let _ = rustix::system::sethostname(b"owned");
    }),
    ("chroot", Some(libc::SYS_chroot), || {
        let _ = rustix::process::chroot("/tmp");
    }),
];

#[test]
fn kernel_ends_a_process_by_its_first_forbidden_call() {
    const TEST: &str = "sys::sandbox::tests::kernel_ends_a_process_by_its_first_forbidden_call";
    if let Ok(wanted) = std::env::var(CALL) {
        // Its standard input is the keeper's socket.
        let sandbox = Sandbox::enter(Vec::new(), "root", io::stdin().as_fd());
        assert!(sandbox.in_force().contains("system calls"), "{sandbox:?}");
        let (_, _, attempt) = ATTEMPTS.iter().find(|(name, ..)| *name == wanted).unwrap();
        attempt();
        panic!("{wanted} has returned");
    }
    let _children = lock_children();
    for (name, number, _) in ATTEMPTS {
        let (keeper, server) = UnixDatagram::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let command = command.args(["--exact", TEST]).env(CALL, name).stdin(OwnedFd::from(server));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut report = String::new();
        child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{name}: {status}\n{report}");
        let mut message = [0; 8];
        keeper.set_nonblocking(true).unwrap();
        let received = keeper.recv(&mut message).ok().map(|count| message[..count].to_vec());
        let expected = number.map(|number| self::report(u32::try_from(number).unwrap()).to_vec());
        assert_eq!(received, expected, "{name}");
    }
}

#[test]
fn kernel_allows_writes_in_the_directories_alone() {
    alone("sys::sandbox::tests::kernel_allows_writes_in_the_directories_alone", || {
        use std::fs;
        let own = TestDirectory::new("sandbox-own");
        let other = TestDirectory::new("sandbox-other");
        let (later, missing) = (own.0.join("later"), Path::new("/proc/no-such-medium/log"));
        fs::write(other.0.join("old"), "old").unwrap();
        let (keeper, _server) = UnixDatagram::pair().unwrap();
        let sandbox = Sandbox::enter(vec![later.clone(), missing.to_owned()], "root", keeper.as_fd());
        assert!(sandbox.in_force().ends_with("capabilities, system calls, files"), "{sandbox:?}");
        // All that a state file, a log file and a socket need, in a directory that was missing.
        fs::write(later.join("new"), "new").unwrap();
        fs::rename(later.join("new"), later.join("file")).unwrap();
        fs::create_dir(later.join("tls")).unwrap();
        fs::write(later.join("tls/key"), "key").unwrap();
        drop(std::os::unix::net::UnixListener::bind(later.join("ctl")).unwrap());
        fs::remove_file(later.join("ctl")).unwrap();
        fs::File::options().write(true).open(later.join("file")).unwrap().set_len(0).unwrap();
        // Reading is not restricted, and writing is.
        assert_eq!(fs::read_to_string(other.0.join("old")).unwrap(), "old");
        let denied = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        };
        denied(fs::write(other.0.join("old"), "new"));
        denied(fs::write(other.0.join("new"), "new"));
        denied(fs::write(own.0.join("new"), "new"));
        denied(fs::remove_file(other.0.join("old")));
        denied(fs::rename(other.0.join("old"), other.0.join("renamed")));
        denied(fs::create_dir(other.0.join("directory")));
        assert_eq!(fs::read_to_string(other.0.join("old")).unwrap(), "old");
    });
}

#[test]
fn kernel_leaves_a_process_the_kept_capabilities_at_most() {
    alone("sys::sandbox::tests::kernel_leaves_a_process_the_kept_capabilities_at_most", || {
        let before = rustix::thread::capabilities(None).unwrap();
        let (keeper, _server) = UnixDatagram::pair().unwrap();
        let _sandbox = Sandbox::enter(Vec::new(), "root", keeper.as_fd());
        // A condition of a service asks for that; without a capability, the clock cannot be set.
        crate::sys::raw::is_clock_synchronised();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            CapabilitySet::from_bits_retain(u64::from_str_radix(line.trim(), 16).unwrap())
        };
        assert_eq!(of("CapEff:"), before.permitted & KEPT);
        assert_eq!(of("CapPrm:"), before.permitted & KEPT);
        assert_eq!((of("CapInh:"), of("CapAmb:")), (CapabilitySet::empty(), CapabilitySet::empty()));
        if before.effective.contains(CapabilitySet::SETPCAP) {
            assert_eq!(of("CapBnd:") - KEPT, CapabilitySet::empty());
        }
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    });
}

#[test]
fn reasons_name_their_parts() {
    let of = |errno| Some(io::Error::from_raw_os_error(errno));
    let sandbox = Sandbox {
        errors: [find("no such user").err(), None, of(libc::EINVAL), of(libc::EPERM)],
        is_incomplete: false,
    };
    assert!(sandbox.in_force().ends_with("capabilities"));
    let missing = sandbox.missing().map(|part| (part.to_string(), part.is_of_kernel(), part.is_of_system()));
    let mut missing: Vec<_> = missing.collect();
    let text = |name, reason| format!("sandbox: nothing restricts the server's {name}: {reason}");
    if geteuid().is_root() {
        let reason = "the system has no user for it ([board] user)";
        assert_eq!(missing.remove(0), (text("user", reason), false, true));
    }
    assert_eq!(
        missing,
        [
            (text("system calls", "Invalid argument (errno 22)"), true, false),
            (text("files", "Operation not permitted (errno 1)"), false, false)
        ]
    );
    assert_eq!(Sandbox::default().in_force(), PARTS.join(", "));
}

#[test]
fn directories_that_do_not_answer_are_left_out() {
    let directory = TestDirectory::new("sandbox-directories");
    let paths = ["new", "no/such/../../new"].map(|name| directory.0.join(name));
    let (opened, is_complete) = open_within(SANDBOX_TIME, paths.to_vec());
    assert_eq!((opened.len(), is_complete), (2, true));
    // No thread has begun by then.
    let (opened, is_complete) = open_within(Duration::ZERO, vec![directory.0.join("later"); 10_000]);
    assert!(opened.len() < 10_000 && !is_complete);
    assert!(open_existing(Path::new("/proc/no-such-medium/log")).is_some(), "the nearest one that exists");
    assert!(open_existing(Path::new("/proc/version/log")).is_some());
}

#[test]
fn root_takes_the_place_of_no_directory() {
    // No one can create a directory there.
    assert!(open_existing(Path::new("/\u{0}/log")).is_none());
}

#[test]
fn files_are_confined_only_where_that_part_is_in_force() {
    let mut sandbox = Sandbox::default();
    assert!(sandbox.confines_files());
    sandbox.errors[0] = Some(io::ErrorKind::NotFound.into());
    assert!(sandbox.confines_files());
    sandbox.errors[3] = Some(io::ErrorKind::Unsupported.into());
    assert!(!sandbox.confines_files());
}
