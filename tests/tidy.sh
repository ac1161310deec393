#!/usr/bin/env bash
# Runs clang-tidy with the project's .clang-tidy on the given sources, or on all of hmrnn/ and examples/. Needs a
# configured build/release. Removes g++'s precompiled header from the commands, since clang cannot read it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
commands=build/release/compile_commands.json
[ -e "$commands" ] || { echo "tidy: no $commands; run cmake --preset release first" >&2; exit 2; }
command -v clang-tidy >/dev/null || { echo "tidy: needs clang-tidy" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -E 's/ -include [^ ]*cmake_pch\.hxx//; s/ -(fpch-preprocess|Winvalid-pch)//g' "$commands" >"$work/compile_commands.json"
[ $# -gt 0 ] || mapfile -t all < <(git ls-files 'hmrnn/*.cpp' 'examples/*.cpp')
[ $# -gt 0 ] || set -- "${all[@]}"
clang-tidy -p "$work" --quiet --warnings-as-errors='*' "$@"
