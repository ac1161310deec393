#!/usr/bin/env bash
# Everything that needs a GPU, in one command and under ten minutes: the tests tagged [cuda], hmrnn_bench against
# cuDNN's LSTM with a profile, compute-sanitizer on the kernels, and training on the Penn Treebank's characters.
# Rewrites summary.md and summary.json after every stage, so that an interrupted call leaves what it measured.
#
#   tests/gpu.sh [OPTION …]
#
#   --stages LIST    of tests, persistent, benchmark, profile, sizes, sanitizer, training (default: all). They run in
#                    this order; NAME:SECONDS sets a limit for one
#   --seconds N      limit for all together (default 540): stages are shortened or skipped to keep it
#   --minutes X      limit of the training (default: the remaining time)
#   --resume         resume the training of an earlier call; its other results stay in the summary
#   --epochs N|auto  epochs of the training; auto: as many as fit into the remaining time at the measured speed
#   --train-options "…"  more options of char_lm train
#   --carried DIR    output of tests/gpu_carry.sh (default: $HMRNN_DEPS, else build/carry if it exists). Its programs
#                    are run; the project is built only if there are none, or if they do not start
#   --data-dir DIR   the corpus's folder; default: $HMRNN_DATA_DIR/ptb, the one in DIR, data/ptb, else the
#                    synthetic corpus
#   --work DIR       folder for all files: build, corpus, run, output of every stage (default build/gpu)
#   --out DIR        folder for copies of the results: summary, model, and the rest packed
#   --small          sizes for a device of some MFLOP/s, to test this script
#
#   CMAKE_PREFIX_PATH   a LibTorch 2.11 with CUDA and all its libraries; default: the torch of python3
#   HMRNN_GPU_LAUNCHER  a command that is prepended to every program (tests/gpu_room.sh: the emulated device)
#
# Needs no network. Exit code 0: every stage that ran passed; 1: one did not; 2: the script could not start.
set -euo pipefail
die() { echo "gpu.sh: $*" >&2; exit 2; }

order=(tests persistent benchmark profile sizes sanitizer training)
declare -A limit=([tests]=60 [persistent]=30 [benchmark]=110 [profile]=30 [sizes]=40 [sanitizer]=60 [training]=100000)
declare -A wanted=()
stages=$(IFS=,; echo "${order[*]}")
seconds=540 minutes= resume=no epochs= train_options= carried=${HMRNN_DEPS:-} data_dir= work= out= small=no
is_number() { [[ $1 =~ ^[0-9]+(\.[0-9]+)?$ ]] && awk "BEGIN { exit !($1 > 0) }"; }
is_count() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]; }
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; exit 0 ;;
    --resume) resume=yes; shift; continue ;;
    --small) small=yes; shift; continue ;;
    --stages | --seconds | --minutes | --epochs | --train-options | --carried | --data-dir | --work | --out)
      [ $# -ge 2 ] || die "$1: its value is missing" ;;&
    --stages) stages=$2 ;;
    --seconds) is_count "$2" || die "--seconds $2: not a whole number above 0"; seconds=$2 ;;
    --minutes) is_number "$2" || die "--minutes $2: not a number above 0"; minutes=$2 ;;
    --epochs) [ "$2" = auto ] || is_count "$2" || die "--epochs $2: neither auto nor a whole number above 0"; epochs=$2 ;;
    --train-options) train_options=$2 ;;
    --carried) [ -d "$2" ] || die "--carried $2: no such folder"; carried=$2 ;;
    --data-dir) [ -d "$2" ] || die "--data-dir $2: no such folder"; data_dir=$(cd "$2" && pwd) ;;
    --work) work=$(realpath -m "$2") ;;
    --out) out=$(realpath -m "$2") ;;
    *) die "unknown argument '$1'; see tests/gpu.sh --help" ;;
  esac
  shift 2
done
IFS=, read -r -a named <<<"$stages"
for stage in "${named[@]}"; do
  name=${stage%%:*}
  [ -n "$name" ] && [ -n "${limit[$name]:-}" ] || die "--stages $stages: '$name' is not one of ${order[*]}"
  wanted[$name]=yes
  [ "$stage" = "$name" ] && continue
  is_count "${stage#*:}" || die "--stages $stages: '${stage#*:}' is not a whole number above 0"
  limit[$name]=${stage#*:}
done
[ -z "$carried" ] || carried=$(realpath -m "$carried")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=${work:-$PWD/build/gpu}
report=$work/report run=$work/run
[ -n "$carried" ] || { [ -d build/carry ] && carried=$PWD/build/carry; } || true
command -v python3 >/dev/null || die "python3 is missing"
gpu=$(nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv,noheader 2>/dev/null | head -n 1) || gpu=
[ -n "$gpu" ] || die "no GPU at hand: nvidia-smi names none"
for folder in "$report" ${out:+"$out"}; do
  mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] || die "$folder: cannot be written"
done
if [ $resume = yes ]; then
  [ -e "$run/last/state.safetensors" ] || die "--resume: there is no training in $run"
else
  [ -z "${wanted[training]:-}" ] || rm -rf "$run"
  rm -rf "$report"
  mkdir "$report"
fi

. tests/gpu_machine.sh
. tests/gpu_stages.sh
find_libtorch
find_corpus
note '"stage": "start", "gpu": "%s", "commit": "%s", "torch": "%s"' "$gpu" "$(commit)" "$torch_version"
failed=0
# If this script is ended, it ends its children; the training then saves its state.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
if find_programs; then
  for name in "${order[@]}"; do
    [ -z "${wanted[$name]:-}" ] || run_stage "$name"
  done
else
  failed=1
fi
summarise
cat "$report/summary.md"
exit $failed
