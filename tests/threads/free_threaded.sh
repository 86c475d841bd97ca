#!/usr/bin/env bash
# Compiles the package for a CPython without a GIL, tests it there, and puts it under stress:
#
#     bash tests/threads/free_threaded.sh VERSION [PYTEST ARGUMENT ...]
#
# That Python is built if it is not there yet (build_python.sh). Says NOT TESTED, which is no
# failure, where the mirror has no source of the version. The environment is
# .venvs/free-threaded-VERSION. $STRESS_SECONDS is for how long threads close what others read.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -gt 0 ] || { sed -nE '2,$ { /^#/!q; s/^# ?//p }' "$0" >&2; exit 2; }
version=$1
shift
status=0
python=$(bash tests/threads/build_python.sh free-threaded "$version") || status=$?
if [ "$status" -eq 3 ]; then
    echo "NOT TESTED on CPython ${version}t: the mirror has no source of it"
    exit
fi
[ "$status" -eq 0 ] || exit "$status"

venv=.venvs/free-threaded-$version
make warnings PYTHON="$python"
PIP_CONSTRAINT=$PWD/tests/threads/constraints.txt make EXTRAS=test VENV="$venv" PYTHON="$python" "$venv/.test"
"$venv/bin/pytest" -n auto --maxprocesses 4 --dist loadfile -m 'not mutant' "$@"
"$venv/bin/python" tests/threads/stress.py
"$venv/bin/python" tests/threads/closing.py --seconds "${STRESS_SECONDS:-60}"
for by in python c bare; do
    "$venv/bin/python" tests/faults/forks.py --forks 100 --by $by
done
