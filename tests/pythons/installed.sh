#!/usr/bin/env bash
# Tests the package as strangers get it, away from the checkout:
#
#     bash tests/pythons/installed.sh ARCHIVE WHEEL PYTHON [ARGUMENT OF PYTEST ...]
#
# ARCHIVE is the source archive, where the tests come from. WHEEL is what is installed in an empty
# environment; for - it is made of the archive by that Python.
set -euo pipefail

[ $# -ge 3 ] || { sed -nE '2,$ { /^#/!q; s/^# ?//p }' "$0" >&2; exit 2; }
archive=$(realpath "$1") wheel=$2 python=$3
[ "$wheel" = - ] || wheel=$(realpath "$wheel")
shift 3
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

"$python" -m venv venv
venv/bin/python --version
pip="venv/bin/python -m pip --disable-pip-version-check"
if [ "$wheel" = - ]; then
    $pip wheel --quiet --no-deps "$archive"
    wheel=$(echo "$PWD"/*.whl)
fi
$pip install --quiet "$wheel[test]"
mkdir source
tar -xzf "$archive" --strip-components=1 -C source
cd source
../venv/bin/python -c 'import sharedmap; print(sharedmap.__version__, sharedmap.__file__)'
../venv/bin/python examples/hello.py
../venv/bin/pytest -n auto --maxprocesses 4 --dist loadfile "$@"
