#!/usr/bin/env bash
# Tests the build without libarchive and without pugixml: it configures, the sources that use them compile and link, and
# reading such a file is one line of error. No other part of the project uses the two libraries. And the build with a
# LibTorch without Gloo.
set -euo pipefail
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

users=$(grep -rlE '#include <(archive|pugixml)' --include='*.cpp' --include='*.h' --include='*.cu' hmrnn examples tests | sort | tr '\n' ' ')
[ "$users" = "hmrnn/data/ink_xml.cpp hmrnn/data/tar_reader.cpp hmrnn/data/xz_file.cpp tests/analysis/test_ink_svg.cpp " ] ||
  fail "files that use libarchive or pugixml: $users; whatever is new here has to build without them"

# Compiles each source alone, without the precompiled header, which would take longer than these few sources.
configure() {
  cmake -G Ninja -S "$root" -B "$work/build" -DHMRNN_CUDA=OFF -DHMRNN_INSTALL=OFF -DHMRNN_UNITY=OFF \
    -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON "$@" >"$work/out" 2>&1
}
configure -DHMRNN_ARCHIVE=OFF -DHMRNN_PUGIXML=OFF -DHMRNN_GLOO=OFF || fail "without both: $(tail -n 20 "$work/out")"
grep -q "without libarchive: .*; without pugixml: " "$work/out" || fail "what is missing is not said: $(cat "$work/out")"
grep -q "Without Gloo: no training in several processes" "$work/out" || fail "that Gloo is missing is not said: $(cat "$work/out")"
ninja -C "$work/build" -t targets all | sed -n 's/: .*//p' >"$work/targets"
mapfile -t objects < <(grep -E '/(ink_xml|tar_reader|xz_file)\.cpp\.o$' "$work/targets")
[ ${#objects[@]} = 3 ] || fail "their objects: ${objects[*]}"
grep -q 'test_ink_xml' "$work/targets" && fail "tests of XML are built without pugixml"
cmake --build "$work/build" --target "${objects[@]}" >"$work/out" 2>&1 || fail "they do not compile: $(tail -n 20 "$work/out")"
group=$(grep '/process_group\.cpp\.o$' "$work/targets") || fail "process_group.cpp is compiled nowhere"
cmake --build "$work/build" --target "$group" >"$work/out" 2>&1 || fail "process_group.cpp does not compile without Gloo: $(tail -n 20 "$work/out")"
if nm -C "$work/build/$group" | grep 'c10d::' >"$work/out"; then fail "process_group.cpp without Gloo needs c10d: $(cat "$work/out")"; fi
cat >"$work/main.cpp" <<'CPP'
#include <cstdio>

#include "hmrnn/data/ink_xml.h"
#include "hmrnn/data/tar_reader.h"
#include "hmrnn/data/xz_file.h"
#include "hmrnn/error.h"

template <typename Work>
void refused(const Work& work) {
  try {
    work();
    std::puts("no error");
  } catch (const hmrnn::Error& error) {
    std::puts(error.what());
  }
}

int main() {
  refused([] { hmrnn::read_xz_file("text8.xz"); });
  refused([] { hmrnn::TarReader("ink.tar"); });
  refused([] { hmrnn::parse_ink_xml("<a/>", "a", "a.xml"); });
  return hmrnn::has_libarchive() ? 1 : 0;
}
CPP
"${CXX:-g++}" -std=c++20 -I. "$work/main.cpp" hmrnn/io/{whole_file,machine_limits,file_descriptor}.cpp "${objects[@]/#/$work/build/}" -o "$work/main" 2>"$work/out" ||
  fail "they need a library: $(cat "$work/out")"
"$work/main" >"$work/out" || fail "has_libarchive()"
cat >"$work/wanted" <<'TXT'
cannot read text8.xz: this build is without libarchive; unpack it
cannot read ink.tar: this build is without libarchive; unpack it
a.xml: this build is without pugixml, which reads handwriting
TXT
cmp "$work/wanted" "$work/out" || fail "what is said: $(cat "$work/out")"

# If required, they must exist.
for library in ARCHIVE/LibArchive PUGIXML/pugixml; do
  configure -DHMRNN_ARCHIVE=OFF "-DHMRNN_${library%/*}=ON" "-DCMAKE_DISABLE_FIND_PACKAGE_${library#*/}=ON" && fail "$library: ON, though it is not there"
  grep -q "HMRNN_${library%/*}=ON, and .* is not found" "$work/out" || fail "$library: $(tail -n 5 "$work/out")"
done
configure -DHMRNN_ARCHIVE=maybe && fail "HMRNN_ARCHIVE=maybe"
grep -q "HMRNN_ARCHIVE=maybe: it is AUTO, ON or OFF" "$work/out" || fail "HMRNN_ARCHIVE=maybe: $(tail -n 5 "$work/out")"
