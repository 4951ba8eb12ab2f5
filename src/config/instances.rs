//! Instances: a `[[service]]` with `instances` stands for a service for each of them.

use std::borrow::Cow;
use std::mem;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use crate::service::INSTANCES;

/// Text that stands for the name of the instance.
const PLACEHOLDER: &str = "%i";

/// Replaces each `[[service]]` with `instances` by the services `NAME@INSTANCE`, with the instance in place of
/// each `%i` of their texts. Values that are not what the schema wants stay, and are reported when they are
/// read.
pub(super) fn expand(services: &mut DeArray<'_>) {
    for service in mem::replace(services, DeArray::new()) {
        match instances(&service) {
            Some(names) => names.iter().for_each(|name| {
                let mut service = service.clone();
                set_name(&mut service, name);
                fill_in(service.get_mut(), name);
                services.push(service);
            }),
            None => services.push(service),
        }
    }
}

/// Names of the instances; `None` for a service without them, or with wrong ones.
fn instances(service: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let names = service.get_ref().as_table()?.get("instances")?.get_ref().as_array()?;
    let names: Option<Vec<_>> = names.iter().map(|name| name.get_ref().as_str().map(str::to_owned)).collect();
    names.filter(|names| (1..=INSTANCES).contains(&names.len()))
}

fn set_name(service: &mut Spanned<DeValue<'_>>, instance: &str) {
    if let DeValue::Table(keys) = service.get_mut()
        && let Some(DeValue::String(name)) = keys.get_mut("name").map(Spanned::get_mut)
    {
        *name = Cow::Owned(format!("{name}@{instance}"));
    }
}

/// Replaces the placeholder in every text of a value.
fn fill_in(value: &mut DeValue<'_>, instance: &str) {
    match value {
        DeValue::String(text) if text.contains(PLACEHOLDER) => {
            *text = Cow::Owned(text.replace(PLACEHOLDER, instance));
        }
        DeValue::Array(entries) => entries.iter_mut().for_each(|entry| fill_in(entry.get_mut(), instance)),
        DeValue::Table(keys) => keys.iter_mut().for_each(|(_, value)| fill_in(value.get_mut(), instance)),
        _ => {}
    }
}
