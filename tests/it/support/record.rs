//! Lines of a text log.

/// Time since start of a line, in seconds; `None` if it is none of the log.
pub(crate) fn seconds_of(line: &str) -> Option<f64> {
    let (day, rest) = line.split_once("Z [")?;
    let (seconds, _) = rest.split_once(']')?;
    let is_day = day.len() == "2026-11-25T15:22:33.348".len() && day.as_bytes().get(10) == Some(&b'T');
    seconds.trim().parse().ok().filter(|_| is_day)
}

/// Returns true for a line of the log.
pub(crate) fn is_record(line: &str) -> bool {
    seconds_of(line).is_some()
}
