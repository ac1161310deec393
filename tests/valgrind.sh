#!/usr/bin/env bash
# Runs a small training of each program with its saves under valgrind, which detects accesses out of bounds and blocks
# freed twice in our objects, LibTorch, oneDNN and the BLAS. By request: some minutes. HMRNN_BIN_DIR: the folder of the
# programs (default build/release/bin).
set -euo pipefail
command -v valgrind > /dev/null || { echo "valgrind.sh: valgrind is missing (Debian: apt-get install valgrind)" >&2; exit 2; }
bin=$(realpath "${HMRNN_BIN_DIR:-build/release/bin}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_NUM_THREADS=1 HMRNN_CACHE=$work/cache
common="--units 33,17 --output-embedding 31 --batch 5 --threads 1 --device cpu --lr 0.003 --steps 6 --eval-every 3 --checkpoint-every 2 --log-every 1"
# Uninitialised values are not checked, since the libraries' vector code reads whole registers; tests/guard checks them.
check() { # check PROGRAM ARGUMENT…
  local log=$1.log code=0
  valgrind --undef-value-errors=no --leak-check=no --error-exitcode=99 --log-file="$log" "$bin"/"$@" > "$1.out" 2>&1 || code=$?
  [ "$code" = 0 ] || { echo "valgrind.sh: $1: exit code $code"; head -n 60 "$log"; tail -n 5 "$1.out"; exit 1; }
  echo "$*: $(grep 'ERROR SUMMARY' "$log" | sed 's/^.*ERROR/ERROR/'); $(tail -n 1 "$1.out")"
}
check handwriting train --synthetic-lines 20 --mixtures 3 --window 29 --out ink $common
check char_lm train --corpus synthetic --synthetic-length 3000 --embedding 7 --window 13 --boundary bernoulli --dropout 0.1 \
  --weight-drop 0.1 --ema 0.9 --out text $common
