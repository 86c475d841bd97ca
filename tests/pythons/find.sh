#!/usr/bin/env bash
# Prints the version and the path of each CPython 3.11 or newer that has headers, venv and pip:
#
#     bash tests/pythons/find.sh              all of the machine, that of `python3` first
#     bash tests/pythons/find.sh PYTHON ...   these
#
# Each version once: 3.13, and 3.13t for the one without a GIL.
set -euo pipefail

describe() {
    "$1" - 2> /dev/null << 'END'
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
if sys.implementation.name != "cpython" or sys.version_info < (3, 11) or not os.path.exists(header):
    sys.exit(1)
threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(f"{sys.version_info[0]}.{sys.version_info[1]}{threads}", sys.executable)
END
}

if [ $# -eq 0 ]; then
    set -- python3 $(compgen -c | grep -xE 'python3\.[0-9]+t?' | sort -uV) \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin/python3
fi
for candidate; do
    describe "$candidate" || true
done | awk '!seen[$1]++'
