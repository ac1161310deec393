#!/usr/bin/env bash
# Runs examples/quickstart.sh from end to end, with 20 s of training on the synthetic corpus. Before that it runs the
# script with stubs instead of the build and the program: which corpus it chooses, and from which folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; cat "$work/out"; exit 1; }

tree=$work/tree
mkdir -p "$tree/examples" "$tree/cmake" "$tree/build/release/bin" "$work/stubs"
cp examples/quickstart.sh "$tree/examples/"
for stub in "$tree/cmake/bootstrap.sh" "$work/stubs/cmake"; do printf '#!/bin/sh\n' >"$stub"; done
printf '#!/bin/sh\ncat >/dev/null\necho "char_lm $*"\n' >"$tree/build/release/bin/char_lm"
chmod +x "$tree/cmake/bootstrap.sh" "$work/stubs/cmake" "$tree/build/release/bin/char_lm"
# chooses SOURCE [VARIABLE=VALUE …]: checks that `train` gets the options SOURCE.
chooses() {
  local expected=$1
  shift
  env -u HMRNN_DATA_DIR -u HMRNN_QUICKSTART_CORPUS HMRNN_QUICKSTART_MINUTES=2 HMRNN_QUICKSTART_OUT="$work/stub_run" \
    PATH="$work/stubs:$PATH" "$@" "$tree/examples/quickstart.sh" </dev/null >"$work/out" 2>&1 || fail "quickstart with stubs, $*: exit code $?"
  grep -qxF "char_lm train $expected --out $work/stub_run --minutes 2" <(sed 's/ --units .*//' "$work/out") ||
    fail "$*: not trained with $expected"
}
chooses "--corpus synthetic"
chooses "--corpus synthetic" HMRNN_DATA_DIR="$work/none"
mkdir -p "$tree/data/text8" "$work/corpora/ptb"
touch "$tree/data/text8/text8.zip"
chooses "--corpus text8 --data-dir data/text8"
chooses "--corpus text8 --data-dir data/text8" HMRNN_DATA_DIR="$work/none"
touch "$work/corpora/ptb/ptb.train.txt"
chooses "--corpus ptb --data-dir $work/corpora/ptb" HMRNN_DATA_DIR="$work/corpora"
mkdir "$tree/data/ptb"
touch "$tree/data/ptb/ptb.train.txt"
chooses "--corpus ptb --data-dir $work/corpora/ptb" HMRNN_DATA_DIR="$work/corpora"
chooses "--corpus ptb --data-dir data/ptb"
mkdir -p "$work/only_text8/text8"
touch "$work/only_text8/text8/text8.zip"
chooses "--corpus text8 --data-dir $work/only_text8/text8" HMRNN_DATA_DIR="$work/only_text8"
chooses "--corpus synthetic" HMRNN_QUICKSTART_CORPUS=synthetic
code=0
env HMRNN_QUICKSTART_CORPUS=text8 PATH="$work/stubs:$PATH" "$tree/examples/quickstart.sh" </dev/null >"$work/out" 2>&1 || code=$?
[ "$code" = 2 ] && grep -q "HMRNN_QUICKSTART_CORPUS is 'text8'" "$work/out" || fail "an unknown corpus: exit code $code"
echo "the corpus is found in HMRNN_DATA_DIR, else in data"

case $(realpath "${HMRNN_BIN_DIR:?}") in
  "$PWD/build/release/bin") ;;
  *) echo "skipped: the quickstart builds the preset release, which is not the one under test"; exit 0 ;;
esac

HMRNN_QUICKSTART_MINUTES=0.3 HMRNN_QUICKSTART_OUT=$work/run HMRNN_QUICKSTART_CORPUS=synthetic \
  examples/quickstart.sh >"$work/out" 2>&1 || fail "exit code $?"
for file in best/model.safetensors last/state.safetensors metrics.jsonl; do
  [ -s "$work/run/$file" ] || fail "no $file"
done
for word in "boundaries that a trained model" "200 characters drawn" "data/fetch.sh ptb downloads a real one" "training on synthetic" "bits per character of the test split" "300 characters drawn" "the boundaries"; do
  grep -qF "$word" "$work/out" || fail "no section '$word'"
done
[ "$(sed -n '/300 characters drawn/,/the boundaries/p' "$work/out" | wc -c)" -gt 300 ] || fail "no sample of 300 characters"
# A uniform distribution over the 21 symbols of the corpus has 4.4 bits.
bpc=$(grep -oE '[0-9]+\.[0-9]+ bits per character' "$work/out" | tail -n 1 | cut -d' ' -f1)
awk -v bpc="$bpc" 'BEGIN { exit !(bpc > 0 && bpc < 4) }' || fail "test split: '$bpc' bits per character"
echo "passed: $bpc bits per character"
