//! Error numbers of Linux, for failures that are told as the system's and are not.

pub(super) const ESRCH: i32 = 3;
pub(super) const EIO: i32 = 5;
pub(super) const EAGAIN: i32 = 11;
pub(super) const EINVAL: i32 = 22;
pub(super) const ESHUTDOWN: i32 = 108;
pub(super) const ETIMEDOUT: i32 = 110;
