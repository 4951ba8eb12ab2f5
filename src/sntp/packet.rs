//! Messages (RFC 5905, 7.3): encoder of the request, parser of the reply.
//!
//! | bytes | content |
//! |---|---|
//! | 0 | leap indicator, version, mode |
//! | 1 | stratum |
//! | 2, 3 | poll interval, precision |
//! | 4..8, 8..12 | root delay, root dispersion: 16 bits of seconds, 16 of a fraction |
//! | 12..16 | reference; with stratum 0, the kiss code |
//! | 16..24 | reference timestamp |
//! | 24..32 | origin timestamp: the transmit timestamp of the request |
//! | 32..40 | receive timestamp |
//! | 40..48 | transmit timestamp |
//!
//! A timestamp has 32 bits of seconds since 1900, which start again in 2036, and 32 bits of a fraction.

use core::time::Duration;

use super::NTP_DISTANCE_MAX;

/// Length of a request, and of the part of a reply that is read. Extensions may follow.
pub const MESSAGE_BYTES: usize = 48;

/// Version 4, mode 3: client.
const REQUEST: u8 = 4 << 3 | 3;
const MODE_SERVER: u8 = 4;
const UNSYNCHRONISED: u8 = 3;
const MAX_STRATUM: u8 = 15;
/// Seconds from 1900 to 1970.
const UNIX_EPOCH: u64 = 2_208_988_800;

/// Encodes a request. Its transmit timestamp is a random number: the server only repeats it, a forger has to guess it,
/// and the clock of the board stays private.
pub fn request(nonce: u64) -> [u8; MESSAGE_BYTES] {
    let mut bytes = [0; MESSAGE_BYTES];
    bytes[0] = REQUEST;
    bytes[40..].copy_from_slice(&nonce.to_be_bytes());
    bytes
}

/// Times of a server, since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reply {
    /// Time between the arrival of the request and the departure of the reply.
    pub processing: Duration,
    /// Time of the departure of the reply.
    pub sent: Duration,
}

/// Reason for the rejection of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rejection {
    /// Not a reply to the last request.
    NotOurs,
    /// The server is not synchronised, or is too far from its source.
    Unsynchronised,
    /// Time before the build of this program.
    BeforeBuild,
    /// Kiss-o'-death with its code (RFC 5905, 7.4).
    Kiss([u8; 4]),
}

impl Reply {
    /// Parses the reply to the request with this number. `built` is the time of the build in seconds since 1970: the reply
    /// is one of the 68 years after it.
    ///
    /// # Errors
    /// Reason for the rejection.
    pub fn parse(bytes: &[u8], nonce: u64, built: u64) -> Result<Self, Rejection> {
        let bytes: &[u8; MESSAGE_BYTES] = bytes.first_chunk().ok_or(Rejection::NotOurs)?;
        let [first, stratum, ..] = *bytes;
        let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
        let [origin, received, sent] = [24, 32, 40].map(|at| number(bytes, at));
        if mode != MODE_SERVER || !(1..=4).contains(&version) || origin != nonce {
            return Err(Rejection::NotOurs);
        }
        if stratum == 0 {
            return Err(Rejection::Kiss([bytes[12], bytes[13], bytes[14], bytes[15]]));
        }
        let [delay, dispersion] = [number(bytes, 4) >> 32, number(bytes, 8) >> 32];
        let is_distant = delay / 2 + dispersion >= NTP_DISTANCE_MAX.as_secs() << 16;
        if leap == UNSYNCHRONISED || stratum > MAX_STRATUM || is_distant || sent == 0 {
            return Err(Rejection::Unsynchronised);
        }
        // The difference is right over the end of an era, too; a negative one is nonsense of the server.
        let processing = i64::try_from(sent.wrapping_sub(received)).unwrap_or(0);
        Ok(Self {
            processing: duration(processing.cast_unsigned()),
            sent: unix_time(sent, built).ok_or(Rejection::BeforeBuild)?,
        })
    }
}

/// 64 bits in network byte order. The offset is one of this module's.
fn number(bytes: &[u8; MESSAGE_BYTES], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Seconds and fraction as a time.
fn duration(timestamp: u64) -> Duration {
    let nanoseconds = ((timestamp & u64::from(u32::MAX)) * 1_000_000_000) >> 32;
    Duration::new(timestamp >> 32, nanoseconds as u32)
}

/// Time since 1970 of a timestamp, in the era in which it is less than 68 years after the build.
fn unix_time(timestamp: u64, built: u64) -> Option<Duration> {
    let time = duration(timestamp);
    // Modulo an era: 32 bits.
    let since_build = (time.as_secs() as u32).wrapping_sub((built + UNIX_EPOCH) as u32);
    let since_build = u32::try_from(since_build.cast_signed()).ok()?;
    Some(Duration::new(built + u64::from(since_build), time.subsec_nanos()))
}

#[cfg(test)]
mod tests;
