//! Operations: calls with an id of the client's, whose result outlives the connection.

use super::{Context, internal, services};
use crate::call::{
    Call, Caller, CommandOutput, Failure, Identity, OperationEnd, OperationKey, OperationList,
    OperationState, Outcome, digest, is_visible,
};
use crate::log::errno::{EBUSY, EEXIST, EINVAL, ENOENT};
use crate::service::{CommandError, Program, ServiceId, Verb};

/// Name of the parameter with the id.
pub(super) const PARAMETER: &str = "operation";

/// Operation that a call repeats, by its index.
pub(super) struct Repeat(usize);

/// Prepares the operation of a call that names one. Returns the operation that a call repeats: it is not executed once
/// more. Without room a verb is executed all the same, and not kept: a table of waiting calls never keeps a stop out.
pub(super) fn begin<'a>(
    function: &'static str,
    is_verb: bool,
    call: &Call<'a>,
    identity: Identity,
    service: Option<ServiceId>,
    cx: &mut Context<'_>,
) -> Result<Option<Repeat>, Failure<'a>> {
    let operations = &mut cx.api.operations;
    let Some(id) = call.parameter(PARAMETER) else { return Ok(None) };
    let failed = |result| Failure::Failed { function, result };
    let key = OperationKey::new(id, identity.user()).ok_or(failed(EINVAL))?;
    let parameters = digest(call.parameters);
    if let Some(index) = operations.find(&key) {
        let known = operations.get(index);
        let is_same = known.is_some_and(|known| {
            known.function == function && known.service == service && known.parameters == parameters
        });
        return if is_same { Ok(Some(Repeat(index))) } else { Err(failed(EEXIST)) };
    }
    if operations.prepare(key, parameters, cx.now) || is_verb { Ok(None) } else { Err(Failure::TableFull) }
}

/// Outcome of an operation: that of its call, or pending until its end.
pub(super) fn outcome<'a>(repeat: &Repeat, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let Some(operation) = cx.api.operations.get(repeat.0) else {
        return internal("an operation outside the table");
    };
    let function = operation.function;
    let (service, result, program) = match (&operation.state, operation.service) {
        (OperationState::Running(call), _) => {
            return call.copy().map_or_else(|| internal("an operation of another kind"), Outcome::Pending);
        }
        (OperationState::Ended(OperationEnd::Service(result)), Some(service)) => {
            (service, *result, Program::Main)
        }
        (OperationState::Ended(OperationEnd::NotStarted(program, error)), Some(service)) => {
            (service, Err(CommandError::Spawn(*error)), *program)
        }
        _ => return end(repeat, cx),
    };
    match result {
        Err(CommandError::Spawn(error)) => services::not_started(function, service, program, error, cx),
        result => services::outcome(function, service, result, cx),
    }
}

/// Outcome of an end whose text is in the table.
fn end<'a>(repeat: &Repeat, cx: &'a Context<'_>) -> Outcome<'a> {
    let operation = cx.api.operations.get(repeat.0);
    match operation.map(|operation| (&operation.state, operation.function)) {
        Some((OperationState::Ended(OperationEnd::Command { exit, output, is_cut }), _)) => {
            Outcome::Command(CommandOutput { exit, output, is_cut: *is_cut })
        }
        Some((OperationState::Ended(OperationEnd::Unchanged(reason)), function)) => {
            Outcome::Failed(Failure::Unchanged { function, reason })
        }
        Some((OperationState::Ended(OperationEnd::Done), _)) => Outcome::Done,
        _ => internal("an end of another kind"),
    }
}

/// Finds the operation that a call is about.
fn find<'a>(
    function: &'static str,
    call: &Call<'a>,
    identity: Identity,
    cx: &Context<'_>,
) -> Result<Repeat, Failure<'a>> {
    let id = call.parameter(PARAMETER).ok_or(Failure::MissingParameters { names: PARAMETER })?;
    let key = OperationKey::new(id, identity.user());
    let rights = cx.api.accounts.rights(identity);
    let is_visible = |index: &usize| {
        let operation = cx.api.operations.get(*index);
        operation.is_some_and(|operation| is_visible(operation, &cx.api.services, rights))
    };
    let found = key.and_then(|key| cx.api.operations.find(&key)).filter(is_visible);
    found.map(Repeat).ok_or(Failure::Failed { function, result: ENOENT })
}

/// Lists the operations of the caller.
pub(super) fn list<'a>(_: &Call<'a>, _: &Caller, identity: Identity, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let (operations, services) = (&cx.api.operations, &cx.api.services);
    let rights = cx.api.accounts.rights(identity);
    Outcome::Operations(OperationList { operations, services, user: identity.user(), rights, now: cx.now })
}

/// Waits for the end of an operation, and answers as its call did.
pub(super) fn wait<'a>(
    call: &Call<'a>,
    _: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    match find("wait", call, identity, cx) {
        Ok(repeat) => outcome(&repeat, cx),
        Err(failure) => Outcome::Failed(failure),
    }
}

/// Gives a start up: the service is stopped.
pub(super) fn cancel<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let repeat = match find("cancel", call, identity, cx) {
        Ok(repeat) => repeat,
        Err(failure) => return Outcome::Failed(failure),
    };
    let Some(operation) = cx.api.operations.get(repeat.0) else {
        return internal("an operation outside the table");
    };
    match (&operation.state, operation.service) {
        (OperationState::Ended(_), _) => Outcome::Done,
        (OperationState::Running(pending), Some(service)) if pending.waits_for(service) => {
            let name = cx.api.services.table().get(service).map(|spec| spec.name.as_str());
            match services::find(name, identity, cx) {
                Ok(service) => services::run(Verb::Stop, identity, caller.source, service, cx),
                Err(_) => Outcome::Failed(Failure::NotAllowed),
            }
        }
        _ => Outcome::Failed(Failure::Failed { function: "cancel", result: EBUSY }),
    }
}
