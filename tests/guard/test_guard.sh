#!/usr/bin/env bash
# Runs the released objects with guard pages around memory (guarded_memory.h): the operators over windows of odd sizes
# with every instruction set of this CPU, and complete trainings with their saves.
# HMRNN_GUARD_CASES: number of windows per guard and instruction set (default 70: each batch size from 1 to 67; a third
# of them for sets that differ from others in products of bfloat16 alone). HMRNN_GUARD_ONEDNN=1: also oneDNN as commit
# eef6de9 used it.
set -euo pipefail
bin=${HMRNN_BIN_DIR:?the folder of the programs}
guard=$bin/hmrnn_guard
preload=$bin/../lib/libhmrnn_guarded_memory.so
cases=${HMRNN_GUARD_CASES:-70}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
[ -x "$guard" ] || { echo "skipped: built without hmrnn_guard (sanitizers bring their own guards)"; exit 0; }
export OMP_WAIT_POLICY=passive HMRNN_GUARD_LATER=1 # hmrnn_guard starts the guard itself

# The guard detects each kind of fault.
for seen in "end overrun" "start underrun" "end write-behind" "start write-behind" "end freed" "start twice"; do
  set -- $seen
  code=0
  HMRNN_GUARD=$1 "$guard" "$2" >"$work/out" 2>&1 || code=$?
  [ "$code" = 99 ] && grep -q "^guard: .*at work: $2" "$work/out" || fail "HMRNN_GUARD=$1 does not see $2: exit code $code, $(head -n 3 "$work/out")"
done

sets=(ATEN_CPU_CAPABILITY=default)
has() { grep -q "^flags.* $1 " /proc/cpuinfo; }
if has avx2; then sets+=(ATEN_CPU_CAPABILITY=avx2); fi
if has avx512_bf16; then
  # The last two differ from the first in products of bfloat16 alone.
  sets+=(HMRNN_AVX512_BF16=0 "HMRNN_GUARD_PRODUCT=bfloat16 HMRNN_AMX=0 HMRNN_AVX512_BF16=dot"
    "HMRNN_GUARD_PRODUCT=bfloat16 HMRNN_AMX=0 HMRNN_AVX512_BF16=wide")
  if has amx_bf16; then sets+=(ATEN_CPU_CAPABILITY=avx512); fi # without AMX this set is the same as one of these
elif has avx512bw; then
  sets+=(ATEN_CPU_CAPABILITY=avx512)
fi
for set in "${sets[@]}"; do
  windows=$cases
  case $set in *PRODUCT*) windows=$(((cases + 2) / 3)) ;; esac
  for side in end start; do
    # Equal bits as in plain memory of the same alignment: neither the memory beside a block nor the contents of a new
    # one matter.
    env $set HMRNN_PLAIN=$side "$guard" "$windows" >"$work/unguarded" || fail "$set without a guard"
    env $set HMRNN_GUARD=$side "$guard" "$windows" >"$work/out" 2>"$work/err" || fail "$set, $side: $(head -n 40 "$work/err")"
    cmp "$work/unguarded" "$work/out" || fail "$set, $side: other results than without a guard: $(diff "$work/unguarded" "$work/out")"
    grep -q ", 0 tensors$" "$work/err" || fail "$set, $side: tensors without a guard: $(grep blocks "$work/err")"
    cat "$work/out"
    echo "$side, $set: $(grep 'blocks' "$work/err")"
  done
done

for side in ${HMRNN_GUARD_ONEDNN:+end start}; do
  HMRNN_GUARD=$side "$guard" onednn >"$work/out" 2>"$work/err" || fail "oneDNN, $side: $(cat "$work/out" "$work/err")"
  echo "$side: $(cat "$work/out")"
done

# Complete programs: training, evaluation, saves, a resume, and later commands. The bits equal those of a training in
# plain memory.
cd "$work"
export HMRNN_CACHE=$work/cache
text="--corpus synthetic --synthetic-length 4000 --units 33,17 --embedding 7 --output-embedding 31 --batch 5 --window 13"
text="$text --boundary bernoulli --dropout 0.1 --recurrent-dropout 0.1 --locked-dropout 0.1 --weight-drop 0.1 --ema 0.9"
ink="--synthetic-lines 40 --units 33,17 --output-embedding 31 --mixtures 3 --batch 5 --window 29 --lr 0.003"
common="--threads 2 --device cpu --steps 12 --eval-every 6 --checkpoint-every 3 --log-every 1"
programs() { # programs FOLDER
  "$bin/char_lm" train $text $common --out "$1/text" &&
    "$bin/char_lm" train --resume --out "$1/text" --steps 15 &&
    "$bin/char_lm" sample "$1/text" --length 40 &&
    "$bin/char_lm" export "$1/text" --dtype bfloat16 --out "$1/text.safetensors" &&
    "$bin/handwriting" train $ink $common --out "$1/ink" &&
    "$bin/handwriting" eval "$1/ink" &&
    "$bin/handwriting" draw "$1/ink" --out "$1/line.svg"
}
mkdir plain end start
programs plain >plain/out 2>&1 || fail "the programs, without a guard: $(tail -n 5 plain/out)"
for side in end start; do
  (export HMRNN_GUARD=$side LD_PRELOAD=$preload HMRNN_GUARD_MIN=${HMRNN_GUARD_MIN:-1024}; unset HMRNN_GUARD_LATER; programs $side) >$side/out 2>&1 ||
    fail "the programs, $side: $(tail -n 40 $side/out)"
  for file in text/last/model.safetensors text/best_ema/model.safetensors text.safetensors ink/last/model.safetensors line.svg; do
    cmp plain/$file $side/$file || fail "$side: $file differs from that of a training in plain memory"
  done
  [ "$(grep -c '^guard: .* blocks' $side/out)" = 7 ] || fail "$side: the programs ran without the guard: $(grep guard: $side/out)"
  echo "$side: seven commands of char_lm and handwriting; $(grep '^guard: .* blocks' $side/out | head -n 1)"
done
