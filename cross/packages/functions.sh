#!/bin/sh
# Functions of the scripts life.sh, which run packages in a root.

failed() {
    echo "life.sh: $*" >&2
    exit 1
}

within_a_minute() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || failed "not within a minute: $*"
        sleep 0.2
    done
}

# The process of a service.
pid_of() {
    friendlet ctl --json call "services/$1/status" | sed 's/.*"Pid": *\([0-9]*\).*/\1/'
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}
