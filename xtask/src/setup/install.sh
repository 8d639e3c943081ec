# Installs Debian packages as root: install.sh <update|keep> <policy-rc.d> <package>...
# No package may start a service on the user's machine, now or at the next boot.
set -eu
lists=$1 policy=$2
shift 2

# invoke-rc.d asks this file; 101 means: action forbidden by policy. A file of somebody else's is left alone.
ours='put here by cargo xtask setup while it installs packages'
if [ ! -e "$policy" ] || grep -q "$ours" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\n# %s\nexit 101\n' "$ours" >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
update() { apt-get update -q; }
# --no-remove: a package of the user's own that stands in the way is theirs to remove.
install() {
    apt-get install -q -y --no-install-recommends --no-remove \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@"
}

if [ "$lists" = update ]; then
    update
    install "$@"
else
    # Lists that look complete can still be older than the archive.
    install "$@" || { update && install "$@"; }
fi

command -v systemctl >/dev/null || exit 0
for service in nginx haproxy stunnel4 redis-server memcached nats-server prometheus; do
    case " $* " in
    *" $service"*) systemctl disable --quiet "$service.service" || true ;;
    esac
done
