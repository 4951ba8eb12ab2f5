//! Health checks: their declaration, attempts and states.
//!
//! A check attempts the same thing each period: a connection, an HTTP request or a program. After `limit`
//! failures in a row it is failing, and its service is stopped for its restart policy to decide. The
//! [`Supervisor`](super::Supervisor) decides when an attempt is due; the caller makes it and reports the result.

mod error;
mod record;

use core::net::SocketAddr;
use core::time::Duration;

use heapless::String;

pub use self::error::CheckError;
pub(super) use self::record::CheckRecord;
use super::{Arguments, CheckId, Endpoint, Name, ServiceId};

crate::limits::limits! {
    /// Path and query of the URL of a check.
    CHECK_PATH_BYTES: usize = 128, exceeded "configuration error",
        tests ["path_of_a_url_up_to_its_limit"];
    /// Bytes of a response that an HTTP check reads at once; the status is in the first of them.
    CHECK_RESPONSE_BYTES: usize = 512, exceeded "the rest is not read",
        tests ["long_response_is_read_up_to_the_limit"];
    /// Time between the begins of two attempts of a check unless configured.
    CHECK_PERIOD: Duration = Duration::from_secs(10), exceeded "the next attempt",
        tests ["defaults_of_a_check_are_those_of_the_limits"];
    /// Longest `period_s`.
    CHECK_PERIOD_MAX: Duration = Duration::from_secs(3600), exceeded "configuration error",
        tests ["numbers_of_a_check_stay_in_their_ranges"];
    /// Time of one attempt of a check unless configured.
    CHECK_TIMEOUT: Duration = Duration::from_secs(3), exceeded "the attempt has failed",
        tests ["defaults_of_a_check_are_those_of_the_limits"];
    /// Longest `timeout_s`.
    CHECK_TIMEOUT_MAX: Duration = Duration::from_secs(60), exceeded "configuration error",
        tests ["numbers_of_a_check_stay_in_their_ranges"];
    /// Failures in a row of a check unless configured.
    CHECK_FAILURES: u32 = 3, exceeded "the check is failing",
        tests ["defaults_of_a_check_are_those_of_the_limits"];
    /// Largest `limit` of a check.
    CHECK_FAILURES_MAX: u32 = 100, exceeded "configuration error",
        tests ["numbers_of_a_check_stay_in_their_ranges"];
    /// Time before the first attempt of a check unless configured.
    CHECK_GRACE: Duration = Duration::from_secs(10), exceeded "the first attempt",
        tests ["defaults_of_a_check_are_those_of_the_limits"];
    /// Longest `grace_s`.
    CHECK_GRACE_MAX: Duration = Duration::from_secs(3600), exceeded "configuration error",
        tests ["numbers_of_a_check_stay_in_their_ranges"];
}

/// Check as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// Name; a valid name of a service.
    pub name: Name,
    /// Question that it answers.
    pub level: CheckLevel,
    /// Attempt.
    pub kind: CheckKind,
    /// Service that is checked while it runs, and stopped when the check fails; `None`: always checked.
    pub service: Option<ServiceId>,
    /// Time between the begins of two attempts.
    pub period: Duration,
    /// Time of one attempt.
    pub timeout: Duration,
    /// Failures in a row after which the check is failing.
    pub limit: u32,
    /// Time before the first attempt after the start of the service, or of the server.
    pub grace: Duration,
}

impl Check {
    /// Program that it runs.
    pub fn program(&self) -> Option<&Arguments> {
        match &self.kind {
            CheckKind::Command(argv) => Some(argv),
            CheckKind::Connect(_) | CheckKind::Http(_) => None,
        }
    }

    /// Check of level alive without a service, with the defaults of the configuration file.
    #[cfg(test)]
    pub(crate) fn new(name: &str, kind: CheckKind) -> Self {
        Self {
            name: name.try_into().unwrap(),
            level: CheckLevel::Alive,
            kind,
            service: None,
            period: CHECK_PERIOD,
            timeout: CHECK_TIMEOUT,
            limit: CHECK_FAILURES,
            grace: CHECK_GRACE,
        }
    }
}

/// Question that a check answers. The higher one includes the lower one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum CheckLevel {
    /// Is the board alive?
    Alive,
    /// Is it ready for work, too?
    Ready,
}

impl CheckLevel {
    /// Returns the level with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Alive, Self::Ready].into_iter().find(|level| level.name() == name)
    }

    /// Name in the configuration file and in `/healthz?level=NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Ready => "ready",
        }
    }
}

/// Attempt that a check makes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CheckKind {
    /// A connection that is accepted.
    Connect(Endpoint),
    /// A `GET` over plain HTTP that is answered with a status of 200 to 299.
    Http(Url),
    /// A program that exits with 0, with user, directory and environment of the service.
    Command(Arguments),
}

/// URL of plain HTTP with a numeric address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Url {
    /// Address of the server.
    pub address: SocketAddr,
    /// Path and query.
    pub path: String<CHECK_PATH_BYTES>,
}

impl Url {
    /// Returns the URL with this text, such as `http://127.0.0.1:8080/health`.
    pub fn from_text(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some(Endpoint::Tcp(address)) = Endpoint::tcp(address) else { return None };
        let path = if path.is_empty() { "/" } else { path };
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        Some(Self { address, path: path.try_into().ok().filter(|_| is_path)? })
    }
}

/// One attempt of a check. Each has another number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// The check.
    pub check: CheckId,
    pub(super) number: u32,
}

/// State of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckState {
    /// Without a result: its service does not run, or has just started.
    Unchecked,
    /// The latest attempt was a success, or fewer than `limit` have failed since.
    Healthy,
    /// `limit` attempts in a row have failed, and none was a success since.
    Failing,
}

impl CheckState {
    /// Name for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Healthy => "healthy",
            Self::Failing => "failing",
        }
    }
}

/// Status of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CheckStatus {
    /// State.
    pub state: CheckState,
    /// Failures in a row.
    pub failures: u32,
    /// Latest failure, if no success followed it.
    pub error: Option<CheckError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name() {
        for level in [CheckLevel::Alive, CheckLevel::Ready] {
            assert_eq!(CheckLevel::from_name(level.name()), Some(level));
        }
        assert_eq!(CheckLevel::from_name("Alive"), None);
    }

    #[test]
    fn states_are_words() {
        use CheckState::*;
        assert_eq!([Unchecked, Healthy, Failing].map(CheckState::word), ["unchecked", "healthy", "failing"]);
    }

    #[test]
    fn urls_have_a_numeric_address_a_port_and_a_path() {
        for (text, address, path) in [
            ("http://127.0.0.1:8080/health", "127.0.0.1:8080", "/health"),
            ("http://[::1]:80", "[::1]:80", "/"),
            ("http://10.0.0.1:1/a?b=/c", "10.0.0.1:1", "/a?b=/c"),
        ] {
            let url = Url { address: address.parse().unwrap(), path: path.try_into().unwrap() };
            assert_eq!(Url::from_text(text), Some(url), "{text}");
        }
        for wrong in [
            "",
            "127.0.0.1:80",
            "https://127.0.0.1:443/",
            "http://localhost:80/",
            "http://127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://user@127.0.0.1:80/",
            "http://127.0.0.1:80?a",
            "http://127.0.0.1:80/a b",
            "http://127.0.0.1:80/a\r\nX: y",
            "http://127.0.0.1:80/#part",
        ] {
            assert_eq!(Url::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn path_of_a_url_up_to_its_limit() {
        let url = |length: usize| Url::from_text(&format!("http://127.0.0.1:80/{}", "x".repeat(length - 1)));
        assert!(url(CHECK_PATH_BYTES).is_some());
        assert_eq!(url(CHECK_PATH_BYTES + 1), None);
    }
}
