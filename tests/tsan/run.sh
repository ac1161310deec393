#!/usr/bin/env bash
# Tests the trainer, the operators and streams under ThreadSanitizer: builds the preset `tsan` and runs it file by file.
#   tests/tsan/run.sh [TEST …]     TEST: files of tests/ without folder and ending; default: those of the preset
# Prints the number of races of each file; exit code 1 if one fails. openmp_order.cpp explains what OpenMP needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --preset tsan > /dev/null
cmake --build --preset tsan
build=build/tsan
tests=("$@")
[ ${#tests[@]} -gt 0 ] || mapfile -t tests < <(ctest --preset tsan -N | sed -n 's/^ *Test *#[0-9]*: [a-z]*\/\(test_[a-z_]*\)$/\1/p' |
  while read -r name; do find tests -name "$name.cpp" -printf '%f\n'; done | sed 's/\.cpp$//' | sort -u)
# The sanitizers of compilers before GCC 14 fail with the address randomisation of newer kernels, so it is disabled.
run=()
! setarch "$(uname -m)" -R true 2> /dev/null || run=(setarch "$(uname -m)" -R)
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
# Accesses of LibTorch, which is not instrumented, through intercepted functions (memcpy) are ignored.
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan/suppressions.txt ignore_noninstrumented_modules=1 ${TSAN_OPTIONS:-}"
failed=()
# First checks that the sanitizer detects a race, and only a race, with the same libraries.
gomp=$(ldd $build/bin/hmrnn_tests | sed -n 's/.*libgomp[^ ]* => \([^ ]*\) .*/\1/p')
"${CXX:-g++}" -fsanitize=thread -fopenmp -g -O1 tests/tsan/race.cpp -Wl,--no-as-needed $build/lib/libhmrnn_openmp_order.so "$gomp" \
  -Wl,-rpath,"$PWD/$build/lib" -Wl,-rpath,"$(dirname "$gomp")" -o $build/race
"${run[@]}" $build/race disjoint > $build/race.log 2>&1 || { echo "tsan: reports a region without a race, see $build/race.log" >&2; exit 1; }
if "${run[@]}" $build/race shared > $build/race.log 2>&1 || ! grep -q 'ThreadSanitizer: data race' $build/race.log; then
  echo "tsan: does not see a race in a region, see $build/race.log" >&2
  exit 1
fi
for test in "${tests[@]}"; do
  log=$build/$test.tsan
  code=0
  "${run[@]}" $build/bin/hmrnn_tests -# "[#$test]" > "$log" 2>&1 || code=$?
  races=$(grep -c '^WARNING: ThreadSanitizer' "$log") || true
  echo "tsan: $test, $OMP_NUM_THREADS threads: $races races, exit code $code; $(tail -n 3 "$log" | grep -E 'passed|failed' || tail -n 1 "$log")"
  if [ "$code" != 0 ] || grep -q 'No tests ran' "$log"; then failed+=("$log"); fi
done
[ ${#failed[@]} = 0 ] || { echo "tsan: see ${failed[*]}" >&2; exit 1; }
