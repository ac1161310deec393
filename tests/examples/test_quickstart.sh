#!/usr/bin/env bash
# Runs examples/quickstart.sh from end to end, with 20 s of training on the synthetic corpus.
set -euo pipefail
case $(realpath "${HMRNN_BIN_DIR:?}") in
  "$PWD/build/release/bin") ;;
  *) echo "skipped: the quickstart builds the preset release, which is not the one under test"; exit 0 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; cat "$work/out"; exit 1; }

HMRNN_QUICKSTART_MINUTES=0.3 HMRNN_QUICKSTART_OUT=$work/run HMRNN_DATA_DIR=$work/none \
  examples/quickstart.sh >"$work/out" 2>&1 || fail "exit code $?"
for file in best/model.safetensors last/state.safetensors metrics.jsonl; do
  [ -s "$work/run/$file" ] || fail "no $file"
done
for word in "boundaries that a trained model" "200 characters drawn" "data/fetch.sh ptb brings real text" "training on synthetic" "bits per character of the test split" "300 characters drawn" "the boundaries"; do
  grep -qF "$word" "$work/out" || fail "no section '$word'"
done
[ "$(sed -n '/300 characters drawn/,/the boundaries/p' "$work/out" | wc -c)" -gt 300 ] || fail "no sample of 300 characters"
# A uniform distribution over the 21 symbols of the corpus has 4.4 bits.
bpc=$(grep -oE '[0-9]+\.[0-9]+ bits per character' "$work/out" | tail -n 1 | cut -d' ' -f1)
awk -v bpc="$bpc" 'BEGIN { exit !(bpc > 0 && bpc < 4) }' || fail "test split: '$bpc' bits per character"
echo "passed: $bpc bits per character"
