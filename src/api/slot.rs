//! Test of the running slot: when its system is marked good, and when it has failed.
//!
//! A slot is good once the given configuration file has been in force and each required service up for a time without a
//! break, and an administrator has said so, if the file wants that. A slot in test that is not good in time has failed:
//! the board goes back to the other one.

use core::time::Duration;

use crate::call::{Missing, SlotState};
use crate::config::{CONFIRM_TIME, FAILURE_NOTICE, GOOD_TIME, Update};

/// Test of the running slot.
#[derive(Debug)]
pub(crate) struct SlotTest {
    state: SlotState,
    /// `[update]` of the file in force.
    pub(crate) update: Update,
    /// Time of the first look.
    begun: Option<Duration>,
    /// Time since which nothing is missing but time and an administrator.
    steady_since: Option<Duration>,
    /// Time at which an administrator was missing first.
    awaited_since: Option<Duration>,
    is_announced: bool,
    /// The result is not reported yet.
    is_pending: bool,
    /// Time of the next look that no event announces.
    due: Option<Duration>,
}

/// Result of a look at a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SlotEvent<'f> {
    /// It is good from now on.
    Good,
    /// It fails after this time unless it is good before; zero: it has failed.
    Fails(Missing<'f>, Duration),
}

impl SlotTest {
    pub(super) fn new(state: SlotState) -> Self {
        Self {
            state,
            update: Update::default(),
            begun: None,
            steady_since: None,
            awaited_since: None,
            is_announced: false,
            is_pending: false,
            due: None,
        }
    }

    pub(super) fn state(&self) -> SlotState {
        self.state
    }

    /// Looks at the slot. `fault` is a condition that it does not meet.
    pub(super) fn look<'f>(&mut self, fault: Option<Missing<'f>>, now: Duration) -> Option<SlotEvent<'f>> {
        self.due = None;
        if !matches!(self.state, SlotState::Testing | SlotState::Confirmed) {
            return None;
        }
        let begun = *self.begun.get_or_insert(now);
        self.steady_since = if fault.is_some() { None } else { self.steady_since.or(Some(now)) };
        let Some(missing) = self.missing(fault, now) else {
            self.end(SlotState::Good);
            return Some(SlotEvent::Good);
        };
        let settled = self.steady_since.map(|since| since + self.update.settle);
        if missing == Missing::Administrator && self.awaited_since.is_none() {
            // The end is a later one.
            (self.awaited_since, self.is_announced) = (settled, false);
        }
        let settled = settled.filter(|settled| *settled > now);
        self.due = settled;
        if self.state == SlotState::Confirmed {
            return None;
        }
        let awaited = self.awaited_since.map_or(Duration::ZERO, |since| since + CONFIRM_TIME);
        let end = awaited.max(begun + self.update.settle + GOOD_TIME);
        if now >= end {
            self.end(SlotState::Failed);
            return Some(SlotEvent::Fails(missing, Duration::ZERO));
        }
        let announced = end.saturating_sub(FAILURE_NOTICE);
        let is_announced = now >= announced;
        let next = if is_announced { end } else { announced };
        self.due = Some(settled.map_or(next, |settled| settled.min(next)));
        let is_new = is_announced && !core::mem::replace(&mut self.is_announced, is_announced);
        is_new.then(|| SlotEvent::Fails(missing, end - now))
    }

    fn end(&mut self, state: SlotState) {
        (self.state, self.is_pending, self.due) = (state, true, None);
    }

    /// First condition that the slot does not meet, `fault` before all.
    pub(super) fn missing<'f>(&self, fault: Option<Missing<'f>>, now: Duration) -> Option<Missing<'f>> {
        let settle = self.update.settle;
        let steady = self.steady_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        match self.state {
            SlotState::None => Some(Missing::Slots),
            SlotState::Good => None,
            SlotState::Failed => Some(Missing::Failed),
            SlotState::Testing | SlotState::Confirmed if fault.is_some() => fault,
            _ if steady < settle => Some(Missing::Time(steady.as_secs(), settle.as_secs())),
            _ => self.update.needs_administrator.then_some(Missing::Administrator),
        }
    }

    /// Marks the slot good for an administrator.
    pub(super) fn confirm<'f>(
        &mut self,
        fault: Option<Missing<'f>>,
        now: Duration,
    ) -> Result<(), Missing<'f>> {
        match self.missing(fault, now) {
            None | Some(Missing::Administrator) => {}
            Some(missing) => return Err(missing),
        }
        if self.state != SlotState::Good {
            self.end(SlotState::Good);
        }
        Ok(())
    }

    /// Time of the next look that no event announces.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.due
    }

    /// Result that is not reported yet: [`SlotState::Good`] or [`SlotState::Failed`].
    pub(super) fn result(&self) -> Option<SlotState> {
        self.is_pending.then_some(self.state)
    }

    /// Notes that the result was reported.
    pub(crate) fn handle_reported(&mut self) {
        self.is_pending = false;
    }
}

#[cfg(test)]
mod tests;
