//! Keys of `[[service]]` about the attributes of its processes.

use super::diagnostics::Diagnostics;
use super::section::Section;
use super::value::{hint, report_unknown, type_of};
use crate::service::{
    Attributes, CAPABILITY_NAMES, CONTROLS, Capabilities, DirectoryKind, IoClass, Resource,
    permissions_from_text,
};

/// Parses the attributes of a service.
pub(super) fn read(section: &Section<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Attributes {
    let groups = section.strings("groups", diagnostics);
    Attributes {
        nice: section.signed("nice", diagnostics),
        umask: section.parsed("umask", permissions_from_text, diagnostics),
        oom_score: section.signed("oom_score", diagnostics),
        io_class: section.parsed_if_set("io_class", IoClass::from_name, diagnostics).map(|(class, _)| class),
        limits: resource_limits(section, diagnostics),
        controls: CONTROLS.each_ref().map(|control| section.integer(control.key, diagnostics)),
        groups: section.list("groups", &groups, |name| name.try_into().ok(), diagnostics),
        capabilities: capabilities(section, diagnostics),
        no_new_privs: section.boolean("no_new_privs", diagnostics),
        private_tmp: section.boolean("private_tmp", diagnostics),
        read_only: section.boolean("read_only", diagnostics),
        env_file: section.bounded("env_file", diagnostics),
        directories: DirectoryKind::ALL.map(|kind| section.bounded_if_set(kind.key(), diagnostics)),
    }
}

/// `capabilities = ["net_bind_service"]`; `None` if it is not set.
fn capabilities(section: &Section<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Option<Capabilities> {
    section.value("capabilities", diagnostics).1?;
    let mut set = Capabilities::default();
    for (count, (name, span)) in section.strings("capabilities", diagnostics).into_iter().enumerate() {
        match Capabilities::from_name(name) {
            Some(capability) => set = set.union(capability),
            None => {
                let hint = hint(name, CAPABILITY_NAMES.into_iter());
                let message = format_args!("capabilities: unknown name '{name}'");
                diagnostics.error_with_hint(&span, message, &hint);
            }
        }
        if count == CAPABILITY_NAMES.len() {
            section.report_full("capabilities", &span, diagnostics);
        }
    }
    Some(set)
}

/// `limits = { nofile = 1024 }`.
fn resource_limits(
    section: &Section<'_, '_>,
    diagnostics: &mut Diagnostics<'_>,
) -> [Option<u64>; Resource::ALL.len()] {
    let mut limits = [None; Resource::ALL.len()];
    let Some(table) = section.entries("limits", "{ NAME = NUMBER }", diagnostics) else {
        return limits;
    };
    for (name, value) in table {
        let (text, span) = (name.get_ref().as_ref(), name.span());
        let Some(limit) = Resource::index_of(text).and_then(|index| limits.get_mut(index)) else {
            let mut names = Resource::ALL.into_iter().map(Resource::name);
            report_unknown(text, " in limits", &span, &mut names, diagnostics);
            continue;
        };
        *limit = value
            .get_ref()
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        if limit.is_none() {
            let found =
                value.get_ref().as_integer().map_or(type_of(value.get_ref()), |number| number.as_str());
            let message = format_args!("{text}: expected a whole number from 0, found {found}");
            diagnostics.error(&value.span(), message);
        }
    }
    limits
}
