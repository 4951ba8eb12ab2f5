//! Sockets, TLS and timers.
