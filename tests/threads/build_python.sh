#!/usr/bin/env bash
# Builds a CPython without a GIL where no package has one, and prints its path:
#
#     bash tests/threads/build_python.sh free-threaded [VERSION]    with pip, to run the tests with
#     bash tests/threads/build_python.sh sanitized [VERSION]        with ThreadSanitizer, assertions
#
# The source is that of Debian's own package of that version, 3.13 unless another one is asked for;
# nothing of the system is changed. The exit status is 3 if the mirror has no source of it: it may
# list more than it has. All of it goes to $SHAREDMAP_CACHE, or sharedmap in the user's cache folder,
# and stays there: the second call only prints the path. A build takes some minutes of one processor,
# with ThreadSanitizer a quarter of an hour. $JOBS is how many compile at once.
set -euo pipefail

kind=${1:-}
version=${2:-3.13}
case $kind in
    free-threaded) compiler=(CC=gcc) switches=() ;;
    sanitized) compiler=(CC=clang) switches=(--with-thread-sanitizer --with-pydebug --without-ensurepip) ;;
    *) sed -nE '2,$ { /^#/!q; s/^# ?//p }' "$0" >&2; exit 2 ;;
esac
cache=${SHAREDMAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sharedmap}
target=$cache/python-$kind
[ "$version" = 3.13 ] || target=$target-$version
log=$target.log
mkdir -p "$cache"

fetch_source() {
    ls "$cache/python$version"_*.orig.tar.* 2> /dev/null | head -n 1 | grep . && return
    local mirror packages package
    mirror=$(apt-get indextargets --format '$(SITE)' | grep '/debian$' | sort -u | head -n 1)
    mkdir -p "$cache/apt/lists/partial"
    echo "deb-src $mirror sid main" > "$cache/apt/sources.list"
    local options=(-q -o "Dir::Etc::SourceList=$cache/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$cache/apt/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    apt-get "${options[@]}" update >&2
    packages=$(apt-cache "${options[@]}" showsrc "python$version" |
        awk '/^Package:/ { name = $2 } /^Version:/ { print name "=" $2 }' | sort -rVu)
    for package in $packages; do
        (cd "$cache" && apt-get "${options[@]}" --download-only source "$package" >&2) || continue
        ls "$cache/python$version"_*.orig.tar.* | head -n 1
        return
    done
    echo "no source of CPython $version can be fetched; the mirror lists:" ${packages:-none} >&2
    return 1
}

build() {
    local source run
    source=$(fetch_source) || exit 3
    place=$(mktemp -d "$cache/build-XXXXXX")
    tar -xf "$source" -C "$place" --strip-components=1
    cd "$place"
    # The sanitizer of older compilers does not know how far addresses are spread nowadays.
    run=(setarch "$(uname -m)" --addr-no-randomize)
    "${run[@]}" ./configure -q --prefix="$target" --disable-gil "${switches[@]}" "${compiler[@]}" >&2
    "${run[@]}" make -s -j "${JOBS:-1}" >&2
    rm -rf "$target"
    # Nothing is compiled ahead: what is imported is compiled then.
    "${run[@]}" make -s COMPILEALL_OPTS=--help install >&2
    touch "$target/complete"
}

end() {
    rm -rf "$place"
    [ -e "$target/complete" ] || tail -n 40 "$log" >&2
}

if [ ! -e "$target/complete" ]; then
    echo "building a $kind CPython $version; this takes a while, see $log" >&2
    place=
    trap end EXIT
    build 2> "$log"
fi
find "$target/bin" -name 'python3.*t' -o -name 'python3.*td'
