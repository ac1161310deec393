#!/usr/bin/env bash
# Stress test of runs: SIGKILL at random moments, every signal, readers during a training.
#   tests/stress.sh [KILLS [SEED]]     default: 100 kills of each program, seed 1; takes about an hour
# HMRNN_BIN_DIR: the folder of the programs (default build/release/bin). The last lines report what was tried, and how
# often. tests/examples/test_stress.sh is a short form.
set -euo pipefail
kills=${1:-100}
RANDOM=${2:-1}
bin=$(realpath "${HMRNN_BIN_DIR:-build/release/bin}")
tests=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
work=$(mktemp -d)
trap 'jobs -p | xargs -r kill -s KILL 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export OMP_NUM_THREADS=1 HMRNN_CACHE=$work/cache
fail() { echo "FAILED: $*" >&2; exit 1; }

# Options with much state to resume: all kinds of random numbers, averaged weights, rolling streams, records between
# saves.
char_lm="char_lm train --corpus synthetic --synthetic-length 20000 --units 24,16 --embedding 8 --output-embedding 24 --batch 4
  --window 20 --boundary bernoulli --dropout 0.1 --weight-drop 0.1 --recurrent-dropout 0.1 --locked-dropout 0.1
  --embedding-dropout 0.1 --ema 0.99 --roll on --keep 3 --lr 0.005"
handwriting="handwriting train --synthetic-lines 60 --units 24,16 --output-embedding 24 --mixtures 3 --batch 4 --window 60
  --boundary bernoulli --dropout 0.1 --ema 0.99 --keep 3 --lr 0.003"
common="--threads 1 --device cpu --seed 5 --eval-every 60 --checkpoint-every 11 --log-every 3"
declare -A train=([char_lm]=$(echo $char_lm $common) [handwriting]=$(echo $handwriting $common))

step_of() { python3 "$tests/support/edit_safetensors.py" "$1/last/state.safetensors" 'print(meta["step"])' keep; }
# Checks that lines are valid JSON, steps rise, and nothing occurs twice; prints them without times.
records() {
  python3 - "$1" << 'PYTHON'
import json, sys
seen = set()
last = 0
for line in open(sys.argv[1], encoding="utf-8"):
    assert line.endswith("\n"), "a torn line: " + line
    record = json.loads(line)
    if record["event"] == "resume":  # not in a run that was not killed
        continue
    key = (record["event"], record["step"])
    assert key not in seen and record["step"] >= last, "twice or out of order: " + line
    seen.add(key)
    last = record["step"]
    print({k: v for k, v in record.items() if not k.endswith("_per_second")})
PYTHON
}
# same A B: checks that two runs of equal length are equal except for times.
same() {
  local file
  for file in last/model best/model best_ema/model; do
    cmp "$1/$file.safetensors" "$2/$file.safetensors" || fail "$2/$file is not that of a run that was not killed"
  done
  records "$1/metrics.jsonl" > a.txt || fail "$1/metrics.jsonl"
  records "$2/metrics.jsonl" > b.txt || fail "$2/metrics.jsonl"
  cmp a.txt b.txt || fail "the records differ: $(diff a.txt b.txt | head -n 4)"
  python3 - "$tests/support/edit_safetensors.py" "$1/last/state.safetensors" "$2/last/state.safetensors" << 'PYTHON' || fail "the states differ"
import struct, sys
def data(path):
    raw = open(path, "rb").read()
    return raw[8 + struct.unpack("<Q", raw[:8])[0]:]
sys.exit(data(sys.argv[2]) != data(sys.argv[3]))
PYTHON
}

# ---------------------------------------------------------------- SIGKILL
for program in char_lm handwriting; do
  run=killed_$program
  early=0 # killed before the first state
  for i in $(seq "$kills"); do
    if [ -e $run/last/state.safetensors ]; then how="$program train --resume --steps 100000000"; else how="${train[$program]} --steps 100000000"; fi
    "$bin"/$how --out $run > out.txt 2> err.txt &
    pid=$!
    # From within the start to some seconds of training. Saves are frequent enough to be interrupted.
    sleep "$((RANDOM % 3)).$(printf '%03d' $((RANDOM % 1000)))"
    kill -s KILL $pid 2> /dev/null || fail "kill $i: $program had ended by itself: $(cat err.txt)"
    wait $pid 2> /dev/null || true
    [ -e $run/last/state.safetensors ] || early=$((early + 1))
  done
  [ $early -lt "$kills" ] || fail "$program: every kill came before the first save, so no resume was tried"
  steps=0
  [ ! -e $run/last/state.safetensors ] || steps=$(step_of $run)
  steps=$(((steps / 60 + 1) * 60 + 7))
  how="$program train --resume --steps $steps"
  [ -e $run/last/state.safetensors ] || how="${train[$program]} --steps $steps"
  sleep 11 # so that the temporary files of the last kills count as left by a dead process
  "$bin"/$how --out $run > out.txt 2>&1 || fail "$program cannot go on after $kills kills: $(tail -n 3 out.txt)"
  "$bin"/${train[$program]} --steps $steps --out whole_$program > /dev/null
  same whole_$program $run
  [ -z "$(find $run -name '.*.tmp-*')" ] || fail "temporary files stay: $(find $run -name '.*.tmp-*')"
  [ "$(ls $run/kept | wc -l)" -le 3 ] || fail "--keep 3 keeps $(ls $run/kept)"
  echo "$program: $kills times SIGKILL ($early before the first save), $steps steps, every bit as in a run that was not killed"
done

# ---------------------------------------------------------------- signals
started() { # started PROGRAM OUT: starts a run in the background, $pid, and waits for some steps
  : > out.txt # here, since the shell in the background may do so only after the first look at the file
  "$bin"/${train[$1]} --steps 100000000 --checkpoint-every 100000000 --out "$2" > out.txt 2>&1 &
  pid=$!
  for _ in $(seq 600); do
    grep -q '^step 1[0-9] ' out.txt && return
    sleep 0.05
  done
  fail "no steps within half a minute: $(cat out.txt)"
}
rounds=$(((kills + 9) / 10))
for program in char_lm handwriting; do
  for round in $(seq "$rounds"); do
    for signal in INT:130 TERM:143 HUP:129; do
      run=${program}_${signal%:*}_$round
      started $program $run
      sleep "0.$(printf '%03d' $((RANDOM % 1000)))"
      kill -s ${signal%:*} $pid
      code=0
      wait $pid || code=$?
      [ $code = ${signal#*:} ] || fail "$program, SIG${signal%:*}: exit code $code, not ${signal#*:}"
      step=$(step_of $run)
      grep -q "after step $step, saved" out.txt || fail "$program, SIG${signal%:*}: the state is of step $step: $(tail -n 1 out.txt)"
      "$bin"/$program train --resume --steps $((step + 5)) --out $run > /dev/null || fail "$program, SIG${signal%:*}: no resume"
    done
    run=${program}_insisted_$round
    started $program $run
    kill -s STOP $pid # so that both signals are pending before the step ends
    kill -s INT $pid
    kill -s CONT $pid
    kill -s INT $pid 2> /dev/null || true
    code=0
    wait $pid || code=$?
    [ $code = 130 ] || fail "$program, SIGINT twice: exit code $code"
    run=${program}_asked_$round
    started $program $run
    for asked in 1 2 3; do
      kill -s USR1 $pid
      for _ in $(seq 200); do
        [ "$(grep -c '^step [0-9]*: saved$' out.txt)" -ge $asked ] && break
        sleep 0.05
      done
    done
    [ "$(grep -c '^step [0-9]*: saved$' out.txt)" = 3 ] || fail "$program, SIGUSR1 three times: $(grep saved out.txt)"
    kill -s KILL $pid
    wait $pid 2> /dev/null || true
    saved=$(sed -n 's/^step \([0-9]*\): saved$/\1/p' out.txt | tail -n 1)
    [ "$(step_of $run)" = "$saved" ] || fail "$program, SIGUSR1: the state is of step $(step_of $run), not $saved"
  done
  echo "$program: $rounds times SIGINT, SIGTERM, SIGHUP, SIGINT twice, and SIGUSR1 three times in one run"
done

# ---------------------------------------------------------------- readers during a training
declare -A sample=([char_lm]="char_lm sample --length 3" [handwriting]="handwriting draw --count 1 --points 3 --out sample.svg")
for program in char_lm handwriting; do
  busy=busy_$program
  "$bin"/${train[$program]} --checkpoint-every 1 --eval-every 2 --steps 100000000 --out $busy > out.txt 2>&1 &
  pid=$!
  for _ in $(seq 600); do [ -e $busy/best/model.safetensors ] && break; sleep 0.05; done
  reads=0
  for _ in $(seq $((kills + 4))); do
    "$bin"/${sample[$program]} $busy --seed $RANDOM > /dev/null 2> err.txt || fail "${sample[$program]} while a training writes: $(cat err.txt)"
    "$bin/$program" eval $busy/last/model.safetensors --json --verbose > /dev/null 2> err.txt || fail "$program eval while a training writes: $(cat err.txt)"
    grep -q 'checksums verified' err.txt || fail "$program eval reads: $(cat err.txt)"
    reads=$((reads + 2))
  done
  kill -s 0 $pid 2> /dev/null || fail "the training ended: $(tail -n 3 out.txt)"
  kill -s TERM $pid
  wait $pid || true
  echo "$program: $reads whole models read while $(step_of $busy) steps were saved one by one"
done
