//! Friend Core messages.
