#!/usr/bin/env bash
# Sets up, builds (preset `release`) and runs every test. Further arguments go to ctest, for example `tests/run.sh -R data`.
# HMRNN_PRESET chooses another preset (debug, asan).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${HMRNN_PRESET:-release}

cmake/bootstrap.sh
cmake --preset "$preset"
cmake --build --preset "$preset"
exec ctest --preset "$preset" --output-on-failure --no-tests=error "$@"
