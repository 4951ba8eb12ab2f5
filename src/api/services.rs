//! The calls under `system.library/services`.

use core::fmt::Write as _;
use core::time::Duration;

use heapless::String;

use super::errno::{EAGAIN, EIO, ESHUTDOWN, ESRCH};
use super::{Api, render};
use super::{CommandEnd, Platform};
use crate::call::{Identity, Outcome, PendingCall};
use crate::friendcore::content::{self, ListEntry, StatusDetail};
use crate::friendcore::{Failure, Form, Request};
use crate::limits::{CHUNK_PIECE_BYTES, REPLY_BYTES, REQUEST_ID_BYTES, SEND_BYTES, SEND_RESERVE_BYTES};
use crate::service::{CommandAction, CommandError, ServiceId, Verb};

/// What Friend Core gives for a service without a page of its own.
const NO_WEBGUI: &str = "<div> </div>";

/// A function of a service.
#[derive(Clone, Copy)]
enum Function {
    List,
    Status,
    Command,
    WebGui,
    Verb(Verb),
}

impl Function {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "list" => Self::List,
            "status" => Self::Status,
            "command" => Self::Command,
            // Friend Core compares with the second, misspelt, since 2017.
            "getwebgui" | "getwebguii" => Self::WebGui,
            name => Self::Verb(Verb::from_name(name)?),
        })
    }
}

impl Api {
    /// Both address forms: `services/start` with `serviceName` (2016), and `services/hello/start`.
    pub(crate) fn services(
        &mut self,
        function: &[&str],
        request: &Request<'_>,
        identity: Identity,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        let form = request.form;
        let (name, function) = match *function {
            [function] => (request.parameters.get("serviceName"), Function::from_name(function)),
            [name, function] => (Some(name), Function::from_name(function)),
            _ => (None, None),
        };
        let Some(function) = function else {
            return self.fail(form, Failure::UnknownFunction);
        };
        if matches!(function, Function::List) {
            return self.list(form, identity, now);
        }
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return self.fail(form, Failure::NoServiceName);
        };
        let Some(service) = self.services.table().find(name) else {
            return self.fail(form, Failure::UnknownService);
        };
        if !self.users.may_control(identity.user(), name) {
            return self.fail(form, Failure::NotAllowed);
        }
        match function {
            Function::List => self.list(form, identity, now),
            Function::Status => self.status(service, now),
            Function::WebGui => self.web_gui(service, form),
            Function::Command => self.command(service, request, now, platform),
            Function::Verb(verb) => {
                self.log_call(verb.name(), name, identity);
                let given = self.services.handle_command(service, verb, now);
                self.finish_command(verb.name(), service, given, form, now, platform)
            }
        }
    }

    fn log_call(&self, verb: &str, service: &str, identity: Identity) {
        if let Some(user) = self.users.get(identity.user()) {
            crate::info!("service {}: {} by {}", service, verb, user.name);
        }
    }

    fn list(&mut self, form: Form, identity: Identity, now: Duration) -> Outcome {
        let Self { services, users, scratch, .. } = self;
        let entries =
            services.table().iter().filter(|(_, spec)| users.may_control(identity.user(), &spec.name));
        let entries = entries.map(|(id, spec)| {
            let state = services.status(id, now).state;
            ListEntry { name: &spec.name, word: state.api_word(), number: state.api_number() }
        });
        let written = render(scratch, REPLY_BYTES, |out| content::list(out, form, entries));
        self.rendered(written, 200, true).unwrap_or_else(|_| self.fail(form, Failure::TableFull))
    }

    fn status(&mut self, service: ServiceId, now: Duration) -> Outcome {
        let status = self.services.status(service, now);
        let mut last_exit = String::<32>::new();
        // The longest is `cannot start: errno -2147483648`.
        let _ = write!(last_exit, "{}", status.last_exit);
        let detail = StatusDetail {
            state: status.state.word(),
            pid: status.pid,
            since_s: status.since.as_secs(),
            restarts: status.restarts,
            last_exit: &last_exit,
        };
        self.write(|out| content::status_detail(out, &detail))
    }

    fn web_gui(&mut self, service: ServiceId, form: Form) -> Outcome {
        let Self { services, scratch, .. } = self;
        let html = services.table().get(service).and_then(|spec| spec.webgui.as_deref());
        let written = render(scratch, REPLY_BYTES, |out| content::webgui(out, html.unwrap_or(NO_WEBGUI)));
        self.rendered(written, 200, false).unwrap_or_else(|_| self.fail(form, Failure::TableFull))
    }

    /// Runs a command that the device file names: a signal, or a program whose output is the answer.
    fn command(
        &mut self,
        service: ServiceId,
        request: &Request<'_>,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        let form = request.form;
        let Some(name) = request.parameters.get("cmd").filter(|name| !name.is_empty()) else {
            return self.fail(form, Failure::MissingParameters { names: "cmd" });
        };
        let Some(command) = self.services.named_command(service, name) else {
            return self.fail(form, Failure::UnknownFunction);
        };
        match &command.action {
            CommandAction::Signal(signal) => {
                let given = self.services.handle_signal(service, *signal, now);
                self.finish_command("command", service, given, form, now, platform)
            }
            CommandAction::Argv(argv) => {
                let argv = argv.clone();
                let call_id = self.call_id();
                let Some(spec) = self.services.table().get(service) else {
                    return self.fail(form, Failure::UnknownService);
                };
                match platform.run_command(spec, &argv, call_id) {
                    Ok(()) => Outcome::Pending { call_id, job: PendingCall::Command },
                    Err(super::Refused) => self.fail(form, Failure::TableFull),
                }
            }
        }
    }

    /// The answer of a named command that has ended. Output that takes more room in JSON than an
    /// answer has is cut until it fits.
    pub(crate) fn write_command_end(&mut self, end: &CommandEnd<'_>, form: Form) -> Outcome {
        let limit = match form {
            Form::Frame => CHUNK_PIECE_BYTES,
            Form::Envelope => REPLY_BYTES - 6 * REQUEST_ID_BYTES - 256,
            Form::Http => SEND_BYTES - SEND_RESERVE_BYTES - crate::http::CALL_HEAD_BYTES,
        };
        let (mut output, mut is_cut) = (end.output, end.is_cut);
        loop {
            let written =
                self.write_within(limit, 200, |out| content::command_output(out, end.exit, output, is_cut));
            match written {
                Ok(answer) => return answer,
                Err(_) if output.is_empty() => return self.fail(form, Failure::TableFull),
                Err(_) => {
                    output = output.get(..output.len() / 2).unwrap_or_default();
                    is_cut = true;
                }
            }
        }
    }

    fn finish_command(
        &mut self,
        function: &str,
        service: ServiceId,
        given: Result<(), CommandError>,
        form: Form,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        self.pump(now, platform);
        let result = match given.and_then(|()| self.services.take_result(service)) {
            Ok(()) => return self.write(content::status_ok),
            Err(CommandError::Unknown) => return self.fail(form, Failure::UnknownService),
            Err(CommandError::Spawn { errno }) => errno,
            Err(CommandError::NotRunning) => ESRCH,
            Err(CommandError::Persist) => EIO,
            Err(CommandError::Busy) => EAGAIN,
            Err(CommandError::ShuttingDown) => ESHUTDOWN,
        };
        self.fail(form, Failure::Failed { function, result })
    }
}
