#!/usr/bin/env bash
# Tests interrupted runs, and states from which a run cannot resume: nothing is lost or overwritten, and the folder can
# be used for a resume or a new run.
set -euo pipefail

# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm
edit() { python3 "$tests/support/edit_safetensors.py" "$@"; }

small="--corpus synthetic --synthetic-length 6000 --units 12,8 --embedding 6 --output-embedding 10 --batch 4 --window 20
  --threads 1 --device cpu --seed 3"
small=$(echo $small) # one line
state_step() { edit "$1/last/state.safetensors" 'print(meta["step"])' keep; }

# ---------------------------------------------------------------- a run killed before its first save
mkdir -p dead/best dead/last
: > dead/metrics.jsonl
refuse "no run to resume" train --out dead --resume
"$bin" train $small --out dead --steps 2 > /dev/null || fail "a start that died before its first save wedges the folder"
printf '{"event":"train","step":1}\n' > other.jsonl
mkdir records && cp other.jsonl records/metrics.jsonl
refuse "already holds a run (metrics.jsonl)" train $small --out records
# Killed between the first state and the first model: a resume is possible.
mkdir -p half/last && cp dead/metrics.jsonl half/ && cp dead/last/state.safetensors half/last/
"$bin" train --out half --resume --steps 3 > /dev/null || fail "a state without a model beside it"

# A file larger than ulimit -f (SIGXFSZ) is an error, and the run does not hang.
code=0
(ulimit -f 4; exec "$bin" train $small --out limited --steps 2) > /dev/null 2> .err || code=$?
[ "$code" = 2 ] && grep -q 'limited/last/.*cannot write: File too large' .err || fail "ulimit -f: exit code $code: $(cat .err)"
"$bin" train $small --out limited --steps 2 > /dev/null || fail "a first save that failed wedges the folder"
cmp limited/last/model.safetensors dead/last/model.safetensors || fail "the second start makes another run"

# The next start removes temporary files of killed saves.
touch -d '1 hour ago' limited/last/.state.safetensors.tmp-0123abcd limited/best/.model.safetensors.tmp-89abcdef
"$bin" train --out limited --resume --steps 3 > /dev/null
[ -z "$(find limited -name '.*.tmp-*')" ] || fail "temporary files stay: $(find limited -name '.*.tmp-*')"

# ---------------------------------------------------------------- signals
# begin OUT: starts a long run in the background, $pid, and waits for its 15th step.
begin() {
  "$bin" train $small --out "$1" --steps 100000 --eval-every 40 --log-every 5 --checkpoint-every 100000 > signal.txt 2>&1 &
  pid=$!
  for _ in $(seq 600); do
    grep -q '^step 15 ' signal.txt && break
    sleep 0.1
  done
}
begin hung_up
kill -s HUP $pid
code=0
wait $pid || code=$?
[ "$code" = 129 ] || fail "SIGHUP: exit code $code, not 129"
stopped=$(state_step hung_up)
[ "$stopped" -ge 15 ] && grep -q "after step $stopped, saved" signal.txt || fail "SIGHUP: the state is of step $stopped: $(tail -1 signal.txt)"

begin saved
kill -s USR1 $pid
for _ in $(seq 100); do
  grep -q '^step [0-9]*: saved$' signal.txt && break
  sleep 0.1
done
saved=$(sed -n 's/^step \([0-9]*\): saved$/\1/p' signal.txt)
[ -n "$saved" ] && [ "$saved" -ge 15 ] || fail "SIGUSR1 saves nothing: $(tail -2 signal.txt)"
kill -s KILL $pid
wait $pid 2> /dev/null || true
[ "$(state_step saved)" = "$saved" ] || fail "SIGUSR1: the state is of step $(state_step saved), not $saved"
steps=$((saved + 3))
"$bin" train --out saved --resume --steps $steps > /dev/null || fail "a run that SIGUSR1 saved cannot be resumed"
"$bin" train $small --out whole --steps $steps --eval-every 40 --log-every 5 --checkpoint-every 100000 > /dev/null
cmp whole/last/model.safetensors saved/last/model.safetensors || fail "SIGUSR1 and a kill change the training"

# If the reader of the output exits, the run is saved and ends.
set +o pipefail
"$bin" train $small --out piped --steps 100000 --log-every 5 --checkpoint-every 100000 | head -n 4 > /dev/null
codes=("${PIPESTATUS[@]}")
set -o pipefail
[ "${codes[0]}" = 141 ] || fail "a reader that leaves: exit code ${codes[0]}, not 141"
[ "$(state_step piped)" -ge 5 ] || fail "a reader that leaves: the state is of step $(state_step piped)"

# ---------------------------------------------------------------- states that are not finite
spoil() { # spoil TENSOR BYTES: overwrites the first number of TENSOR in the run `spoilt`
  rm -rf spoilt
  cp -r whole spoilt
  edit spoilt/last/state.safetensors "at = header['$1']['data_offsets'][0]; data[at:at + 4] = $2"
}
for tensor in model.embedding.weight adam.exp_avg.embedding.weight adam.exp_avg_sq.output.gates; do
  spoil $tensor 'struct.pack("<f", float("nan"))'
  refuse "tensor $tensor has values that are not finite" train --out spoilt --resume --steps $((steps + 9))
  spoil $tensor 'struct.pack("<f", float("-inf"))'
  refuse "tensor $tensor has values that are not finite" train --out spoilt --resume --steps $((steps + 9))
done
spoil adam.exp_avg_sq.output.gates 'struct.pack("<f", -1.0)'
refuse "adam.exp_avg_sq.output.gates has negative values" train --out spoilt --resume --steps $((steps + 9))

# ---------------------------------------------------------------- kept states, and saves by time
"$bin" train $small --out kept --steps 23 --eval-every 40 --log-every 5 --checkpoint-every 5 --keep 3 > /dev/null
[ "$(ls kept/kept | tr '\n' ' ')" = "00000015 00000020 00000023 " ] || fail "--keep 3 keeps $(ls kept/kept | tr '\n' ' ')"
cp kept/last/model.safetensors final.safetensors
cp kept/kept/00000015/* kept/last/
"$bin" eval kept/kept/00000015/model.safetensors --json > /dev/null || fail "a state that was kept has no model"
"$bin" train --out kept --resume --steps 23 > /dev/null || fail "a state that was kept cannot be resumed"
cmp final.safetensors kept/last/model.safetensors || fail "a state that was kept leads elsewhere"
json kept/metrics.jsonl '[r["step"] for r in rows if r["event"] == "train"] == [5, 10, 15, 20]'
"$bin" train $small --out timed --steps 100000 --eval-every 100000 --checkpoint-every 100000 --checkpoint-minutes 0.005 > timed.txt 2>&1 &
pid=$!
for _ in $(seq 600); do
  [ -e timed/last/state.safetensors ] && [ "$(state_step timed)" -gt 0 ] && break
  sleep 0.1
done
kill -s KILL $pid
wait $pid 2> /dev/null || true
[ "$(state_step timed)" -gt 0 ] || fail "--checkpoint-minutes saves nothing"

# ---------------------------------------------------------------- data that differ from the run's
python3 -c '
import random
random.seed(1)
text = bytearray(random.choice(b"abcdefg ") for _ in range(6000))
open("text", "wb").write(text)
at = next(i for i in range(300, 400) if text[i] != text[i + 1])
text[at], text[at + 1] = text[at + 1], text[at]
open("swapped", "wb").write(text)'
own=$(sed 's/--corpus synthetic --synthetic-length 6000/--corpus text/' <<< "$small")
"$bin" train $own --out data --steps 3 > /dev/null
cp text whole_text && cp swapped text
refuse "its contents differ" train --out data --resume --steps 6
cp whole_text text
cp -r data older
edit older/last/state.safetensors 'assert len(meta["run"].pop("contents")) == 16'
"$bin" train --out older --resume --steps 6 > /dev/null || fail "a run from before there was a hash of the text"
"$bin" train --out data --resume --steps 6 > /dev/null || fail "the same text is taken for another one"
cmp data/last/model.safetensors older/last/model.safetensors || fail "the hash changes the training"

# ---------------------------------------------------------------- a full disk, a missing folder
# A file over the size limit fails as on a full disk, and the limit of a running process can be changed.
hold_up() { prlimit --pid "$1" --fsize=100:unlimited; }
begin_saving() { # begin_saving OUT [ARGUMENT...]
  local out=$1
  shift
  "$bin" train $small --out "$out" --eval-every 40 --log-every 5 --checkpoint-every 20 "$@" > >(cat > full.txt) 2>&1 & # a pipe has no size limit
  pid=$!
  for _ in $(seq 600); do
    grep -q '^step 25 ' full.txt && break
    sleep 0.1
  done
}
says() { # says WORDS: waits up to a minute for WORDS in the output
  for _ in $(seq 600); do
    grep -q "$1" full.txt && return
    sleep 0.1
  done
  fail "a full disk: '$1' is not said: $(tail -n 5 full.txt)"
}
begin_saving full --steps 100000
hold_up $pid
says 'records are kept and written later'
says 'not saved: .*metrics.jsonl: cannot write: File too large; training goes on'
held=$(state_step full)
prlimit --pid $pid --fsize=unlimited
for _ in $(seq 600); do
  [ "$(state_step full)" -gt "$held" ] && break
  sleep 0.1
done
kill -s TERM $pid
code=0
wait $pid || code=$?
[ "$code" = 143 ] || fail "a disk that was full for a while: exit code $code"
stopped=$(state_step full)
[ "$stopped" -gt "$held" ] || fail "nothing is saved after a disk was full"
json full/metrics.jsonl "[r['step'] for r in rows if r['event'] == 'train'] == list(range(5, $stopped + 1, 5))"
"$bin" train $small --out never_full --steps $stopped --eval-every 40 --log-every 5 --checkpoint-every 20 > /dev/null
cmp never_full/last/model.safetensors full/last/model.safetensors || fail "a full disk changes the training"
# Full until the end: the exit code reports it, and the last successful save can be resumed.
begin_saving fuller --minutes 0.1
hold_up $pid
code=0
wait $pid || code=$?
[ "$code" = 2 ] && grep -q 'fuller/.*cannot write: File too large' full.txt || fail "an end that is not saved: exit code $code: $(tail -n 2 full.txt)"
step=$(state_step fuller)
"$bin" train --out fuller --resume --minutes 0 --steps $((step + 7)) > /dev/null || fail "no resume after a full disk"
"$bin" train $small --out never_fuller --steps $((step + 7)) --eval-every 40 --log-every 5 --checkpoint-every 20 > /dev/null
cmp never_fuller/last/model.safetensors fuller/last/model.safetensors || fail "a resume after a full disk leads elsewhere"
# A folder that is missing for a while.
begin_saving away --steps 100000
mv away/last elsewhere
says 'not saved: .*away/last/state.safetensors: cannot open its folder'
mv elsewhere away/last
held=$(state_step away)
for _ in $(seq 600); do
  [ "$(state_step away)" -gt "$held" ] && break
  sleep 0.1
done
kill -s INT $pid
wait $pid || true
[ "$(state_step away)" -gt "$held" ] || fail "nothing is saved after the folder was away"

finish
