################################################################################
#
# friendlet
#
################################################################################

FRIENDLET_VERSION = 0.1.0
FRIENDLET_SOURCE = friendlet-$(FRIENDLET_VERSION).tar.xz
FRIENDLET_SITE = $(call qstrip,$(BR2_PACKAGE_FRIENDLET_SITE))
FRIENDLET_LICENSE = MIT or Apache-2.0
FRIENDLET_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
FRIENDLET_CARGO_ENV = FRIENDLET_BOARD=$(call qstrip,$(BR2_PACKAGE_FRIENDLET_BOARD))
FRIENDLET_CARGO_BUILD_OPTS = --config .cargo/vendor.toml --bin friendlet
FRIENDLET_CARGO_INSTALL_OPTS = --config .cargo/vendor.toml --bin friendlet

define FRIENDLET_INSTALL_CONFIGURATION
	$(INSTALL) -D -m 0600 $(@D)/examples/friendlet.toml \
		$(TARGET_DIR)/etc/friendlet/friendlet.toml
endef
FRIENDLET_POST_INSTALL_TARGET_HOOKS += FRIENDLET_INSTALL_CONFIGURATION

define FRIENDLET_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/examples/friendlet.service \
		$(TARGET_DIR)/usr/lib/systemd/system/friendlet.service
	$(SED) 's,/usr/local/bin/,/usr/bin/,' \
		$(TARGET_DIR)/usr/lib/systemd/system/friendlet.service
endef

define FRIENDLET_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(FRIENDLET_PKGDIR)/S90friendlet \
		$(TARGET_DIR)/etc/init.d/S90friendlet
endef

define FRIENDLET_USERS
	friendlet -1 friendlet -1 * - - - friendlet
endef

$(eval $(cargo-package))
