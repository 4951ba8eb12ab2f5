//! Drop-ins that are not in force.

use super::*;

const FILE: Source<'static> =
    Source { name: "f.toml", text: Ok("[[user]]\nname = 'u'\nservices = ['a', 'b']\n") };

fn service(name: &str, keys: &str) -> String {
    format!("[[service]]\nname = '{name}'\ncommand = ['{name}']\n{keys}\n")
}

/// Names of the services in force, and the failures.
fn settled(drop_ins: &[(&str, &str)], good: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let [drop_ins, good] = [drop_ins, good].map(sources);
    outcome(settle(FILE, &drop_ins, &good, References::Known, "p").unwrap())
}

fn sources<'t>(files: &[(&'t str, &'t str)]) -> Vec<Source<'t>> {
    files.iter().map(|(name, text)| Source::new(name, text)).collect()
}

fn outcome(settled: Settled<'_>) -> (Vec<String>, Vec<String>) {
    let services = settled.config.services.iter().map(|(_, spec)| spec.name.as_str().to_owned());
    let services = services.filter(|name| name != "hello").collect();
    (services, settled.failures.iter().map(ToString::to_string).collect())
}

#[test]
fn all_are_in_force_where_all_are_right() {
    let (a, b) = (service("a", "requires = ['b']"), service("b", ""));
    assert_eq!(settled(&[("d/1.toml", &a), ("d/2.toml", &b)], &[]), (vec!["a".into(), "b".into()], vec![]));
}

#[test]
fn broken_one_is_left_out_alone() {
    let (a, b) = (service("a", "comand = 1\nuser = 2"), service("b", "after = ['a']"));
    let (services, failures) = settled(&[("d/1.toml", &a), ("d/2.toml", &b)], &[]);
    assert_eq!(services, ["b"]);
    assert_eq!(
        failures,
        [
            "drop-in 1.toml left out: d/1.toml:4:1: unknown key 'comand' in [[service]]; did you mean 'command'?; and 1 more"
        ]
    );
}

#[test]
fn broken_one_is_replaced_by_its_copy() {
    let (old, b) = (service("a", ""), service("b", "requires = ['a']"));
    let drop_ins = [("d/1.toml", "[[service]"), ("d/2.toml", b.as_str())];
    let (services, failures) = settled(&drop_ins, &[("2.toml", "wrong"), ("1.toml", &old)]);
    assert_eq!(services, ["a", "b"]);
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert!(failure.starts_with("last good copy of drop-in 1.toml in force: d/1.toml:1:"), "{failure}");
    // A copy that does not fit to the other files is of no use. What requires it goes with it.
    let (services, failures) = settled(&drop_ins, &[("1.toml", "[log]\n")]);
    assert_eq!((services.len(), failures.len()), (0, 1));
}

#[test]
fn unreadable_one_is_left_out() {
    let b = service("b", "");
    let unreadable = Source { name: "d/1.toml", text: Err("not a regular file") };
    let drop_ins = [unreadable, Source::new("d/2.toml", &b)];
    let (services, failures) = outcome(settle(FILE, &drop_ins, &[], References::Known, "p").unwrap());
    assert_eq!(
        (services, failures),
        (vec!["b".into()], vec!["drop-in 1.toml left out: d/1.toml: not a regular file".into()])
    );
}

#[test]
fn one_that_makes_the_sum_wrong_is_left_out() {
    // Each is right without the other, and the error is in the first.
    let (a, b) = (service("a", "after = ['b']"), service("b", ""));
    let cycle = service("b", "after = ['a']");
    let (services, failures) = settled(&[("1", &a), ("2", &b), ("3", &cycle)], &[]);
    assert_eq!(services, ["a", "b"]);
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert!(failure.starts_with("drop-in 3 left out: 1:4:10: after: these services wait"), "{failure}");
}

#[test]
fn one_with_a_name_that_nothing_has_is_left_out() {
    let (a, b) = (service("a", "after = ['other']"), service("b", ""));
    let (services, failures) = settled(&[("1", &a), ("2", &b)], &[]);
    assert_eq!(
        (services, failures),
        (vec!["b".into()], vec!["drop-in 1 left out: 1:4:10: after: no service 'other'".into()])
    );
}

#[test]
fn wrong_file_is_an_error_with_those_of_its_drop_ins() {
    let file = Source::new("f.toml", "[log]\nlevle = 1\n");
    let errors =
        settle(file, &[Source::new("1", "x = 1")], &[], References::Known, "p").unwrap_err().to_string();
    assert!(errors.starts_with("f.toml:2:1: ") && errors.contains("\n1:1:1: 'x' is for the"), "{errors}");
    // A name that no file has, with all drop-ins in force.
    let errors = settle(FILE, &[], &[], References::Known, "p").unwrap_err();
    assert_eq!(errors.errors().len(), 2);
    let settled = settle(FILE, &[], &[], References::MayBeMissing, "p").unwrap();
    assert_eq!(settled.config.users.iter().count(), 1);
}
