#!/bin/sh
# Life of friendlet under OpenRC in a root that has it: started, reloaded, upgraded, stopped by the script of the package.
# life.sh PACKAGE: an .apk, which is unpacked, because the root has no apk.
set -eu
# shellcheck source=cross/packages/functions.sh
. "${0%/*}/functions.sh"

# apk's own records of a file are unknown to tar.
tar -xzf "$1" -C / --warning=no-unknown-keyword
# The directories that the start of the system makes.
for name in daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive; do
    mkdir -p "/run/openrc/$name"
done
touch /run/openrc/softlevel
# Alpine has this service, and mounts file systems by it.
printf '#!/sbin/openrc-run\nstart() {\n\ttrue\n}\n' >/etc/init.d/localmount
chmod +x /etc/init.d/localmount
# Alpine's adduser has other options.
adduser --system --group --no-create-home --home /nonexistent --quiet friendlet

rc-service friendlet start
within_a_minute friendlet ctl list
rc-service friendlet status | grep -q started || failed "$(rc-service friendlet status)"
friendlet ctl start hello
hello=$(pid_of hello)
kill -0 "$hello" || failed "hello has not started: '$hello'"
rc-service friendlet reload
for upgrade in "rc-service friendlet upgrade" /.post-upgrade; do
    $upgrade
    within_a_minute friendlet ctl list
    [ "$(pid_of hello)" = "$hello" ] || failed "$upgrade: hello was $hello, and is $(pid_of hello)"
    kill -0 "$hello" || failed "$upgrade: hello has ended"
done
/.pre-deinstall
within_a_minute is_gone "$hello"
echo "    OpenRC: started, reloaded, upgraded with the same service, stopped"
