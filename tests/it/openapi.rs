//! The description of the API under `/api/v1` for tools (OpenAPI 3.1) and for TypeScript, made from the table of calls and
//! from the types below. [`check_answer`] holds an answer of a server against them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use friendlet::api::calls::{Effect, Handler, NAME};
use friendlet::api::{CALLS, Row};
use serde_json::{Map, Value, json};

use crate::events;
use crate::rest::{resource, summary};
use crate::support::generated;

/// Types of answers: their members, each as `name: type`, or `name?: type` if it may be missing. A type is a word of
/// TypeScript, the name of another one, or one of these in brackets: an array of it.
#[rustfmt::skip]
const TYPES: &[(&str, &str)] = &[
    ("Empty", ""),
    ("Problem", "title: string, status: integer, detail: string, code?: string, until?: integer, output?: [string]"),
    ("Login", "session: string, user: string, level: string, fullName: string"),
    ("Sessions", "pairing?: string, pairingKey?: string, sessions: [Session]"),
    ("Session", "session: string, user: string, device: string, from?: string, since?: integer, idle?: integer, \
        bound?: boolean, paired?: boolean, own: boolean"),
    ("Services", "services: [Service], next?: string"),
    ("Service", "state: string, pid: integer, since: integer, restarts: integer, lastExit: string, \
        next?: integer | null, description?: string, reason: string, ready?: boolean, late?: integer, startedOnce: boolean, \
        name: string, command: [string], cut?: boolean, env: [string], cwd: string, user: string, \
        autostart: boolean, required?: boolean, restart: string, startLimit: integer, onFailure?: string, \
        onSuccess?: string, successCodes: [integer], after: [string], stopSignal: string, stopTimeout: integer, \
        maxRuntime?: integer, commands: [Command], programs?: [Program], keys?: object, enabled: boolean, \
        cpu?: number, memory?: integer, waitsFor?: [string], history: [End], checks?: [Check], events?: [ServiceEvent]"),
    ("Status", "state: string, pid: integer, since: integer, restarts: integer, lastExit: string, \
        next?: integer | null, description?: string, reason: string, enabled: boolean, restart: string, \
        startedOnce: boolean, ends: integer, ready?: boolean, late?: integer, text?: string, overridden?: boolean, events?: [ServiceEvent]"),
    ("ServiceEvent", "key: string, value: string, ago: integer, changes: integer, expires?: integer"),
    ("Command", "name: string, signal?: string, scope?: string, program?: [string], cut?: boolean"),
    ("Program", "name: string, program: [string], cut?: boolean"),
    ("End", "ago: integer, ran: number, exit: string, reason: string"),
    ("Check", "name: string, level: string, state: string, failures: integer, error?: string"),
    ("Output", "from: integer, next: integer, lost: integer, lines: [string]"),
    ("Result", "exit?: string, output?: string, cut?: boolean"),
    ("Page", "html: string"),
    ("Pairing", "user?: string, key?: string, closed?: string"),
    ("Operations", "operations: [Operation]"),
    ("Operation", "operation: string, function: string, service: string, state: string, ago: integer"),
    ("Any", "[key: string]: unknown"),
    ("Board", "board: string, version: string, build: string, slot: string, slotState?: string, \
        slotMissing?: string, deviceFile: string, complaint: string, notice: string, certificate: string, certificateNames: string, certificateSum: string, \
        certificateKey: string, certificateEnd: string, \
        token: string, sandbox: string, logServer?: string, uptime: integer, connections: integer, slots: integer, sessions: integer, sessionSlots: integer, \
        memory: integer, memoryAvailable: integer, memoryTotal: integer, checks?: [Check]"),
    ("Records", "board: string, build: string, form: string, level: string, file?: integer, wall: integer, \
        mono: integer, from: integer, next: integer, records: string"),
    ("Changes", "dryRun?: boolean, added?: [string], changed?: [string], removed?: [string], \
        needsRestart?: [string], change?: integer, seconds?: integer, address?: string, needsLogin?: boolean"),
    ("Configuration", "deviceFile: string, size: integer, from: integer, next: integer, limit: integer, base: string, \
        trial?: Trial, text: string"),
    ("Trial", "by: string, change: integer, seconds: integer, address?: string, needsLogin?: boolean"),
];

/// Types of the data of pushes.
#[rustfmt::skip]
const PUSHED: &[(&str, &str)] = &[
    ("ServiceChange", "service: string, state: string, pid: integer, reason?: string, output?: [string]"),
    ("ServiceEvents", "service: string, events: [EventValue]"),
    ("EventValue", "key: string, value: string"),
    ("CheckChange", "check: string, service?: string, state: string, error?: string"),
    ("ServiceLog", "service: string, from: integer, next: integer, lost: integer, lines: [string]"),
];

/// Types of the answers to the calls that have any content.
#[rustfmt::skip]
const ANSWERS: &[(&str, &str)] = &[
    ("login", "Login"),
    ("user/pair", "Pairing"),
    ("board/pair", "Pairing"),
    ("sessions/list", "Sessions"),
    ("services/list", "Services"),
    ("services/NAME/show", "Service"),
    ("services/NAME/status", "Status"),
    ("services/NAME/log", "Output"),
    ("services/NAME/command", "Result"),
    ("services/NAME/getwebgui", "Page"),
    ("operations/list", "Operations"),
    ("operations/wait", "Any"),
    ("board/status", "Board"),
    ("board/log", "Records"),
    ("board/reload", "Changes"),
    ("board/configuration", "Any"),
];

/// Parameters that a call needs.
#[rustfmt::skip]
const NEEDED: &[(&str, &[&str])] = &[
    ("login", &["username", "password"]),
    ("user/updatepassword", &["password"]),
    ("services/NAME/command", &["cmd"]),
    ("operations/wait", &["operation"]),
    ("operations/cancel", &["operation"]),
    ("board/pair", &["username"]),
    ("board/factory-reset", &["confirm"]),
];

struct Member {
    name: &'static str,
    is_optional: bool,
    r#type: &'static str,
}

/// Members of a type of [`TYPES`].
fn members(name: &str) -> Vec<Member> {
    let mut types = TYPES.iter().chain(PUSHED);
    let (_, text) = types.find(|(known, _)| *known == name).unwrap_or_else(|| panic!("type {name}"));
    let pairs = text.split(", ").filter_map(|member| member.split_once(": "));
    pairs
        .map(|(name, r#type)| match name.strip_suffix('?') {
            Some(name) => Member { name, is_optional: true, r#type },
            None => Member { name, is_optional: false, r#type },
        })
        .collect()
}

/// Name of the type of the answer to a call.
fn answer_of(row: &Row) -> &'static str {
    let path = row.path.join("/");
    ANSWERS.iter().find(|(call, _)| *call == path).map_or("Empty", |(_, name)| name)
}

/// Schema of a type (JSON Schema 2020-12).
pub(crate) fn schema(r#type: &str) -> Value {
    if let Some(item) = r#type.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return json!({ "type": "array", "items": schema(item) });
    }
    match r#type {
        "string" | "integer" | "number" | "boolean" | "object" => json!({ "type": r#type }),
        "integer | null" => json!({ "type": ["integer", "null"] }),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// Schemas of the data of pushes.
pub(crate) fn schemas_of_pushes() -> Value {
    schemas(PUSHED)
}

fn schemas(types: &[(&str, &str)]) -> Value {
    let types = types.iter().map(|(name, _)| {
        if *name == "Any" {
            return ((*name).to_owned(), json!({ "type": "object" }));
        }
        let properties: Map<String, Value> =
            members(name).iter().map(|member| (member.name.to_owned(), schema(member.r#type))).collect();
        let required: Vec<&str> =
            members(name).iter().filter(|member| !member.is_optional).map(|member| member.name).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        ((*name).to_owned(), schema)
    });
    Value::Object(types.collect())
}

fn content(media_type: &str, name: &str) -> Value {
    json!({ media_type: { "schema": { "$ref": format!("#/components/schemas/{name}") } } })
}

/// Description of a request.
fn operation(row: &Row, method: &str, path: &str) -> Value {
    let names: Vec<&str> = path.split('/').filter(|part| *part != NAME).collect();
    let mut operation = json!({
        "operationId": format!("{}-{}", method.to_lowercase(), names.join("-")) + if path.ends_with(NAME) { "-show" } else { "" },
        "description": summary(row),
        "tags": [row.path[0]],
        "responses": {
            "200": { "description": "done", "content": content("application/json", answer_of(row)) },
            "default": { "description": "a problem", "content": content("application/problem+json", "Problem") },
        },
    });
    let call = row.path.join("/");
    let needed = NEEDED.iter().find(|(known, _)| *known == call).map_or(&[][..], |(_, names)| names);
    let text = json!({ "type": "string", "minLength": 1 });
    let mut list = Vec::new();
    if path.split('/').any(|part| part == NAME) {
        list.push(json!({ "name": NAME, "in": "path", "required": true, "schema": text }));
    }
    if method == "GET" {
        let reads = |name: &&str| !matches!(row.effect, Effect::ChangesWith(own) if own == *name);
        let query = |name: &str| json!({ "name": name, "in": "query", "required": needed.contains(&name), "schema": text });
        list.extend(row.resource_parameters().filter(reads).map(query));
    } else if !row.parameters.is_empty() {
        let value = json!({ "type": ["string", "number", "boolean"], "minLength": 1 });
        let properties: Map<String, Value> =
            row.parameters.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": needed, "additionalProperties": false });
        operation["requestBody"] = json!({ "required": !needed.is_empty(), "content": { "application/json": { "schema": schema } } });
    }
    if method == "POST" && row.parameters.is_empty() {
        let schema = json!({ "type": "object", "additionalProperties": false });
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    if !list.is_empty() {
        operation["parameters"] = list.into();
    }
    if matches!(row.handler, Handler::Public(_)) {
        operation["security"] = json!([]);
    }
    operation
}

fn description() -> Value {
    let mut paths = Map::new();
    for row in CALLS {
        let Some((methods, path)) = resource(row) else { continue };
        let item = paths
            .entry(format!("/{}", path.replace(NAME, &format!("{{{NAME}}}"))))
            .or_insert_with(|| json!({}));
        for method in methods {
            item[method.to_lowercase()] = operation(row, method, &path);
        }
    }
    // No schema of OpenAPI 3.1 has the events of a stream: docs/asyncapi.json has.
    paths.insert(
        format!("/{}", friendlet::rest::EVENTS),
        json!({ "get": {
            "operationId": "get-events",
            "description": events::SUMMARY,
            "tags": ["events"],
            "responses": {
                "200": { "description": "events", "content": { "text/event-stream": { "schema": { "type": "string" } } } },
                "default": { "description": "a problem", "content": content("application/problem+json", "Problem") },
            },
        } }),
    );
    let mut schemas = schemas(TYPES);
    // Answers of calls that are not a resource are types of TypeScript alone.
    // A type that only an unused one names is not used, either.
    loop {
        let count = schemas.as_object().unwrap().len();
        let text = json!(paths).to_string() + &schemas.to_string();
        let is_used = |name: &str| text.contains(&format!("\"#/components/schemas/{name}\""));
        schemas.as_object_mut().unwrap().retain(|name, _| is_used(name));
        if schemas.as_object().unwrap().len() == count {
            break;
        }
    }
    let tags: BTreeSet<&str> = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["tags"][0].as_str().unwrap())
        .collect();
    let tags: Vec<Value> = tags.iter().map(|name| json!({ "name": name })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "friendlet",
            "version": "1",
            "description": "Service control for small Linux boards",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "." }],
        "security": [{ "bearer": [] }, { "cookie": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": friendlet::rest::COOKIE },
            },
        },
    })
}

/// Type in TypeScript.
fn typescript(r#type: &str) -> String {
    match r#type.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(item) => format!("{}[]", typescript(item)),
        None => r#type.replace("integer", "number").replace("object", "Record<string, unknown>"),
    }
}

#[test]
fn description_is_made_from_the_table_of_calls() {
    // One line a path keeps it readable, and small.
    let text = description()
        .to_string()
        .replace("},\"/", "},\n\"/")
        .replace("},\"components\"", "},\n\"components\"");
    generated::check_file("src/http/openapi.json", &(text + "\n"));
}

#[test]
fn types_of_typescript_are_made_from_the_same() {
    let mut text =
        "// Answers of the API under /api/v1, and the call of each. Made from the table of calls.\n"
            .to_owned();
    for (name, _) in TYPES.iter().chain(PUSHED) {
        writeln!(text, "\nexport interface {name} {{").unwrap();
        if *name == "Any" {
            text += "  [key: string]: unknown;\n";
        }
        for Member { name, is_optional, r#type } in members(name) {
            let mark = if is_optional { "?" } else { "" };
            if !name.starts_with('[') {
                writeln!(text, "  {name}{mark}: {};", typescript(r#type)).unwrap();
            }
        }
        text += "}\n";
    }
    text += "\n/** Answer to each request. */\nexport interface Answers {\n";
    for row in CALLS {
        let Some((methods, path)) = resource(row) else { continue };
        for method in methods {
            writeln!(text, "  \"{method} /api/v1/{path}\": {};", answer_of(row)).unwrap();
        }
    }
    text += "}\n\n/** Data of each event of `GET /api/v1/events`. */\nexport interface Events {\n";
    for (name, r#type) in events::EVENTS {
        writeln!(text, "  \"{name}\": {};", typescript(r#type)).unwrap();
    }
    text += "}\n";
    generated::check_file("docs/friendlet.d.ts", &text);
}

#[test]
fn every_answer_is_that_of_a_call() {
    for (call, names) in NEEDED {
        let row = CALLS.iter().find(|row| row.path.join("/") == *call).unwrap_or_else(|| panic!("{call}"));
        assert!(names.iter().all(|name| row.parameters.contains(name)), "{call}");
    }
    for (call, name) in ANSWERS {
        assert!(CALLS.iter().any(|row| row.path.join("/") == *call), "{call}");
        members(name);
    }
}

/// Asserts that an answer to a call has the members of its type and no others.
#[track_caller]
pub(crate) fn check_answer(call: &str, answer: &Value) {
    let name = ANSWERS.iter().find(|(known, _)| *known == call).map_or("Empty", |(_, name)| name);
    check_type(name, answer, call);
}

/// Asserts that an answer is a problem.
#[track_caller]
pub(crate) fn check_problem(answer: &Value) {
    check_type("Problem", answer, "a problem");
}

#[track_caller]
pub(crate) fn check_type(r#type: &str, value: &Value, place: &str) {
    if let Some(item) = r#type.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let values = value.as_array().unwrap_or_else(|| panic!("{place}: no array: {value}"));
        values.iter().for_each(|value| check_type(item, value, place));
        return;
    }
    let is_right = match r#type {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "integer | null" => value.is_u64() || value.is_null(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" | "Any" => value.is_object(),
        name => {
            let object = value.as_object().unwrap_or_else(|| panic!("{place}: no object: {value}"));
            let members = members(name);
            for key in object.keys() {
                assert!(
                    members.iter().any(|member| member.name == key),
                    "{place}: {name} lacks {key}: {value}"
                );
            }
            for Member { name: member, is_optional, r#type } in members {
                match object.get(member) {
                    Some(value) => check_type(r#type, value, &format!("{place}: {member}")),
                    None => assert!(is_optional, "{place}: {member} is missing: {value}"),
                }
            }
            true
        }
    };
    assert!(is_right, "{place}: not {}: {value}", r#type);
}
