#!/usr/bin/env bash
# Proves the Python package on a bare machine: in a minimal Debian root file system with a fresh clone of the committed tree,
# the commands of python/README.md from `pip install` to a plot, and its lines of Python, on a run of char_lm. Needs what
# tests/bare_debian.sh needs, whose variables it obeys; takes about a quarter of an hour and 12 GB, hence no part of ctest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The blocks of a kind (sh, python) of the README, the first of them or all.
blocks() { awk -v kind="$1" '$0 == "```" kind { inside = 1; next } /^```/ { inside = 0 } inside' python/README.md; }
install=$(blocks sh | grep -v boundaries.py)
draw=$(blocks sh | grep boundaries.py)
lines=$(blocks python | sed 's|runs/ptb|run|')
[ -n "$install" ] && [ -n "$draw" ] && [ -n "$lines" ] || { echo "python_bare_debian: python/README.md shows other commands" >&2; exit 1; }

exec tests/bare_debian.sh \
  "set -e; $install
   ls -l series.png; python -c 'import hmrnn; print(hmrnn.library)' | grep site-packages" \
  "cmake --preset release >configure.log && cmake --build --preset release --target char_lm >build.log &&
   yes 'the company said where a segment ends' | head -n 500 >text &&
   build/release/bin/char_lm train --corpus text --out run --units 24 --embedding 8 --output-embedding 16 --steps 60 --threads 1" \
  ". venv/bin/activate && cat >lines.py <<'LINES'
$lines
LINES
   python lines.py && ls -l ptb.pt2" \
  ". venv/bin/activate && ${draw//RUN/run} && ls -l boundaries.png"
