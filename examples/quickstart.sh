#!/usr/bin/env bash
# From a bare machine to a trained HM-LSTM: sets up, builds, shows boundaries and text of the model in
# examples/pretrained, then trains a small character model for about two minutes on the best corpus available, evaluates it
# on the test split, samples from it and shows its boundaries.
#
#   HMRNN_QUICKSTART_MINUTES   training time in minutes (default 2)
#   HMRNN_QUICKSTART_OUT       folder of the run (default: the first unused of runs/quickstart, runs/quickstart-2, …)
#   HMRNN_DATA_DIR             folder of the corpora, searched before data (where data/fetch.sh stores them without it)
#   HMRNN_QUICKSTART_CORPUS    synthetic: a generated text, even where a corpus exists
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes=${HMRNN_QUICKSTART_MINUTES:-2}
folders=(${HMRNN_DATA_DIR:+"$HMRNN_DATA_DIR"} data)
char_lm=build/release/bin/char_lm

cmake/bootstrap.sh
cmake --preset release
cmake --build --preset release --target char_lm

# folder_of FOLDER PATTERN: the folder of a file that matches, FOLDER itself or one in it.
folder_of() { find -L "$1" -maxdepth 2 -type f -name "$2" -printf '%h\n' 2>/dev/null | sort | head -n 1 || true; }

corpus=synthetic
case ${HMRNN_QUICKSTART_CORPUS:-} in
  synthetic) folders=() ;;
  '') ;;
  *)
    echo "quickstart: HMRNN_QUICKSTART_CORPUS is '$HMRNN_QUICKSTART_CORPUS', but can only be synthetic" >&2
    exit 2
    ;;
esac
for folder in "${folders[@]}"; do
  for pattern in ptb.char.train.txt ptb.train.txt 'text8*'; do
    dir=$(folder_of "$folder" "$pattern")
    [ -n "$dir" ] || continue
    case $pattern in ptb*) corpus=ptb ;; *) corpus=text8 ;; esac
    break 2
  done
done
if [ "$corpus" = synthetic ]; then
  source=()
  prime=() # the synthetic language has no English words
else
  source=(--data-dir "$dir")
  prime=(--prime "the ")
fi

run=${HMRNN_QUICKSTART_OUT:-}
if [ -z "$run" ]; then
  run=runs/quickstart
  for ((n = 2; ; n++)); do
    [ -e "$run" ] || break
    run=runs/quickstart-$n
  done
fi

say() { printf '\n== %s\n' "$*"; }

pretrained=examples/pretrained/text8.safetensors
say "boundaries that a trained model ($pretrained) finds"
"$char_lm" segment "$pretrained" <<<"the history of the city begins in the middle ages"
say "200 characters drawn from it"
"$char_lm" sample "$pretrained" --prime "the history of " --length 200 --temperature 0.6 --seed 1
echo

[ "$corpus" != synthetic ] || say "the text is a generated one; data/fetch.sh ptb downloads a real one"

say "training on $corpus for $minutes minutes into $run"
"$char_lm" train --corpus "$corpus" "${source[@]}" --out "$run" --minutes "$minutes" \
  --units 128 --embedding 64 --output-embedding 128 --batch 64 --window 50 \
  --lr 0.002 --clip 1 --layer-norm on --boundary step --slope-rate 0 --seed 1

say "bits per character of the test split (64 streams)"
"$char_lm" eval "$run" --split test --streams 64

say "300 characters drawn from it"
"$char_lm" sample "$run" "${prime[@]}" --length 300 --temperature 0.8 --seed 1
echo

say "the boundaries that it found"
# Segments the longest line of a sample, whose characters are all in the model's vocabulary.
text=$("$char_lm" sample "$run" "${prime[@]}" --length 200 --temperature 0.5 --seed 2)
awk 'length > length(best) { best = $0 } END { print substr(best, 1, 100) }' <<<"$text" | "$char_lm" segment "$run"
