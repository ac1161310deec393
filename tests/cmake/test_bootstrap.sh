#!/usr/bin/env bash
# Tests cmake/bootstrap.sh on a simulated machine: dpkg-query, apt-get, id and python3 (whose pip "installs" three
# files) are scripts of this test, so that it uses neither the real system nor the network.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
has() { grep -qF -- "$2" "$1" || fail "$1 should hold '$2': $(cat "$1")"; }

# ---------------------------------------------------------------- the machine
bin=$work/bin
mkdir -p "$bin"
for tool in bash env cat mkdir mv rm find flock mktemp tail dirname chmod sleep touch grep; do
  ln -s "$(command -v "$tool")" "$bin/$tool"
done
stand_in() { cat >"$bin/$1" && chmod +x "$bin/$1"; }
stand_in id <<<'#!/usr/bin/env bash
echo "${TEST_UID:-0}"'
stand_in dpkg-query <<<'#!/usr/bin/env bash
for name; do :; done
case " $TEST_MISSING " in *" $name "*) exit 1 ;; esac
printf installed'
stand_in apt-get <<<'#!/usr/bin/env bash
echo "$*" >>"$TEST_LOG/apt"'
stand_in python3 <<<'#!/usr/bin/env bash
[ "$1 $2" = "-m venv" ] || exit 1
mkdir -p "$3/bin"
cat >"$3/bin/pip" <<"PIP"
#!/usr/bin/env bash
echo "$*" >>"$TEST_LOG/pip"
while [ $# -gt 0 ]; do [ "$1" = --target ] && target=$2; shift; done
mkdir -p "$target/torch/lib" "$target/torch/include/torch/headeronly"
touch "$target/torch/lib/libtorch_cpu.so" "$target/torch/lib/libc10.so"
[ -z "${TEST_PIP_HANGS:-}" ] || { touch "$TEST_LOG/hangs"; sleep 60; }
[ -z "${TEST_PIP_FAILS:-}" ] || { echo "no matching distribution"; exit 1; }
sleep 0.5
touch "$target/torch/include/torch/headeronly/version.h"
PIP
chmod +x "$3/bin/pip"'
for tool in g++ cmake ninja ccache; do stand_in "$tool" <<<'#!/usr/bin/env bash'; done

# fresh: a new project and cache. bootstrap NAME=VALUE …: runs the script there.
fresh() {
  rm -rf "$work/project" "$work/cache" "$work/log"
  mkdir -p "$work/project/cmake" "$work/log"
  cp cmake/bootstrap.sh "$work/project/cmake/"
}
bootstrap() {
  env -i PATH="$bin" HOME="$work/home" HMRNN_CACHE="$work/cache" TEST_LOG="$work/log" TEST_MISSING= "$@" \
    bash "$work/project/cmake/bootstrap.sh" </dev/null
}
note=$work/project/cmake/bootstrap.local.cmake
clean_cache() { [ -z "$(find "$work/cache" -maxdepth 1 -name '.partial*')" ] || fail "a partial folder is left in the cache"; }

# ---------------------------------------------------------------- LibTorch
fresh
bootstrap >"$work/out"
has "$note" "set(HMRNN_BOOTSTRAP_TORCH \"$work/cache/libtorch-2.11.0/torch\")"
has "$work/log/pip" "--no-deps"
has "$work/log/pip" "torch==2.11.0 nvidia-cuda-runtime==13.0.* nvidia-cuda-cupti==13.0.*"
[ ! -e "$work/log/apt" ] || fail "apt-get was called although nothing is missing"
clean_cache
touch -d '2001-01-01' "$note"
bootstrap >"$work/out"
[ "$(wc -l <"$work/log/pip")" = 1 ] || fail "the second run downloads again"
[ "$(date -r "$note" +%Y)" = 2001 ] || fail "an unchanged note is written anew"

fresh
bootstrap >"$work/out1" &
first=$!
bootstrap >"$work/out2"
wait "$first" || fail "the first of two at once fails: $(cat "$work/out1")"
[ "$(wc -l <"$work/log/pip")" = 1 ] || fail "two at once download twice"
clean_cache

fresh
code=0
bootstrap TEST_PIP_FAILS=1 >"$work/out" 2>"$work/err" || code=$?
[ "$code" = 2 ] || fail "a failing download gives exit code $code, not 2"
has "$work/err" "bootstrap: pip could not fetch torch 2.11.0"
[ ! -e "$work/cache/libtorch-2.11.0" ] || fail "a failing download leaves a LibTorch"
[ ! -e "$note" ] || fail "a failing download leaves a note"
clean_cache

# Killed during the download, together with pip (setsid: the signal goes to a separate process group).
fresh
export -f bootstrap
export work bin
setsid bash -c 'bootstrap TEST_PIP_HANGS=1' >"$work/out" 2>&1 &
group=$!
for ((i = 0; i < 100; i++)); do [ -e "$work/log/hangs" ] && break; sleep 0.1; done
[ -e "$work/log/hangs" ] || fail "the hanging download did not start"
kill -KILL -- "-$group"
wait "$group" 2>/dev/null || true
[ ! -e "$work/cache/libtorch-2.11.0" ] || fail "a killed download leaves a LibTorch"
bootstrap >"$work/out"
[ -e "$work/cache/libtorch-2.11.0/torch/include/torch/headeronly/version.h" ] || fail "no LibTorch after a killed download"
clean_cache

# An existing LibTorch, named in each possible way.
own=$work/own/torch
mkdir -p "$own/lib" "$own/include/torch/headeronly" "$own/share/cmake/Torch"
touch "$own/lib/libtorch_cpu.so" "$own/lib/libc10.so" "$own/include/torch/headeronly/version.h"
for setting in "CMAKE_PREFIX_PATH=/nowhere:$own" "CMAKE_PREFIX_PATH=$own/share/cmake" "Torch_DIR=$own/share/cmake/Torch"; do
  fresh
  bootstrap "$setting" >"$work/out"
  has "$note" "\"$own\""
  [ ! -e "$work/log/pip" ] || fail "$setting: downloads all the same"
done
fresh
bootstrap CMAKE_PREFIX_PATH=/nowhere >"$work/out"
has "$note" "$work/cache/libtorch-2.11.0/torch"

# ---------------------------------------------------------------- packages
fresh
bootstrap TEST_MISSING="catch2 libarchive-dev cmake" >"$work/out"
has "$work/log/apt" "update"
has "$work/log/apt" "install -y -q --no-install-recommends catch2 libarchive-dev" # cmake is no package here
grep -q cmake "$work/log/apt" && fail "a tool that is present is installed"

fresh
code=0
bootstrap TEST_MISSING="catch2 libfmt-dev" TEST_UID=1000 >"$work/out" 2>"$work/err" || code=$?
[ "$code" = 2 ] || fail "neither root nor sudo: exit code $code, not 2"
[ "$(wc -l <"$work/err")" = 1 ] || fail "more than one line: $(cat "$work/err")"
has "$work/err" "bootstrap: neither root nor sudo, and these packages are missing: libfmt-dev catch2"

stand_in sudo <<<'#!/usr/bin/env bash
[ "$1" = -n ] && { [ -z "${TEST_PASSWORD:-}" ] && exit 0 || exit 1; }
echo "sudo $1" >>"$TEST_LOG/sudo"
exec "$@"'
fresh
bootstrap TEST_MISSING=catch2 TEST_UID=1000 >"$work/out"
has "$work/log/sudo" "sudo apt-get"
has "$work/log/apt" "catch2"
fresh
code=0
bootstrap TEST_MISSING=catch2 TEST_UID=1000 TEST_PASSWORD=1 >"$work/out" 2>"$work/err" || code=$?
[ "$code" = 2 ] || fail "a sudo that asks for a password: exit code $code, not 2"
has "$work/err" "catch2"
fresh
bootstrap TEST_UID=1000 TEST_PASSWORD=1 >"$work/out" || fail "needs sudo although nothing is missing"
echo "passed"
