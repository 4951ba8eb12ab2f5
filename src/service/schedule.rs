//! Times at which a one-shot runs.

use core::fmt;
use core::time::Duration;

use heapless::Vec;

use super::restart::Jitter;
use super::{CLOCK_CHECK, SCHEDULE_TIMES};

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// Times at which a one-shot runs, as configured.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Schedule {
    /// Time from one start to the next.
    pub every: Option<Duration>,
    /// Minutes of the day, in UTC.
    pub at: Vec<u16, SCHEDULE_TIMES>,
    /// Longest random delay of a start.
    pub jitter: Duration,
}

/// Next start of a service by its schedule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextRun {
    /// The service has no schedule.
    None,
    /// After this time.
    In(Duration),
    /// The time of day is not known yet.
    AwaitsClock,
}

impl Schedule {
    /// Returns true without any times.
    pub fn is_empty(&self) -> bool {
        self.every.is_none() && self.at.is_empty()
    }

    /// First time of day after this second of Unix time; `None` without one.
    fn after(&self, unix_s: u64) -> Option<u64> {
        let midnight = unix_s - unix_s % DAY;
        let days = [midnight, midnight + DAY].into_iter();
        let times = days.flat_map(|day| self.at.iter().map(move |minute| day + u64::from(*minute) * 60));
        times.filter(|time| *time > unix_s).min()
    }
}

/// Minute of a day, written as `HH:MM`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeOfDay(pub u16);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// Minute of a day of the text `HH:MM`.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: u16| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| is_number && *number < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// Progress of a schedule. The period is measured by the monotonic clock, so that a clock that jumps does not
/// change it. Times of day wait for a plausible clock, and are compared with it again and again.
#[derive(Clone, Debug)]
pub(super) struct Timetable {
    /// Next start by the period, without its delay.
    base: Duration,
    /// The same with its delay; `None` before the first look at the schedule.
    every: Option<Duration>,
    /// Next time of day in Unix time; `None` without a plausible clock.
    at: Option<u64>,
    /// Delay of that start.
    delay: Duration,
    /// Latest time of day that has come. A clock that is set back does not repeat it.
    done: u64,
    /// Time of the next look at the schedule.
    pub(super) wake: Option<Duration>,
    /// Estimate of the next start; `None` if it is not known.
    next: Option<Duration>,
}

impl Timetable {
    pub(super) const NEW: Self = Self {
        base: Duration::ZERO,
        every: None,
        at: None,
        delay: Duration::ZERO,
        done: 0,
        wake: None,
        next: None,
    };

    /// Returns the next start.
    pub(super) fn next_run(&self, schedule: &Schedule, now: Duration) -> NextRun {
        match self.next {
            _ if schedule.is_empty() => NextRun::None,
            Some(next) => NextRun::In(next.saturating_sub(now)),
            None => NextRun::AwaitsClock,
        }
    }

    /// Looks at the schedule; true if a start is due. Times that have passed unseen are one start together.
    pub(super) fn update(
        &mut self,
        schedule: &Schedule,
        now: Duration,
        unix_s: Option<u64>,
        random: &mut Jitter,
    ) -> bool {
        let is_due = self.update_period(schedule, now, random) | self.update_times(schedule, unix_s, random);
        let wait = self
            .at
            .zip(unix_s)
            .map(|(at, unix_s)| Duration::from_secs(at.saturating_sub(unix_s)).saturating_add(self.delay));
        let at = wait.map(|wait| now + wait);
        self.next = [self.every, at].into_iter().flatten().min();
        // The clock may be set at any time.
        let check = (!schedule.at.is_empty()).then_some(now + CLOCK_CHECK);
        self.wake = [self.next, check].into_iter().flatten().min();
        is_due
    }

    fn update_period(&mut self, schedule: &Schedule, now: Duration, random: &mut Jitter) -> bool {
        let Some(period) = schedule.every else { return false };
        let is_due = match self.every {
            Some(every) if now < every => return false,
            Some(_) => true,
            // Since the start of the first server, whichever this is.
            None => false,
        };
        // However many periods have passed. A period is whole seconds.
        if let Some(passed) = now.checked_sub(self.base) {
            let periods = passed.as_secs() / period.as_secs().max(1) + 1;
            self.base += Duration::from_secs(periods * period.as_secs());
        }
        self.every = Some(self.base + random.up_to(schedule.jitter));
        is_due
    }

    fn update_times(&mut self, schedule: &Schedule, unix_s: Option<u64>, random: &mut Jitter) -> bool {
        let next = unix_s.and_then(|unix_s| schedule.after(unix_s));
        let (Some(unix_s), Some(next)) = (unix_s, next) else {
            self.at = None;
            return false;
        };
        let is_due = match self.at {
            // Without a clock, no time of day was missed.
            None => false,
            Some(at) if unix_s >= at.saturating_add(self.delay.as_secs()) => {
                self.done = at;
                true
            }
            // The clock was set back.
            Some(at) if next < at => false,
            Some(_) => return false,
        };
        self.at = if next == self.done { schedule.after(next) } else { Some(next) };
        self.delay = Duration::from_secs(random.up_to(schedule.jitter).as_secs());
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Midnight of a day in 2026.
    const MIDNIGHT: u64 = 1_790_640_000;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Looks at a schedule without random delays.
    fn look(table: &mut Timetable, schedule: &Schedule, now: u64, unix_s: Option<u64>) -> bool {
        let mut exact = Jitter::NONE;
        table.update(schedule, at(now), unix_s, &mut exact)
    }

    fn times(texts: &[&str]) -> Schedule {
        let at = texts.iter().map(|text| minute_of_day(text).unwrap()).collect();
        Schedule { at, ..Schedule::default() }
    }

    #[test]
    fn times_of_day_by_their_text() {
        for (text, expected) in [("00:00", Some(0)), ("03:30", Some(210)), ("23:59", Some(1439))] {
            assert_eq!(minute_of_day(text), expected);
        }
        for text in ["", "3:30", "24:00", "12:60", "12", "12:3", "+1:00", "12:30:00", "a0:00"] {
            assert_eq!(minute_of_day(text), None, "{text}");
        }
    }

    #[test]
    fn time_of_day_is_written_as_it_is_read() {
        for text in ["00:00", "03:30", "23:59"] {
            assert_eq!(TimeOfDay(minute_of_day(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn next_time_is_of_this_day_or_the_next() {
        assert_eq!(MIDNIGHT % DAY, 0);
        let schedule = times(&["12:00", "03:30"]);
        let after = |second: u64| schedule.after(MIDNIGHT + second).unwrap() - MIDNIGHT;
        let (early, noon) = (210 * 60, 720 * 60);
        assert_eq!([after(0), after(early - 1), after(early)], [early, early, noon]);
        assert_eq!(after(noon), DAY + early);
        assert_eq!(Schedule::default().after(0), None);
    }

    #[test]
    fn period_keeps_its_phase_and_missed_starts_are_one() {
        let schedule = Schedule { every: Some(at(60)), ..Schedule::default() };
        let mut table = Timetable::NEW;
        let mut update = |now| (look(&mut table, &schedule, now, None), table.wake);
        // As for the server before, of which this one has the clock.
        assert_eq!(update(5), (false, Some(at(60))));
        assert_eq!(update(59), (false, Some(at(60))));
        assert_eq!(update(60), (true, Some(at(120))));
        assert_eq!(update(400), (true, Some(at(420))));
    }

    #[test]
    fn delay_is_random_up_to_its_limit() {
        let schedule = Schedule { every: Some(at(60)), jitter: at(30), ..Schedule::default() };
        let (mut table, mut random) = (Timetable::NEW, Jitter::new(7));
        let delays = [(); 200].map(|()| {
            let now = table.wake.unwrap_or_default();
            table.update(&schedule, now, None, &mut random);
            table.wake.unwrap() - table.base
        });
        assert!(delays.iter().all(|delay| *delay <= at(30)));
        assert!(delays.iter().any(|delay| *delay < at(3)) && delays.iter().any(|delay| *delay > at(27)));
    }

    #[test]
    fn time_of_day_comes_once() {
        let schedule = times(&["03:30"]);
        let early = MIDNIGHT + 210 * 60;
        let mut table = Timetable::NEW;
        let mut update = |now, unix_s| look(&mut table, &schedule, now, Some(unix_s));
        assert!(!update(1, early - 30));
        assert!(update(31, early));
        assert!(!update(32, early + 1) && !update(91, early + 60));
        // A clock that is set back by an hour does not repeat it.
        assert!(!update(100, early - 3600) && !update(3700, early) && !update(3701, early + 1));
        assert!(update(90_000, early + DAY));
    }

    #[test]
    fn period_and_time_of_day_that_come_together_are_one_start() {
        let schedule = Schedule { every: Some(at(60)), ..times(&["03:30"]) };
        let early = MIDNIGHT + 210 * 60;
        let mut table = Timetable::NEW;
        let mut update = |now, unix_s| (look(&mut table, &schedule, now, Some(unix_s)), table.wake);
        assert_eq!(update(0, early - 60), (false, Some(at(60))));
        assert_eq!(update(60, early), (true, Some(at(120))));
        assert_eq!(update(61, early + 1), (false, Some(at(120))));
    }

    #[test]
    fn delay_of_a_time_of_day_is_drawn_once() {
        let schedule = Schedule { jitter: at(600), ..times(&["03:30"]) };
        let early = MIDNIGHT + 210 * 60;
        let (mut table, mut random) = (Timetable::NEW, Jitter::new(7));
        let mut update = |unix_s| {
            let is_due = table.update(&schedule, at(0), Some(unix_s), &mut random);
            (is_due, table.delay.as_secs())
        };
        let (_, delay) = update(MIDNIGHT);
        assert!(delay > 0);
        for unix_s in [MIDNIGHT + 1, early, early + delay - 1] {
            assert_eq!(update(unix_s), (false, delay));
        }
        assert!(update(early + delay).0);
    }

    #[test]
    fn clock_that_jumps_forward_is_one_start() {
        let schedule = times(&["03:30", "03:40"]);
        let mut table = Timetable::NEW;
        let mut update = |now, unix_s| look(&mut table, &schedule, now, unix_s);
        // Not the start after 1970.
        assert!(!update(1, None) && !update(61, None));
        assert!(!update(121, Some(MIDNIGHT + 13 * 3600)));
        assert!(update(181, Some(MIDNIGHT + 10 * DAY)));
        assert!(!update(182, Some(MIDNIGHT + 10 * DAY + 1)));
        // A clock that was years ahead leaves nothing behind.
        assert!(!update(200, Some(MIDNIGHT)) && update(300, Some(MIDNIGHT + 211 * 60)));
    }

    #[test]
    fn clock_is_checked_again_and_again() {
        let schedule = times(&["03:30"]);
        let mut table = Timetable::NEW;
        look(&mut table, &schedule, 1, None);
        assert_eq!(
            (table.wake, table.next_run(&schedule, at(1))),
            (Some(at(1) + CLOCK_CHECK), NextRun::AwaitsClock)
        );
        look(&mut table, &schedule, 2, Some(MIDNIGHT));
        assert_eq!(table.wake, Some(at(2) + CLOCK_CHECK));
        assert_eq!(table.next_run(&schedule, at(3)), NextRun::In(at(210 * 60 - 1)));
        look(&mut table, &schedule, 70, Some(MIDNIGHT + 210 * 60 - 5));
        assert_eq!(table.wake, Some(at(75)));
        assert_eq!(Timetable::NEW.next_run(&Schedule::default(), at(0)), NextRun::None);
    }
}
