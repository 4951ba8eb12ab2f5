#!/bin/sh
# Life of Debian's package on a machine that systemd has booted: installed, used, reloaded, upgraded, killed, removed, purged.
# booted.sh OLD NEW: the packages.
set -eu
# shellcheck source=cross/packages/functions.sh
. "${0%/*}/functions.sh"

config=/etc/friendlet/friendlet.toml
export DEBIAN_FRONTEND=noninteractive

# Value of a property of the unit.
unit() {
    systemctl show --property "$1" --value friendlet
}

dpkg --install "$1"
systemctl --quiet is-active friendlet
systemctl --quiet is-enabled friendlet
within_a_minute friendlet ctl list
cat >>"$config" <<END
[[service]]
name = "clock"
command = ["/bin/sh", "-c", "while date; do sleep 1; done"]
memory_max = 16777216
restart = "always"
END
systemctl reload friendlet
friendlet ctl start --wait clock
clock=$(pid_of clock)
grep -q 16777216 "/sys/fs/cgroup$(cut -d: -f3 "/proc/$clock/cgroup")/memory.max" || failed "clock has no limit of memory"
server=$(unit MainPID)
worker=$(cat "/proc/$server/task/$server/children")
worker=${worker%% *}
[ "$(awk '/^Uid:/ {print $2}' "/proc/$worker/status")" = "$(id -u friendlet)" ] || failed "the server has another user than friendlet"
[ "$(awk '/^Seccomp:/ {print $2}' "/proc/$worker/status")" = 2 ] || failed "the server has no filter of system calls"
echo "    installed and enabled, clock started by a call, in a control group of its own"

dpkg --install "$2"
within_a_minute friendlet ctl list
[ "$(unit MainPID)" = "$server" ] || failed "systemd's process was $server, and is $(unit MainPID)"
[ "$(unit ActiveState):$(unit NRestarts)" = active:0 ] || failed "$(systemctl status friendlet)"
[ "$(pid_of clock)" = "$clock" ] || failed "clock was $clock, and is $(pid_of clock)"
echo "    upgraded, the same server and the same clock"

kill -9 "$server"
within_a_minute is_gone "$clock"
within_a_minute friendlet ctl list
[ "$(unit NRestarts)" = 1 ] || failed "$(systemctl status friendlet)"
friendlet ctl start --wait clock
echo "    killed, restarted by systemd, nothing of it was left"

if journalctl --unit friendlet --output cat | grep '^<'; then failed "the journal has levels as text"; fi
echo "    the journal has the level of each line"

clock=$(pid_of clock)
dpkg --remove friendlet
is_gone "$clock" || failed "removal leaves clock"
dpkg --purge friendlet
[ "$(systemctl show --property LoadState --value friendlet)" = not-found ] || failed "the unit is left"
for path in /etc/friendlet /var/lib/friendlet /run/friendlet; do
    [ ! -e "$path" ] || failed "purge leaves $path"
done
echo "    removed, purged: nothing is left"
