#!/usr/bin/env bash
# Sets up, builds (preset `release`) and runs the tests, in parallel on all cores.
#
#   tests/run.sh           all except the long ones: complete programs, the package, the emulated GPU at all sizes
#   tests/run.sh --all     every test
#   tests/run.sh -R data   further arguments go to ctest, which then chooses among all tests
#
# HMRNN_PRESET selects another preset (debug, asan).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${HMRNN_PRESET:-release}
chosen=("$@")
case ${1:-} in
  "") chosen=(--label-exclude long) ;;
  --all) chosen=("${@:2}") ;;
esac

cmake/bootstrap.sh
cmake --preset "$preset"
cmake --build --preset "$preset"
exec ctest --preset "$preset" --parallel "$(nproc)" --output-on-failure --no-tests=error "${chosen[@]}"
