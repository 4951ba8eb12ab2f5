//! Operations: calls with an id of the client's, whose result outlives the connection.
//!
//! A client that lost its connection before the answer asks with the id. Ids are those of one user. The table holds
//! the pending call, and later its end, from which the answer is made.

use core::time::Duration;

use heapless::{String, Vec};

use super::parameters::Parameters;
use super::pending::{CommandOutput, Completion, PendingCall, Work};
use crate::service::{CommandError, Program, ServiceId, SpawnError, Supervisor};
use crate::session::{Rights, UserId};

crate::limits::limits! {
    /// Operations of all users that are kept.
    OPERATIONS: usize = 16, exceeded "the oldest one that has ended makes room; while all of them run, as with `user_operations`",
        tests ["oldest_operation_that_has_ended_makes_room"];
    /// Operations of one user that are kept.
    USER_OPERATIONS: usize = 4, exceeded "the user's oldest one that has ended makes room; while all of them run, `start`, `stop` and the like are executed and not kept, other calls get code 17",
        tests ["user_has_a_share_of_the_operations"];
    /// Id of an operation.
    OPERATION_ID_BYTES: usize = 40, exceeded "refused with error 22",
        tests ["operation_has_an_id_up_to_its_limit"];
    /// Reason or output that is kept with the end of an operation.
    OPERATION_TEXT_BYTES: usize = 512, exceeded "the rest is not kept",
        tests ["end_is_kept_with_its_text_up_to_the_limit"];
    /// Exit of a named command in words.
    OPERATION_EXIT_BYTES: usize = 40, fixed "the longest text is shorter";
}

/// Id of an operation, and its user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OperationKey {
    id: String<OPERATION_ID_BYTES>,
    user: UserId,
}

impl OperationKey {
    /// Returns `None` for an id that is too long, or that has other bytes than visible ASCII.
    pub fn new(id: &str, user: UserId) -> Option<Self> {
        let id = String::try_from(id).ok().filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic()))?;
        Some(Self { id, user })
    }
}

/// Parameters that are not part of what a call does: its id, its session, and its service, which has an id.
const OTHER: [&str; 6] = ["operation", "sessionid", "sessionId", "authid", "authId", "serviceName"];

/// Digest of the parameters of a call, in any order (FNV-1a of each, added). Only the user who knows the id of an operation
/// could gain from a collision, and gets an answer of his own.
pub fn digest(parameters: &Parameters<'_>) -> u64 {
    let pairs = parameters.iter().filter(|(key, _)| !OTHER.contains(key));
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let digests = pairs.map(|(key, value)| {
        let bytes = key.bytes().chain([0]).chain(value.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, hash)
    });
    digests.fold(0, u64::wrapping_add)
}

/// End of an operation.
#[derive(Debug)]
pub enum OperationEnd {
    /// A verb or a signal of a service.
    Service(Result<(), CommandError>),
    /// The program of a named command.
    Command {
        /// Its exit in words.
        exit: String<OPERATION_EXIT_BYTES>,
        /// First bytes of its output.
        output: Vec<u8, OPERATION_TEXT_BYTES>,
        /// There was more output.
        is_cut: bool,
    },
    /// The program of a named command could not be started.
    NotStarted(Program, SpawnError),
    /// The board did what it was asked to.
    Done,
    /// Everything stayed as it was.
    Unchanged(String<OPERATION_TEXT_BYTES>),
}

/// State of an operation.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the table does not allocate")]
pub enum OperationState {
    /// Its call waits.
    Running(PendingCall),
    /// It has ended.
    Ended(OperationEnd),
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    key: OperationKey,
    /// Name of its function: `start`.
    pub function: &'static str,
    /// Its service; calls about the board have none.
    pub service: Option<ServiceId>,
    /// [`digest`] of its parameters.
    pub parameters: u64,
    /// Time of its begin, since the start of the server.
    pub begun: Duration,
    /// Its state.
    pub state: OperationState,
}

impl Operation {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.key.id
    }
}

/// Table of the operations, the oldest first.
#[derive(Debug, Default)]
pub struct Operations {
    table: Vec<Operation, OPERATIONS>,
    /// Operation of the call that is being handled, until its handler accepts it.
    next: Option<(OperationKey, u64, Duration)>,
}

/// Operations of one user.
#[derive(Clone, Copy, Debug)]
pub struct OperationList<'a> {
    /// The operations of all users.
    pub operations: &'a Operations,
    /// All services.
    pub services: &'a Supervisor,
    /// The caller.
    pub user: UserId,
    /// Rights of the caller.
    pub rights: Rights<'a>,
    /// Time since the start of the server.
    pub now: Duration,
}

impl<'a> OperationList<'a> {
    /// The operations, the newest first.
    pub fn entries(self) -> impl Iterator<Item = &'a Operation> {
        let is_visible = move |operation: &&Operation| {
            operation.key.user == self.user && is_visible(operation, self.services, self.rights)
        };
        self.operations.table.iter().rev().filter(is_visible)
    }
}

/// Returns true if a caller with these rights may know of an operation: a token may have less than its user.
pub fn is_visible(operation: &Operation, services: &Supervisor, rights: Rights<'_>) -> bool {
    match operation.service {
        Some(service) => services.table().get(service).is_some_and(|spec| rights.may_see(&spec.name)),
        None => rights.is_admin(),
    }
}

impl Operations {
    /// Index of an operation.
    pub fn find(&self, key: &OperationKey) -> Option<usize> {
        self.table.iter().position(|operation| operation.key == *key)
    }

    /// Removes the oldest operation that has ended, of this user or of all. Returns false if all of them run.
    fn remove_ended(&mut self, user: Option<UserId>) -> bool {
        let is_one = |operation: &Operation| {
            matches!(operation.state, OperationState::Ended(_))
                && user.is_none_or(|user| operation.key.user == user)
        };
        let found = self.table.iter().position(is_one);
        if let Some(index) = found {
            self.table.remove(index);
        }
        found.is_some()
    }

    /// Operation with this index.
    pub fn get(&self, index: usize) -> Option<&Operation> {
        self.table.get(index)
    }

    /// Prepares the operation of a call: it begins once the handler of the call accepts it. Returns false if there is no
    /// room for it.
    pub fn prepare(&mut self, key: OperationKey, parameters: u64, now: Duration) -> bool {
        let of_user = self.table.iter().filter(|operation| operation.key.user == key.user).count();
        let has_room = (of_user < USER_OPERATIONS || self.remove_ended(Some(key.user)))
            && (!self.table.is_full() || self.remove_ended(None));
        self.next = has_room.then_some((key, parameters, now));
        has_room
    }

    /// Handles a call without an operation.
    pub fn prepare_none(&mut self) {
        self.next = None;
    }

    fn push(&mut self, function: &'static str, service: Option<ServiceId>, state: OperationState) {
        if let Some((key, parameters, begun)) = self.next.take() {
            let pushed = self.table.push(Operation { key, function, service, parameters, begun, state });
            debug_assert!(pushed.is_ok(), "there is room since the begin of the call");
        }
    }

    /// Keeps a call that has to wait, if it has an id.
    pub fn run(&mut self, call: &PendingCall) {
        if let Some(call) = call.copy() {
            self.push(call.function(), call.service(), OperationState::Running(call));
        }
    }

    /// Keeps the result of a call about a service that need not wait, if it has an id.
    pub fn end_at_once(
        &mut self,
        function: &'static str,
        service: ServiceId,
        result: Result<(), CommandError>,
    ) {
        self.push(function, Some(service), OperationState::Ended(OperationEnd::Service(result)));
    }

    /// Handles the completion of the call with this id.
    pub fn complete(&mut self, id: u64, completion: &Completion<'_>) {
        for operation in &mut self.table {
            if let OperationState::Running(call) = &operation.state
                && call.id == id
                && let Some(end) = OperationEnd::of(call, completion)
            {
                operation.state = OperationState::Ended(end);
            }
        }
    }

    /// Handles the end of all starts of a service.
    pub fn settle(&mut self, service: ServiceId, result: Result<(), CommandError>) {
        for operation in &mut self.table {
            if matches!(&operation.state, OperationState::Running(call) if call.waits_for(service)) {
                operation.state = OperationState::Ended(OperationEnd::Service(result));
            }
        }
    }

    /// Forgets the operations of a user who is gone.
    pub fn forget_user(&mut self, user: UserId) {
        self.table.retain(|operation| operation.key.user != user);
    }

    /// Forgets the operations of services whose places others have now.
    pub fn forget_services(&mut self, mask: u64) {
        self.table
            .retain(|operation| operation.service.is_none_or(|service| mask & 1 << service.index() == 0));
    }
}

impl OperationEnd {
    /// End of a call with this completion.
    fn of(call: &PendingCall, completion: &Completion<'_>) -> Option<Self> {
        Some(match (&call.work, completion) {
            (Work::Command { program, .. }, Completion::NotStarted(error)) => {
                Self::NotStarted(*program, *error)
            }
            (_, Completion::Command(CommandOutput { exit, output, is_cut })) => {
                let kept = output.get(..OPERATION_TEXT_BYTES).unwrap_or(output);
                Self::Command {
                    exit: String::try_from(*exit).unwrap_or_default(),
                    output: Vec::from_slice(kept).unwrap_or_default(),
                    is_cut: *is_cut || kept.len() < output.len(),
                }
            }
            (_, Completion::Settled(result)) => Self::Service(*result),
            (_, Completion::Written(written)) => Self::Service(written.map_err(CommandError::Persist)),
            (
                _,
                Completion::Reloaded(Ok(_)) | Completion::Upgraded(Ok(())) | Completion::Confirmed(Ok(())),
            ) => Self::Done,
            (
                _,
                Completion::Reloaded(Err(reason))
                | Completion::Upgraded(Err(reason))
                | Completion::Confirmed(Err(reason)),
            ) => {
                let mut kept = String::new();
                for character in reason.chars() {
                    if kept.push(character).is_err() {
                        break;
                    }
                }
                Self::Unchanged(kept)
            }
            (
                _,
                Completion::Password(_)
                | Completion::NotStarted(_)
                | Completion::Shown(_)
                | Completion::StoredLog(_)
                | Completion::TimedOut,
            ) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> u64 {
        let mut parameters = Parameters::default();
        pairs.iter().for_each(|(key, value)| parameters.insert(key, value).unwrap());
        digest(&parameters)
    }

    #[test]
    fn digest_is_that_of_what_the_call_does() {
        let one = of(&[("operation", "a"), ("cmd", "x"), ("dryrun", "true"), ("sessionid", "s")]);
        assert_eq!(one, of(&[("dryrun", "true"), ("cmd", "x"), ("operation", "b"), ("serviceName", "web")]));
        for other in
            [&[("cmd", "y"), ("dryrun", "true")][..], &[("cmd", "x")], &[("cmd", "xdryruntrue")], &[]]
        {
            assert_ne!(one, of(other), "{other:?}");
        }
    }
}
