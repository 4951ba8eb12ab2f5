//! The server, joined from its parts.
