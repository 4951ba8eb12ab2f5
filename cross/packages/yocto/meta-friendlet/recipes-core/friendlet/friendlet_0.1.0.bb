SUMMARY = "Service control for small ARM Linux boards over one secure WebSocket"
DESCRIPTION = "Supervises a fixed table of services. A web page or a program starts, \
               stops and watches them over HTTP or one WebSocket with TLS 1.3."
SECTION = "base"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=d2d3b90ab5f93a475da37948ad482eb5 \
                    file://LICENSE-APACHE;md5=1836efb2eb779966696f473ee8540542"

# Set both in local.conf: the directory of the release, https://HOST/PATH or file:///PATH, and the line of the
# archive in its SHA256SUMS.
FRIENDLET_SITE ??= ""
FRIENDLET_SHA256 ??= ""
# Directory of boards/ with the limits and the built-in configuration of the program.
# nooelint: oelint.vars.mispell.unknown
FRIENDLET_BOARD ??= "host"

SRC_URI = "${FRIENDLET_SITE}/friendlet-${PV}.tar.xz"
SRC_URI[sha256sum] = "${FRIENDLET_SHA256}"

inherit cargo systemd useradd

# The archive has all crates.
CARGO_VENDORING_DIRECTORY = "${S}/VENDOR"
CARGO_BUILD_FLAGS += "--bin friendlet"

export FRIENDLET_BOARD

SYSTEMD_SERVICE:${PN} = "friendlet.service"

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir /nonexistent --shell /sbin/nologin --user-group friendlet"

do_install:append() {
    install -D -m 0600 ${S}/examples/friendlet.toml ${D}${sysconfdir}/friendlet/friendlet.toml
    install -D -m 0644 ${S}/examples/friendlet.service ${D}${systemd_system_unitdir}/friendlet.service
    sed -i 's,/usr/local/bin/,${bindir}/,' ${D}${systemd_system_unitdir}/friendlet.service
}

CONFFILES:${PN} = "${sysconfdir}/friendlet/friendlet.toml"
