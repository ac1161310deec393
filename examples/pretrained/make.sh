#!/usr/bin/env bash
# Makes a model like text8.safetensors: trains (about two hours on one core) and exports the averaged weights of the best
# validation in bfloat16. The same command resumes a training that was stopped.
#
#   examples/pretrained/make.sh DIR RUN FILE [OPTION …]
#
#   DIR      folder of text8, whole or its head (data/fetch.sh text8)
#   RUN      folder for the run
#   FILE     the model, FILE.safetensors; must not exist
#   OPTION   further options of `char_lm train`, which replace the ones below
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: make.sh DIR RUN FILE [OPTION …]" >&2; exit 2; }
data=$1 run=$2 file=$3
shift 3
char_lm=${HMRNN_BIN_DIR:-$(dirname "${BASH_SOURCE[0]}")/../../build/release/bin}/char_lm
[ ! -e "$file" ] || { echo "make: $file exists" >&2; exit 2; }

if [ -e "$run/last/state.safetensors" ]; then
  "$char_lm" train --out "$run" --resume
else
  options=(--units 256 --embedding 64 --output-embedding 256 --batch 32 --window 100 --epochs 5 --lr 0.002 --warmup 100
           --schedule cosine --final-lr 1e-5 --norm-gain 0.3 --target-rate "0.4,0.15" --roll on --ema 0.999 --threads 1
           --device cpu --seed 1 --log-every 20)
  # An option that is given twice is an error, so a default is added only if the caller does not give that option.
  train=("$@")
  for ((i = 0; i < ${#options[@]}; i += 2)); do
    case " $* " in *" ${options[i]} "*) ;; *) train+=("${options[i]}" "${options[i + 1]}") ;; esac
  done
  "$char_lm" train --corpus text8 --data-dir "$data" --out "$run" "${train[@]}"
fi
"$char_lm" export "$run/best_ema/model.safetensors" --dtype bfloat16 --out "$file"
