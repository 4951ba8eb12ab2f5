//! Conditions and instances of services.

use super::super::DEVICES;
use super::{config, errors, service, spec};
use crate::service::{
    CONDITIONS, INSTANCES, OUTPUT_DAY_BYTES, OUTPUT_FILE_BYTES, OUTPUT_FILES, OutputFile, SERVICE_CONDITIONS,
};

#[test]
fn conditions_are_read() {
    let config =
        config(&service("wait = ['clock', 'path:/data/x']\nneeds = ['network', 'device:/dev/tty0']"));
    let spec = spec(&config, "a");
    assert!(spec.wait.iter().eq(["clock", "path:/data/x"]));
    assert!(spec.needs.iter().eq(["network", "device:/dev/tty0"]));
    assert_eq!(config.services.conditions().len(), 4);
    for (text, found) in [("wait = ['time']", "time"), ("needs = ['path:data']", "path:data")] {
        let errors = errors(&service(text));
        assert!(
            errors.contains(": expected 'clock', 'ntp', 'network', 'device:PATH' or 'path:PATH'"),
            "{errors}"
        );
        assert!(errors.contains(found), "{errors}");
    }
}

#[test]
fn conditions_of_a_service_up_to_their_limit() {
    let wait = |count: usize| {
        let texts: Vec<_> = (0..count).map(|index| format!("'path:/{index}'")).collect();
        service(&format!("wait = [{}]", texts.join(", ")))
    };
    assert_eq!(spec(&config(&wait(SERVICE_CONDITIONS)), "a").wait.len(), SERVICE_CONDITIONS);
    assert!(errors(&wait(SERVICE_CONDITIONS + 1)).contains("wait: more than 4"));
    let all = |count: usize| -> String {
        let table =
            |index| format!("[[service]]\nname = 's{index}'\ncommand = ['x']\nwait = ['path:/{index}']\n");
        (0..count).map(table).collect()
    };
    assert_eq!(config(&all(CONDITIONS)).services.conditions().len(), CONDITIONS);
    assert!(errors(&all(CONDITIONS + 1)).contains("more than 8 different conditions of all services"));
}

#[test]
fn instances_are_services_with_their_names_in_all_texts() {
    let config = config(
        "[[service]]\nname = 'wifi'\ninstances = ['wlan0', 'wlan1']\ncommand = ['/bin/w', '-i', '%i', '%i%i']\n\
         env = { IF = '%i' }\ndescription = 'on %i'\nneeds = ['path:/sys/class/net/%i']\n\
         health = { command = ['/bin/c', '%i'] }\n\
         [[service]]\nname = 'panel'\ncommand = ['x', '%i']\nafter = ['wifi@wlan0']\n\
         [[user]]\nname = 'u'\nlevel = 'user'\nservices = ['wifi@wlan1']\n",
    );
    assert!(config.services.find("wifi").is_none());
    let spec = |name| spec(&config, name);
    assert!(spec("wifi@wlan1").argv.iter().eq(["/bin/w", "-i", "wlan1", "wlan1wlan1"]));
    assert!(spec("wifi@wlan0").env.iter().eq(["IF=wlan0"]));
    assert_eq!(spec("wifi@wlan0").description.as_deref(), Some("on wlan0"));
    assert!(spec("wifi@wlan1").needs.iter().eq(["path:/sys/class/net/wlan1"]));
    assert!(spec("panel").argv.iter().eq(["x", "%i"]), "no instance");
    let checks: Vec<_> = config.services.checks().map(|(_, check)| check.name.as_str()).collect();
    assert_eq!(checks, ["wifi@wlan0", "wifi@wlan1"]);
}

#[test]
fn wrong_instances_are_reported_once() {
    for (text, expected) in [
        (
            "instances = 'a'",
            "4:13: instances: expected a list of strings in brackets, found a string; write [\"a\"]\n",
        ),
        (
            "instances = ['a', 1]",
            "4:19: instances: expected a string in quotes, found a whole number; write it in quotes\n",
        ),
        ("instances = ['a', 'a']", "2:8: duplicate service 'a@a', first in line 2\n"),
        (
            "instances = ['a', 'b']\nnice = 'x'",
            "5:8: nice: expected a whole number, found a string; a number has no quotes and no unit\n",
        ),
    ] {
        assert_eq!(errors(&service(text)), expected);
    }
    let errors = errors(&service("instances = ['-']"));
    assert!(errors.contains("instances: expected letters, digits"), "{errors}");
}

#[test]
fn instances_of_a_service_up_to_their_limit() {
    let names = |count: usize| {
        let names: Vec<_> = (0..count).map(|index| format!("'{index}'")).collect();
        service(&format!("instances = [{}]", names.join(", ")))
    };
    assert_eq!(config(&names(INSTANCES)).services.len(), INSTANCES + 1);
    assert!(errors(&names(INSTANCES + 1)).contains("instances: more than 16"));
}

#[test]
fn device_rules_are_read() {
    let rules =
        config("[[device]]\nmatch = 'ttyUSB*'\ngroup = 'dialout'\n[[device]]\nmatch = 'x'\nmode = '644'\n")
            .devices;
    let rule = |index: usize| (rules[index].pattern.as_str(), rules[index].group.as_str(), rules[index].mode);
    assert_eq!((rule(0), rule(1)), (("ttyUSB*", "dialout", 0o660), ("x", "", 0o644)));
    for (text, expected) in [
        ("", "1:1: [[device]] has no match"),
        ("match = '/dev/x'", "2:9: match: expected a name under /dev"),
        ("match = '../x'", "2:9: match: expected a name under /dev"),
        ("match = 'x'\nmode = '8'", "3:8: mode: expected octal digits up to 777"),
        ("match = 'x'\ngroup = 'a:b'", "3:9: group: expected the name or number of a group"),
    ] {
        let errors = errors(&format!("[[device]]\n{text}\n"));
        assert!(errors.starts_with(expected), "{errors}");
    }
}

#[test]
fn device_rules_up_to_their_limit() {
    let rules = |count| "[[device]]\nmatch = 'x'\n".repeat(count);
    assert_eq!(config(&rules(DEVICES)).devices.len(), DEVICES);
    assert!(errors(&rules(DEVICES + 1)).contains("more than 16 device rules"));
}

#[test]
fn output_keys_are_read() {
    let output = |text: &str| spec(&config(&service(text)), "a").output.clone();
    assert_eq!(output(""), None);
    let path = "/data/log/a".try_into().unwrap();
    let defaults =
        OutputFile { path, bytes: OUTPUT_FILE_BYTES, count: OUTPUT_FILES, day_bytes: OUTPUT_DAY_BYTES };
    assert_eq!(output("output_file = '/data/log/a'").as_ref(), Some(&defaults));
    let text =
        "output_file = '/data/log/a'\noutput_file_bytes = 8192\noutput_files = 5\noutput_day_bytes = 0";
    assert_eq!(output(text), Some(OutputFile { bytes: 8192, count: 5, day_bytes: 0, ..defaults }));
    let two = service("instances = ['a', 'b']\noutput_file = '/data/log/a'");
    assert_eq!(errors(&two), "5:15: output_file: another service has '/data/log/a'\n");
    config(&two.replace("log/a", "log/%i"));
    assert_eq!(errors(&service("output_files = 2")), "4:16: output_files: needs output_file\n");
    assert_eq!(
        errors(&service("output_file = 'a'")),
        "4:15: output_file: expected an absolute path, found 'a'\n"
    );
}
