//! The service table and its supervisor.
