//! Dates of the certificates in use and of tokens, compared with the time of day while the server runs.

use core::fmt;
use core::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::EXPIRY_LOOK;
use crate::config::{NOTICE_BYTES, one_line};
use crate::net::tls::validity;
use crate::session::{Tokens, Users};
use crate::wall_clock::Utc;
use crate::{info, warning};

const DAY: Duration = Duration::from_secs(86_400);
/// Rest of the time of a certificate or a token in which administrators are notified, and that in which they are
/// notified again.
pub(super) const EXPIRES_SOON: [Duration; 2] =
    [Duration::from_secs(30 * 86_400), Duration::from_secs(7 * 86_400)];
/// 9999-12-31, the date of no well-defined expiration (RFC 5280, 4.1.2.5), as in a certificate that the server makes.
const NO_END: Duration = Duration::from_secs(253_402_214_400);

/// Subject of dates.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    Certificate,
    Authority,
    Token,
}

/// Time in which the certificates of a file, or a token, are valid.
#[derive(Debug, PartialEq)]
pub(super) struct Dates {
    /// File, or number and user of the token.
    name: String,
    subject: Subject,
    valid: RangeInclusive<Duration>,
}

/// Part of that time, or of the time around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Early,
    Valid,
    /// Less than this rest is left.
    Soon(Duration),
    Over,
}

impl Dates {
    /// Dates of the first certificate of a PEM file, which is shown to clients; `None` without an end.
    pub(super) fn of_server(file: &Path, pem: &[u8]) -> Option<Self> {
        Self::of(file, &mut CertificateDer::pem_slice_iter(pem).take(1).flatten(), Subject::Certificate)
    }

    /// Dates of the authorities of clients in a PEM file: the time in which all of them are valid.
    pub(super) fn of_authority(file: &Path, pem: &[u8]) -> Option<Self> {
        Self::of(file, &mut CertificateDer::pem_slice_iter(pem).flatten(), Subject::Authority)
    }

    fn of(
        file: &Path,
        certificates: &mut dyn Iterator<Item = CertificateDer<'static>>,
        subject: Subject,
    ) -> Option<Self> {
        let mut dates = certificates.filter_map(|certificate| validity(&certificate));
        let mut valid = dates.next()?;
        for date in dates {
            valid = *valid.start().max(date.start())..=*valid.end().min(date.end());
        }
        (*valid.end() < NO_END).then(|| Self { name: file.display().to_string(), subject, valid })
    }

    /// Dates of the tokens that have an end.
    pub(super) fn of_tokens(users: &Users, tokens: &Tokens) -> Arc<[Self]> {
        let dates = (1..).zip(tokens.iter()).filter_map(|(number, token)| {
            // The last second, as that of a certificate.
            let last = Duration::from_secs(token.expires?.saturating_sub(1));
            let name = format!("[[token]] {number}, of {}", users.name(token.user));
            Some(Self { name, subject: Subject::Token, valid: Duration::ZERO..=last })
        });
        dates.collect()
    }

    /// Last second of the time.
    pub(super) fn end(&self) -> Utc {
        Utc(*self.valid.end())
    }

    /// Stage at this time of day, and the time of day of the next one.
    fn stage(&self, now: Duration) -> (Stage, Option<Duration>) {
        let (first, last) = (*self.valid.start(), *self.valid.end());
        let [month, week] = EXPIRES_SOON;
        let over = last + Duration::from_secs(1);
        [
            (first, Stage::Early),
            (last.saturating_sub(month), Stage::Valid),
            (last.saturating_sub(week), Stage::Soon(month)),
            (over, Stage::Soon(week)),
        ]
        .into_iter()
        .find(|(end, _)| now < *end)
        .map_or((Stage::Over, None), |(end, stage)| (stage, Some(end)))
    }

    /// Problem at this time of day; none without a time of day.
    pub(super) fn problem(&self, unix_s: Option<u64>) -> Option<impl fmt::Display> {
        self.problem_of(self.stage(Duration::from_secs(unix_s?)).0)
    }

    fn problem_of(&self, stage: Stage) -> Option<Problem<'_>> {
        (stage != Stage::Valid).then_some(Problem { dates: self, stage })
    }
}

/// Text of a stage.
struct Problem<'d> {
    dates: &'d Dates,
    stage: Stage,
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dates { name, subject, valid } = self.dates;
        let (what, effect, end) = match subject {
            Subject::Certificate => ("this certificate ", "; clients refuse it", *valid.end()),
            Subject::Authority => ("an authority of clients ", "", *valid.end()),
            Subject::Token => ("", "; it is refused", *valid.end() + Duration::from_secs(1)),
        };
        let (first, last) = (Utc(*valid.start()), Utc(end));
        write!(f, "{name}: {what}")?;
        match self.stage {
            Stage::Early => return write!(f, "is valid from {first} on{effect} until then"),
            Stage::Soon(rest) => {
                write!(f, "expires within {} days, on {last}", rest.as_secs() / DAY.as_secs())?;
            }
            Stage::Valid | Stage::Over => write!(f, "has expired on {last}{effect}")?,
        }
        f.write_str(": renew it and reload")
    }
}

/// Watch over dates.
pub(super) struct ExpiryWatch {
    dates: Arc<[Dates]>,
    /// Stages at the last look.
    stages: Box<[Stage]>,
    due: Option<Duration>,
}

impl ExpiryWatch {
    /// Watch over these dates, which are looked at with the next [`handle_timeout`](Self::handle_timeout).
    pub(super) fn new(dates: Arc<[Dates]>) -> Self {
        let due = (!dates.is_empty()).then_some(Duration::ZERO);
        Self { stages: dates.iter().map(|_| Stage::Valid).collect(), dates, due }
    }

    /// The dates.
    pub(super) fn dates(&self) -> Arc<[Dates]> {
        Arc::clone(&self.dates)
    }

    /// Time of the next look.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.due
    }

    /// Compares the dates with this time of day, if there is one, and logs each stage that is new.
    pub(super) fn handle_timeout(&mut self, now: Duration, unix_s: Option<u64>) {
        if self.dates.is_empty() {
            return;
        }
        let mut wait = EXPIRY_LOOK;
        if let Some(time) = unix_s.map(Duration::from_secs) {
            for (dates, before) in self.dates.iter().zip(&mut *self.stages) {
                let (stage, next) = dates.stage(time);
                if core::mem::replace(before, stage) != stage {
                    match dates.problem_of(stage) {
                        Some(problem) => warning!("{}", problem),
                        None => info!("{}: in its time at this time of day", dates.name),
                    }
                }
                wait = next.map_or(wait, |next| wait.min(next - time));
            }
        }
        self.due = Some(now + wait);
    }

    /// Notice for administrators.
    pub(super) fn notice(&self) -> Option<heapless::String<NOTICE_BYTES>> {
        let is_any = self.stages.iter().any(|stage| *stage != Stage::Valid);
        is_any.then(|| one_line(self))
    }
}

/// Writes the problems.
impl fmt::Display for ExpiryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = "";
        for (dates, stage) in self.dates.iter().zip(&*self.stages) {
            if let Some(problem) = dates.problem_of(*stage) {
                write!(f, "{joint}{problem}")?;
                joint = "; ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// 2027-01-01.
    const END: u64 = 1_798_761_600;

    /// PEM of a certificate that is valid in these years.
    fn pem(first: i32, last: i32) -> String {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(first, 1, 1);
        params.not_after = date_time_ymd(last, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn own() -> Dates {
        Dates::of_server(Path::new("c.pem"), pem(2026, 2027).as_bytes()).unwrap()
    }

    fn problem(dates: &Dates, unix_s: u64) -> String {
        dates.problem(Some(unix_s)).map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn dates_are_a_problem_before_after_and_in_the_last_thirty_days() {
        let (dates, day, first) = (own(), DAY.as_secs(), END - 365 * DAY.as_secs());
        assert_eq!(dates.end().to_string(), "2027-01-01T00:00:00Z");
        for (now, expected) in [
            (
                first - 1,
                "c.pem: this certificate is valid from 2026-01-01T00:00:00Z on; clients refuse it until then",
            ),
            (first, ""),
            (END - 30 * day - 1, ""),
            (
                END - 30 * day,
                "c.pem: this certificate expires within 30 days, on 2027-01-01T00:00:00Z: renew it and reload",
            ),
            (
                END - 7 * day,
                "c.pem: this certificate expires within 7 days, on 2027-01-01T00:00:00Z: renew it and reload",
            ),
            (
                END + 1,
                "c.pem: this certificate has expired on 2027-01-01T00:00:00Z; clients refuse it: renew it and reload",
            ),
        ] {
            assert_eq!(problem(&dates, now), expected, "{now}");
        }
        assert!(problem(&dates, END).contains("within 7 days"), "the last second is valid");
        assert!(dates.problem(None).is_none(), "the time of day is not known");
    }

    #[test]
    fn certificate_without_an_end_needs_no_look() {
        let made = crate::net::tls::SelfSigned::new(&crate::net::tls::Names::default()).unwrap();
        assert!(Dates::of_server(Path::new("c.pem"), made.certificate.as_bytes()).is_none());
        assert!(Dates::of_server(Path::new("c.pem"), b"").is_none());
        let mut watch = ExpiryWatch::new([].into());
        watch.handle_timeout(Duration::ZERO, Some(END));
        assert_eq!((watch.poll_timeout(), watch.notice()), (None, None));
    }

    #[test]
    fn authorities_are_valid_while_all_of_them_are() {
        let authorities = pem(2020, 2050) + &pem(2026, 2027) + &pem(2021, 2030);
        let dates = Dates::of_authority(Path::new("ca.pem"), authorities.as_bytes()).unwrap();
        assert_eq!(dates.valid, Duration::from_secs(END - 365 * DAY.as_secs())..=Duration::from_secs(END));
        assert_eq!(
            problem(&dates, END + 1),
            "ca.pem: an authority of clients has expired on 2027-01-01T00:00:00Z: renew it and reload"
        );
    }

    #[test]
    fn each_stage_is_found_once_and_again_when_the_clock_is_set_back() {
        crate::log::set_level(crate::log::Level::Off);
        let mut watch = ExpiryWatch::new([own()].into());
        let (mut now, day) = (Duration::from_secs(5), DAY.as_secs());
        assert_eq!(watch.poll_timeout(), Some(Duration::ZERO));
        // A board without a clock.
        watch.handle_timeout(now, None);
        assert_eq!((watch.notice(), watch.poll_timeout()), (None, Some(now + EXPIRY_LOOK)));
        let (month, week) = (END - 30 * day, END - 7 * day);
        for (unix_s, expected, wait) in [
            (month - 5, "", 5),
            (month, "within 30 days", 3600),
            (month + 3600, "within 30 days", 3600),
            (week - 1, "within 30 days", 1),
            (week, "within 7 days", 3600),
            (END, "within 7 days", 1),
            (END + 1, "has expired", 3600),
            // Set by hand, back and forth.
            (0, "is valid from", 3600),
            (month - 9000, "", 3600),
            (END + 9000, "has expired", 3600),
        ] {
            now += Duration::from_secs(10);
            watch.handle_timeout(now, Some(unix_s));
            let notice = watch.notice().unwrap_or_default();
            assert!(
                notice.contains(expected) && notice.is_empty() == expected.is_empty(),
                "{unix_s}: {notice}"
            );
            assert_eq!(watch.poll_timeout(), Some(now + Duration::from_secs(wait)), "{unix_s}");
        }
        // Without a time of day, what was found stays.
        watch.handle_timeout(now, None);
        assert!(watch.notice().unwrap().contains("has expired"));
    }

    #[test]
    fn token_is_over_when_it_is_refused() {
        crate::log::set_level(crate::log::Level::Off);
        let text = "[[user]]\nname = 'anna'\nlevel = 'user'\n[[token]]\nuser = 'anna'\nsha256 = 'AA'\n\
                    [[token]]\nuser = 'anna'\nsha256 = 'BB'\nexpires = 2027-01-01\n";
        let text = text.replace("AA", &"a".repeat(64)).replace("BB", &"b".repeat(64));
        let config = crate::config::parse(&text, "f.toml", "/bin/friendlet").unwrap();
        let dates = Dates::of_tokens(&config.users, &config.tokens);
        let [token] = &*dates else { panic!("the other one has no end: {dates:?}") };
        let day = DAY.as_secs();
        for (now, expected) in [
            (0, ""),
            (END - 30 * day - 2, ""),
            (
                END - 7 * day - 2,
                "[[token]] 2, of anna: expires within 30 days, on 2027-01-01T00:00:00Z: renew it and reload",
            ),
            (
                END - 1,
                "[[token]] 2, of anna: expires within 7 days, on 2027-01-01T00:00:00Z: renew it and reload",
            ),
            (
                END,
                "[[token]] 2, of anna: has expired on 2027-01-01T00:00:00Z; it is refused: renew it and reload",
            ),
        ] {
            assert_eq!(problem(token, now), expected, "{now}");
        }
        let mut watch = ExpiryWatch::new(Arc::clone(&dates));
        watch.handle_timeout(Duration::ZERO, Some(END - 1));
        assert!(watch.notice().unwrap().contains("within 7 days"));
        assert_eq!(watch.poll_timeout(), Some(Duration::from_secs(1)), "the look at its end");
    }

    #[test]
    fn notice_has_the_certificate_and_the_authority() {
        crate::log::set_level(crate::log::Level::Off);
        let authority = Dates::of_authority(Path::new("ca.pem"), pem(2026, 2027).as_bytes()).unwrap();
        let mut watch = ExpiryWatch::new([own(), authority].into());
        watch.handle_timeout(Duration::ZERO, Some(END - 1));
        let notice = watch.notice().unwrap();
        assert!(notice.starts_with("c.pem: ") && notice.contains("; ca.pem: an authority"), "{notice}");
    }
}
