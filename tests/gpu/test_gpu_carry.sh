#!/usr/bin/env bash
# Tests tests/gpu_carry.sh: what it rejects, that the project configures with its folder and without the Debian
# packages, and that the carried programs start.
set -euo pipefail
bin=$(realpath "${HMRNN_BIN_DIR:?the folder of the programs}")
root=$PWD
. tests/support/script.sh

refuse "usage" tests/gpu_carry.sh
refuse "unknown argument '--fast'" tests/gpu_carry.sh --fast
mkdir -p "$work/full/folder"
refuse "is not empty" tests/gpu_carry.sh "$work/full"
refuse "no such folder" tests/gpu_carry.sh --data-dir "$work/absent" "$work/deps"
if [ "$("${CXX:-g++}" -print-file-name=libpugixml.so)" = libpugixml.so ]; then
  echo "skipped: no libpugixml to carry"
  exit 0
fi
if printf '#include <catch2/catch_all.hpp>\n' | "${CXX:-g++}" -E -x c++ - >/dev/null 2>&1; then
  refuse "Catch2 3 is installed" tests/gpu_carry.sh --headers "$work/deps"
  [ ! -e "$work/deps" ] || fail "a folder was made although nothing can be carried"
  exit 0
fi
refuse "bin/hmrnn_tests is not built; --headers takes the headers alone" tests/gpu_carry.sh --build "$work/absent" "$work/deps"
tests/gpu_carry.sh --headers "$work/deps" >/dev/null
[ "$(du -sm "$work/deps" | cut -f1)" -lt 16 ] || fail "too much to carry: $(du -sh "$work/deps")"
# CMake must not find Debian's packages.
configure() {
  cmake -G Ninja -S "$root" -B "$work/build" -DHMRNN_CUDA=OFF -DHMRNN_INSTALL=OFF -DCMAKE_IGNORE_PATH="/usr/lib/x86_64-linux-gnu/cmake;/usr/share/cmake/nlohmann_json" \
    -DCMAKE_DISABLE_FIND_PACKAGE_LibArchive=ON "$@" >"$work/out" 2>&1
}
configure -DHMRNN_DEPS="$work/deps" || fail "the project does not configure with HMRNN_DEPS: $(tail -n 20 "$work/out")"
grep -q "libraries in $work/deps; without libarchive" "$work/out" || fail "HMRNN_DEPS was not used: $(cat "$work/out")"
grep -q "$work/deps/include" "$work/build/compile_commands.json" || fail "no file is compiled with the headers of HMRNN_DEPS"
mv "$work/deps/include/cxxopts.hpp" "$work"
configure -DHMRNN_DEPS="$work/deps" && fail "a header is missing, and CMake does not say so"
grep -q "include/cxxopts.hpp is missing" "$work/out" || fail "the missing header is not named: $(cat "$work/out")"

# The carried programs and libraries start by themselves: they need nothing from the build folder, and no library that a
# machine with LibTorch may lack.
if [ ! -e "$bin/../lib/libhmrnn_cuda.so" ]; then
  echo "skipped: no libhmrnn_cuda to carry"
  exit 0
fi
mkdir "$work/ptb"
for split in train valid test; do printf 'a b c _ d\n' >"$work/ptb/ptb.char.$split.txt"; done
tests/gpu_carry.sh --build "$bin/.." --data-dir "$work/ptb" "$work/deps" >"$work/out" || fail "gpu_carry.sh: $(cat "$work/out")"
[ -s "$work/deps/ptb.tar.xz" ] || fail "the corpus was not packed"
torch=$(ldd "$bin/char_lm" | sed -n 's|.*=> \(/.*\)/libtorch_cpu.so .*|\1|p')
grep -qx "torch $(sed -n "s/^__version__ = '\([0-9.]*\).*/\1/p" "$torch/../version.py" 2>/dev/null || echo '[0-9.]*')" "$work/deps/carried.txt" ||
  fail "carried.txt: $(cat "$work/deps/carried.txt")"
for program in char_lm hmrnn_bench; do
  LD_LIBRARY_PATH=$torch:$work/deps/lib "$work/deps/bin/$program" --help >/dev/null || fail "the carried $program does not start"
done
LD_LIBRARY_PATH=$torch:$work/deps/lib ldd "$work/deps/bin/char_lm" "$work/deps"/lib/libhmrnn*.so* |
  awk -v lib="$work/deps/lib" '$2 == "=>" && $1 ~ /^lib(hmrnn|archive|pugixml|xml2|lzma|zstd|nettle|acl|lz4|bz2)/ && index($3, lib) != 1' >"$work/out"
[ ! -s "$work/out" ] || fail "libraries that are not carried: $(cat "$work/out")"
