#!/usr/bin/env bash
# examples/char_lm/boundaries_svg.py: its blocks are the segments of its input, and bad input is one line.
set -euo pipefail
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; cat "$work/out" 2>/dev/null; exit 1; }
draw() { examples/char_lm/boundaries_svg.py "$@" >"$work/out.svg" 2>"$work/out"; }

# Layer 1: "ab" | "c" | " <" (closed at its end) and none open; layer 2: "abc" | " <" open; in all 5 blocks.
draw --caption 'a & b' <<<'{"text":"abc <","z":[[0,1,1,0,1],[0,0,1,0,0]],"operations":["","",""]}' || fail "exit code $?"
python3 - "$work/out.svg" <<'CHECK' || fail "the picture"
import re, sys
from xml.etree import ElementTree
root = ElementTree.parse(sys.argv[1]).getroot()
name = "{http://www.w3.org/2000/svg}"
texts = [t.text for t in root.iter(name + "text")]
assert texts == ["a", "b", "c", "<", "layer 1", "layer 2", "a & b"], texts
starts = [int(re.match(r"M(\d+),", p.get("d")).group(1)) for p in root.iter(name + "path")]
letters = [float(t.get("x")) for t in root.iter(name + "text") if len(t.text) == 1]
cell = letters[1] - letters[0]
columns = [round((x - starts[0]) / cell) for x in starts]
assert columns == [0, 2, 3, 0, 3], columns
open_ends = ["a4,4 0 0 1 0,10 h" not in p.get("d") for p in root.iter(name + "path")]
assert open_ends == [False, False, False, False, True], open_ends
colours = [p.get("fill") for p in root.iter(name + "path")]
assert colours[0] != colours[1] and colours[0] == colours[2], colours
CHECK
# Soft boundaries: a block ends where z is above one half.
draw <<<'{"text":"ab","z":[[0.4,0.6]]}' || fail "soft boundaries"
[ "$(grep -c '<path' "$work/out.svg")" = 1 ] || fail "soft boundaries: not one block"

for input in '' 'no json' '{"text":"ab"}' '{"text":"ab","z":[[0]]}' '{"text":"é","z":[[0,1]]}' '[1]'; do
  code=0
  draw <<<"$input" || code=$?
  [ "$code" = 2 ] && [ "$(wc -l <"$work/out")" = 1 ] || fail "'$input': exit code $code"
done
# The picture of the README is well-formed.
python3 -c "import sys; from xml.etree import ElementTree; ElementTree.parse(sys.argv[1])" docs/boundaries.svg || fail "docs/boundaries.svg"
echo "passed"
