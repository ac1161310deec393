#!/usr/bin/env bash
# The command of docker/compose.yaml, without a container: it passes SIGTERM on to the training, which saves and ends; the
# same command resumes the run, and then evaluates the averaged weights of the best validation.
set -euo pipefail
compose=$PWD/docker/compose.yaml
# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm
# The block of the command without its indentation; compose writes $$ for $.
awk '/^    - \|$/ { inside = 1; next } inside && !/^      / { exit } inside { print substr($0, 7) }' "$compose" |
  sed -e 's/\$\$/$/g' -e "s|/runs/|$work/runs/|g" > command
grep -q 'train --out' command || { echo "FAILED: there is no command in $compose"; exit 1; }
mkdir runs
export PATH=${bin%/*}:$PATH PROGRAM=char_lm RUN=ptb
export DATA="--corpus synthetic --synthetic-length 6000 --units 12,8 --embedding 6 --output-embedding 10 --batch 4 --window 20
  --threads 1 --device cpu --steps 4000 --epochs 1000 --eval-every 100 --checkpoint-every 1000 --log-every 10"

sh command > out 2>&1 &
shell=$!
for _ in $(seq 600); do
  if [ -s runs/ptb/metrics.jsonl ] && grep -q '"step":30,' runs/ptb/metrics.jsonl; then break; fi
  sleep 0.05
done
kill -s TERM $shell
code=0
wait $shell || code=$?
[ "$code" != 0 ] || fail "the command ends with 0 after SIGTERM"
saved=$(sed -n 's/^stopped by a signal after step \([0-9]*\), saved.*/\1/p' out)
[ -n "$saved" ] && [ "$saved" -ge 30 ] || fail "SIGTERM to the shell does not reach the training: $(tail -n 3 out)"
if grep -qasF "$work/runs" /proc/[0-9]*/cmdline; then fail "a training is left behind"; fi
if grep -q "^test" out; then fail "a training that was stopped is evaluated"; fi

sh command > again 2>&1 || fail "the same command again: $(tail -n 3 again)"
grep -q "^resumed at step $saved$" again || fail "the same command does not resume: $(cat again)"
[ -e runs/ptb/best_ema/model.safetensors ] || fail "the preset has no averaged weights"
figure() { grep -oE '[0-9.]+ bits per character' "$1" | tail -n 1; }
char_lm eval runs/ptb/best_ema --split test > averaged 2>&1 || fail "eval"
[ -n "$(figure averaged)" ] && [ "$(figure again)" = "$(figure averaged)" ] ||
  fail "the averaged weights are not evaluated: $(figure again), $(figure averaged)"
finish
