//! The documents of the API under `/api/v1`, made from the table of calls.

use friendlet::api::calls::{Effect, NAME};
use friendlet::api::{CALLS, Row};
use friendlet::call::Failure;
use friendlet::rest;

use crate::events;
use crate::support::generated;

/// Methods and path of the resource of a call; `None` for another spelling of a call.
pub(crate) fn resource(row: &Row) -> Option<(&'static [&'static str], String)> {
    let path = match row.path {
        [_, NAME, "list" | "getwebguii"] => return None,
        [group, "list"] => (*group).to_owned(),
        [group, NAME, "show"] => format!("{group}/{NAME}"),
        path => path.join("/"),
    };
    let methods: &[&str] = match row.effect {
        Effect::Reads => &["GET"],
        Effect::Changes | Effect::ChangesAnswered => &["POST"],
        Effect::ChangesWith(_) => &["GET", "POST"],
    };
    Some((methods, path))
}

/// Summary of a call as a resource: without what only the other forms have.
pub(crate) fn summary(row: &Row) -> &'static str {
    match row.path {
        ["login"] => "Opens a session.",
        ["user", "logout"] => "Ends the session.",
        [.., "log"] if row.parameters.contains(&"follow") => {
            "Returns the newest lines that the service wrote, or those from position `since` on."
        }
        _ => row.summary.text(),
    }
}

/// Every failure, or one of each kind.
const FAILURES: &[Failure<'_>] = &[
    Failure::MissingParameters { names: "" },
    Failure::MissingSession,
    Failure::UnknownSession { given: "" },
    Failure::LoginRefused { has_device: false, until_s: 0 },
    Failure::Blocked { until_s: 0 },
    Failure::NotAllowed,
    Failure::UnknownFunction,
    Failure::UnknownService,
    Failure::UnknownUser,
    Failure::NotPost,
    Failure::Failed { function: "NAME", result: 22 },
    Failure::Failed { function: "NAME", result: 2 },
    Failure::Failed { function: "NAME", result: 16 },
    Failure::Failed { function: "NAME", result: 0 },
    Failure::Failed { function: "NAME", result: 122 },
    Failure::Unchanged { function: "", reason: "" },
    Failure::NotStored { function: "", result: 28 },
    Failure::Blocked { until_s: 1 },
    Failure::Internal,
    Failure::TableFull,
];

#[test]
fn every_resource_is_that_of_its_call() {
    for row in CALLS {
        let Some((_, path)) = resource(row) else { continue };
        let call = format!("system.library/{}", row.path.join("/"));
        assert_eq!(*rest::call_path(&path).unwrap(), call);
    }
}

#[test]
fn page_shows_every_resource() {
    let mut text = "| request | parameters | right | summary |\n|---|---|---|---|\n".to_owned();
    for row in CALLS {
        let Some((methods, path)) = resource(row) else { continue };
        let parameters: Vec<String> = row.resource_parameters().map(|name| format!("`{name}`")).collect();
        let (methods, right) = (methods.join(", "), row.handler.right());
        text += &format!(
            "| `{methods} /api/v1/{path}` | {} | {right} | {} |\n",
            parameters.join(", "),
            summary(row)
        );
    }
    text += &format!("| `GET /api/v1/{}` |  | a session | {} |\n", rest::EVENTS, events::SUMMARY);
    generated::check("docs/rest.md", "resources", &text);
}

#[test]
fn page_shows_every_problem() {
    let mut text = "| status | `code` | `detail` |\n|---|---|---|\n".to_owned();
    for failure in FAILURES {
        let detail = match failure {
            Failure::MissingParameters { .. } => "the names of the missing parameters".to_owned(),
            Failure::Failed { .. } => "name of the call, and the error of the system".to_owned(),
            Failure::Unchanged { .. } => {
                "why everything stays as it was: errors of the configuration file, a new password that is too short, no open window for pairing, ..".to_owned()
            }
            failure => rest::detail(*failure).to_string(),
        };
        text += &format!("| {} | `{}` | {detail} |\n", rest::status(*failure), rest::code(*failure));
    }
    text += "| 409 | `not-started` | why the program does not run |\n";
    generated::check("docs/rest.md", "problems", &text);
}
