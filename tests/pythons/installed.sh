#!/usr/bin/env bash
# Tests the package as strangers get it, away from the checkout:
#
#     bash tests/pythons/installed.sh ARCHIVE PYTHON [ARGUMENT OF PYTEST ...]
#
# ARCHIVE is a wheel, or the source archive, which becomes a wheel first. The wheel is installed in
# an empty environment. The tests and a program are those of the source archive beside it.
set -euo pipefail

[ $# -ge 2 ] || { sed -nE '2,$ { /^#/!q; s/^# ?//p }' "$0" >&2; exit 2; }
archive=$(realpath "$1") python=$2
shift 2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

"$python" -m venv venv
venv/bin/python --version
pip="venv/bin/python -m pip --disable-pip-version-check"
case $archive in
    *.whl) cp "$archive" . ;;
    *) $pip wheel --quiet --no-deps "$archive" ;;
esac
$pip install --quiet "$(echo ./*.whl)[test]"
mkdir source
tar -xzf "$(echo "$(dirname "$archive")"/*.tar.gz)" --strip-components=1 -C source
cd source
../venv/bin/python -c 'import sharedmap; print(sharedmap.__version__, sharedmap.__file__)'
../venv/bin/python examples/hello.py
../venv/bin/pytest "$@"
