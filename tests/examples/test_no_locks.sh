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
"${CXX:-g++}" -x c -shared -fPIC -o no_locks.so no_locks.c || fail "the library without locks does not compile"
train() { "$bin" train --corpus synthetic --synthetic-length 4000 --units 6,5 --batch 4 --window 20 --threads 1 --device cpu "$@"; }
export ASAN_OPTIONS=verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS} # a sanitizer wants to be loaded first
warning="run: the folder cannot be locked (Operation not supported): nothing keeps another process out of this run"

LD_PRELOAD=$PWD/no_locks.so train --steps 2 --out run > out 2>&1 || fail "a training without locks: $(cat out)"
[ "$(grep -cF "$warning" out)" = 1 ] || fail "a start without locks says nothing: $(cat out)"
LD_PRELOAD=$PWD/no_locks.so "$bin" train --out run --resume --steps 4 > out 2>&1 || fail "a resume without locks: $(cat out)"
[ "$(grep -cF "$warning" out)" = 1 ] || fail "a resume without locks says nothing: $(cat out)"
"$bin" train --out run --resume --steps 6 > out 2>&1 || fail "a resume with locks: $(cat out)"
if grep -q "cannot be locked" out; then fail "locks are said to be missing: $(cat out)"; fi
finish
