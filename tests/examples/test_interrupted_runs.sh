#!/usr/bin/env bash
# Tests interrupted runs, and states from which a run cannot resume: nothing is lost or overwritten, and the folder can
# be used for a resume or a new run.
set -euo pipefail

# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm

state_step() { edit "$1/last/state.safetensors" 'print(meta["step"])' keep; }
# enter PROGRAM: what follows tests this program, in its own folder. Sections without it test char_lm.
enter() {
  use "$1"
  [ "$1" = char_lm ] || small="--synthetic-lines 60 $small"
  mkdir -p "$work/$1"
  cd "$work/$1"
}

# ---------------------------------------------------------------- a run killed before its first save
for each in handwriting char_lm; do
  enter $each
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
done

# ---------------------------------------------------------------- signals
begin hung_up
kill -s HUP $pid # the shell and the kernel send one each when a terminal is closed
kill -s HUP $pid
ends 129 SIGHUP
stopped=$(state_step hung_up)
[ "$stopped" -ge 15 ] && grep -q "after step $stopped, saved" signal.txt || fail "SIGHUP: the state is of step $stopped: $(tail -1 signal.txt)"

begin out_of_time
kill -s XCPU $pid
ends 152 SIGXCPU
[ "$(state_step out_of_time)" -ge 15 ] || fail "SIGXCPU: the state is of step $(state_step out_of_time)"

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
# Also if the step prints more before the save: a record and two lines of an evaluation.
set +o pipefail
"$bin" train $small --out chatty --steps 100000 --log-every 1 --eval-every 1 --ema 0.9 --checkpoint-every 100000 | head -n 6 > /dev/null
codes=("${PIPESTATUS[@]}")
set -o pipefail
[ "${codes[0]}" = 141 ] || fail "a reader that leaves a run of many messages: exit code ${codes[0]}, not 141"
[ "$(state_step chatty)" -ge 1 ] || fail "a reader that leaves a run of many messages: the state is of step $(state_step chatty)"

# Without a standard error, its descriptor must not become that of a file of the run.
for each in handwriting char_lm; do
  enter $each
  : > unheard.txt
  "$bin" train $small --out unheard --steps 100000 --log-every 5 --checkpoint-every 100000 > unheard.txt 2>&- &
  pid=$!
  for _ in $(seq 600); do
    grep -q '^step 5 ' unheard.txt && break
    sleep 0.1
  done
  [ "$(readlink /proc/$pid/fd/2)" = /dev/null ] || fail "2>&-: descriptor 2 is '$(readlink /proc/$pid/fd/2)'"
  kill -s TERM $pid
  ends 143 '2>&-'
  json unheard/metrics.jsonl "[r['step'] for r in rows if r['event'] == 'train'] == list(range(5, $(state_step unheard) + 1, 5))"
done

# A second Ctrl-C ends the process at once, without the save that the first one requested: the steps are long.
"$bin" train --corpus synthetic --synthetic-length 200000 --units 256,256,256 --batch 64 --window 300 --threads 1 --device cpu --steps 1000 --log-every 1 \
  --checkpoint-every 100000 --out insisted > insisted.txt 2>&1 &
pid=$!
for _ in $(seq 600); do grep -q '^step 1 ' insisted.txt && break; sleep 0.1; done
kill -s INT $pid
sleep 0.1
kill -s INT $pid 2> /dev/null || true
ends 130 "SIGINT twice"
! grep -q saved insisted.txt || fail "SIGINT twice: the run was saved: $(tail -n 1 insisted.txt)"
[ "$(state_step insisted)" = 0 ] || fail "SIGINT twice: the state is of step $(state_step insisted)"

# ---------------------------------------------------------------- states that are not finite
spoil() { # spoil TENSOR BYTES: overwrites the first number of TENSOR in the run `spoilt`
  rm -rf spoilt
  cp -r limited spoilt
  edit spoilt/last/state.safetensors "at = header['$1']['data_offsets'][0]; data[at:at + 4] = $2"
}
for each in handwriting char_lm; do
  enter $each
  tensors="model.output.gates adam.exp_avg_sq.output.gates"
  [ $each = handwriting ] || tensors="model.embedding.weight adam.exp_avg.embedding.weight adam.exp_avg_sq.output.gates"
  for tensor in $tensors; do
    spoil $tensor 'struct.pack("<f", float("nan"))'
    refuse "tensor $tensor has values that are not finite" train --out spoilt --resume --steps 9
    spoil $tensor 'struct.pack("<f", float("-inf"))'
    refuse "tensor $tensor has values that are not finite" train --out spoilt --resume --steps 9
  done
  spoil adam.exp_avg_sq.output.gates 'struct.pack("<f", -1.0)'
  refuse "adam.exp_avg_sq.output.gates has negative values" train --out spoilt --resume --steps 9
done

# A run whose every gradient norm is above --skip-norm ends; its resume has the limit too, or another one.
above="^char_lm: 3 updates in a row up to step [36] were skipped: .*, or the gradient's norm is above 1e-06 "
code=0
"$bin" train $small --out above --steps 4 --max-skipped 3 --skip-norm 1e-6 > /dev/null 2> .err || code=$?
[ "$code" = 2 ] && grep -q "$above" .err || fail "--skip-norm: exit code $code: $(cat .err)"
code=0
"$bin" train --out above --resume --steps 7 > /dev/null 2> .err || code=$?
[ "$code" = 2 ] && grep -q "$above" .err || fail "--skip-norm after a resume: exit code $code: $(cat .err)"
"$bin" train --out above --resume --steps 7 --skip-norm 0 > /dev/null || fail "--resume --skip-norm 0: exit code $?"

# The state of step 8 gets weights that are too large for any loss; the state of step 5 is kept.
"$bin" train $small --out cured --steps 8 --checkpoint-every 5 --log-every 1 --recover on --max-skipped 3 > /dev/null
[ -e cured/recover/state.safetensors ] || fail "--recover on keeps no state to go back to"
edit cured/last/state.safetensors "begin, end = header['model.output.softmax.weight']['data_offsets']
data[begin:end] = b''.join(struct.pack('<f', 3e38 if i * 7 // 5 % 3 else -3e38) for i in range((end - begin) // 4))"
cp -r cured incurable
"$bin" train --out cured --resume --steps 14 > cured.txt || fail "--recover: exit code $?: $(cat cured.txt)"
grep -q '^step 11: 3 updates in a row were skipped.*; back to step 5, learning rate 0.001$' cured.txt || fail "--recover says: $(cat cured.txt)"
grep -q '^done: 14 steps.*, once back to a checkpoint at half the learning rate, 3 updates skipped$' cured.txt || fail "--recover ends: $(tail -n 1 cured.txt)"
json cured/metrics.jsonl '[(r["step"], r["lr"]) for r in rows if r["event"] == "train"] == [(s, 0.002 if s <= 5 else 0.001) for s in range(1, 15)]'
json cured/metrics.jsonl '[(r["step"], r["from"]) for r in rows if r["event"] == "recover"] == [(5, 11)]'
[ ! -e cured/recover ] || fail "--recover leaves $(find cured/recover)"
code=0
"$bin" train --out incurable --resume --steps 14 --recover off > /dev/null 2> .err || code=$?
[ "$code" = 2 ] && grep -q '^char_lm: 3 updates in a row up to step 11 were skipped' .err || fail "--recover off: exit code $code: $(cat .err)"

# ---------------------------------------------------------------- kept states, and saves by time
for each in handwriting char_lm; do
  enter $each
  "$bin" train $small --out kept --steps 23 --eval-every 40 --log-every 5 --checkpoint-every 5 --keep 3 > /dev/null
  [ "$(ls kept/kept | tr '\n' ' ')" = "00000015 00000020 00000023 " ] || fail "--keep 3 keeps $(ls kept/kept | tr '\n' ' ')"
  cp kept/last/model.safetensors final.safetensors
  sha256sum kept/kept/*/* > kept.sums
  cp kept/kept/00000015/* kept/last/ # into the existing files
  sha256sum --check --quiet kept.sums > /dev/null 2>&1 || fail "a copy to last/ changes what was kept"
  "$bin" eval kept/kept/00000015/model.safetensors --json > /dev/null || fail "a state that was kept has no model"
  "$bin" train --out kept --resume --steps 23 > /dev/null || fail "a state that was kept cannot be resumed"
  cmp final.safetensors kept/last/model.safetensors || fail "a state that was kept leads elsewhere"
  json kept/metrics.jsonl '[r["step"] for r in rows if r["event"] == "train"] == [5, 10, 15, 20]'
done
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
  rm -f full.txt # else the output of the run before can be taken for this one's
  "$bin" train $small --out "$out" --eval-every 40 --log-every 5 --checkpoint-every 20 "$@" > >(cat > full.txt) 2>&1 & # a pipe has no size limit
  pid=$!
  for _ in $(seq 600); do
    grep -qs '^step 25 ' full.txt && break
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
# saves_again OUT WHAT: the run $pid goes on to save beyond step $held, is ended by a signal after step $stopped, and has the
# weights of a run that WHAT has not disturbed.
saves_again() {
  for _ in $(seq 600); do
    [ "$(state_step "$1")" -gt "$held" ] && break
    sleep 0.1
  done
  kill -s TERM $pid
  ends 143 "after $2"
  stopped=$(state_step "$1")
  [ "$stopped" -gt "$held" ] || fail "nothing is saved after $2"
  "$bin" train $small --out "undisturbed_$1" --steps $stopped --eval-every 40 --log-every 5 --checkpoint-every 20 > /dev/null
  cmp "undisturbed_$1/last/model.safetensors" "$1/last/model.safetensors" || fail "$2 changes the training"
}
for each in handwriting char_lm; do
  enter $each
  begin_saving full --steps 100000
  hold_up $pid
  says 'records are kept and written later'
  says 'not saved: .*metrics.jsonl: cannot write: File too large; training goes on'
  held=$(state_step full)
  prlimit --pid $pid --fsize=unlimited
  saves_again full "a full disk"
  json full/metrics.jsonl "[r['step'] for r in rows if r['event'] == 'train'] == list(range(5, $stopped + 1, 5))"
done
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
# A folder that becomes read-only. Root may write whatever the permissions are, but not to a read-only mount, nor to
# immutable files.
froze=
freeze() { # freeze DIR
  if [ "$(id -u)" != 0 ]; then
    froze=permissions
    chmod -R a-w "$1"
  elif mount --bind "$1" "$1" 2> .err; then
    froze=mount
    for _ in $(seq 100); do # busy while the training has a file open for writing
      mount -o remount,bind,ro "$1" 2> .err && return
      sleep 0.02
    done
    fail "a folder cannot become read-only: $(cat .err)"
  elif chattr +i "$1/last" "$1/best" 2>> .err; then
    froze=attribute
  fi
}
thaw() { # thaw DIR
  case $froze in
    permissions) chmod -R u+w "$1" ;;
    mount) umount "$1" ;;
    attribute) chattr -i "$1/last" "$1/best" ;;
  esac
  froze=
}
mkdir unwritable unwritable/last unwritable/best
freeze unwritable
if [ -z "$froze" ]; then
  echo "skipped: a folder that becomes read-only (root, and neither mounts nor immutable files here: $(tail -n 1 .err))"
else
  thaw unwritable
  trap 'thaw frozen || true; rm -rf "$work"' EXIT
  begin_saving frozen --steps 100000
  freeze frozen
  says 'not saved: .*frozen/last/state.safetensors: .*\(Read-only file system\|Permission denied\|Operation not permitted\); training goes on'
  says 'the best model is not saved: .*frozen/best/model.safetensors: '
  held=$(state_step frozen)
  thaw frozen
  saves_again frozen "a folder that was read-only"
  # Read-only until the end: the exit code reports it, and the last successful save is not lost.
  rm -rf frozen
  begin_saving frozen --minutes 0.1
  freeze frozen
  code=0
  wait $pid || code=$?
  [ "$code" = 2 ] && grep -q 'frozen/last/.*\(Read-only file system\|Permission denied\|Operation not permitted\)' full.txt ||
    fail "an end in a read-only folder: exit code $code: $(tail -n 2 full.txt)"
  thaw frozen
  step=$(state_step frozen)
  "$bin" train --out frozen --resume --minutes 0 --steps $((step + 7)) > /dev/null || fail "no resume after a read-only folder"
fi

finish
