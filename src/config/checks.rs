//! Checks of values that the schema refers to.

use crate::dhcp::HOST_NAME_BYTES;

/// Default host name.
pub(super) const HOST_NAME: &str = "friendlet";

const _: () = assert!(HOST_NAME.len() <= HOST_NAME_BYTES);

/// Returns whether this is an origin as browsers send it (RFC 6454, 6.2): scheme, host, port, nothing else.
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
        && !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_:[]".contains(&b))
}

/// Returns whether this is the URL of a server for browsers, with a path of unreserved characters, or is empty.
pub(super) fn is_public_url_or_empty(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.is_empty();
    };
    let host = rest.find('/').unwrap_or(rest.len());
    let (origin, path) = text.split_at(scheme.len() + 3 + host);
    matches!(scheme, "http" | "https")
        && is_origin(origin)
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b))
        && !path.contains("//")
}

/// Returns whether this can be the name of a group: an entry of a file with `:` and `,` between its fields.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains([':', ',', '\n', '\0'])
}

/// Returns whether this can be the name of a device, or of several, relative to `/dev`.
pub fn is_device_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('/') && !text.split('/').any(|part| part.is_empty() || part == "..")
}

/// Returns whether this can be a path.
pub(super) fn is_path(text: &str) -> bool {
    !text.is_empty() && is_path_or_empty(text)
}

/// Returns whether this can be a path, or is empty.
pub(super) fn is_path_or_empty(text: &str) -> bool {
    !text.contains('\0')
}

/// Returns whether this can be an absolute path.
pub(super) fn is_absolute_path(text: &str) -> bool {
    text.starts_with('/') && is_path(text)
}

/// Returns whether this can be an absolute path, or is empty.
pub(super) fn is_absolute_path_or_empty(text: &str) -> bool {
    text.is_empty() || is_absolute_path(text)
}

/// Word for no local socket.
pub(super) const OFF: &str = "off";

/// Returns whether this can be an absolute path, or is `off`.
pub(super) fn is_absolute_path_or_off(text: &str) -> bool {
    text == OFF || is_absolute_path(text)
}

/// Returns whether this can be the name of an interface other than the loopback.
pub(super) fn is_interface_name(text: &str) -> bool {
    !matches!(text, "" | "." | ".." | "lo")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:".contains(&byte))
}

/// Returns whether this is a host name (RFC 1123, 2.1). The limit of its row is that of one label as well.
pub(super) fn is_host_name(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// Accepts visible ASCII characters (RFC 5424, 6: PRINTUSASCII), or nothing.
pub(super) fn is_log_name_or_empty(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns whether this can be the user of a service: a name, a number, or two numbers with a colon; or is
/// empty, for the server's own.
pub(super) fn is_service_user(text: &str) -> bool {
    // The largest one means "no change" to setuid(2).
    let is_id = |text: &str| text.parse::<u32>().is_ok_and(|id| id != u32::MAX && !text.starts_with('+'));
    match text.split_once(':') {
        Some((user, group)) => is_id(user) && is_id(group),
        None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => is_id(text),
        None => !text.contains(|char: char| char.is_whitespace() || char.is_control()),
    }
}
