#!/usr/bin/env bash
# Runs a command with the compiler and the Pythons that no stable system has yet:
#
#     bash tests/pythons/newest.sh python3.15 --version
#
# They are those of sid, Debian's development version. Its packages are unpacked into a folder once,
# which takes a minute; the command sees that folder's /usr in place of the machine's own and
# everything else as it is. Needs root, debootstrap and a machine whose own packages are Debian's.
# The folder is $SHAREDMAP_CACHE/debian-sid, with sharedmap in the user's cache folder for
# $SHAREDMAP_CACHE if that is not set; what is removed there is made again, from newer packages.
set -euo pipefail

packages=python3.14,python3.14-dev,python3.14-venv,python3.15,python3.15-dev,python3.15-venv
# What the tests call.
packages=$packages,gcc,libc6-dev,make,redis-server,strace,util-linux

[ $# -gt 0 ] || { sed -nE '2,$ { /^#/!q; s/^# ?//p }' "$0" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "$0: only root can give a command another /usr" >&2; exit 1; }
cache=${SHAREDMAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sharedmap}
root=$cache/debian-sid
log=$cache/debian-sid.log

if [ ! -e "$root/complete" ]; then
    command -v debootstrap > /dev/null || { echo "$0: needs debootstrap" >&2; exit 1; }
    echo "unpacking the newest Debian; see $log" >&2
    mirror=$(apt-get indextargets --format '$(SITE)' | grep '/debian$' | sort -u | head -n 1) ||
        { echo "$0: this machine's packages do not come from Debian" >&2; exit 1; }
    mkdir -p "$cache"
    rm -rf "$root"
    debootstrap --variant=minbase "--include=$packages" sid "$root" "$mirror" > "$log" 2>&1 ||
        { tail -n 40 "$log" >&2; exit 1; }
    touch "$root/complete"
fi
# Gone with the command, and seen by nobody else.
exec unshare --mount --propagation private -- \
    sh -c 'mount --bind "$0/usr" /usr && exec "$@"' "$root" "$@"
