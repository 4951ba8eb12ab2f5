//! Tables about the board itself: its end, its network, its devices.

use super::ACCOUNT;
use crate::config::checks::{HOST_NAME, is_device_name, is_host_name, is_interface_name, is_name};
use crate::config::key::Default::{Boolean, Integer, Required, String, Unset};
use crate::config::key::{Form, Key, Kind, Table, UNBOUNDED, any, board_limit, documentation, fixed, word};
use crate::config::{DEVICE_NAME_BYTES, INTERFACE_NAME_BYTES, SETTLE_TIME, SETTLE_TIME_MAX};
use crate::dhcp::{HOST_NAME_BYTES, NAMESERVERS};
use crate::sntp::NTP_SERVERS;

/// `[board]`.
pub static BOARD: Table = Table {
    name: "board",
    header: "[board]",
    doc: documentation(
        "Programs that restart the board and switch it off, where its init is not friendlet; control groups and sandbox.",
    ),
    fixed: &[],
    keys: &[
        Key::new(
            "reboot",
            Kind::Command,
            Unset(documentation("none")),
            "Restarts the board when an administrator calls `board/reboot`. An absolute path.",
        )
        .example("[\"/sbin/reboot\"]")
        .reload(),
        Key::new(
            "poweroff",
            Kind::Command,
            Unset(documentation("none")),
            "Switches the board off when an administrator calls `board/poweroff`. An absolute path.",
        )
        .example("[\"/sbin/poweroff\"]")
        .reload(),
        Key::new(
            "cgroups",
            Kind::Boolean,
            Boolean(true),
            "Control group (cgroup v2) for each service, where kernel and service manager allow it.",
        ),
        Key::new(
            "sandbox",
            Kind::Boolean,
            Boolean(true),
            "Sandbox of the server, as far as the kernel has it: docs/security.md.",
        ),
        Key::new(
            "user",
            ACCOUNT,
            String("friendlet"),
            "User of the server in its sandbox, if it is started as root; root where the system has no such user.",
        ),
    ],
};

/// `[update]`.
pub static UPDATE: Table = Table {
    name: "update",
    header: "[update]",
    doc: documentation("Test of a new system, on a board with two slots: when its slot is marked good."),
    fixed: &[],
    keys: &[
        Key::new(
            "settle_s",
            Kind::integer(0, SETTLE_TIME_MAX.as_secs()),
            Integer(word(SETTLE_TIME.as_secs())),
            "Seconds without a break in which the configuration file is in force and each `required` service is up.",
        )
        .reload(),
        Key::new(
            "confirm",
            Kind::Choice(&["automatic", "administrator"]),
            String("automatic"),
            "`administrator`: after that time one has to call `board/markgood`, too.",
        )
        .reload(),
    ],
};

/// `[network]`.
pub static NETWORK: Table = Table {
    name: "network",
    header: "[network]",
    doc: documentation("Network of a board that `friendlet init` runs; `friendlet serve` ignores it."),
    fixed: &[],
    keys: &[
        Key::new(
            "interface",
            Kind::string(
                fixed(INTERFACE_NAME_BYTES as u64),
                "the name of an interface, such as 'eth0', and not 'lo'",
                is_interface_name,
            ),
            Unset(documentation("the first Ethernet interface")),
            "Name of the interface. It may appear late, as one on USB does.",
        )
        .example("\"eth0\""),
        Key::new(
            "address",
            Kind::parsed("'dhcp', or an IPv4 address of a host with its prefix, such as '192.168.1.20/24'"),
            String("dhcp"),
            "Source of the address: DHCP, or this file.",
        )
        .example("\"192.168.1.20/24\""),
        Key::new(
            "gateway",
            Kind::parsed("an IPv4 address, such as '192.168.1.1'"),
            Unset(documentation("none")),
            "With a static address: the router to other networks. DHCP sends its own.",
        )
        .example("\"192.168.1.1\""),
        Key::new(
            "nameservers",
            Kind::List {
                most: fixed(NAMESERVERS as u64),
                entry: &Form { bytes: UNBOUNDED, expected: "an IPv4 address", is_met: any },
            },
            Unset(documentation("those of DHCP")),
            "Written to `/run/resolv.conf` for the services; friendlet looks up no names.",
        )
        .example("[\"192.168.1.1\"]"),
        Key::new(
            "ntp",
            Kind::List {
                most: fixed(NTP_SERVERS as u64),
                entry: &Form { bytes: UNBOUNDED, expected: "an IPv4 address", is_met: any },
            },
            Unset(documentation("those of DHCP")),
            "NTP servers that set the clock; the next one is asked when one does not answer.",
        )
        .example("[\"192.168.1.1\"]"),
        Key::new(
            "hostname",
            Kind::string(
                fixed(HOST_NAME_BYTES as u64),
                "letters, digits, '-' and '.' (RFC 1123), such as 'gateway-1'",
                is_host_name,
            ),
            String(HOST_NAME),
            "Name of the board, also sent to the DHCP server.",
        ),
    ],
};

/// `[[device]]`.
pub static DEVICE: Table = Table {
    name: "device",
    header: "[[device]]",
    doc: documentation("Group and mode of devices, on a board whose init is friendlet. The first table that matches decides."),
    fixed: &[],
    keys: &[
        Key::new(
            "match",
            Kind::string(
                fixed(DEVICE_NAME_BYTES as u64),
                "a name under /dev, such as 'ttyUSB*' or 'input/event?'",
                is_device_name,
            ),
            Required,
            "Name under `/dev`; `*` is any text without a slash, `?` any character but a slash, `[0-3]` one of these.",
        )
        .example("\"ttyUSB*\""),
        Key::new(
            "group",
            Kind::string(board_limit!(USER_NAME_BYTES), "the name or number of a group", is_name),
            Unset(documentation("root's")),
            "Group of the device.",
        )
        .example("\"dialout\""),
        Key::new(
            "mode",
            Kind::parsed("octal digits up to 777, such as '0660'"),
            String("0660"),
            "Permissions of the device.",
        ),
    ],
};
