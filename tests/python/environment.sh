#!/usr/bin/env bash
# Creates the virtual environment of the Python tests once, and prints the path of its Python: the torch of our LibTorch
# release with all dependencies (5 GB), safetensors, pytest, matplotlib. $HMRNN_PYTHON selects another Python.
set -euo pipefail
die() { echo "environment: $*" >&2; exit 2; }
[ -z "${HMRNN_PYTHON:-}" ] || { echo "$HMRNN_PYTHON"; exit; }
version=2.11.0
folder=${HMRNN_CACHE:-$HOME/.cache/hmrnn}/python-$version
if [ ! -e "$folder/complete" ]; then
  mkdir -p "$(dirname "$folder")"
  exec 9>"$folder.lock"
  flock 9
  if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 || die "python3 -m venv failed"
    "$folder/bin/pip" install -q --no-compile --no-cache-dir "torch==$version" safetensors numpy pytest matplotlib >&2 || die "pip could not install torch $version"
    touch "$folder/complete"
  fi
fi
echo "$folder/bin/python"
