//! Merged files.

use proptest::prelude::*;

use crate::config::{Config, ParseError, References, Source, parse_files};
use crate::limits::CONFIG_BYTES;

fn parse(texts: &[&str]) -> Result<Config, ParseError> {
    let names = ["f", "1", "2", "3"];
    let files: Vec<_> = names.iter().zip(texts).map(|(name, text)| Source::new(name, text)).collect();
    parse_files(&files, References::Known, "p")
}

fn config(texts: &[&str]) -> Config {
    parse(texts).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(texts: &[&str]) -> String {
    parse(texts).map(drop).unwrap_err().to_string()
}

fn service(name: &str, keys: &str) -> String {
    format!("[[service]]\nname = '{name}'\ncommand = ['/{name}']\n{keys}\n")
}

fn mask(name: &str) -> String {
    format!("[[service]]\nname = '{name}'\nenabled = false\n")
}

/// Name and user of each service but the built-in one.
fn services(config: &Config) -> Vec<(&str, &str)> {
    let services = config.services.iter().map(|(_, spec)| (spec.name.as_str(), spec.user.as_str()));
    services.filter(|(name, _)| *name != "hello").collect()
}

#[test]
fn drop_in_brings_services_checks_and_devices() {
    let drop_in =
        service("b", "[service.commands]\nreload = 'HUP'") + "[[check]]\nname = 'c'\ntcp = '127.0.0.1:1'\n";
    let config = config(&["[log]\nlevel = 'warn'", &drop_in, "", "[[device]]\nmatch = 'tty*'"]);
    assert_eq!(services(&config), [("b", "")]);
    assert_eq!((config.services.checks().count(), config.devices.len()), (1, 1));
    assert_eq!(config.log_level, crate::log::Level::Warn);
}

#[test]
fn last_of_a_name_wins_in_the_place_of_the_first() {
    let [file, first, last] = [
        service("a", "user = 'f'\nautostart = true") + &service("b", "user = 'f'"),
        service("c", "") + &service("a", "user = 'one'"),
        service("a", "user = 'two'"),
    ];
    let config = config(&[&file, &first, &last]);
    assert_eq!(services(&config), [("a", "two"), ("b", "f"), ("c", "")]);
    let (_, a) = config.services.iter().next().unwrap();
    assert!(!a.autostart, "the whole table is another one");
    let check = |port| format!("[[check]]\nname = 'c'\ntcp = '127.0.0.1:{port}'\n");
    let config = self::config(&[&check(1), &check(2)]);
    assert_eq!(config.services.checks().count(), 1);
    assert!(format!("{:?}", config.services.checks().next()).contains(":2"));
}

#[test]
fn name_twice_in_a_file_stays_an_error() {
    let [one, two] = [service("a", ""), service("a", "") + &service("a", "")];
    assert_eq!(errors(&[&one, &two]), "1:6:8: duplicate service 'a', first in line 2");
    // What is overridden is not looked at.
    assert_eq!(services(&config(&[&two, &one])), [("a", "")]);
}

#[test]
fn rules_of_later_files_come_first() {
    let rule = |name: &str| format!("[[device]]\nmatch = '{name}'\n");
    let config = config(&[&(rule("a") + &rule("b")), &rule("c"), &(rule("d") + &rule("e"))]);
    let patterns: Vec<_> = config.devices.iter().map(|rule| rule.pattern.as_str()).collect();
    assert_eq!(patterns, ["d", "e", "c", "a", "b"]);
}

#[test]
fn masked_service_is_as_if_it_were_not_there() {
    let file = service("a", "")
        + &service("b", "after = ['a']")
        + "[[check]]\nname = 'c'\nservice = 'a'\ntcp = '127.0.0.1:1'\n"
        + "[[user]]\nname = 'u'\nservices = ['a']\n";
    let config = config(&[&file, &mask("a"), &mask("nothing"), &mask("hello")]);
    assert_eq!(services(&config), [("b", "")]);
    assert_eq!((config.services.len(), config.services.checks().count()), (1, 0));
    assert!(config.services.start_order().is_ok());
    // It comes back with a later file.
    assert_eq!(services(&self::config(&[&file, &mask("a"), &service("a", "")])).len(), 2);
    let required = service("b", "requires = ['a']");
    assert_eq!(
        errors(&[&service("a", ""), &required, &mask("a")]),
        "1:4:13: requires: service 'a' is masked in 2, line 1"
    );
    let check = "[[check]]\nname = 'c'\n";
    let config =
        self::config(&[&format!("{check}tcp = '127.0.0.1:1'\n"), &format!("{check}enabled = false\n")]);
    assert_eq!(config.services.checks().count(), 0);
    let wrong = service("a", "enabled = 0") + "[[check]]\nname = 'c'\nunix = '/c'\nenabled = 'no'\n";
    assert!(errors(&["", &wrong]).contains("1:4:11: enabled: expected true or false"));
    assert!(errors(&["", &wrong]).contains("1:8:11: enabled: expected true or false"));
}

#[test]
fn instances_are_overridden_together_and_each() {
    let [both, one, all] = [
        service("w", "instances = ['a', 'b']"),
        service("w@b", "user = 'one'"),
        service("w", "instances = ['c']"),
    ];
    assert_eq!(services(&config(&[&both, &one])), [("w@a", ""), ("w@b", "one")]);
    assert_eq!(services(&config(&[&one, &both])), [("w@b", ""), ("w@a", "")]);
    assert_eq!(services(&config(&[&both, &all])), [("w@c", "")]);
    assert_eq!(services(&config(&[&both, &mask("w@a")])), [("w@b", "")]);
    assert_eq!(services(&config(&[&both, &mask("w")])), []);
}

#[test]
fn other_tables_are_errors_of_the_drop_in() {
    assert_eq!(
        errors(&["", "[log]\nlevel = 'warn'\n[[service]]\nname = 'a'\ncommand = ['a']\nx = 1\n"]),
        "1:1:2: 'log' is for the configuration file; a drop-in has [[service]], [[check]], [[device]]\n\
         1:6:1: unknown key 'x' in [[service]]"
    );
    for (text, error) in [
        ("service = 1", "1:1:11: expected [[service]], found a whole number"),
        (
            "[service.commands]\nx = 'HUP'",
            "1:1:2: expected [[service]], found a single table; there can be several: its brackets are double",
        ),
        ("check = [1]", "1:1:10: expected [[check]], found a whole number"),
    ] {
        assert_eq!(errors(&[&service("a", ""), text]), error);
    }
    // Of its own, whatever the file before it ends with.
    assert_eq!(services(&config(&["[log]", "service = [{ name = 'a', command = ['a'] }]"])), [("a", "")]);
    assert!(errors(&["service = 1", &service("a", "")]).starts_with("f:1:11: expected [[service]]"));
}

#[test]
fn errors_of_all_files_have_their_places() {
    let text = errors(&[
        "[log]\nlevel = 'x'",
        "# ö\n[[service]]\nnam = 1",
        "[[service]\n",
        &service("c", "after = ['d']"),
    ]);
    let places: Vec<_> =
        text.lines().map(|line| line.splitn(4, ':').take(3).collect::<Vec<_>>().join(":")).collect();
    assert_eq!(places[..4], ["f:2:9", "1:2:1", "1:2:1", "1:3:1"], "{text}");
    assert!(places[4..].iter().all(|place| place.starts_with("2:1:")), "{text}");
    // A name in the third may be one of the second.
    assert!(!text.contains("no service"), "{text}");
}

#[test]
fn sum_of_the_files_is_limited() {
    let [file, drop_in] = [service("a", ""), service("b", "")];
    let long = format!("{file}#{}", "x".repeat(CONFIG_BYTES - file.len() - drop_in.len() - "1".len() - 3));
    assert_eq!(services(&config(&[&long, &drop_in])).len(), 2);
    let longer = long + "x";
    assert_eq!(
        errors(&[&longer, &drop_in]),
        format!("1: with this file, the configuration is larger than {CONFIG_BYTES} bytes")
    );
}

fn any_file() -> impl Strategy<Value = Vec<(u8, bool)>> {
    proptest::collection::btree_map(0_u8..6, any::<bool>(), 0..5)
        .prop_map(|names| names.into_iter().collect())
}

proptest! {
    #[test]
    fn last_of_each_name_decides(files in proptest::collection::vec(any_file(), 1..4)) {
        let text = |index: usize, file: &Vec<(u8, bool)>| -> String {
            let table = |(name, is_enabled): &(u8, bool)| {
                service(&format!("s{name}"), &format!("user = 'u{index}'\nenabled = {is_enabled}"))
            };
            file.iter().map(table).collect()
        };
        let texts: Vec<_> = files.iter().enumerate().map(|(index, file)| text(index, file)).collect();
        let config = config(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let mut found: Vec<_> =
            services(&config).into_iter().map(|(name, user)| (name.to_owned(), user.to_owned())).collect();
        found.sort();
        let last = |name: u8| {
            let all = files.iter().enumerate();
            let mut tables = all.flat_map(|(index, file)| file.iter().map(move |table| (index, *table)));
            tables.rfind(|(_, (other, _))| *other == name)
        };
        let expected: Vec<_> = (0..6)
            .filter_map(last)
            .filter(|(_, (_, is_enabled))| *is_enabled)
            .map(|(index, (name, _))| (format!("s{name}"), format!("u{index}")))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_drop_ins_give_a_configuration_or_errors(
        texts in proptest::collection::vec(r#"(\[\[|\]\]|\[|\]|service|check|device|name|enabled|command|=|'a'|true|false|\n|"""|\{|\}|,| |x){0,40}"#, 1..4)
    ) {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        if let Err(errors) = parse(&texts) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }
}
