#!/usr/bin/env bash
# Tests the model in examples/pretrained (size and dtype, boundaries, samples, score on unseen text) and the script that
# made it: make.sh is started, then resumed, and its model is read by the program.
set -euo pipefail
# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm
folder=$tests/../examples/pretrained
model=$folder/text8.safetensors

[ "$(stat -c %s "$model")" -lt 6000000 ] || fail "the model has $(stat -c %s "$model") bytes"
python3 - "$model" << 'PYTHON' || fail "the weights are not bfloat16"
import json, struct, sys
raw = open(sys.argv[1], "rb").read()
header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
header.pop("__metadata__")
assert header and all(tensor["dtype"] in ("BF16", "F64") or not tensor["shape"] for tensor in header.values()), header
PYTHON

# Each layer ends segments, the second one fewer.
text="the history of the city begins in the middle ages when a small group of settlers built a church"
"$bin" segment "$model" --json <<< "$text" > segments.json || fail "segment: $(cat segments.json)"
python3 - segments.json "${#text}" << 'PYTHON' || fail "the boundaries of $model: $(cat segments.json)"
import json, sys
line = json.loads(open(sys.argv[1]).readline())
z = [sum(layer) for layer in line["z"]]
n = int(sys.argv[2])
assert len(z) == 2 and n / 4 < z[0] < 3 * n / 4 and n / 20 < z[1] < n / 3 and z[1] < z[0], z
PYTHON

"$bin" sample "$model" --prime "the history of " --length 400 --temperature 0.6 --seed 1 > sample.txt || fail "sample"
# English words of a sample: text of the same letters in another order would have none of these.
common=$(tr ' ' '\n' < sample.txt | grep -cxE 'the|of|and|in|a|to|is|was|as|by|for|that' || true)
[ "$common" -ge 10 ] || fail "a sample has $common frequent English words: $(cat sample.txt)"

# Prose of our own: a uniform distribution over the 27 symbols has 4.75 bits, letter frequencies alone about 4.1.
printf '%s ' "a bridge over the river was built of stone in the early years of the century and rebuilt after the great flood" \
  "the engine was used to drive the pumps that kept the mines free of water until they were closed" \
  "he was born in a small village near the sea and went to school in the capital where he studied law" > prose.txt
bits=$("$bin" eval "$model" --text prose.txt --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["bpc"])') || fail "eval"
awk -v bits="$bits" 'BEGIN { exit !(bits > 1 && bits < 2.6) }' || fail "prose costs $bits bits a character"

# ---------------------------------------------------------------- the script
mkdir text8
"$bin" sample "$model" --length 20000 --seed 2 | tr -d '\n' > text8/text8
tiny="--units 12,8 --embedding 6 --output-embedding 10 --batch 4 --window 20 --target-rate 0.4 --eval-every 4 --epochs 0"
export HMRNN_BIN_DIR=${bin%/*}
readme=examples/pretrained/README.md
command=$(grep -m 1 '^examples/pretrained/make.sh ' "$tests/../$readme" | sed "s# *\#.*##; s#^examples/pretrained#$folder#; s# RUN FILE# run made#")
$command $tiny --steps 8 > make.txt 2>&1 || fail "$command: $(tail -n 2 make.txt)"
rm -f made.safetensors
$command > make.txt 2>&1 || fail "make.sh, once more: $(tail -n 2 make.txt)"
check "the model that make.sh made" "$bin" eval made.safetensors --text prose.txt
if $command > make.txt 2>&1; then fail "make.sh overwrites a model"; fi
finish
