//! `friendlet notify`: what a service reports about itself, from a script.

use std::process::ExitCode;

use super::exit;
use crate::log;
use crate::service::{EVENT_KEY_BYTES, EVENT_LIFE_MAX, EVENT_VALUE_BYTES, parse_event};
use crate::sys::{EVENT, EVENT_LIFE, NotifyEnvironment, send_and_wait};

/// Reports of sd_notify(3) that are known.
const REPORTS: [&str; 6] = ["READY", "STOPPING", "STATUS", "WATCHDOG", "MAINPID", "EXTEND_TIMEOUT_USEC"];

/// Sends a datagram to the socket of the service.
pub(super) fn run(datagram: &str) -> ExitCode {
    match send_and_wait(&NotifyEnvironment::of_this_process(), datagram.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = "does this run in a service of friendlet?";
            log::print(format_args!(
                "friendlet: notify: NOTIFY_SOCKET: {}; {text}\n",
                log::Reason::from(&error)
            ));
            exit::UNAVAILABLE.into()
        }
    }
}

/// Datagram of the words of a command line: an event `KEY=VALUE` each, or a report of sd_notify(3), which has capital
/// letters.
///
/// # Errors
/// The word that is neither, or a time out of its range.
pub(super) fn datagram(words: &[String], seconds: Option<&str>) -> Result<String, String> {
    let mut text = String::new();
    for word in words {
        let name = word.split('=').next().unwrap_or_default();
        let is_report = name.len() < word.len() && !word.contains('\n') && REPORTS.contains(&name);
        if !is_report {
            if word.contains('\n') || parse_event(word).is_none() {
                return Err(format!(
                    "notify: '{}': expected KEY=VALUE, with a key of up to {EVENT_KEY_BYTES} characters of a-z 0-9 . - _, \
                     and a value of up to {EVENT_VALUE_BYTES} bytes, or {}=..",
                    word.escape_debug(),
                    REPORTS.join("=.., ")
                ));
            }
            text = text + EVENT + "=";
        }
        text = text + word + "\n";
    }
    if let Some(seconds) = seconds {
        let most = EVENT_LIFE_MAX.as_secs();
        if !seconds.parse().is_ok_and(|seconds: u64| (1..=most).contains(&seconds)) {
            return Err(format!("notify: --for '{}': expected 1 to {most} seconds", seconds.escape_debug()));
        }
        text = text + EVENT_LIFE + "=" + seconds + "\n";
    }
    if words.is_empty() { Err("notify: the argument KEY=VALUE is missing".to_owned()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(line: &str, seconds: Option<&str>) -> Result<String, String> {
        datagram(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), seconds)
    }

    #[test]
    fn words_become_a_datagram() {
        assert_eq!(
            made("READY=1 door=open STATUS=a=b MAINPID=7 lamp=", Some("60")).unwrap(),
            "READY=1\nX_FRIENDLET_EVENT=door=open\nSTATUS=a=b\nMAINPID=7\nX_FRIENDLET_EVENT=lamp=\nX_FRIENDLET_FOR=60\n"
        );
        let long = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
        assert!(made(&long(EVENT_KEY_BYTES, EVENT_VALUE_BYTES), None).is_ok());
        for invalid in [
            "",
            "door",
            "=x",
            "Door=x",
            "DOOR=open",
            "READY",
            &long(EVENT_KEY_BYTES + 1, 1),
            &long(1, EVENT_VALUE_BYTES + 1),
        ] {
            assert!(made(invalid, None).is_err(), "{invalid}");
        }
        assert!(datagram(&["a=b\nREADY=1".to_owned()], None).is_err());
        let most = EVENT_LIFE_MAX.as_secs();
        assert!(made("a=b", Some(&most.to_string())).is_ok());
        for invalid in ["0", &(most + 1).to_string(), "-1", "x", ""] {
            assert!(made("a=b", Some(invalid)).is_err(), "{invalid}");
        }
    }
}
