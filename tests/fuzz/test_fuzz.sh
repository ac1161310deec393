#!/usr/bin/env bash
# Runs each fuzz target for HMRNN_FUZZ_SECONDS (30), after building it, which takes some minutes the first time.
set -euo pipefail
if ! command -v clang++ >/dev/null || ! echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }' |
  clang++ -x c++ -fsanitize=fuzzer -o /dev/null - 2>/dev/null; then
  echo "skipped: clang++ with libFuzzer is missing (Debian: clang, libclang-rt-dev)"
  exit 0
fi
HMRNN_BUILD=$(realpath "${HMRNN_BIN_DIR:?}/..")
export HMRNN_BUILD
if grep -q '^HMRNN_SANITIZE:.*=.' "$HMRNN_BUILD/CMakeCache.txt"; then
  echo "skipped: the fuzz targets bring their own sanitizers"
  exit 0
fi
# One seed: a random find should not fail an unrelated build.
HMRNN_FUZZ_SEED=1 exec tests/fuzz/run.sh "${HMRNN_FUZZ_SECONDS:-30}"
