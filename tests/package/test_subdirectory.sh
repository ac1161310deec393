#!/usr/bin/env bash
# Builds and runs hmrnn as a sub-directory of another project, with the example and the check of the operators.
set -euo pipefail
case $(realpath "${HMRNN_BIN_DIR:?}") in
  "$PWD/build/release/bin") ;;
  *) echo "skipped: the library would be compiled anew; the preset release shares its compiler cache"; exit 0 ;;
esac
command -v make >/dev/null || { echo "skipped: no make"; exit 0; }
work=$(mktemp -d)
# ccache identifies the library's files by paths relative to the compiler's working folder. These equal those of
# build/release if the library's binary folder is beside it and the compiler runs there; make does that, ninja does not.
inner=$(mktemp -d "$PWD/build/subdirectory-XXXXXX")
trap 'rm -rf "$work" "$inner"' EXIT
fail() { echo "FAILED: $*"; tail -n 40 "$work/out"; exit 1; }

launcher=
if command -v ccache >/dev/null; then launcher="env;CCACHE_BASEDIR=$work;CCACHE_NOHASHDIR=1;ccache"; fi
cmake -S tests/package/subdirectory -B "$work/build" -G "Unix Makefiles" -DHMRNN_SOURCE_DIR="$PWD" \
  -DHMRNN_BINARY_DIR="$inner" -DHMRNN_CUDA=OFF -DEMBED_LINKERS=bfd -DABOVE_LAUNCHER="$launcher" \
  >"$work/out" 2>&1 || fail "cmake"
if grep -q 'CMake Warning' "$work/out"; then fail "add_subdirectory gives warnings"; fi
cmake --build "$work/build" --parallel 2 --target series registered_bfd >"$work/out" 2>&1 || fail "the build"

(cd "$work" && build/embed/series 2) >"$work/out" 2>&1 || fail "series"
grep -q "^saved, loaded: the same output" "$work/out" || fail "series does not load what it saved"
"$work/build/registered/registered_bfd" >"$work/out" 2>&1 || fail "operators are missing"
echo "passed"
