//! Tests of the real binary from outside: by clients, files and signals.
//!
//! `FRIENDLET_BINARY` names another binary than the one just built, and `FRIENDLET_RUNNER` a program
//! that runs it.

mod admission;
mod allocations;
mod attributes;
mod bad_input;
mod blocked;
mod board;
mod booted;
mod built_in;
mod cgroups;
mod check;
mod commands;
mod conditions;
mod configuration;
mod crash;
mod ctl;
mod damage;
mod deadlines;
mod deaths;
mod declared;
mod drop_ins;
mod endurance;
mod fall_back;
mod floods;
mod handshakes;
mod health;
mod http;
mod idle_cpu;
mod life;
mod local_socket;
mod login;
mod logs;
mod memory;
mod network;
mod notify;
mod operations;
mod ordering;
mod output_files;
mod passwords;
mod proxies;
mod reader;
mod reference_exchange;
mod reload;
mod service_life;
mod service_log;
mod services;
mod slots;
mod spinning;
mod stack;
mod stopping;
mod supervision;
mod tls;
mod upgrade;
