//! A booted board with a USB controller. `cargo xtask hotplug` plugs a serial adapter in between these, and pulls it out.

use super::*;

fn waits() -> bool {
    socket()
        .call(&request("r", "services/serial/show", "{}", ADMIN))
        .contains(r#""WaitsFor": ["device:/dev/ttyUSB0"]"#)
}

#[test]
#[ignore = "needs a booted board"]
fn without_an_adapter_its_service_waits() {
    until("the service waits", waits);
    assert_eq!(board().run("ls /dev/ttyUSB0 2>&1 | grep -c 'No such'").trim(), "1");
    // Of the controller, which was there when the board started.
    until("the module of the controller is loaded", || {
        board().run("ls -d /sys/module/xhci_hcd 2>&1").trim() == "/sys/module/xhci_hcd"
    });
}

#[test]
#[ignore = "needs a booted board"]
fn with_an_adapter_its_module_is_loaded_and_its_service_runs() {
    until("the service runs", || state("serial") == "started");
    assert_eq!(board().run("stat -c '%u %g %a' /dev/ttyUSB0").trim(), "0 4711 660");
    assert_eq!(board().run("ls -d /sys/module/ftdi_sio").trim(), "/sys/module/ftdi_sio");
}
