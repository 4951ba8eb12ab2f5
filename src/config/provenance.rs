//! The file of each service, check and device rule.

use super::diagnostics::Diagnostics;
use super::merge::{Merged, merge};
use super::schema::{CHECK, DEVICE, SERVICE};
use super::value::Span;
use super::{References, Source};

/// Lines such as `service web: friendlet.d/20-web.toml, overrides friendlet.toml`, for each service, check and device
/// rule of these files.
pub fn provenance(files: &[Source<'_>]) -> Vec<String> {
    let mut diagnostics = Diagnostics::new(files, References::Known);
    let merged = merge(files, References::Known, &mut diagnostics);
    let mut lines = Vec::new();
    for (table, key) in [(&SERVICE, "name"), (&CHECK, "name"), (&DEVICE, "match")] {
        let entries = merged.values.get(table.name).and_then(|entries| entries.get_ref().as_array());
        for entry in entries.into_iter().flat_map(|entries| entries.iter()) {
            let name = entry.get_ref().get(key).and_then(|name| name.get_ref().as_str());
            let (name, file) = (name.unwrap_or_default(), diagnostics.file_name(&entry.span()));
            let overridden = overridden(&merged, &entry.span(), &diagnostics);
            lines.push(format!("{} {name}: {file}{overridden}", table.name));
        }
        for masked in merged.masked.iter().filter(|masked| masked.table.name == table.name) {
            let file = diagnostics.file_name(&masked.span);
            let overridden = overridden(&merged, &masked.span, &diagnostics);
            lines.push(format!("{} {}: masked by {file}{overridden}", table.name, masked.name));
        }
    }
    lines
}

/// `, overrides FILE` for each table that the one at this place overrides, the last one first.
fn overridden(merged: &Merged<'_>, place: &Span, diagnostics: &Diagnostics<'_>) -> String {
    let by = merged.overridden.iter().rev().filter(|(_, by)| by == place);
    by.map(|(from, _)| {
        format!(", overrides {}{}", diagnostics.file_name(from), overridden(merged, from, diagnostics))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_its_file_and_those_that_it_overrides() {
        let files = [
            Source::new(
                "f.toml",
                "[[service]]\nname = 'a'\n[[service]]\nname = 'own'\n[[device]]\nmatch = 'tty*'\n",
            ),
            Source::new("f.d/1", "[[service]]\nname = 'a'\n[[service]]\nname = 'b'\n[[check]]\nname = 'c'\n"),
            Source::new(
                "f.d/2",
                "[[service]]\nname = 'a'\n[[service]]\nname = 'b'\nenabled = false\n[[device]]\nmatch = 'tty0'\n",
            ),
        ];
        assert_eq!(
            provenance(&files),
            [
                "service a: f.d/2, overrides f.d/1, overrides f.toml",
                "service own: f.toml",
                "service b: masked by f.d/2, overrides f.d/1",
                "check c: f.d/1",
                "device tty0: f.d/2",
                "device tty*: f.toml",
            ]
        );
    }
}
