#!/usr/bin/env bash
# Looks at the archives in dist/ as an index and a distribution would:
#
#     bash tests/pythons/archives.sh BIN
#
# BIN is the folder of an environment with `.[release]`. The metadata is complete and the long
# description can be rendered; the source archive holds what is under version control; made a second
# time, from the unpacked source archive and elsewhere, both archives have the same bytes; the wheel
# needs nothing but the C library, and goes as a manylinux wheel to dist/manylinux.
set -euo pipefail

[ $# -eq 1 ] || { sed -nE '2,$ { /^#/!q; s/^# ?//p }' "$0" >&2; exit 2; }
bin=$(realpath -s "$1")
PATH=$bin:$PATH
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT

python - dist/*.whl << 'END'
import email, sys, trove_classifiers, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    ours = email.message_from_bytes(wheel.read(metadata)).get_all("Classifier")
if unknown := set(ours) - trove_classifiers.classifiers:
    sys.exit(f"no such classifiers: {unknown}")
END
twine check --strict dist/*.whl dist/*.tar.gz
# Outside a clone there is nobody to ask.
! git ls-files > /dev/null 2>&1 || check-manifest --no-build-isolation

mkdir "$again/source"
tar -xzf dist/*.tar.gz --strip-components=1 -C "$again/source"
touch "$again"/source/src/*/*
python -m build --outdir "$again" "$again/source" > "$again/log" 2>&1 ||
    { cat "$again/log"; exit 1; }
(cd dist && sha256sum ./*.whl ./*.tar.gz) | (cd "$again" && sha256sum --check)

rm -rf dist/manylinux
auditwheel repair --wheel-dir dist/manylinux dist/*.whl
