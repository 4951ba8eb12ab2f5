//! Pages that may call and connect, by `Origin` (RFC 6454) and `Sec-Fetch-Site` (W3C, Fetch Metadata).
//!
//! A browser sends the requests of any page that its user visits, from within the user's network. It names the page's
//! origin in `Origin`, and where it leaves that out, as for an image, `Sec-Fetch-Site` says that the page is another's.
//! A program sends neither, and is accepted.

use core::net::IpAddr;

use super::head::{split_host, without_empty_line};
use super::{Head, Rejection};

#[cfg(test)]
mod tests;

const FOREIGN: Rejection = Rejection::new(
    403,
    "pages of this origin may not connect; add it to `origins` in the configuration file",
);
const NAMED: Rejection = Rejection::new(
    403,
    "over plain text, pages of a host name connect only if `origins` or `public_url` has their origin",
);

/// Checks the page that a request is from, if it is from one. Returns the position of its origin in `origins`, or `None`
/// for a page of the server itself and for a program.
///
/// `tls` selects the scheme of the server's own origin. `origins` are further allowed ones, as `scheme://host` or
/// `scheme://host:port`. A page without an origin (`null`) is refused.
///
/// The server's own origin is that of `Host`. Over plain text its host must be an address or `localhost`: a stranger
/// can make a name lead here (DNS rebinding), and `Origin` and `Host` of a page there are the same. Over TLS the certificate
/// has the name.
///
/// # Errors
///
/// 403 for a page of any other origin.
pub fn check_origin<'a>(
    head: &Head<'_>,
    origins: impl IntoIterator<Item = &'a str>,
    tls: bool,
) -> Result<Option<usize>, Rejection> {
    let Some(origin) = head.origin else {
        return if head.is_cross_origin { Err(FOREIGN) } else { Ok(None) };
    };
    let parsed = split_origin(origin).ok_or(FOREIGN)?;
    let position = position(parsed, origins);
    if position.is_some() {
        return Ok(position);
    }
    let own = head.host.and_then(split_host).map(|(host, port)| {
        let scheme = if tls { "https" } else { "http" };
        (scheme, host, port.or(default_port(scheme)))
    });
    match own {
        Some(own) if !same(own, parsed) => Err(FOREIGN),
        Some((_, host, _)) if tls || is_own_host(host) => Ok(None),
        Some(_) => Err(NAMED),
        None => Err(FOREIGN),
    }
}

/// Returns the position of the origin of a request in `origins`, whatever else is wrong with its head: that of the first
/// `Origin` whose line has ended. The page of an allowed origin may read why its request is refused.
pub fn find_origin<'a>(head: &[u8], origins: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let lines = without_empty_line(head).split_inclusive(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\n").map(<[u8]>::trim_ascii_end).unwrap_or_default());
    let mut fields = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| str::from_utf8(line).ok()?.split_once(':'));
    let (_, origin) = fields.find(|(name, _)| name.eq_ignore_ascii_case("origin"))?;
    position(split_origin(origin.trim_ascii())?, origins)
}

/// Position of an origin in a list.
fn position<'a>(origin: Origin<'_>, origins: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    origins.into_iter().position(|listed| split_origin(listed).is_some_and(|listed| same(listed, origin)))
}

/// An origin as browsers send it: without the port of its scheme.
pub fn without_default_port(origin: &str) -> &str {
    let port = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}

/// Splits a URL such as `https://host/prefix` into its origin and its path without a slash at the end.
pub fn split_url(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    let (origin, path) = url.split_at_checked(path).unwrap_or((url, ""));
    (origin, path.trim_end_matches('/'))
}

/// Host of a URL, a name or an address.
pub fn host_of_url(url: &str) -> Option<&str> {
    split_origin(split_url(url).0).map(|(_, host, _)| host)
}

/// Returns true if only this machine can have given the host to a browser: an address, or a name of the loopback
/// (RFC 6761, 6.3).
fn is_own_host(host: &str) -> bool {
    let name = host.rsplit('.').next().unwrap_or(host);
    name.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

type Origin<'a> = (&'a str, &'a str, Option<u16>);

/// Splits an origin into scheme, host and port (RFC 6454, 6.2); `None` for `null`.
fn split_origin(origin: &str) -> Option<Origin<'_>> {
    let (scheme, rest) = origin.split_once("://")?;
    let (host, port) = split_host(rest)?;
    Some((scheme, host, port.or(default_port(scheme))))
}

fn same(one: Origin<'_>, other: Origin<'_>) -> bool {
    one.0.eq_ignore_ascii_case(other.0) && one.1.eq_ignore_ascii_case(other.1) && one.2 == other.2
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}
