//! Table of calls, one row a call.
//!
//! It is the source of the routing, of the rights, of the rule that a `GET` changes nothing, of the table of
//! calls in `docs/protocol.md`, and of the call names of `ctl`.

use super::{Context, board, configuration, login, operations, pairing, password, services, sessions};
use crate::call::{Call, Caller, Identity, Outcome};
use crate::config::key::{Documentation, documentation};
use crate::service::{ServiceId, Verb};

/// Segment of a path that stands for the name of a service. A call may leave it out, and name the
/// service in the parameter `serviceName`, as in 2016.
pub const NAME: &str = "NAME";

/// Effect of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Changes something; refused as a `GET`.
    Changes,
    /// Changes credentials or the board itself; refused as a `GET` and where nothing answers the call.
    ChangesAnswered,
    /// The same with a parameter of this name, and reads without it.
    ChangesWith(&'static str),
}

/// Handler of a public call.
pub(crate) type Public = for<'a> fn(&Call<'a>, &Caller, &'a mut Context<'_>) -> Outcome<'a>;
/// Handler of a call with a session.
pub(crate) type Session = for<'a> fn(&Call<'a>, &Caller, Identity, &'a mut Context<'_>) -> Outcome<'a>;
/// Handler of a call about a service that the caller may see.
pub(crate) type Service =
    for<'a> fn(&Call<'a>, &Caller, Identity, ServiceId, &'a mut Context<'_>) -> Outcome<'a>;

/// Handler of a call, by the right that it needs.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Every client.
    Public(Public),
    /// Clients with a valid session; what changes something is for those who are not viewers.
    Session(Session),
    /// Clients with a valid session, about their own account, viewers too.
    Own(Session),
    /// Users of the service; what changes something is for those who are not viewers.
    Service(Service),
    /// A verb of the supervisor, with the same right.
    Verb(Verb),
    /// Administrators.
    Administrator(Session),
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Segments of the path after `system.library`.
    pub path: &'static [&'static str],
    /// Names of its parameters.
    pub parameters: &'static [&'static str],
    /// Effect.
    pub effect: Effect,
    /// Summary in a line.
    pub summary: Documentation,
    /// Handler, and the right that it needs.
    pub handler: Handler,
}

/// Every call.
pub static CALLS: &[Row] = &[
    Row {
        path: &["login"],
        parameters: &["username", "password", "deviceid"],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Opens a session. With `deviceid` and a session id instead of a password, resumes that session.",
        ),
        handler: Handler::Public(login::login),
    },
    Row {
        path: &["validate"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation("Confirms that the session is valid."),
        handler: Handler::Session(login::validate),
    },
    Row {
        path: &["user", "logout"],
        parameters: &[],
        effect: Effect::Changes,
        summary: documentation("Ends the session; an administrator may name another session in `sessionid`."),
        handler: Handler::Own(login::logout),
    },
    Row {
        path: &["user", "updatepassword"],
        parameters: &["password", "oldpassword", "username"],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Changes the caller's own password, or that of `username` for an administrator.",
        ),
        handler: Handler::Own(password::update),
    },
    Row {
        path: &["user", "unlock"],
        parameters: &["username"],
        effect: Effect::Changes,
        summary: documentation("Ends the blocks after wrong passwords, of one user or of all."),
        handler: Handler::Administrator(login::unlock),
    },
    Row {
        path: &["user", "pair"],
        parameters: &["deviceid"],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Pairs the certificate of the client, while the window of `board/pair` is open: from then on it needs no login.",
        ),
        handler: Handler::Public(pairing::accept),
    },
    Row {
        path: &["sessions", "list"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation(
            "Lists the sessions and the paired certificates of the user, or all of them for an administrator.",
        ),
        handler: Handler::Session(sessions::list),
    },
    Row {
        path: &["sessions", "end"],
        parameters: &["session", "username"],
        effect: Effect::Changes,
        summary: documentation(
            "Ends the session or paired certificate with this id of the list (a certificate by the whole SHA-256 of its key, too), or all sessions of a user; an administrator those of others, too.",
        ),
        handler: Handler::Own(sessions::end),
    },
    Row {
        path: &["services", "list"],
        parameters: &["from"],
        effect: Effect::Reads,
        summary: documentation(
            "Lists the services of the user, with their states; those from the service `from` on.",
        ),
        handler: Handler::Session(services::list),
    },
    Row {
        path: &["services", NAME, "list"],
        parameters: &["from"],
        effect: Effect::Reads,
        summary: documentation("As `services/list`."),
        handler: Handler::Session(services::list),
    },
    Row {
        path: &["services", NAME, "status"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation(
            "Reports state, process, restarts and last exit of the service, with the reason in words.",
        ),
        handler: Handler::Service(services::status),
    },
    Row {
        path: &["services", NAME, "show"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation(
            "Returns everything that the configuration file declares of the service, its state and its last ends.",
        ),
        handler: Handler::Service(services::show),
    },
    Row {
        path: &["services", NAME, "start"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation("Starts the service, or resumes a paused one."),
        handler: Handler::Verb(Verb::Start),
    },
    Row {
        path: &["services", NAME, "stop"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation("Stops the service with all its processes."),
        handler: Handler::Verb(Verb::Stop),
    },
    Row {
        path: &["services", NAME, "restart"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation("Stops the service where it runs, then starts it."),
        handler: Handler::Verb(Verb::Restart),
    },
    Row {
        path: &["services", NAME, "pause"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation("Stops the processes of the service by SIGSTOP until `start`."),
        handler: Handler::Verb(Verb::Pause),
    },
    Row {
        path: &["services", NAME, "install"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation("Starts the service with the server from now on."),
        handler: Handler::Verb(Verb::Install),
    },
    Row {
        path: &["services", NAME, "uninstall"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation("Does not start the service with the server from now on."),
        handler: Handler::Verb(Verb::Uninstall),
    },
    Row {
        path: &["services", NAME, "log"],
        parameters: &["since", "lines", services::FOLLOW],
        effect: Effect::Reads,
        summary: documentation(
            "Returns the newest lines that the service wrote, or those from position `since` on; with `follow`, the socket receives those after them.",
        ),
        handler: Handler::Service(services::log),
    },
    Row {
        path: &["services", NAME, "command"],
        parameters: &["cmd", operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation(
            "Runs a named command of the service: a signal, or a program whose output is returned.",
        ),
        handler: Handler::Service(services::command),
    },
    Row {
        path: &["services", NAME, "getwebgui"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation("Returns the HTML of the service from the configuration file."),
        handler: Handler::Service(services::web_gui),
    },
    Row {
        path: &["services", NAME, "getwebguii"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation("As `getwebgui`, in Friend Core's spelling since 2017."),
        handler: Handler::Service(services::web_gui),
    },
    Row {
        path: &["operations", "list"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation("Lists the calls of the user with an `operation`, the newest first."),
        handler: Handler::Session(operations::list),
    },
    Row {
        path: &["operations", "wait"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Reads,
        summary: documentation("Waits for the end of an operation, and answers as its call does."),
        handler: Handler::Session(operations::wait),
    },
    Row {
        path: &["operations", "cancel"],
        parameters: &[operations::PARAMETER],
        effect: Effect::Changes,
        summary: documentation("Gives up a start that has not ended: the service is stopped."),
        handler: Handler::Session(operations::cancel),
    },
    Row {
        path: &["board", "status"],
        parameters: &[],
        effect: Effect::Reads,
        summary: documentation("Reports board, version, slot and configuration file, and their problems."),
        handler: Handler::Administrator(board::status),
    },
    Row {
        path: &["board", "log"],
        parameters: &["since", "level", "source", "file"],
        effect: Effect::ChangesWith("level"),
        summary: documentation(
            "Returns the newest records of the server's log, or those from `since` on, or with `source` those in its files; `level` sets the log level.",
        ),
        handler: Handler::Administrator(board::log),
    },
    Row {
        path: &["board", "reload"],
        parameters: &["dryrun", operations::PARAMETER],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Reads the configuration file again and puts it in force, all of it or nothing; with `dryrun=true` only reports what would change.",
        ),
        handler: Handler::Administrator(board::reload),
    },
    Row {
        path: &["board", "configuration"],
        parameters: &["since", "sources", "text", "offset", "more", "dryrun", "seconds", "base"],
        effect: Effect::ChangesWith("text"),
        summary: documentation(
            "Returns the configuration file in force, without its secrets; `text` puts another one in force until it is confirmed, with `dryrun=true` only reports what would change, and with `base` only if the file is still that one.",
        ),
        handler: Handler::Administrator(configuration::configuration),
    },
    Row {
        path: &["board", "confirm"],
        parameters: &["change", operations::PARAMETER],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Confirms a change of the configuration, over a new connection of the same administrator, and writes its file.",
        ),
        handler: Handler::Administrator(configuration::confirm),
    },
    Row {
        path: &["board", "pair"],
        parameters: &["username", "key"],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Opens a window of two minutes in which one client certificate is accepted as that of this user, only the one with a `key` that begins so if it is given; without a name, closes it.",
        ),
        handler: Handler::Administrator(pairing::open),
    },
    Row {
        path: &["board", "upgrade"],
        parameters: &[operations::PARAMETER],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Executes the program that is at the path of friendlet by now, if it can take over: services run on, connections end.",
        ),
        handler: Handler::Administrator(board::upgrade),
    },
    Row {
        path: &["board", "markgood"],
        parameters: &[],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Marks the running slot good, if everything else that it needs for that is there.",
        ),
        handler: Handler::Administrator(board::mark_good),
    },
    Row {
        path: &["board", "reboot"],
        parameters: &[],
        effect: Effect::ChangesAnswered,
        summary: documentation("Stops the services and restarts the board."),
        handler: Handler::Administrator(board::reboot),
    },
    Row {
        path: &["board", "poweroff"],
        parameters: &[],
        effect: Effect::ChangesAnswered,
        summary: documentation("Stops the services and switches the board off."),
        handler: Handler::Administrator(board::power_off),
    },
    Row {
        path: &["board", "factory-reset"],
        parameters: &["confirm"],
        effect: Effect::ChangesAnswered,
        summary: documentation(
            "Erases configuration, users, certificate and all data of the board, and restarts it; `confirm` is the name of the board.",
        ),
        handler: Handler::Administrator(board::factory_reset),
    },
];

impl Handler {
    /// Right that the call needs, in words.
    pub fn right(&self) -> &'static str {
        match self {
            Self::Public(_) => "none",
            Self::Session(_) => "a session",
            Self::Own(_) => "the account",
            Self::Service(_) | Self::Verb(_) => "the service",
            Self::Administrator(_) => "administrator",
        }
    }
}

impl Effect {
    /// Effect in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Changes => "changes",
            Self::ChangesAnswered => "changes, when answered",
            Self::ChangesWith(_) => "reads or changes",
        }
    }

    /// Effect of a call with its parameters.
    pub(super) fn of(self, call: &Call<'_>) -> Self {
        match self {
            Self::ChangesWith(name) if call.parameters.get(name).is_some() => Self::ChangesAnswered,
            Self::ChangesWith(_) => Self::Reads,
            effect => effect,
        }
    }
}

impl Row {
    /// Finds the call of a whole path, `system.library` included.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        let segments = super::split(path)?;
        let (_, function) = segments.split_first()?;
        Self::find(function).map(|(row, _)| row)
    }

    /// Methods of HTTP for the call as a resource of `/api/v1`, as in `Allow`: with these parameters, or any.
    pub(crate) fn methods(&self, call: Option<&Call<'_>>) -> &'static str {
        let is_change = call.is_some_and(|call| self.effect.of(call) != Effect::Reads);
        match self.effect {
            Effect::Reads => "GET, HEAD, OPTIONS",
            Effect::ChangesWith(_) if !is_change => "GET, HEAD, POST, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }

    /// Names of its parameters as a resource of `/api/v1`: a request has no socket that could follow anything.
    pub fn resource_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.parameters.iter().copied().filter(|name| *name != services::FOLLOW)
    }

    /// Finds the call whose path, after `system.library`, has these segments; also returns the name of a
    /// service in the path.
    pub(crate) fn find<'p>(segments: &[&'p str]) -> Option<(&'static Self, Option<&'p str>)> {
        let (function, before) = segments.split_last()?;
        CALLS.iter().find_map(|row| {
            let (own_function, own_before) = row.path.split_last()?;
            if own_function.len() != function.len() || own_function != function {
                return None;
            }
            match (own_before, before) {
                ([group, NAME], [other, name]) if group == other => Some((row, Some(*name))),
                ([group, NAME], [other]) if group == other => Some((row, None)),
                (own_before, before) => (own_before == before).then_some((row, None)),
            }
        })
    }
}
