# Removes what one simulated node made. Usage: sh -c "$(cat guardian.sh)" guardian STATE_DIR [wait]
# With `wait`, stdin is a pipe whose writers are the node's owner and the commands that set the node up: the end of
# file means that all of them are gone, however they went. Everything here may run twice, or twice at once.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
state=$1
trap '' HUP INT TERM PIPE
if [ "${2:-}" = wait ]; then
    while read -r _; do :; done
fi
[ -f "$state/names" ] || exit 0

# The processes in these cgroups are the node's by construction: nothing else is ever moved there.
clear_cgroup() {
    tries=0
    while grep -qs '^populated 1' "$1/cgroup.events" && [ "$tries" -lt 100 ]; do
        if [ -e "$1/cgroup.kill" ]; then
            echo 1 >"$1/cgroup.kill"
        else # before Linux 5.14
            find "$1" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL
        fi
        tries=$((tries + 1))
        sleep 0.02
    done
    find "$1" -depth -type d -exec rmdir {} +
}

{
    while read -r kind name; do
        [ "$kind" = cgroup ] && [ -d "$name" ] && clear_cgroup "$name"
    done <"$state/names"

    while read -r kind name; do
        [ "$kind" = netns ] && [ -e "/run/netns/$name" ] && echo "netns delete $name"
    done <"$state/names" | ip -force -batch -

    while read -r kind name; do
        case $kind in
        cgroup) if [ -d "$name" ]; then exit 1; fi ;;
        netns) if [ -e "/run/netns/$name" ]; then exit 1; fi ;;
        esac
    done <"$state/names"
} >/dev/null 2>&1
# Only now: whatever could not be removed has stayed on record for the next node that starts.
rm -f "$state/names" "$state/owner" "$state/slot"
rmdir "$state"
