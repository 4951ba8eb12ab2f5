//! Metrics of the services and of the server as text (OpenMetrics 1.0).

use core::fmt;

use heapless::Vec;

use crate::call::ServiceList;
use crate::json::{Full, Writer};
use crate::limits::{BOARD, SERVICES};
use crate::service::{State, Status, Usage};

/// Path of the metrics, without a prefix: that of every other program that has some.
pub const METRICS: &str = "/metrics";

/// Figure of the server: name, type and value.
pub type ServerFigure = (&'static str, &'static str, u64);

/// A number in thousandths.
struct Thousandths(u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, rest) => write!(f, "{whole}.{rest:03}"),
        }
    }
}

/// Family of metrics: name, type, and the value of a service in thousandths.
type Family = (&'static str, &'static str, fn(&Status, &Usage) -> u64);

const FAMILIES: [Family; 7] = [
    ("service_up", "gauge", |status, _| u64::from(status.is_up()) * 1000),
    ("service_ready", "gauge", |status, _| u64::from(status.is_ready) * 1000),
    ("service_failed", "gauge", |status, _| u64::from(status.state == State::Failed) * 1000),
    ("service_restarts", "counter", |status, _| u64::from(status.restarts) * 1000),
    ("service_state_seconds", "gauge", |status, _| status.since.as_millis() as u64),
    ("service_cpu_seconds", "counter", |_, usage| usage.cpu.as_millis() as u64),
    ("service_memory_bytes", "gauge", |_, usage| usage.memory.saturating_mul(1000)),
];

/// Writes the metrics of the services of a list, and those of the server. `usage` has those of a service with this name and
/// leader.
///
/// # Errors
/// [`Full`] if they do not fit.
pub fn write_metrics(
    out: &mut Writer<'_>,
    list: ServiceList<'_>,
    server: &[ServerFigure],
    usage: &dyn Fn(&str, u32) -> Usage,
) -> Result<(), Full> {
    let services: Vec<_, SERVICES> = list
        .details()
        .take(SERVICES)
        .map(|service| {
            let (name, status) = (&*service.spec.name, service.status);
            (name, status, if status.pid == 0 { Usage::default() } else { usage(name, status.pid) })
        })
        .collect();
    for (family, kind, value) in FAMILIES {
        put_type(out, family, kind)?;
        for (name, status, usage) in &services {
            let total = total(kind);
            let value = Thousandths(value(status, usage));
            out.put_display(format_args!("friendlet_{family}{total}{{service=\"{name}\"}} {value}\n"))?;
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    out.put("# TYPE friendlet_build info\n")?;
    out.put_display(format_args!("friendlet_build_info{{version=\"{version}\",board=\"{BOARD}\"}} 1\n"))?;
    for (family, kind, value) in server {
        put_type(out, family, kind)?;
        out.put_display(format_args!("friendlet_{family}{} {value}\n", total(kind)))?;
    }
    out.put("# EOF\n")
}

fn put_type(out: &mut Writer<'_>, family: &str, kind: &str) -> Result<(), Full> {
    out.put_display(format_args!("# TYPE friendlet_{family} {kind}\n"))
}

/// End of the name of a sample.
fn total(kind: &str) -> &'static str {
    if kind == "counter" { "_total" } else { "" }
}
