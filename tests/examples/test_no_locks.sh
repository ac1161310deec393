#!/usr/bin/env bash
# On a file system without locks a run has no protection against a second process, and says so; with locks it does not.
set -euo pipefail
# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm
cat > no_locks.c << 'C'
#include <errno.h>
int flock(int descriptor, int operation) {
  (void)descriptor, (void)operation;
  errno = EOPNOTSUPP;
  return -1;
}
C
"${CC:-cc}" -shared -fPIC -o no_locks.so no_locks.c || fail "the library without locks does not compile"
train() { "$bin" train --corpus synthetic --synthetic-length 4000 --units 6,5 --batch 4 --window 20 --threads 1 --device cpu "$@"; }
warning="run: this file system has no locks: nothing keeps another process out of this run"

LD_PRELOAD=$PWD/no_locks.so train --steps 2 --out run > out 2>&1 || fail "a training without locks: $(cat out)"
[ "$(grep -cF "$warning" out)" = 1 ] || fail "a start without locks says nothing: $(cat out)"
LD_PRELOAD=$PWD/no_locks.so "$bin" train --out run --resume --steps 4 > out 2>&1 || fail "a resume without locks: $(cat out)"
[ "$(grep -cF "$warning" out)" = 1 ] || fail "a resume without locks says nothing: $(cat out)"
"$bin" train --out run --resume --steps 6 > out 2>&1 || fail "a resume with locks: $(cat out)"
if grep -q "no locks" out; then fail "locks are said to be missing: $(cat out)"; fi
finish
