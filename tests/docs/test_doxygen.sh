#!/usr/bin/env bash
# Runs Doxygen on the public headers: it must not warn, but must warn about a member without documentation.
set -euo pipefail
command -v doxygen >/dev/null || { echo "skipped: no doxygen"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; head -n 20 "$work/out"; exit 1; }

docs/doxygen.sh "$work/docs" >"$work/out" 2>&1 || fail "Doxygen warns"
# Options are members, holders are classes, and the page on the architecture opens the reference.
for page in structhmrnn_1_1HMLSTMOptions classhmrnn_1_1HMLSTM classhmrnn_1_1CharLMImpl index; do
  [ -s "$work/docs/html/$page.html" ] || fail "no page $page"
done
grep -q layer_norm "$work/docs/html/structhmrnn_1_1HMLSTMOptions.html" || fail "HMLSTMOptions shows no layer_norm"

cp -r hmrnn docs "$work"
sed -i 's|^  HMLSTMState detach() const;|  void without_a_word();\n&|; /The same values outside the graph/d' "$work/hmrnn/nn/hm_lstm_state.h"
if "$work/docs/doxygen.sh" "$work/worse" >"$work/out" 2>&1; then fail "an undocumented member goes unnoticed"; fi
grep -q "without_a_word.*is not documented" "$work/out" || fail "the undocumented member is not named"
echo "passed"
