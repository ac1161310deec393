#!/usr/bin/env bash
# Runs a program of build/release/bin on the emulated CUDA device, without a GPU:
#   tests/emulated_gpu/run.sh char_lm train --device cuda …
# EMULATED_GPU_ORDER=lazy|random, EMULATED_GPU_SEED and EMULATED_GPU_MIB (memory, 4096): see README.md in this folder.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: $0 PROGRAM [ARGUMENT…]" >&2; exit 2; }
bin=${HMRNN_BIN_DIR:-$(dirname "${BASH_SOURCE[0]}")/../../build/release/bin}
libraries=$(realpath "$bin/../tests/emulated_gpu")
[ -e "$libraries/libemulated_gpu.so" ] || { echo "$0: no emulated device in $libraries; build the tests first" >&2; exit 2; }
program=$bin/$1
shift
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec env LD_PRELOAD="$libraries/libcudart.so.13:$libraries/libemulated_gpu.so" "$program" "$@"
