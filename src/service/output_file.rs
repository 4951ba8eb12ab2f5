//! Places of the output of a service beside the memory: files that keep it, and a log server.

use heapless::String;

use crate::limits::FILE_PATH_BYTES;

/// Files of one service: `PATH` is the newest, the one before it `PATH.1`, and so on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputFile {
    /// Absolute path of the newest file.
    pub path: String<FILE_PATH_BYTES>,
    /// Most bytes of one file.
    pub bytes: usize,
    /// Most files.
    pub count: usize,
    /// Most bytes of one day; 0: any. What exceeds them is left out.
    pub day_bytes: u64,
}

/// True for output that goes to the log server. A reload changes it while the service runs: two services that differ in it
/// alone are the same.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Sent(pub bool);

impl PartialEq for Sent {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
