#!/usr/bin/env bash
# Training in several processes: the same losses as one process, output of the first process only, and the reaction of the
# others when one of them receives a signal to save or to end, hangs, or is killed. The test sets torchrun's variables itself;
# its last part uses torchrun, if there is one.
set -euo pipefail
# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm
state_step() {
  python3 - "$1/last/state.safetensors" << 'PYTHON'
import json, struct, sys
raw = open(sys.argv[1], "rb").read()
header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
print(json.loads(header["__metadata__"]["hmrnn"])["step"])
PYTHON
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

common="--corpus synthetic --synthetic-length 6000 --units 12,8 --embedding 6 --output-embedding 10 --batch 4 --window 20
  --threads 1 --device cpu --seed 3"
common=$(echo $common) # one line
# Without layer norm and hard boundaries, which turn a difference of one ulp into a large one.
smooth="$common --layer-norm off --boundary soft"

# start COMMAND…: starts two processes of one job in the background, $first and $second; their output is in 0.out, 0.err, 1.out, 1.err.
start() {
  local port rank
  port=$(free_port)
  for rank in 0 1; do
    : > $rank.out # the steps of the previous run must not be taken for this one's
    RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$@" > $rank.out 2> $rank.err &
    if [ $rank = 0 ]; then first=$!; else second=$!; fi
  done
}
# codes: waits for both and sets code to their exit codes.
codes() {
  local a=0 b=0
  wait "$first" || a=$?
  wait "$second" || b=$?
  code="$a $b"
}
together() {
  start "$@"
  codes
  [ "$code" = "0 0" ] || fail "$*: exit codes $code: $(cat 0.err 1.err)"
}
wait_for_step() { # wait_for_step N: waits until the first process has printed step N
  for _ in $(seq 600); do
    if grep -q "^step $1 " 0.out; then return; fi
    sleep 0.05
  done
  fail "step $1 did not come: $(cat 0.out 0.err 1.err)"
}
# alike RUN RUN BOUND: checks that the numbers in their records differ by at most BOUND, relative to 1 + |number|.
alike() {
  python3 - "$@" << 'PYTHON' || fail "$1 and $2 differ"
import json, sys
def records(run):
    out = []
    for line in open(run + "/metrics.jsonl"):
        record = json.loads(line)
        if record["event"] != "resume":
            out.append({k: v for k, v in record.items() if not k.endswith("_per_second")})
    return out
one, two, bound = records(sys.argv[1]), records(sys.argv[2]), float(sys.argv[3])
assert len(one) == len(two) > 0, (len(one), len(two))
worst = 0
def compare(a, b):
    global worst
    if isinstance(a, list):
        for x, y in zip(a, b, strict=True): compare(x, y)
    elif isinstance(a, float) and isinstance(b, float):
        worst = max(worst, abs(a - b) / (1 + abs(a)))
    else:
        assert a == b, (a, b)
for a, b in zip(one, two):
    assert a.keys() == b.keys(), (a, b)
    for key in a: compare(a[key], b[key])
print(f"{sys.argv[1]} and {sys.argv[2]}: {len(one)} records, worst difference {worst:.2g}")
assert worst <= bound, worst
PYTHON
}

# ---------------------------------------------------------------- the same training
"$bin" train $smooth --out one --steps 50 --log-every 1 --eval-every 20 > one.txt
together "$bin" train $smooth --out two --steps 50 --log-every 1 --eval-every 20
alike one two 1e-5
[ ! -s 1.out ] && [ ! -s 1.err ] || fail "the second process speaks: $(cat 1.out 1.err)"
grep -q '2 processes, the first one: cpu, 1 thread,' 0.out || fail "the first process does not say how many there are: $(head -3 0.out)"
[ "$(grep -c '^step' 0.out)" = "$(grep -c '^step' one.txt)" ] && [ "$(wc -l < 0.out)" = "$(wc -l < one.txt)" ] ||
  fail "the first process says something else than one alone: $(diff 0.out one.txt)"
cp -r two back && cp -r one on
"$bin" train --out back --resume --steps 70 > /dev/null || fail "one process cannot go on with a run of two"
together "$bin" train --out on --resume --steps 70
alike back on 1e-5

"${bin%/*}/handwriting" train --corpus synthetic --synthetic-lines 40 --units 8,6 --output-embedding 6 --mixtures 3 --batch 4 --boundary soft \
  --threads 1 --device cpu --steps 6 --log-every 1 --out ink_one > /dev/null
together "${bin%/*}/handwriting" train --corpus synthetic --synthetic-lines 40 --units 8,6 --output-embedding 6 --mixtures 3 --batch 4 --boundary soft \
  --threads 1 --device cpu --steps 6 --log-every 1 --out ink_two
alike ink_one ink_two 1e-4

# ---------------------------------------------------------------- what is refused
start "$bin" train $common --batch 5 --out odd
codes
[ "$code" = "2 2" ] && grep -q -- '--batch 5: cannot be shared evenly among 2 processes' 0.err || fail "a batch of 5 for two: $code, $(cat 0.err 1.err)"
[ "$(wc -l < 0.err)" = 1 ] && [ ! -e odd ] || fail "a batch of 5 for two: $(cat 0.err)"
start "$bin" train $common --out one --steps 60
codes
[ "$code" = "2 2" ] && grep -q "already holds a run" 0.err && grep -q "process 1 of 2.*the first one cannot go on" 1.err ||
  fail "a folder that holds a run: $code, $(cat 0.err 1.err)"
# One process resumes, the other would start.
port=$(free_port)
RANK=0 LOCAL_RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$bin" train --resume --out two --timeout 20 > 0.out 2> 0.err &
first=$!
RANK=1 LOCAL_RANK=1 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$bin" train $common --out two --timeout 20 > 1.out 2> 1.err &
second=$!
codes
[ "$code" = "2 2" ] && for rank in 0 1; do
  [ "$(wc -l < $rank.err)" = 1 ] && grep -q -- '--resume: 1 of 2 processes have it' $rank.err || code=unclear
done
[ "$code" = "2 2" ] || fail "one of two processes resumes: $code, $(cat 0.err 1.err)"
WORLD_SIZE=2 refuse "torchrun's RANK is needed" train $common --out odd
begin=$SECONDS
WORLD_SIZE=2 RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=$(free_port) refuse "process 0 of 2 found no group" train $common --out odd --timeout 1
[ $((SECONDS - begin)) -lt 10 ] || fail "a process that never comes is waited for $((SECONDS - begin)) s, not 1"
refuse "--timeout never: not a finite number" train $common --out odd --timeout never

# ---------------------------------------------------------------- a signal to one process is obeyed by all
start "$bin" train $common --out asked --steps 1000000 --checkpoint-every 1000000 --log-every 5
wait_for_step 10
kill -s USR1 "$second"
for _ in $(seq 200); do
  if grep -q '^step [0-9]*: saved$' 0.out; then break; fi
  sleep 0.05
done
saved=$(sed -n 's/^step \([0-9]*\): saved$/\1/p' 0.out)
[ -n "$saved" ] && [ "$(state_step asked)" = "$saved" ] || fail "SIGUSR1 to the second process: $(tail -n 2 0.out)"
kill -s TERM "$second"
codes
[ "$code" = "143 143" ] || fail "SIGTERM to the second process: exit codes $code: $(cat 0.err 1.err)"
grep -q "stopped by a signal after step $(state_step asked), saved" 0.out || fail "SIGTERM: $(tail -n 1 0.out)"
[ "$(state_step asked)" -gt "$saved" ] || fail "SIGTERM: the state is of step $(state_step asked)"

# ---------------------------------------------------------------- one process hangs
start "$bin" train $common --out hung --steps 1000000 --checkpoint-every 5 --log-every 5 --timeout 2
wait_for_step 10
kill -s STOP "$second"
begin=$SECONDS
a=0
wait "$first" || a=$?
[ "$a" = 2 ] && [ $((SECONDS - begin)) -lt 10 ] || fail "a process that hangs: exit code $a after $((SECONDS - begin)) s"
[ "$(wc -l < 0.err)" = 1 ] && grep -q "process 0 of 2 waited for the others, and one of them died or hung (timeout 2 s)" 0.err ||
  fail "a process that hangs: $(cat 0.err)"
kill -s KILL "$second"
wait "$second" 2> /dev/null || true
steps=$(($(state_step hung) + 5))
together "$bin" train --out hung --resume --steps $steps

# ---------------------------------------------------------------- one process is killed, and torchrun restarts all
python=${HMRNN_PYTHON:-${HMRNN_CACHE:-$HOME/.cache/hmrnn}/python-2.11.0/bin/python}
if ! [ -x "$python" ]; then
  echo "skipped: torchrun; there is no $python (tests/python/environment.sh makes it, 5 GB)"
  finish
  exit
fi
mkdir programs
printf '#!/bin/sh\nexec "%s" -m torch.distributed.run --local-addr 127.0.0.1 "$@"\n' "$python" > programs/torchrun
chmod +x programs/torchrun
export PATH=$PWD/programs:${bin%/*}:$PATH
# torchrun_train OPTION…: runs the documented command with these options.
documented=$(grep -m 1 '^torchrun --standalone' "$tests/../docs/many_machines.md")
torchrun_train() { exec ${documented/--preset ptb --data-dir DIR --out RUN/$*}; }
# Each process draws its own random numbers, so a resume must restore every process's generator.
long="$common --boundary bernoulli --dropout 0.2 --steps 600 --checkpoint-every 50 --log-every 10 --eval-every 400"
(torchrun_train $long --out calm) > calm.txt 2>&1 &
calm=$!
(torchrun_train $long --out struck) > struck.txt 2>&1 &
struck=$!
for _ in $(seq 1200); do
  if [ -s struck/metrics.jsonl ] && grep -q '"step":130,' struck/metrics.jsonl; then break; fi
  sleep 0.05
done
victim=$(pgrep -P $struck char_lm | tail -n 1)
[ -n "$victim" ] && kill -s KILL "$victim" || fail "there is no process to be killed: $(tail -n 5 struck.txt)"
wait $calm || fail "torchrun: $(tail -n 20 calm.txt)"
wait $struck || fail "torchrun, after a process was killed: $(tail -n 20 struck.txt)"
grep -q '^resumed at step [1-9]' struck.txt || fail "the job did not go on from its checkpoint: $(tail -n 20 struck.txt)"
cmp calm/last/model.safetensors struck/last/model.safetensors || fail "the job that lost a process has other weights"
cmp calm/best/model.safetensors struck/best/model.safetensors || fail "the job that lost a process has another best model"
alike calm struck 0
# A signal to torchrun itself: all workers save after the same step and end, and the run goes on as if nothing had been.
for signal in INT TERM; do
  job=job_$signal
  (torchrun_train $long --out $job) > $job.txt 2>&1 &
  torchrun=$!
  for _ in $(seq 1200); do
    if [ -s $job/metrics.jsonl ] && grep -q '"step":130,' $job/metrics.jsonl; then break; fi
    sleep 0.05
  done
  kill -s $signal $torchrun
  code=0
  wait $torchrun || code=$?
  step=$(state_step $job)
  [ "$code" != 0 ] && [ "$step" -ge 130 ] && [ "$step" -lt 600 ] && grep -q "stopped by a signal after step $step, saved" $job.txt ||
    fail "SIG$signal to torchrun: exit code $code, saved at step $step: $(tail -n 5 $job.txt)"
  (torchrun_train --resume --out $job) > $job.again.txt 2>&1 || fail "after SIG$signal to torchrun: $(tail -n 5 $job.again.txt)"
  cmp calm/last/model.safetensors $job/last/model.safetensors || fail "SIG$signal to torchrun changes the weights"
  alike calm $job 0
done
# A death right after the first save, before anything else: the restarted job resumes this run, as it is its own.
cat > die.c << 'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
/* Once: kills the process that has just put the first state of a run into place. */
int rename(const char* from, const char* to) {
  int (*real)(const char*, const char*) = (int (*)(const char*, const char*))dlsym(RTLD_NEXT, "rename");
  int result = real(from, to);
  const char* end = strstr(to, "early/last/state.safetensors");
  if (result == 0 && end && open("died", O_CREAT | O_EXCL, 0600) >= 0) kill(getpid(), SIGKILL);
  return result;
}
C
"${CXX:-g++}" -x c -shared -fPIC -o die.so die.c -ldl || fail "the library that kills a process does not compile"
(export LD_PRELOAD=$PWD/die.so ASAN_OPTIONS=verify_asan_link_order=0; torchrun_train $long --out early) > early.txt 2>&1 || fail "a death after the first save: $(tail -n 20 early.txt)"
[ -e died ] || fail "no process died after the first save"
grep -q '^resumed at step 0' early.txt || fail "the job that died after its first save did not resume: $(tail -n 20 early.txt)"
cmp calm/last/model.safetensors early/last/model.safetensors || fail "a death after the first save changes the weights"

# None of torchrun's attempts (one and three restarts) may continue another job's run.
code=0
(torchrun_train $long --out calm) > other.txt 2>&1 || code=$?
[ "$code" != 0 ] && [ "$(grep -c 'already holds a run' other.txt)" = 4 ] || fail "another job continues a run: $(tail -n 5 other.txt)"
[ "$(state_step calm)" = 600 ] || fail "another job has changed a run"
finish
