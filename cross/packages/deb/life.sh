#!/bin/sh
# Life of Debian's package in a root without a service manager: installed, used, upgraded, removed, purged.
# life.sh OLD NEW: the packages; NEW is empty where the processor is emulated, because there no program executes itself.
set -eu
# shellcheck source=cross/packages/functions.sh
. "${0%/*}/functions.sh"

old=$1
new=${2-}
config=/etc/friendlet/friendlet.toml
password=/var/lib/friendlet/first-password
export DEBIAN_FRONTEND=noninteractive

# Everything but what dpkg keeps about packages that were there, and the copies that adduser keeps.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/lib/dpkg -o -path /var/log \
        -o -path /etc/passwd- -o -path /etc/group- -o -path /etc/shadow- -o -path /etc/gshadow- -o -path /life \) \
        -prune -o -print | sort
}

files >/tmp/before
cp /etc/passwd /etc/group /tmp/

dpkg --install "$old"
[ -z "$(dpkg --verify friendlet)" ] || failed "dpkg --verify: $(dpkg --verify friendlet)"
[ "$(stat -c %a:%U "$config")" = 600:root ] || failed "$config: $(stat -c %a:%U "$config")"
getent passwd friendlet >/dev/null || failed "no user friendlet"
friendlet check >/dev/null

# As the owner would: a service of its own, and an earlier server has none of its keys.
cat >>"$config" <<END
[[service]]
name = "clock"
command = ["/bin/sh", "-c", "while date; do sleep 1; done"]
END
friendlet serve --config "$config" 2>/tmp/log &
server=$!
within_a_minute friendlet ctl list
modes=$(stat -c %a "$password"):$(stat -c %a:%U "${password%/*}")
[ "$modes" = 600:700:root ] || failed "$password: $modes"
friendlet ctl start clock
clock=$(pid_of clock)
kill -0 "$clock" || failed "clock has not started: '$clock'"
echo "    installed, clock started by a call"

if [ -n "$new" ]; then
    dpkg --install "$new"
    dpkg --status friendlet | grep -q "^Version: .*-2$" || failed "$(dpkg --status friendlet)"
    [ "$(readlink "/proc/$server/exe")" = /usr/bin/friendlet ] || failed "runs: $(readlink "/proc/$server/exe")"
    within_a_minute friendlet ctl list
    [ "$(pid_of clock)" = "$clock" ] || failed "clock was $clock, and is $(pid_of clock)"
    kill -0 "$clock" || failed "clock has ended"
    grep -q 'name = "clock"' "$config" || failed "the owner's configuration file was replaced"
    echo "    upgraded, the same server and the same clock"
fi

kill "$server"
wait "$server" || failed "the server ended with $?: $(cat /tmp/log)"
within_a_minute is_gone "$clock"
dpkg --remove friendlet
[ -e "$config" ] || failed "removal takes the configuration"
[ -e /var/lib/friendlet ] || failed "removal takes the state"
[ ! -e /usr/bin/friendlet ] || failed "removal leaves the program"
dpkg --purge friendlet
files >/tmp/after
diff /tmp/before /tmp/after >&2 || failed "purge does not leave the files as they were"
diff /etc/passwd /tmp/passwd >&2 || failed "purge leaves the user"
diff /etc/group /tmp/group >&2 || failed "purge leaves the group"
echo "    removed, purged: nothing is left"
