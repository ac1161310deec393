# Shared by the tests of the programs (to be sourced): creates a folder for the test and defines checks that count
# failures instead of ending the script. Sets bin (the program $1), tests, work, failures, small (options of a
# small training; of handwriting without those of the corpus); `use` changes to another program, `finish` ends the
# script.
tests=$PWD/tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_NUM_THREADS=1
# use PROGRAM: sets program, bin and small.
use() {
  program=$1
  bin=${HMRNN_BIN_DIR:?the folder of the programs}/$1
  small="--batch 4 --threads 1 --device cpu --seed 3"
  case $program in
    char_lm) small="--corpus synthetic --synthetic-length 6000 --units 12,8 --embedding 6 --output-embedding 10 --window 20 $small" ;;
    handwriting)
      small="--units 10,8 --output-embedding 9 --mixtures 3 --window 60 --lr 0.003 $small"
      export HMRNN_CACHE=$work/cache
      ;;
  esac
}
use "$1"
# edit FILE CODE [keep]: changes a .safetensors file in place (edit_safetensors.py).
edit() { python3 "$tests/support/edit_safetensors.py" "$@"; }

failures=0
fail() {
  echo "FAILED: $program: $*" >&2
  failures=$((failures + 1))
}
# check WHAT COMMAND…: the command must succeed.
check() {
  local what=$1
  shift
  "$@" > /dev/null 2>&1 || fail "$what"
}
# Every file with its size and modification time.
snapshot() { find . -type f ! -name .out ! -name .err -printf '%p %s %T@\n' | sort; }
# refuse WORDS ARGUMENT…: the program must exit with 2, print nothing on stdout and one line with WORDS on stderr, and
# change no file. `stdin` may name its input.
refuse() {
  local words=$1 before after code=0
  shift
  before=$(snapshot)
  "$bin" "$@" > .out 2> .err < "${stdin:-/dev/null}" || code=$?
  after=$(snapshot)
  [ "$code" = 2 ] || fail "$* exits with $code, not 2: $(head -3 .err)"
  [ "$(wc -l < .err)" = 1 ] || fail "$*: stderr is not one line: $(cat .err)"
  [ ! -s .out ] || fail "$*: stdout is not empty: $(head -3 .out)"
  grep -qi -- "$words" .err || fail "$*: stderr does not say '$words': $(cat .err)"
  [ "$before" = "$after" ] || fail "$*: files have changed"
}
# refuse_under LIMIT WORDS ARGUMENT…: `refuse` under `ulimit LIMIT`.
refuse_under() {
  local limit=$1
  shift
  (
    failures=0
    ulimit $limit
    refuse "$@"
    [ "$failures" = 0 ]
  ) || fail "under ulimit $limit"
}
# json FILE EXPRESSION: EXPRESSION over `rows`, the file's lines as JSON, must be true.
json() {
  python3 - "$1" "$2" << 'PYTHON' || fail "$1: $2"
import json, math, sys
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
sys.exit(0 if eval(sys.argv[2]) else 1)
PYTHON
}
# begin OUT: starts a long training in the background, $pid, with its output in signal.txt, and waits for its 15th step.
begin() {
  : > signal.txt # the steps of the previous run must not be taken for this one's
  "$bin" train $small --out "$1" --steps 100000 --eval-every 40 --log-every 5 --checkpoint-every 100000 > signal.txt 2>&1 &
  pid=$!
  for _ in $(seq 600); do
    grep -q '^step 15 ' signal.txt && break
    sleep 0.1
  done
}
# ends CODE WHAT: the process $pid must end with CODE.
ends() {
  local code=0
  wait $pid || code=$?
  [ "$code" = "$1" ] || fail "$2: exit code $code, not $1"
}
# The last line of a test: reports the result.
finish() {
  [ "$failures" = 0 ] || { echo "$failures checks failed" >&2; exit 1; }
  echo "all checks passed"
}
