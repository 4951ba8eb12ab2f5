//! Names of threads, without printf(3).
//!
//! `pthread_setname_np` of musl can name any thread, by a path in `/proc` that it formats, and brings all of
//! printf into the program: 10 kB on ARMv7. The standard library names the calling thread alone.

#![allow(unsafe_code, reason = "the function replaces one of the C library, and gets a C string")]

use core::ffi::{CStr, c_char, c_int};

/// Names the calling thread, whatever `_thread` is. The linker prefers it to that of the C library.
#[unsafe(no_mangle)]
extern "C" fn pthread_setname_np(_thread: libc::pthread_t, name: *const c_char) -> c_int {
    // SAFETY: the caller passes a string that ends with a NUL, as pthread_setname_np(3) demands.
    let name = unsafe { CStr::from_ptr(name) };
    rustix::thread::set_name(name).map_or_else(|errno| errno.raw_os_error(), |()| 0)
}
