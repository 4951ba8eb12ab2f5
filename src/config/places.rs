//! Places of keys, for findings about a configuration that was parsed.

use toml::Spanned;
use toml::de::DeTable;

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::merge::{merge, name};
use super::schema::SERVICE;
use super::{References, Source};

/// Files of a configuration, and the places of their keys.
#[derive(Debug)]
pub struct Places<'t> {
    diagnostics: Diagnostics<'t>,
    values: DeTable<'t>,
}

impl<'t> Places<'t> {
    /// Parses the files.
    pub fn new(files: &[Source<'t>]) -> Self {
        let mut diagnostics = Diagnostics::new(files, References::Known);
        let values = merge(files, References::Known, &mut diagnostics).values;
        Self { diagnostics, values }
    }

    /// Warning about the key of a service, or about its table where it does not set the key. That of the built-in service
    /// has no place.
    pub fn warning(&self, service: &str, key: &str, message: String, hint: String) -> Diagnostic {
        let services = self.values.get(SERVICE.name).and_then(|value| value.get_ref().as_array());
        let mut services = services.into_iter().flat_map(|services| services.iter());
        let entry = services.find(|entry| name(entry) == Some(service));
        let at = entry.map(|entry| entry.get_ref().get(key).map_or_else(|| entry.span(), Spanned::span));
        self.diagnostics.finding_at(at, Severity::Warning, message, hint)
    }
}
