#!/usr/bin/env bash
# Tests the Python package with the libraries and programs of this build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case $HMRNN_BIN_DIR in
  */release/bin) ;;
  *) echo "skipped: a Python that was built without them does not load the sanitizers' libraries"; exit 0 ;;
esac
python=${HMRNN_PYTHON:-${HMRNN_CACHE:-$HOME/.cache/hmrnn}/python-2.11.0/bin/python}
[ -x "$python" ] || { echo "skipped: there is no $python (tests/python/environment.sh makes it, 5 GB)"; exit 0; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
HMRNN_LIBRARY=$HMRNN_BIN_DIR/../lib/libhmrnn.so
export HMRNN_LIBRARY PYTHONPATH=$PWD/python PYTHONDONTWRITEBYTECODE=1
"$python" -m pytest -q -p no:cacheprovider --basetemp "$work/pytest" tests/python
# The example learns.
"$python" examples/python/series.py --steps 300 --out "$work/series.png" | tee "$work/series.txt"
[ -s "$work/series.png" ]
awk '/^step/ { e = $5; if (!n++) first = e } END { exit !(n > 1 && e < first) }' "$work/series.txt"

# The boundaries of the bundled model are drawn.
"$python" examples/python/boundaries.py examples/pretrained/text8.safetensors "the history of the city" --out "$work/boundaries.png"
[ -s "$work/boundaries.png" ]

# The libraries of another torch release are rejected with one line.
mkdir "$work/other"
cp -L "$HMRNN_LIBRARY" "$work/other/"
echo 2.9.1 >"$work/other/torch_version.txt"
if HMRNN_LIBRARY=$work/other/libhmrnn.so "$python" -c 'import hmrnn' 2>"$work/err"; then exit 1; fi
grep -q "^ImportError: hmrnn was built with torch 2.9.1 and needs torch 2.9; torch 2.11" "$work/err"
