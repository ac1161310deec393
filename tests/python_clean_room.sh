#!/usr/bin/env bash
# Tests the Python package on a bare machine: in a minimal Debian root file system with a fresh clone of the committed
# tree, runs the commands of python/README.md from `pip install` to plots, and its lines of Python. Needs what
# tests/clean_room.sh needs, whose variables apply, and 12 GB; takes about a quarter of an hour, so it is not part of ctest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The blocks of a kind (sh, python) of the README.
blocks() { awk -v kind="$1" '$0 == "```" kind { inside = 1; next } /^```/ { inside = 0 } inside' python/README.md; }
commands=$(blocks sh)
lines=$(blocks python)
[ -n "$commands" ] && [ -n "$lines" ] || { echo "python_clean_room: python/README.md shows no commands" >&2; exit 1; }

exec tests/clean_room.sh \
  "set -e; $commands
   ls -l series.png boundaries.png; python -c 'import hmrnn; print(hmrnn.library)' | grep site-packages" \
  ". venv/bin/activate && cat >lines.py <<'LINES'
$lines
LINES
   python lines.py && ls -l text8.pt2"
