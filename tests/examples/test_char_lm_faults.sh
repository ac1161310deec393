#!/usr/bin/env bash
# Tests char_lm with damaged and malicious files, lost output, closed descriptors and senseless options.
set -euo pipefail

# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm

"$bin" train $small --out run --steps 4 > train.txt
model=run/best/model.safetensors

# ---------------------------------------------------------------- checksums
"$bin" eval run --json --verbose > eval.json 2> verbose.txt
grep -q 'best/model.safetensors, step 4, checksums verified' verbose.txt || fail "--verbose says: $(cat verbose.txt)"
cp $model old.safetensors
edit old.safetensors ''
"$bin" eval old.safetensors --json --verbose > old.json 2> verbose.txt || fail "a model without checksums"
cmp eval.json old.json || fail "a model without checksums scores differently"
grep -q 'without checksums' verbose.txt || fail "--verbose says: $(cat verbose.txt)"
"$bin" eval old.safetensors > /dev/null 2> quiet.txt && [ ! -s quiet.txt ] || fail "without --verbose: $(cat quiet.txt)"
for change in 'meta["slope"] = 2.0' 'meta["boundary"] = "soft"' 'meta["vocabulary"].reverse()' 'data[17] ^= 1'; do
  cp $model changed.safetensors
  edit changed.safetensors "$change" keep
  refuse "checksum" eval changed.safetensors
  refuse "checksum" sample changed.safetensors
done
cp -r run changed
edit changed/last/state.safetensors 'data[40] ^= 1' keep
refuse "checksum" train --out changed --resume --steps 5

# ---------------------------------------------------------------- metadata
for change in 'meta["zoneout"] = 0.1' 'meta["kind"] = "speech"' 'meta["format"] = 2' 'meta["slope"] = -1'; do
  cp $model changed.safetensors
  edit changed.safetensors "$change"
  refuse "changed.safetensors" eval changed.safetensors
done
for key in kind format vocabulary hidden_sizes slope corpus; do # nested too deep for the stack
  cp $model deep.safetensors
  edit deep.safetensors "meta['$key'] = 'DEEP'"
  python3 - << 'PY'
import struct
raw = open("deep.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
text = raw[8:8 + size].replace(b'\\"DEEP\\"', b"[" * 200000 + b"]" * 200000)
open("deep.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + size:])
PY
  refuse "not a JSON object" eval deep.safetensors
done
# An older run lacks options, a newer one has unknown ones.
cp -r run older
cp run/best/model.safetensors endless.safetensors
edit endless.safetensors 'meta["corpus"]["length"] = 10**15'
refuse "must be 1 to 1000000000 characters, not 1000000000000000" eval endless.safetensors
edit older/last/state.safetensors 'del meta["run"]["options"]["dropout"]'
"$bin" train --out older --resume --steps 5 > older.txt || fail "a run from before an option"
grep -q "does not name --dropout: .* now '0'" older.txt || fail "nothing is said of the missing option: $(cat older.txt)"
cp -r run newer
edit newer/last/state.safetensors 'meta["run"]["options"]["zoneout"] = "0.1"'
refuse "--zoneout, which this version does not know" train --out newer --resume --steps 5

# ---------------------------------------------------------------- export
"$bin" export run --dtype bfloat16 --out small.safetensors > export.txt
grep -q '^small.safetensors: .* weights, bfloat16' export.txt || fail "export says: $(cat export.txt)"
"$bin" export run --out whole.safetensors > /dev/null
python3 - << 'EOF' || fail "the exported models are not what they should be"
import json, struct
def read(name):
    data = open(name, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    return header.pop("__metadata__"), header, data[8 + size:]
meta, header, data = read("run/best/model.safetensors")
whole_meta, whole, whole_data = read("whole.safetensors")
assert whole == header and whole_data == data and set(meta) == set(whole_meta) == {"hmrnn", "hmrnn.xxh3"}
small_meta, small, small_data = read("small.safetensors")
assert json.loads(small_meta["hmrnn"]) == json.loads(meta["hmrnn"])
assert list(small) == list(header) and all(e["dtype"] == "BF16" and e["shape"] == header[n]["shape"] for n, e in small.items())
assert 2 * len(small_data) == len(data)
for name, entry in header.items():  # round to nearest, ties to even
    wide = struct.unpack(f"<{(entry['data_offsets'][1] - entry['data_offsets'][0]) // 4}I", data[slice(*entry["data_offsets"])])
    narrow = struct.unpack(f"<{len(wide)}H", small_data[slice(*small[name]["data_offsets"])])
    assert all(n == (w + 0x7fff + (w >> 16 & 1)) >> 16 for w, n in zip(wide, narrow)), name
EOF
"$bin" eval whole.safetensors --json > whole.json
cmp eval.json whole.json || fail "the exported model scores differently"
"$bin" eval small.safetensors --json > small.json
python3 -c 'import json; a, b = (json.load(open(n))["bpc"] for n in ("eval.json", "small.json")); assert 0 < abs(a - b) < 0.02, (a, b)' ||
  fail "the model in bfloat16 scores: $(cat small.json)"
check "a model in bfloat16 samples" "$bin" sample small.safetensors --length 5
"$bin" export small.safetensors --out again.safetensors > /dev/null
"$bin" eval again.safetensors --json > again.json
cmp small.json again.json || fail "bfloat16 to float32 changes the model"
refuse "there is such a file" export run --out whole.safetensors
refuse "must end in .safetensors" export run --out whole
refuse "dtype" export run --out new.safetensors --dtype float64
refuse "no model" export . --out new.safetensors
refuse "out is missing" export run
cp $model large.safetensors
edit large.safetensors 'data[0:4] = b"\xff\xff\x7f\x7f"'
refuse "too large for bfloat16" export large.safetensors --dtype bfloat16 --out new.safetensors

# ---------------------------------------------------------------- finite but useless weights
cp $model huge.safetensors
edit huge.safetensors 'data[:] = struct.pack("<f", 3e38) * (len(data) // 4)'
refuse "not finite" eval huge.safetensors
refuse "not finite" sample huge.safetensors
refuse "not finite" align huge.safetensors
refuse "not finite" report huge.safetensors --out new.html
printf 'mon\n' > mon.txt
stdin=mon.txt refuse "not finite" segment huge.safetensors

# ---------------------------------------------------------------- standard streams
# lost WORDS COMMAND: bash runs the command, which must exit with 2 and print WORDS on stderr ('-': not checked).
lost() {
  local words=$1 code=0
  shift
  bash -c "$*" > /dev/null 2> .err < /dev/null || code=$?
  [ "$code" = 2 ] || fail "$*: exit code $code, not 2: $(head -3 .err)"
  [ "$words" = - ] || grep -q "$words" .err || fail "$*: stderr says: $(cat .err)"
}
for command in "--help" "--version" "train --help" "eval run" "eval run --json" "sample run --length 20" "segment run" \
  "segment run --json" "align run" "align run --json" "export run --out lost.safetensors"; do
  rm -f lost.safetensors
  lost "standard output" "'$bin' $command > /dev/full < mon.txt"
done
lost "standard output" "'$bin' eval run >&-"
lost - "'$bin' eval nothing 2> /dev/full"
lost - "'$bin' eval nothing 2>&-"
lost "standard input" "'$bin' segment run < ."
lost "standard input" "'$bin' segment run <&-"
lost "line 1 of the input is longer than 64 MiB" "'$bin' segment run < /dev/zero"
# Training continues without its output, and writes into no other file.
lost "standard output" "'$bin' train $small --out closed --steps 4 --log-every 1 <&- >&-"
json closed/metrics.jsonl '[r["step"] for r in rows if r["event"] == "train"] == [1, 2, 3, 4]'
cmp closed/last/model.safetensors run/last/model.safetensors || fail "a training without its output ends otherwise"

# ---------------------------------------------------------------- untrusted text on a terminal
python3 -c '
import sys
sys.stdout.buffer.write(b"a\x1b\x80[31m \xc2\x9b31m\xe2\x80\xae\xff \xc3\xa4\xf0\x9f\x99\x82 \xed\xa0\x80 \x7f\n" * 300)' > odd.txt
"$bin" train $small --corpus odd.txt --out odd --steps 2 > /dev/null
"$bin" train $small --corpus "$work/odd.txt" --test-file "$work/odd.txt" --out paths --steps 1 > /dev/null
"$bin" export paths --out no_paths.safetensors > /dev/null
grep -q "$work" paths/last/model.safetensors && ! grep -q "$work" no_paths.safetensors || fail "an exported model names folders"
"$bin" eval no_paths.safetensors --json > /dev/null || fail "an exported model does not find the texts beside it"
# Characters that could move a terminal's cursor are escaped, though JSON does not require it of these.
printf 'a\x1b[\xc2\x9b31m\x7f\xe2\x80\xae\xc3\xa4\n' | "$bin" segment odd --json > controls.json
grep -qF '"text":"a\u001b[\u009b31m\u007f\u202eä"' controls.json || fail "JSON with control characters: $(cat -v controls.json)"
head -n 1 odd.txt | "$bin" segment odd > segment.txt
python3 - << 'EOF' || fail "segment lets through what a terminal obeys"
text, marks = open("segment.txt", "rb").read().split(b"\n")[:2]
shown = text.decode()  # it must be valid UTF-8
expected = "    a \ufffd[31m  31m \ufffd \u00e4\U0001f642 \ufffd\ufffd\ufffd  "
assert shown == expected, shown
# The emoji takes two columns if utf8proc was found.
assert len(marks) - len(expected) in (0, 1), (len(marks), len(expected))
EOF
"$bin" sample odd --length 300 > sample.txt
python3 -c 'import pty, sys; pty.spawn(sys.argv[1:])' "$bin" sample odd --length 300 > terminal.txt
python3 - << 'EOF' || fail "sample lets through what a terminal obeys"
raw, shown = open("sample.txt", "rb").read(), open("terminal.txt", "rb").read()
assert b"\x1b" in raw and b"\xff" in raw, raw
shown = shown.replace(b"\r\n", b"\n").decode()  # it must be valid UTF-8
assert "\\x1b" in shown and "\\xff" in shown, shown
assert not any(ord(c) < 32 and c not in "\n\t" or 127 <= ord(c) < 160 or 0x2028 <= ord(c) <= 0x202e for c in shown), shown
back = shown.encode().decode("unicode_escape").encode("latin-1")  # the values of what was not shown
assert back == raw, (back, raw)
EOF
code=0
"$bin" eval $'no\x1b[31msuch\xff\nrun' > .out 2> .err || code=$?
[ "$code" = 2 ] && [ "$(wc -l < .err)" = 1 ] && grep -qF 'no\x1b[31msuch\xff run' .err ||
  fail "an error shows a name as it is: $(head -3 .err)"

# ---------------------------------------------------------------- files that are no corpora
mkfifo pipe
for file in /dev/zero pipe; do
  refuse "not a regular file" train $small --corpus $file --out new
  refuse "not a regular file" eval run --corpus $file
done
rm pipe
python3 - << 'EOF'
import bz2, gzip, lzma
text = open("odd.txt", "rb").read()
open("odd.txt.gz", "wb").write(gzip.compress(text))
open("odd.bz2", "wb").write(bz2.compress(text))
open("odd.packed", "wb").write(lzma.compress(text))
open("bomb.xz", "wb").write(lzma.compress(bytes(300 << 20), preset=0))
EOF
refuse "gzip" train $small --corpus odd.txt.gz --out new
refuse "bzip2" eval odd --corpus odd.bz2
refuse "must end in .xz" eval odd --corpus odd.packed
refuse "bomb.xz decompresses to more than 256 MiB and 200 times" eval run --corpus bomb.xz
truncate -s 1T sparse.txt
refuse "not enough memory for its 1099511627776 bytes" eval run --corpus sparse.txt
rm sparse.txt bomb.xz

# ---------------------------------------------------------------- options
for empty in "train --corpus" "train $small --out" "train $small --out new --preset" "eval run --split" "eval" "export run --out" "segment run"; do
  refuse "is empty" $empty ""
done
check "an empty --prime is the start of a line" "$bin" sample run --length 3 --prime ""
refuse "data-dir is for" train $small --data-dir nowhere --out new
refuse "data-dir is for" eval run --data-dir nowhere
refuse "data-dir is for" eval run --corpus odd.txt --data-dir nowhere
refuse "threads" train $small --out new --threads 4096
refuse "threads" eval run --threads 4096
# "link/.." is the folder above the one that the link leads to.
mkdir -p elsewhere/below
ln -s elsewhere/below link
cp odd.txt elsewhere/inner.txt
check "a corpus behind a link" "$bin" train $small --corpus link/../inner.txt --out linked --steps 1
# A text that moved, of which the run knows the contents.
sed "s/31m/13m/" odd.txt > other.txt
mv elsewhere/inner.txt elsewhere/moved.txt
refuse "inner.txt" train --out linked --resume --steps 2
refuse "is not the data that the run" train --out linked --resume --steps 2 --corpus other.txt
check "a resume with a text that moved" "$bin" train --out linked --resume --steps 2 --corpus elsewhere/moved.txt
cp -r linked unhashed
edit unhashed/last/state.safetensors 'del meta["run"]["contents"]'
refuse "no hash that would tell" train --out unhashed --resume --steps 3 --corpus odd.txt
check "a run from before the hash" "$bin" train --out unhashed --resume --steps 3
check "a resume with fewer streams" "$bin" train --out linked --resume --steps 3 --eval-streams 2
check "a resume that remembers where" "$bin" train --out linked --resume --steps 3
odd=$'odd\xff.txt' # a run stores its options as JSON text
cp odd.txt "$odd"
refuse "--corpus: '.*odd.xff.txt' is not UTF-8, in which a run stores its options" train --corpus "$odd" --steps 1 --out new
refuse "--valid-file: .* is not UTF-8" train --corpus odd.txt --valid-file "$odd" --steps 1 --out new
refuse "odd.xff.txt: its name is not UTF-8" segment run --json "$odd"
check "a folder whose name is not UTF-8" "$bin" train $small --steps 1 --out $'new\xff'
check "a page of a text whose name is not UTF-8" "$bin" report odd --corpus "$odd" --out page.html
for bad in "--clip 1e-300" "--lr 1e308" "--lr 1e-300" "--slope-rate 1e300" "--slope-max 1e300" \
  "--final-lr 1e300" "--weight-decay 1e300" "--plateau-factor 1e300" "--detector-norm-cap 1e-300" "--detector-norm-cap 1e39" "--boundary-bias 1e39" "--forget-bias -1e39" \
  "--norm-gain 1e39" "--update-cost 1e300"; do
  set -- $bad
  refuse "${1#--} $2" train $small --out new $bad
done
[ ! -e new ] || fail "a refused run was begun"

# ---------------------------------------------------------------- files beyond a limit
refuse_under "-f 4" "new.safetensors: cannot write: File too large" export run --out new.safetensors
# Outputs that would overwrite their inputs, and folders that do not exist, are refused before the work.
cp odd.txt odd.svg
cp odd.txt odd.html
refuse "odd.svg: this file is read, and would be overwritten" segment odd odd.svg --svg ./odd.svg
refuse "odd.html: this file is read" segment odd odd.txt odd.html --html odd.html
refuse "odd.html: this file is read" report odd --text odd.html --out odd.html
cp odd.txt own.html
"$bin" train $small --corpus own.html --out own --steps 1 > /dev/null
refuse "own.html: this file is read" report own --out own.html
refuse "own.html: this file is read" report own --corpus own.html,odd.txt --out own.html
mkdir folder.html
refuse "folder.html: this is not a regular file" segment odd odd.txt --html folder.html
refuse "there is no folder nowhere" report odd --out nowhere/page.html
refuse "there is no folder nowhere" export run --out nowhere/model.safetensors
rm odd.svg odd.html
# A wide character in lines of one column.
printf 'a\xf0\x9f\x99\x82\n' > wide.txt
check "a character wider than a line" timeout 60 "$bin" segment odd wide.txt --svg wide.svg --width 1
# Figures of a training that are subnormal.
cp -r run tiny
echo '{"event": "train", "step": 5, "loss": 1e-310}' >> tiny/metrics.jsonl
check "report of a subnormal loss" "$bin" report tiny --out tiny.html
refuse_under "-f 4" "new.html: cannot write: File too large" report run --out new.html

# ---------------------------------------------------------------- memory and CPUs
refuse_under "-v 9000000" "not enough memory: units 3000,3000, .* a window of an evaluation .* GB; a smaller --eval-streams needs less" train --corpus synthetic \
  --synthetic-length 4000000 --units 3000,3000 --embedding 16 --output-embedding 3000 --batch 2 --window 5 --eval-streams 1000000 --steps 1 --device cpu --out new
refuse "not enough memory: units 60000,60000,60000, batch 4, window 20 need at least .* GB .*; this process can have" \
  train $small --units 60000 --layers 3 --out new
refuse_under "-v 9000000" "not enough memory: .* need at least 1[0-9].* GB" train $small --units 5000 --layers 3 --out new
# The lower bound fits, the window's scratch memory does not.
code=0
(ulimit -v 4500000 && exec "$bin" train $small --synthetic-length 3000000 --units 32,32 --output-embedding 32 --batch 10000 --window 100 \
  --out crowded) > /dev/null 2> crowded.txt || code=$?
[ $code = 2 ] && grep -qx "char_lm: out of memory: hm_lstm 32,32, .* batch 10000, window 100, asked for [0-9]* bytes" crowded.txt ||
  fail "memory runs out within a window: exit code $code, $(cat crowded.txt)"
# 10^19 bytes, more than an int64_t counts
refuse "not enough memory: .* a window 9223508376.30 GB" train $small --units 16384 --layers 64 --batch 1048576 --window 1048576 --out new
[ ! -e new ] || fail "a run that memory does not hold was begun"
one_cpu=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')
env -u OMP_NUM_THREADS taskset -c "$one_cpu" "$bin" train ${small/--threads 1/} --out pinned --steps 1 > pinned.txt
grep -q ' 1 thread,' pinned.txt || fail "the affinity mask does not set the threads: $(cat pinned.txt)"
! grep -q 'threads auto' pinned.txt || fail "threads are chosen where there is one CPU"
# With several CPUs, train and eval start themselves again with short waits of OpenMP's threads, unless the user has set
# such a wait. libgomp prints its settings each time it is loaded.
check_spins() {  # what libgomp is to print, in one line; message; environment and command...
  local got
  got=$(env -u OMP_NUM_THREADS -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT OMP_DISPLAY_ENV=verbose "${@:3}" 2>&1 > /dev/null |
    sed -n "s/.*GOMP_SPINCOUNT = '\(.*\)'/\1/p" | xargs)
  [ "$got" = "$1" ] || fail "$2: it spins '$got' times, not '$1'"
}
env -u OMP_NUM_THREADS "$bin" train ${small/--threads 1/--threads 0} --out all --steps 1 > all.txt
if ! grep -q ' 1 thread,' all.txt; then
  default=300000 # libgomp's
  check_spins $default "a short command is not started again" "$bin" sample --help
  check_spins "$default 2000" "train" "$bin" train --help
  check_spins "$default 2000" "eval" "$bin" eval --help
  check_spins 0 "the user's wait" OMP_WAIT_POLICY=passive "$bin" train --help
  check_spins 77 "the user's spinning" GOMP_SPINCOUNT=77 "$bin" train --help
  check_spins $default "one thread" OMP_NUM_THREADS=1 "$bin" train --help
  check_spins $default "one CPU" taskset -c "$one_cpu" "$bin" train --help
  loader=$(readelf -l "$bin" | sed -n 's/.*interpreter: \(.*\)]/\1/p')
  check_spins $default "an argument of the dynamic loader is not started again" "$loader" "$bin" train --help
  # It keeps its name, by which pkill and top know it.
  env -u OMP_NUM_THREADS -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$bin" train ${small/--threads 1/--threads 2} --out named --steps 100000000 \
    --log-every 1 > named.txt 2>&1 &
  pid=$!
  for _ in $(seq 600); do grep -q '^step ' named.txt && break; sleep 0.05; done
  grep -qz '^GOMP_SPINCOUNT=2000$' /proc/$pid/environ || fail "the training was not started again: $(cat named.txt)"
  [ "$(cat /proc/$pid/comm)" = char_lm ] || fail "the process is called '$(cat /proc/$pid/comm)'"
  kill -s TERM $pid
  wait $pid || true
fi
# Where there are more, the default tries 1 to all of them; a resume keeps the choice, and timing has changed nothing.
if [ "$(env -u OMP_NUM_THREADS nproc)" -gt 1 ]; then
  env -u OMP_NUM_THREADS "$bin" train ${small/--threads 1/} --out chosen --steps 6 > chosen.txt || fail "--threads auto"
  grep -q ' up to [0-9]* threads' chosen.txt || fail "the first line does not name the most threads: $(cat chosen.txt)"
  threads=$(sed -n 's/^--threads auto: \([0-9]*\), a window takes .* ms (.* ms)$/\1/p' chosen.txt)
  [ -n "$threads" ] || fail "no choice of threads is named: $(cat chosen.txt)"
  env -u OMP_NUM_THREADS "$bin" train --out chosen --resume --steps 12 > resumed.txt || fail "a resume of --threads auto"
  ! grep -q 'threads auto' resumed.txt || fail "a resume chooses threads again: $(cat resumed.txt)"
  env -u OMP_NUM_THREADS "$bin" train ${small/--threads 1/--threads ${threads:-1}} --out given --steps 12 > given.txt
  cmp chosen/last/model.safetensors given/last/model.safetensors || fail "the choice of threads changes the run"
else
  echo "skipped: this process may use one CPU, so --threads auto has no choice"
fi

# ---------------------------------------------------------------- options without effect, signals at the start, hints
# no_effect REASON OPTIONS…: a training says that its last option, with a value, has no effect, and why.
no_effect() {
  local reason=$1
  shift
  rm -rf without
  "$bin" train $small "$@" --steps 1 --out without > without.txt || fail "train $*"
  grep -qF -- "${*: -2} has no effect: $reason" without.txt || fail "train $*: nothing says that the last option has no effect"
}
"$bin" train $small --steps 1 --out source > source.txt
! grep -q 'has no effect' source.txt || fail "an option without effect where there is none: $(cat source.txt)"
for option in "--target-rate 0.3" "--update-cost 0.1" "--detector-norm-cap 1" "--slope-rate 1" "--boundary bernoulli" "--boundary-bias 1"; do
  no_effect "--core lstm has no boundary detectors" --core lstm $option
done
no_effect "--boundaries clock:4 replaces the detectors" --boundaries clock:4 --target-rate 0.3
for option in "--norm-gain 0.5" "--init orthogonal" "--forget-bias 1"; do
  no_effect "the initial weights are those of --init-from" --init-from source $option
done
# A request to save that comes before the training does not end the program.
"$bin" train ${small/--synthetic-length 6000/--synthetic-length 3000000} --steps 1 --out early > /dev/null 2>&1 &
pid=$!
treated= # how SIGUSR1, signal 10, is treated before a run is there: Ign, not yet Cgt (caught)
for _ in $(seq 2000); do
  treated=$(sed -nE 's/^Sig(Ign|Cgt):.*[2367abef].{2}$/\1/p' /proc/$pid/status 2> /dev/null)
  [ -z "$treated" ] || break
  sleep 0.005
done
[ "$treated" = Ign ] || fail "SIGUSR1 during the start: '$treated', not ignored"
kill -s USR1 $pid 2> /dev/null || true
code=0
wait $pid || code=$?
[ "$code" = 0 ] || fail "SIGUSR1 during the start: exit code $code"
stdin=upper.txt
printf 'ABC\n' > upper.txt
refuse "not in the vocabulary (see --unknown)" segment source
stdin=
refuse "not in the vocabulary (see --unknown)" eval source --text upper.txt

finish
