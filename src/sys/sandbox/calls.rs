//! System calls of the server, in one table: their numbers on the processors of the boards.
//!
//! The table has those of musl and of glibc, which make different calls for the same function. The calls of 32 bits are
//! the EABI's: a kernel with those of the old ABI has no filters.

/// Column of the processor in the table, and its number in a filter (`AUDIT_ARCH_..` of linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub(super) const PROCESSOR: Option<(usize, u32)> = Some((0, 0xc000_003e));
#[cfg(target_arch = "arm")]
pub(super) const PROCESSOR: Option<(usize, u32)> = Some((1, 0x4000_0028));
#[cfg(target_arch = "aarch64")]
pub(super) const PROCESSOR: Option<(usize, u32)> = Some((2, 0xc000_00b7));
#[cfg(not(any(target_arch = "x86_64", target_arch = "arm", target_arch = "aarch64")))]
pub(super) const PROCESSOR: Option<(usize, u32)> = None;

/// Number of no call: the processor has none of the name.
pub(super) const NO: u16 = u16::MAX;

/// Number of a call on this processor.
const fn own(numbers: [u16; 3]) -> u16 {
    match PROCESSOR {
        Some((column, _)) => numbers[column],
        None => NO,
    }
}

/// Table of calls: name, numbers on x86-64, ARM and AArch64.
macro_rules! calls {
    ($($name:ident $x86_64:tt $arm:tt $aarch64:tt,)*) => {
        /// Numbers of the calls that are allowed with any arguments.
        pub(super) static ALLOWED: &[u16] = &[$(own([$x86_64, $arm, $aarch64])),*];

        /// Names of the same.
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

#[rustfmt::skip]
calls! {
    // Reads and writes.
    read 0 3 63,
    write 1 4 64,
    readv 19 145 65,
    writev 20 146 66,
    pread64 17 180 67,
    pwrite64 18 181 68,
    lseek 8 19 62,
    _llseek NO 140 NO,
    close 3 6 57,
    fcntl 72 55 25,
    fcntl64 NO 221 NO,
    // Event loop.
    epoll_create1 291 357 20,
    epoll_ctl 233 251 21,
    epoll_wait 232 252 NO,
    epoll_pwait 281 346 22,
    epoll_pwait2 441 441 441,
    poll 7 168 NO,
    ppoll 271 336 73,
    ppoll_time64 NO 414 NO,
    eventfd2 290 356 19,
    timerfd_create 283 350 85,
    timerfd_settime 286 353 86,
    timerfd_settime64 NO 411 NO,
    // Sockets.
    bind 49 282 200,
    listen 50 284 201,
    accept 43 285 202,
    accept4 288 366 242,
    connect 42 283 203,
    getsockname 51 286 204,
    getpeername 52 287 205,
    setsockopt 54 294 208,
    getsockopt 55 295 209,
    sendto 44 290 206,
    send NO 289 NO,
    sendmsg 46 296 211,
    recvfrom 45 292 207,
    recv NO 291 NO,
    recvmsg 47 297 212,
    shutdown 48 293 210,
    socketpair 53 288 199,
    // Files, as far as Landlock and their owners allow.
    open 2 5 NO,
    openat 257 322 56,
    stat 4 106 NO,
    lstat 6 107 NO,
    fstat 5 108 80,
    stat64 NO 195 NO,
    lstat64 NO 196 NO,
    fstat64 NO 197 NO,
    fstatat64 NO 327 NO,
    newfstatat 262 NO 79,
    statx 332 397 291,
    access 21 33 NO,
    faccessat 269 334 48,
    faccessat2 439 439 439,
    readlink 89 85 NO,
    readlinkat 267 332 78,
    getdents64 217 217 61,
    getcwd 79 183 17,
    mkdir 83 39 NO,
    mkdirat 258 323 34,
    unlink 87 10 NO,
    unlinkat 263 328 35,
    rmdir 84 40 NO,
    rename 82 38 NO,
    renameat 264 329 38,
    renameat2 316 382 276,
    chmod 90 15 NO,
    fchmod 91 94 52,
    fchmodat 268 333 53,
    fchown 93 95 55,
    fchown32 NO 207 NO,
    ftruncate 77 93 46,
    ftruncate64 NO 194 NO,
    fsync 74 118 82,
    fdatasync 75 148 83,
    flock 73 143 32,
    memfd_create 319 385 279,
    // Memory and threads.
    munmap 11 91 215,
    mremap 25 163 216,
    madvise 28 220 233,
    brk 12 45 214,
    futex 202 240 98,
    futex_time64 NO 422 NO,
    set_robust_list 273 338 99,
    rseq 334 398 293,
    sched_yield 24 158 124,
    sched_getaffinity 204 242 123,
    sigaltstack 131 186 132,
    rt_sigaction 13 174 134,
    rt_sigprocmask 14 175 135,
    rt_sigreturn 15 173 139,
    sigreturn NO 119 NO,
    restart_syscall 219 0 128,
    exit 60 1 93,
    exit_group 231 248 94,
    // Facts.
    gettid 186 224 178,
    getpid 39 20 172,
    getppid 110 64 173,
    getuid 102 24 174,
    geteuid 107 49 175,
    getgid 104 47 176,
    getegid 108 50 177,
    getuid32 NO 199 NO,
    geteuid32 NO 201 NO,
    getgid32 NO 200 NO,
    getegid32 NO 202 NO,
    ugetrlimit NO 191 NO,
    getrlimit 97 76 163,
    uname 63 122 160,
    getrandom 318 384 278,
    clock_gettime 228 263 113,
    clock_gettime64 NO 403 NO,
    clock_getres 229 264 114,
    clock_getres_time64 NO 406 NO,
    gettimeofday 96 78 169,
    clock_adjtime 305 NO 266,
    clock_adjtime64 NO 405 NO,
    nanosleep 35 162 101,
    clock_nanosleep 230 265 115,
    clock_nanosleep_time64 NO 407 NO,
}

/// Condition on an argument of a call. Its lower 32 bits count: the kernel ignores the others of these arguments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'c> {
    /// It is one of these values.
    OneOf(&'c [u32]),
    /// It has a bit of these.
    Has(u32),
    /// It has none of these bits.
    HasNot(u32),
    /// The call fails as on a kernel without it.
    Missing,
}

/// Call that is allowed on a condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule<'c> {
    pub(super) number: u16,
    pub(super) argument: usize,
    pub(super) condition: Condition<'c>,
}

/// Rules of the calls whose arguments count. `process` is the own one.
pub(super) fn rules(process: &[u32; 1]) -> [Rule<'_>; 13] {
    const THREAD: u32 = libc::CLONE_THREAD as u32;
    const EXEC: Condition<'_> = Condition::HasNot(libc::PROT_EXEC as u32);
    let rule = |numbers, argument, condition| Rule { number: own(numbers), argument, condition };
    [
        // No raw packets, no netlink, no other protocol of the kernel.
        rule([41, 281, 198], 0, Condition::OneOf(&FAMILIES)),
        rule([16, 54, 29], 1, Condition::OneOf(&IOCTLS)),
        // Threads, and no processes. glibc has the older call where this one is missing.
        rule([56, 120, 220], 0, Condition::Has(THREAD)),
        rule([435, 435, 435], 0, Condition::Missing),
        // Memory becomes no program.
        rule([9, NO, 222], 2, EXEC),
        rule([NO, 192, NO], 2, EXEC),
        rule([10, 125, 226], 2, EXEC),
        // tgkill(2) and tkill(2): the end by abort(3). tkill(2), which musl makes, is that of the main thread: another
        // thread that aborts there ends by SIGSYS.
        rule([234, 268, 131], 0, Condition::OneOf(process)),
        rule([200, 238, 130], 0, Condition::OneOf(process)),
        rule([157, 172, 167], 0, Condition::OneOf(&PROCESS_CONTROLS)),
        // prlimit64(2), sched_setaffinity(2) and setpriority(2) of this process and thread.
        rule([302, 369, 261], 0, Condition::OneOf(&[0])),
        rule([203, 241, 122], 0, Condition::OneOf(&[0])),
        rule([141, 97, 140], 1, Condition::OneOf(&[0])),
    ]
}

/// Requests of prctl(2): name of a thread, and `PR_GET_AUXV`, by which rustix learns the size of a page.
const PROCESS_CONTROLS: [u32; 2] = [libc::PR_SET_NAME as u32, 0x4155_5856];
/// Families of sockets.
const FAMILIES: [u32; 3] = [libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32];
/// Requests of ioctl(2): non-blocking, bytes to read, and two by which glibc and musl know a terminal.
pub(super) const IOCTLS: [u32; 4] =
    [libc::FIONBIO as u32, libc::FIONREAD as u32, libc::TCGETS as u32, libc::TIOCGWINSZ as u32];
