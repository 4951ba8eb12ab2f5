//! The whole server in a made-up fixture: no socket, no process, and a clock that is set by hand.

mod board;
mod calls;
mod capacity;
mod configuration;
mod ends;
mod fixture;
mod flood;
mod hours;
mod http;
mod limits;
mod local;
mod operations;
mod pages;
mod pairing;
mod passwords;
mod pushes;
mod refusals;
mod reload;
mod rights;
mod service_log;
mod sessions;
mod simulation;
mod stream;

use crate as friendlet;
