//! Integration tests: one binary, one module a subject.

#![allow(clippy::disallowed_methods, reason = "the rules of clippy.toml are the server's")]

mod calls;
mod circles;
mod configuration;
mod documents;
mod events;
mod layers;
mod limits;
mod openapi;
mod rest;
mod skips;
mod support;
#[path = "../system/mod.rs"]
mod system;
mod vectors;
mod words;
