#!/usr/bin/env bash
# All that wants a GPU, in one command and under ten minutes: builds for the GPU at hand, runs the tests tagged [cuda],
# hmrnn_bench against cuDNN's LSTM, and trains on the Penn Treebank's characters; writes summary.md and summary.json.
#
#   tests/gpu.sh [--minutes X] [--data-dir DIR] [--out DIR]
#
#   --minutes X      of training (default 2)
#   --data-dir DIR   the corpus's folder; default: $HMRNN_DATA_DIR/ptb, data/ptb, else the synthetic corpus
#   --out DIR        where the summary and every stage's output go (default build/gpu/report)
#
#   HMRNN_DEPS       folder of headers, where the Debian packages are missing (tests/gpu_carry.sh)
#   CMAKE_PREFIX_PATH  a LibTorch 2.11 with CUDA and all its libraries; default: that of `python3 -c "import torch"`
#
# Needs no network. Exit code 0: every stage passed, 1: one did not, 2: it could not begin.
set -euo pipefail
die() { echo "gpu.sh: $*" >&2; exit 2; }

minutes=2 data_dir= out=
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; exit 0 ;;
    --minutes | --data-dir | --out) [ $# -ge 2 ] || die "$1: its value is missing" ;;&
    --minutes) minutes=$2 ;;
    --data-dir) data_dir=$2 ;;
    --out) out=$2 ;;
    *) die "unknown argument '$1'; see tests/gpu.sh --help" ;;
  esac
  shift 2
done
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] && awk "BEGIN { exit !($minutes > 0) }" || die "--minutes $minutes: not a number above 0"
[ -z "$data_dir" ] || [ -d "$data_dir" ] || die "--data-dir $data_dir: no such folder"
[ -z "$data_dir" ] || data_dir=$(cd "$data_dir" && pwd)
[ -z "$out" ] || out=$(realpath -m "$out")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${out:-$PWD/build/gpu/report}
command -v python3 >/dev/null || die "python3 is missing"
gpu=$(nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv,noheader 2>/dev/null | head -n 1) || gpu=
[ -n "$gpu" ] || die "no GPU at hand: nvidia-smi names none"
mkdir -p "$out" 2>/dev/null && [ -w "$out" ] || die "--out $out: cannot be written"

if [ -z "${CMAKE_PREFIX_PATH:-}${Torch_DIR:-}" ]; then
  prefix=$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)' 2>/dev/null) || prefix=
  [ -z "$prefix" ] || export CMAKE_PREFIX_PATH=$prefix
fi
if [ -z "$data_dir" ]; then
  for candidate in "${HMRNN_DATA_DIR:-/nonexistent}/ptb" data/ptb; do
    if [ -z "$data_dir" ] && [ -d "$candidate" ]; then data_dir=$(cd "$candidate" && pwd); fi
  done
fi
for tool in cmake ninja nvcc; do
  command -v $tool >/dev/null || [ -x /usr/local/cuda/bin/$tool ] || die "$tool is missing"
done
PATH=$PATH:/usr/local/cuda/bin

# ---------------------------------------------------------------- stages
rm -rf "$out"/{build.log,tests.xml,persistent.xml,bench.txt,bench.json,training,training.txt,stages.jsonl,summary.md,summary.json}
printf '{"stage": "start", "gpu": "%s", "commit": "%s"}\n' "$gpu" "$(git rev-parse --short HEAD 2>/dev/null || true)" >"$out/stages.jsonl"

# stage NAME SECONDS COMMAND…: at most so long; its exit code and time go to stages.jsonl.
stage() {
  local name=$1 limit=$2 code=0 begin=$SECONDS
  shift 2
  echo "gpu.sh: $name" >&2
  timeout "$limit" "$@" || code=$?
  printf '{"stage": "%s", "code": %d, "seconds": %d}\n' "$name" $code $((SECONDS - begin)) >>"$out/stages.jsonl"
  return $code
}

capability=$(cut -d, -f2 <<<"$gpu" | tr -d ' .')
bin=$PWD/build/gpu/bin
build() {
  stage configure 60 cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DHMRNN_CUDA=ON -DHMRNN_INSTALL=OFF \
    "-DHMRNN_CUDA_ARCHITECTURES=$capability-real" ${HMRNN_DEPS:+"-DHMRNN_DEPS=$HMRNN_DEPS"} >"$out/build.log" 2>&1 &&
    stage build 360 cmake --build build/gpu -j "$(nproc)" --target hmrnn_cuda hmrnn_tests hmrnn_bench char_lm \
      >>"$out/build.log" 2>&1
}
# on or off: which was faster in the benchmark, a whole update of the model that is trained.
faster_kernel() {
  python3 - "$out/bench.json" <<'PY' 2>/dev/null || echo off
import json, sys
speed = {row.get("launch"): row["characters_per_second"] for row in json.load(open(sys.argv[1]))["rows"]
         if (row["case"], row["units"], row["dtype"]) == ("training/char_lm_hm_lstm", 512, "bfloat16")}
print("on" if speed.get("persistent", 0) > speed["graph"] else "off")
PY
}
train() {
  local corpus=(--corpus synthetic --synthetic-length 5000000)
  [ -z "$data_dir" ] || corpus=(--data-dir "$data_dir")
  # Stopped by the clock, validated once more at the end.
  "$bin/char_lm" train --preset ptb "${corpus[@]}" --device cuda --dtype auto --cuda-persistent "$kernel" \
    --minutes "$minutes" --log-every 100 --out "$out/training"
}
failed=0
if build; then
  export OMP_WAIT_POLICY=passive
  stage tests 180 "$bin/hmrnn_tests" "[cuda]~[persistent]" -r junit -o "$out/tests.xml" || failed=1
  # By themselves, and the benchmark without them if they fail: blocks that wait for each other may wait for ever.
  persistent=on
  stage persistent 60 "$bin/hmrnn_tests" "[persistent]" -r junit -o "$out/persistent.xml" || failed=1 persistent=off
  stage benchmark 150 "$bin/hmrnn_bench" --device cuda --persistent $persistent --rounds 3 --json "$out/bench.json" \
    >"$out/bench.txt" 2>&1 || failed=1
  kernel=$(faster_kernel)
  printf '{"stage": "choice", "cuda_persistent": "%s"}\n' "$kernel" >>"$out/stages.jsonl"
  export -f train
  export bin data_dir minutes out kernel
  stage training "$(awk "BEGIN { print int($minutes * 60) + 120 }")" bash -c train >"$out/training.txt" 2>&1 || failed=1
else
  failed=1
  grep -m 5 -E 'CMake Error|error:|FAILED' "$out/build.log" >&2 || tail -n 5 "$out/build.log" >&2
fi
python3 tests/gpu_summary.py "$out" || failed=1
cat "$out/summary.md"
exit $failed
