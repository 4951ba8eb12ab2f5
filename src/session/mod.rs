//! Users, sessions and lock-out.
