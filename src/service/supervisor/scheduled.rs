//! Starts of one-shots by their schedules.

use core::time::Duration;

use super::super::transition::{Event, Phase};
use super::super::{NextRun, ServiceId};
use super::Supervisor;
use crate::{debug, info, warning};

impl Supervisor {
    /// Sets the time of day for the schedules, in seconds of Unix time; `None` while it is not plausible. To
    /// be called before each [`Supervisor::handle_timeout`].
    pub fn set_time_of_day(&mut self, unix_s: Option<u64>) {
        self.unix_s = unix_s;
    }

    /// Next start of a service by its schedule.
    pub fn next_run(&self, service: ServiceId, now: Duration) -> NextRun {
        let timetable = &self.entries[service.index()].timetable;
        self.spec(service).map_or(NextRun::None, |spec| timetable.next_run(&spec.schedule, now))
    }

    /// Looks at every schedule, at the start of the server and after a reload.
    pub(super) fn begin_schedules(&mut self, now: Duration) {
        for service in self.order.clone() {
            self.run_schedule(service, now);
        }
    }

    /// Looks at a schedule whose time has come.
    pub(super) fn expire_schedule(&mut self, service: ServiceId, now: Duration) {
        if self.entries[service.index()].timetable.wake.is_some_and(|wake| wake <= now) {
            self.run_schedule(service, now);
        }
    }

    /// Looks at the schedule of one service.
    pub(super) fn run_schedule(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        let Some(spec) = self.table.get(service).filter(|spec| !spec.schedule.is_empty()) else { return };
        if self.is_shutting_down {
            entry.timetable.wake = None;
            return;
        }
        if !entry.timetable.update(&spec.schedule, now, self.unix_s, &mut self.jitter) {
            return;
        }
        if !matches!(entry.phase, Phase::Stopped | Phase::Failed | Phase::Finished) {
            debug!(
                "{}: not started by its schedule, the last start has not ended",
                self.limits[service.index()].subject(&spec.name)
            );
            return;
        }
        info!("{}: starting by its schedule", self.limits[service.index()].subject(&spec.name));
        entry.failed_with = None;
        self.start_required(service, now);
        if let Err(error) = self.apply(service, Event::Restart, now) {
            warning!("{}: cannot start: {}", self.subject(service), error);
        }
    }
}
