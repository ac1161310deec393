#!/usr/bin/env bash
# Measures how long an HM-LSTM and an LSTM of the same sizes train, by the same recipe, until their validation reaches a
# number of bits per character. Takes minutes, so it is not part of the tests (test_bench.sh runs a very small case).
#
#   tests/bench/time_to_quality.sh --data-dir DIR [options]
#
#   --bits X          the validation to reach (default: 1.60)
#   --corpus NAME     ptb (default), or another one of char_lm train
#   --data-dir DIR    its folder
#   --units N         units of each of the three layers (default: 256)
#   --eval-every N    updates between validations (default: 250)
#   --hm OPTIONS      options of the HM-LSTM alone (default: --target-rate 0.44,0.12)
#   --both OPTIONS    options of both (default: --batch 32 --window 100 --lr 0.002 --norm-gain 0.3 --schedule constant --warmup 100)
#   --seed N          (default: 1)
#   --minutes X       at most, for each (default: 60)
#   --out DIR         keep the runs there (default: a temporary folder)
#
# With two cores or more both train at the same time, each with one thread on its own core, so that variations of the
# machine's speed affect both equally. The seconds are those of the updates, without validation and saves.
set -euo pipefail
bin=${HMRNN_BIN_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/release/bin}
bits=1.60 corpus=ptb data_dir='' units=256 eval_every=250 seed=1 minutes=60 out=''
hm='--target-rate 0.44,0.12'
both='--batch 32 --window 100 --lr 0.002 --norm-gain 0.3 --schedule constant --warmup 100'
refuse() { echo "time_to_quality.sh: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set -/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \?//'; exit 0 ;;
    --bits | --corpus | --data-dir | --units | --eval-every | --hm | --both | --seed | --minutes | --out) ;;
    *) refuse "'$1' is no option; see --help" ;;
  esac
  [ $# -ge 2 ] || refuse "$1 has no value"
  name=${1#--}
  printf -v "${name//-/_}" %s "$2"
  shift 2
done
[[ $bits =~ ^[0-9]+([.][0-9]+)?$ ]] || refuse "--bits $bits: is not a number"
[ -x "$bin/char_lm" ] || refuse "$bin has no char_lm (HMRNN_BIN_DIR names the folder of the programs)"
work=$(mktemp -d)
declare -A pids=()
trap '[ ${#pids[@]} = 0 ] || kill -KILL "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
runs=${out:-$work}
mkdir -p "$runs"

# reached RUN: prints updates, seconds and updates of each layer at the first validation within the bits; fails if there is none.
reached() {
  python3 - "$runs/$1" "$bits" <<'PY'
import json, struct, sys
run, bits = sys.argv[1], float(sys.argv[2])
with open(run + "/last/state.safetensors", "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
options = json.loads(header["__metadata__"]["hmrnn"])["run"]["options"]
characters = int(options["batch"]) * int(options["window"])  # per update
seconds, step = 0.0, 0
for line in open(run + "/metrics.jsonl"):
    if not line.endswith("\n"):
        break  # it is being written
    record = json.loads(line)
    if record["event"] == "train":
        seconds += (record["step"] - step) * characters / record["characters_per_second"]
        step = record["step"]
    elif record["event"] == "eval" and record.get("bpc", record.get("bpb")) <= bits:
        print(record["step"], f"{seconds:.2f}", *(f"{u:.2f}" for u in record["updates"]))
        sys.exit(0)
sys.exit(1)
PY
}

# start NAME CORE [OPTION...]: starts a training of at most --minutes, pinned to CORE if that is not empty.
start() {
  local name=$1 core=$2 pinned=()
  shift 2
  [ -z "$core" ] || pinned=(taskset -c "$core")
  rm -rf "${runs:?}/$name"
  OMP_NUM_THREADS=1 "${pinned[@]}" "$bin/char_lm" train --corpus "$corpus" ${data_dir:+--data-dir "$data_dir"} --out "$runs/$name" --units "$units" \
    --layers 3 --output-embedding "$units" --seed "$seed" --threads 1 --device cpu --eval-every "$eval_every" --log-every 25 \
    --checkpoint-every 1000000 --minutes "$minutes" $both "$@" >"$runs/$name.txt" 2>&1 &
  pids[$name]=$!
}

# finish: ends each of the started trainings when it has reached the bits.
finish() {
  local name code
  while [ ${#pids[@]} -gt 0 ]; do
    for name in "${!pids[@]}"; do
      if kill -0 "${pids[$name]}" 2>/dev/null; then
        [ -e "$runs/$name/last/state.safetensors" ] && reached "$name" >/dev/null 2>&1 || continue
        kill -TERM "${pids[$name]}" 2>/dev/null || true
      fi
      code=0
      wait "${pids[$name]}" || code=$?
      unset "pids[$name]"
      [ $code = 0 ] || [ $code = 143 ] || { tail -n 1 "$runs/$name.txt" >&2; exit 2; }
    done
    sleep 1
  done
}

mapfile -t cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
if [ ${#cores[@]} -ge 2 ] && command -v taskset >/dev/null; then
  start hm_lstm "${cores[0]}" $hm
  start lstm "${cores[1]}" --core lstm
  finish
else
  start hm_lstm '' $hm
  finish
  start lstm '' --core lstm
  finish
fi

echo "3x$units on $corpus, seed $seed, until $bits bits per character of validation; both: $both; HM-LSTM: $hm"
echo "| model | updates | seconds of training | updates of the layers |"
echo "|---|---|---|---|"
for name in hm_lstm lstm; do
  if read -r steps seconds layers < <(reached $name); then
    echo "| $name | $steps | $seconds | $layers |"
    declare "seconds_$name=$seconds"
  else
    echo "| $name | not reached in $minutes minutes | | |"
  fi
done
if [ -n "${seconds_hm_lstm:-}" ] && [ -n "${seconds_lstm:-}" ]; then
  awk "BEGIN { printf \"HM-LSTM / LSTM: %.2f\\n\", $seconds_hm_lstm / $seconds_lstm }"
fi
