#!/usr/bin/env bash
# A test program that crashes prints its stack, so that a crash that cannot be repeated leaves in CI's output where it occurred.
set -euo pipefail
out=$("$HMRNN_BIN_DIR/hmrnn_tests" "[.fatal_signal]" 2>&1) && { echo "the test program did not crash"; exit 1; }
grep -q 'SIGSEGV' <<< "$out" || { echo "expected the signal's name in: $out"; exit 1; }
grep -qE 'frame #[0-9]+: __libc_start_main|#[0-9]+ 0x[0-9a-f]+ in main' <<< "$out" || { echo "expected a stack down to main in: $out"; exit 1; }
