#!/usr/bin/env bash
# Tests examples/discovery: every variant trains and is scored, the table has a row for each, a second call trains
# nothing.
set -euo pipefail
bin=$(realpath "${HMRNN_BIN_DIR:?the folder of the programs}")/char_lm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
discover() { python3 examples/discovery/discover.py --out "$work/out" --program "$bin" --steps 1 --seeds 1 "$@"; }

discover --corpora synthetic --only given >"$work/log" 2>&1 || fail "$(cat "$work/log")"
discover --corpora synthetic --only LSTM >>"$work/log" 2>&1 || fail "$(cat "$work/log")"
discover --corpora synthetic --only 'cost 0.03' >>"$work/log" 2>&1 || fail "$(cat "$work/log")"
rows=$(grep -c '^| .* | 1 | ' "$work/out/results.md") || true
[ "$rows" = 5 ] || fail "$rows rows in the table: $(cat "$work/out/results.md")"
# Given spaces are the ends of words one character late; no clock matches them.
grep '^| given: spaces' "$work/out/results.md" | grep -q '| 1.000 (0.[0-9]*)' || fail "given spaces: $(cat "$work/out/results.md")"
grep '^| LSTM' "$work/out/results.md" | grep -q '| 1.000, 1.000 |' || fail "the control: $(cat "$work/out/results.md")"
stamp=$(find "$work/out" -name model.safetensors -printf '%p %T@\n' | sort)
discover --corpora synthetic --only given >/dev/null || fail "a second call"
[ "$stamp" = "$(find "$work/out" -name model.safetensors -printf '%p %T@\n' | sort)" ] || fail "a second call trains again"
python3 -c 'import sys, xml.dom.minidom as x; t = x.parse(sys.argv[1]); assert len(t.getElementsByTagName("circle")) == 5' "$work/out/results.svg" ||
  fail "the plot: $(cat "$work/out/results.svg")"

# The Penn Treebank: the beginning of the training text, all of the others.
mkdir "$work/ptb"
python3 - "$work/ptb" <<'PYTHON'
import pathlib, sys
line = "_".join("abc def ghij".split()) + "_ "
for split, words in (("train", 40000), ("valid", 900), ("test", 900)):
    pathlib.Path(sys.argv[1], "ptb.char.%s.txt" % split).write_text(" ".join((line.strip() * words)))
PYTHON
discover --corpora ptb --only 'clock, 4' --data-dir "$work/ptb" >>"$work/log" 2>&1 || fail "$(tail -n 3 "$work/log")"
[ "$(stat -c %s "$work/out/ptb-head/ptb.char.train.txt")" = 600000 ] || fail "the head: $(ls -l "$work/out/ptb-head")"
cmp "$work/ptb/ptb.char.test.txt" "$work/out/ptb-head/ptb.char.test.txt" || fail "the test text is cut"
grep -A 9 '^## ptb' "$work/out/results.md" | grep -q '^| given: a clock, 4 and 16 | 1 ' || fail "no row: $(cat "$work/out/results.md")"
code=0
discover --corpora ptb --data-dir "$work/nowhere" --out "$work/other" 2>"$work/err" || code=$?
[ "$code" = 2 ] && grep -q 'is in .*nowhere' "$work/err" || fail "a folder without the text: $code, $(cat "$work/err")"
code=0
discover --corpora wsj 2>"$work/err" || code=$?
[ "$code" = 2 ] && [ "$(wc -l <"$work/err")" = 1 ] || fail "an unknown corpus: $code"

printf '%0.smonsel ten\n' $(seq 40) >"$work/text"
CHAR_LM=$bin examples/discovery/figure.sh "$work/out/synthetic/given__spaces_and_line_ends/1" "$work/text" "$work/figure.svg" || fail "the figure"
grep -qE 'updates of layers 1 to 3: [0-9]+, [0-9]+ and [0-9]+, ' "$work/figure.svg" || fail "no updates are counted"
echo "passed"
