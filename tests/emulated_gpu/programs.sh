#!/usr/bin/env bash
# Runs the programs on the emulated device: graphs against launches, a resume, a GPU model on the CPU, out of memory.
set -euo pipefail
run=tests/emulated_gpu/run.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

# ---------------------------------------------------------------- text
text=(--corpus synthetic --synthetic-length 60000 --units 24,20,16 --embedding 12 --output-embedding 40
      --batch 6 --window 15 --steps 12 --log-every 4 --device cuda --dtype bfloat16)
train() { $run char_lm train "${text[@]}" "$@" >"$work/out" 2>&1 || fail "char_lm train $*: $(cat "$work/out")"; }
# Compares tensors only: two runs may record different metadata.
same_tensors() {
  python3 - "$@" <<'PY'
import json, struct, sys
def tensors(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    return {k: data[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]]
            for k, v in json.loads(data[8:8 + size]).items() if k != "__metadata__"}
a, b = (tensors(f"{run}/last/model.safetensors") for run in sys.argv[1:])
sys.exit(a != b)
PY
}
train --out "$work/graph"
grep -q "cuda:0 (emulated GPU" "$work/out" || fail "the device is not the emulated one: $(cat "$work/out")"
train --out "$work/launches" --cuda-graph off
cmp "$work/graph/last/model.safetensors" "$work/launches/last/model.safetensors" || fail "graphs are not launches"
train --out "$work/parts" --steps 7
$run char_lm train --resume --out "$work/parts" --steps 12 >"$work/out" 2>&1 || fail "--resume: $(cat "$work/out")"
same_tensors "$work/graph" "$work/parts" || fail "a run in parts is not the whole run"
train --out "$work/tf32" --dtype tf32
grep -q "float32 with TF32 products" "$work/out" || fail "--dtype tf32: $(cat "$work/out")"
train --out "$work/float32" --dtype float32
cmp -s "$work/tf32/last/model.safetensors" "$work/float32/last/model.safetensors" && fail "--dtype tf32 is float32"

# The persistent kernel: equal results from a graph and from launches, and a message if it is not available.
fits=(--units 32,48,16 --batch 16)
train --out "$work/persistent" "${fits[@]}" --cuda-persistent on
grep -q "no such kernel" "$work/out" && fail "--cuda-persistent: the windows fit: $(cat "$work/out")"
train --out "$work/persistent_launches" "${fits[@]}" --cuda-persistent on --cuda-graph off
cmp "$work/persistent/last/model.safetensors" "$work/persistent_launches/last/model.safetensors" ||
  fail "--cuda-persistent: graphs are not launches"
train --out "$work/steps" "${fits[@]}" --cuda-persistent off
cmp -s "$work/persistent/last/model.safetensors" "$work/steps/last/model.safetensors" &&
  fail "--cuda-persistent on changes nothing"
train --out "$work/too_small" --cuda-persistent on
grep -q -- "--cuda-persistent on: .* no such kernel" "$work/out" ||
  fail "--cuda-persistent: the windows do not fit, which is not said: $(cat "$work/out")"
cmp "$work/graph/last/model.safetensors" "$work/too_small/last/model.safetensors" || fail "--cuda-persistent: other steps"

# auto: the faster kind, with exactly its results; a resume keeps the choice.
train --out "$work/auto" "${fits[@]}" --cuda-persistent auto
chosen=$(sed -n 's/^--cuda-persistent auto: \(on\|off\), a window takes .* ms in one kernel, .* ms step by step$/\1/p' "$work/out")
case $chosen in
  on) like=persistent ;;
  off) like=steps ;;
  *) fail "--cuda-persistent auto does not say what it is, once: $(cat "$work/out")" ;;
esac
cmp "$work/$like/last/model.safetensors" "$work/auto/last/model.safetensors" || fail "--cuda-persistent auto is not $chosen"
train --out "$work/auto_parts" "${fits[@]}" --cuda-persistent auto --steps 7
chosen=$(sed -n 's/^--cuda-persistent auto: \(on\|off\), .*/\1/p' "$work/out")
$run char_lm train --resume --out "$work/auto_parts" --steps 12 >"$work/out" 2>&1 || fail "--resume: $(cat "$work/out")"
grep -q "cuda-persistent" "$work/out" && fail "a resume chooses again: $(cat "$work/out")"
like=$([ "$chosen" = on ] && echo persistent || echo steps)
same_tensors "$work/$like" "$work/auto_parts" || fail "--cuda-persistent auto in parts is not $chosen"
train --out "$work/auto_off" # by default
grep -q -- "--cuda-persistent auto: off, .* no such kernel" "$work/out" || fail "auto where there is no such kernel: $(cat "$work/out")"
# A run that is older than the option.
train --out "$work/old" "${fits[@]}" --cuda-persistent off --steps 7
python3 tests/support/edit_safetensors.py "$work/old/last/state.safetensors" 'del meta["run"]["options"]["cuda-persistent"]'
$run char_lm train --resume --out "$work/old" --steps 12 >"$work/out" 2>&1 || fail "--resume of an old run: $(cat "$work/out")"
grep -q -- "^--cuda-persistent auto" "$work/out" && fail "a run from before --cuda-persistent becomes another: $(cat "$work/out")"
same_tensors "$work/steps" "$work/old" || fail "a run from before --cuda-persistent is not what it was"

# Rounding changes a few boundaries, so the measures are compared instead of the boundaries.
near() {
  [[ $1 =~ ^-?[0-9]+\.?[0-9]*$ && $2 =~ ^-?[0-9]+\.?[0-9]*$ ]] || return 1  # a program that failed prints nothing
  awk -v a="$1" -v b="$2" -v e="$3" 'BEGIN { exit !(a - b < e && b - a < e) }'
}
bits() { $run char_lm eval "$work/graph" --device "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["bpc"])'; }
near "$(bits cuda)" "$(bits cpu)" 0.01 || fail "eval: $(bits cuda) on the device, $(bits cpu) on the CPU"
$run char_lm sample "$work/graph" --device cuda --length 60 --seed 3 >"$work/sample" || fail sample
[ "$(wc -m <"$work/sample")" -ge 60 ] || fail "sample: $(cat "$work/sample")"
tr '\n' ' ' <"$work/sample" | $run char_lm segment "$work/graph" --device cuda >"$work/segments" || fail segment
grep -qE '^z1 +[.|]{60}' "$work/segments" || fail "segment: $(cat "$work/segments")"

code=0
EMULATED_GPU_MIB=256 $run char_lm train "${text[@]}" --units 512 --batch 3000 --window 5 --out "$work/large" >"$work/out" 2>"$work/err" || code=$?
[ $code = 2 ] || fail "out of memory: exit code $code, not 2: $(cat "$work/err")"
grep -q "out of memory on the device: hm_lstm 512,512,512.*batch 3000.*asked for" "$work/err" || fail "out of memory: $(cat "$work/err")"

# ---------------------------------------------------------------- handwriting
$run handwriting train --corpus synthetic --synthetic-lines 30 --units 20 --output-embedding 16 --mixtures 3 --batch 6 \
  --steps 8 --log-every 4 --device cuda --out "$work/ink" >"$work/out" 2>&1 || fail "handwriting train: $(cat "$work/out")"
nats() { $run handwriting eval "$work/ink" --device "$1" | grep -oE 'log-likelihood -?[0-9.]+' | cut -d' ' -f2; }
near "$(nats cuda)" "$(nats cpu)" 10 || fail "handwriting eval: $(nats cuda) on the device, $(nats cpu) on the CPU"
$run handwriting draw "$work/ink" --device cuda --out "$work/ink.svg" >"$work/out" 2>&1 || fail "draw: $(cat "$work/out")"
grep -q '</svg>' "$work/ink.svg" || fail "draw wrote no picture"
echo "programs on the emulated device: passed"
