//! RFC 6455 over fixed buffers.
