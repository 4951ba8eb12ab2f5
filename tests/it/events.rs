//! The pushes of the server, and their description for tools (AsyncAPI 3).

use serde_json::{Map, Value, json};

use crate::openapi::{check_type, schema, schemas_of_pushes};
use crate::support::generated;

/// Summary of the stream of events.
pub(crate) const SUMMARY: &str =
    "Sends the state of each service and check, then every change, as server-sent events.";

/// Events of the stream, and the type of their data.
pub(crate) const EVENTS: [(&str, &str); 4] = [
    ("service-change", "ServiceChange"),
    ("service-events", "ServiceEvents"),
    ("check-change", "CheckChange"),
    ("server-notice", "string"),
];

/// Push that only a socket has, because it asks for it.
const FOLLOWED: (&str, &str) = ("service-log", "ServiceLog");

/// Message of a channel with this payload.
fn message(name: &str, payload: &Value) -> Value {
    json!({ "name": name, "contentType": "application/json", "payload": payload })
}

/// Channel with its messages.
fn channel(address: &str, summary: &str, messages: Map<String, Value>) -> Value {
    json!({ "address": address, "summary": summary, "messages": messages })
}

fn description() -> Value {
    let stream = EVENTS.iter().map(|(name, r#type)| ((*name).to_owned(), message(name, &schema(r#type))));
    let socket = EVENTS.iter().chain([&FOLLOWED]).map(|(name, r#type)| {
        let (data, word) = (schema(r#type), |text: &str| json!({ "const": text }));
        let inner = json!({ "type": "object", "required": ["type", "data"], "properties": { "type": word(name), "data": data } });
        let outer = json!({ "type": "object", "required": ["type", "data"], "properties": { "type": word("msg"), "data": inner } });
        ((*name).to_owned(), message(name, &outer))
    });
    let sends = |channel: &str, text: &str| json!({ "action": "send", "description": text, "channel": { "$ref": format!("#/channels/{channel}") } });
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "friendlet",
            "version": "1",
            "description": "What a device sends without being asked. The data of an event are those of the push of its name.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
            "tags": [{ "name": "events" }],
        },
        "servers": {
            "events": { "host": "127.0.0.1:6500", "protocol": "https" },
            "socket": { "host": "127.0.0.1:6500", "protocol": "wss" },
        },
        "channels": {
            "events": channel("/api/v1/events", SUMMARY, stream.collect()),
            "socket": channel("/fcws", "A WebSocket that is bound to a session (docs/protocol.md).", socket.collect()),
        },
        "operations": { "sendEvents": sends("events", "Events of a stream."), "sendPushes": sends("socket", "Pushes on a socket.") },
        "components": { "schemas": schemas_of_pushes() },
    })
}

#[test]
fn description_has_every_push() {
    let text = serde_json::to_string_pretty(&description()).unwrap();
    generated::check_file("docs/asyncapi.json", &(text + "\n"));
    // Those of the source, without the two answers to calls.
    let source = include_str!("../../src/friendcore/reply.rs").split("#[cfg(test)]").next().unwrap();
    let begun = source.split(r#"{"type":"msg","data":{"type":""#).skip(1);
    let mut names: Vec<&str> = begun.map(|rest| rest.split('"').next().unwrap()).collect();
    names.retain(|name| !["response", "error"].contains(name));
    let mut known: Vec<&str> = EVENTS.iter().chain([&FOLLOWED]).map(|(name, _)| *name).collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
}

#[test]
fn events_of_the_page_have_their_types() {
    let page = include_str!("../../docs/rest.md");
    let events: Vec<(&str, &str)> = page
        .split("event: ")
        .skip(1)
        .map(|event| {
            let (name, rest) = event.split_once("\ndata: ").unwrap();
            (name, rest.lines().next().unwrap())
        })
        .collect();
    assert_eq!(events.iter().map(|(name, _)| *name).collect::<Vec<_>>(), EVENTS.map(|(name, _)| name));
    for ((name, data), (_, r#type)) in events.iter().zip(EVENTS) {
        check_type(r#type, &serde_json::from_str(data).unwrap(), name);
    }
}
