#!/usr/bin/env bash
# The memory of a training whose batches vary in shape must stay constant: lines of handwriting of all lengths, with
# evaluations and saves. Resident memory may rise by 2% from the first tenth of the time (at least 20 s, in which every shape
# has occurred) to the end.
#   tests/steady_memory.sh [SECONDS]     default: 28800, eight hours
# HMRNN_BIN_DIR: the folder of the programs (default build/release/bin). tests/examples/test_steady_memory.sh is a short
# form.
set -euo pipefail
seconds=${1:-28800}
bin=$(realpath "${HMRNN_BIN_DIR:-build/release/bin}")
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -s KILL $pid 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export HMRNN_CACHE=$work/cache
# Epochs take about a second, so each shape occurs many times within the first tenth.
"$bin/handwriting" train --synthetic-lines 80 --units 32,32,32 --output-embedding 32 --mixtures 5 --batch 3 --lr 0.001 --boundary bernoulli \
  --ema 0.99 --threads 1 --device cpu --steps 1000000000 --eval-every 40 --checkpoint-every 15 --keep 2 --out run > out.txt 2> err.txt &
pid=$!
resident() { awk '/^VmRSS/ { print $2 }' /proc/$pid/status; }
first=0 highest=0 samples=0
warm=$((seconds / 10 > 20 ? seconds / 10 : 20))
for _ in $(seq 600); do grep -q '^step 10 ' out.txt && break; sleep 0.1; done
begin=$SECONDS
while [ $((SECONDS - begin)) -lt "$seconds" ]; do
  sleep 0.5
  now=$(resident) || { echo "the training ended: $(cat err.txt)" >&2; exit 1; }
  [ -n "$now" ] || { echo "the training ended: $(cat err.txt)" >&2; exit 1; }
  if [ $((SECONDS - begin)) -lt $warm ]; then
    [ "$now" -le "$first" ] || first=$now
  else
    samples=$((samples + 1))
    [ "$now" -le "$highest" ] || highest=$now
  fi
done
last=$(resident)
kill -s TERM $pid
wait $pid || true
pid=
steps=$(sed -n 's/^stopped by a signal after step \([0-9]*\).*/\1/p' out.txt)
text="resident: at most $first KiB in the first $warm s of $seconds, $highest KiB after it ($samples samples), $last KiB at the end, $steps steps"
[ "$steps" -ge $((seconds * 2)) ] || { echo "too slow to tell anything: $text" >&2; exit 1; }
[ "$samples" -gt 0 ] || { echo "too short to tell anything: $text" >&2; exit 1; }
[ $((highest * 100)) -le $((first * 102)) ] || { echo "FAILED: $text" >&2; exit 1; }
echo "$text"
