#!/usr/bin/env bash
# Builds the HTML reference of the public headers: docs/doxygen.sh [FOLDER]   (default build/docs; the page is
# FOLDER/html/index.html). Public headers are hmrnn/hmrnn.h, hmrnn/train.h and all that they include. Exit code 1 if
# Doxygen warns.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v doxygen >/dev/null || { echo "doxygen.sh: needs doxygen (apt-get install doxygen)" >&2; exit 2; }
out=${1:-build/docs}
mkdir -p "$out"

headers=()
todo=(hmrnn/hmrnn.h hmrnn/train.h)
while [ ${#todo[@]} -gt 0 ]; do
  file=${todo[0]}
  todo=("${todo[@]:1}")
  case " ${headers[*]} " in *" $file "*) continue ;; esac
  headers+=("$file")
  mapfile -t -O ${#todo[@]} todo < <(sed -nE 's|^#include "(hmrnn/[^"]+)".*|\1|p' "$file")
done

version=$(sed -n 's/^#define HMRNN_VERSION "\(.*\)"/\1/p' hmrnn/version.h)
{
  cat docs/Doxyfile
  echo "INPUT = docs/architecture.md ${headers[*]}"
  echo "OUTPUT_DIRECTORY = \"$out\""
  echo "PROJECT_NUMBER = $version"
} | doxygen - 2>"$out/warnings"
if [ -s "$out/warnings" ]; then
  cat "$out/warnings" >&2
  echo "doxygen.sh: $(wc -l <"$out/warnings") lines of warnings" >&2
  exit 1
fi
echo "$out/html/index.html: ${#headers[@]} headers"
