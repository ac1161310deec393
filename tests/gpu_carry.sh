#!/usr/bin/env bash
# Collects what tests/gpu.sh needs on a machine without the Debian packages and without a network: the headers that this
# project includes from others, and libpugixml. A few MB, made on a machine where cmake/bootstrap.sh has run:
#
#   tests/gpu_carry.sh DIR            then, over there:  HMRNN_DEPS=DIR tests/gpu.sh
#
# Of Catch2 it takes version 2, which is one header (Debian 12 has it); version 3 is a library to be built.
set -euo pipefail
die() { echo "gpu_carry.sh: $*" >&2; exit 2; }
[ $# = 1 ] && [ "${1#-}" = "$1" ] || die "usage: tests/gpu_carry.sh DIR"
dir=$1
[ ! -e "$dir" ] || [ -z "$(ls -A "$dir" 2>/dev/null)" ] || die "$dir is not empty"
if printf '#include <catch2/catch_all.hpp>\n' | "${CXX:-g++}" -E -x c++ - >/dev/null 2>&1; then
  die "Catch2 3 is installed here; only version 2 can be carried (Debian 12)"
fi
mkdir -p "$dir/include" "$dir/lib" || die "cannot create $dir"

# find_header NAME: where the compiler takes it from.
find_header() {
  local path
  path=$(printf '#include <%s>\n' "$1" | "${CXX:-g++}" -E -x c++ - 2>/dev/null | sed -n "s|^# 1 \"\(/.*/$1\)\".*|\1|p" | head -n 1)
  [ -n "$path" ] || die "$1 is not installed; run cmake/bootstrap.sh first"
  echo "$path"
}

json=$(find_header nlohmann/json.hpp)
cp -rL "$(dirname "$json")" "$dir/include/nlohmann"
mkdir "$dir/include/catch2"
cp -L "$(find_header catch2/catch.hpp)" "$dir/include/catch2/"
for header in cxxopts.hpp xxhash.h pugixml.hpp pugiconfig.hpp; do
  cp -L "$(find_header $header)" "$dir/include/"
done
pugixml=$("${CXX:-g++}" -print-file-name=libpugixml.so)
[ -e "$pugixml" ] || die "libpugixml.so is not installed; run cmake/bootstrap.sh first"
cp -L "$pugixml" "$dir/lib/libpugixml.so.1" # by the name that programs will ask for
du -sh "$dir"
