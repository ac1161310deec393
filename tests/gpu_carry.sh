#!/usr/bin/env bash
# Collects what tests/gpu.sh needs on a machine with a GPU but without the Debian packages, a network, or time to build:
# programs and libraries of a build, stripped; the libraries that they need besides LibTorch and the C library; the
# headers to build there if the programs do not start; and the Penn Treebank's characters, packed. Run it where the
# project is built with nvcc:
#
#   tests/gpu_carry.sh [--build DIR] [--data-dir DIR] [--headers] DIR     (on the GPU machine: tests/gpu.sh --carried DIR)
#
#   --build DIR      the build (default build/release)
#   --data-dir DIR   the corpus's folder; default: $HMRNN_DATA_DIR/ptb, data/ptb, else none is packed
#   --headers        only the headers and libpugixml: 2 MB, to build on the GPU machine
#
# DIR must be new, empty, or made by this script; then it is replaced. Only version 2 of Catch2 is packed, which is one
# header (Debian 12 has it); version 3 would have to be built.
set -euo pipefail
die() { echo "gpu_carry.sh: $*" >&2; exit 2; }
readonly limit_mb=40 programs=(hmrnn_tests hmrnn_bench char_lm handwriting)

build= data_dir= headers=no dir=
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; exit 0 ;;
    --headers) headers=yes; shift; continue ;;
    --build | --data-dir) [ $# -ge 2 ] || die "$1: its value is missing" ;;&
    --build) build=$(realpath -m "$2"); shift 2 ;;
    --data-dir) [ -d "$2" ] || die "--data-dir $2: no such folder"; data_dir=$(realpath "$2"); shift 2 ;;
    -*) die "unknown argument '$1'; see tests/gpu_carry.sh --help" ;;
    *) [ -z "$dir" ] || die "usage: tests/gpu_carry.sh [--build DIR] [--data-dir DIR] [--headers] DIR"; dir=$1; shift ;;
  esac
done
[ -n "$dir" ] || die "usage: tests/gpu_carry.sh [--build DIR] [--data-dir DIR] [--headers] DIR"
[ ! -e "$dir" ] || [ -z "$(ls -A "$dir" 2>/dev/null)" ] || [ -e "$dir/carried.txt" ] ||
  die "$dir is not empty, and not of this script's making"
if printf '#include <catch2/catch_all.hpp>\n' | "${CXX:-g++}" -E -x c++ - >/dev/null 2>&1; then
  die "Catch2 3 is installed here; only version 2 can be carried (Debian 12)"
fi
dir=$(realpath -m "$dir")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${build:-$PWD/build/release}
if [ $headers = no ]; then
  for file in "${programs[@]/#/bin/}" lib/libhmrnn_cuda.so; do
    [ -e "$build/$file" ] || die "$build/$file is not built; --headers takes the headers alone"
  done
  if [ -z "$data_dir" ]; then
    for candidate in "${HMRNN_DATA_DIR:-/nonexistent}/ptb" data/ptb; do
      if [ -z "$data_dir" ] && [ -d "$candidate" ]; then data_dir=$(realpath "$candidate"); fi
    done
  fi
fi
rm -rf "$dir"
mkdir -p "$dir/include" "$dir/lib" || die "cannot create $dir"
touch "$dir/carried.txt"

# ---------------------------------------------------------------- headers
# find_header NAME: prints where the compiler finds it.
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
cp -L "$pugixml" "$dir/lib/libpugixml.so.1" # under the name that programs load
if [ $headers = yes ]; then
  du -sh "$dir"
  exit 0
fi

# ---------------------------------------------------------------- programs and their libraries
mkdir "$dir/bin"
for program in "${programs[@]}"; do cp -L "$build/bin/$program" "$dir/bin/"; done
# Under the names that the loader looks for; a file with several names is copied for each.
find "$build"/lib* -name '*hmrnn*.so*' | while read -r library; do
  name=$(objdump -p "$library" | awk '$1 == "SONAME" { print $2 }')
  cp -L "$library" "$dir/lib/${name:-$(basename "$library")}"
done
# The GPU machine has its own LibTorch, CUDA, C and C++ libraries.
theirs='^(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|stdc\+\+|gcc_s)\.so.*|lib(torch|c10|caffe2|shm|gomp|cu|nv|nccl).*)$'
ldd "$dir"/bin/* "$build"/lib*/*hmrnn*.so* 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u |
  while read -r name path; do
    if [[ $name =~ $theirs || -e $dir/lib/$name ]]; then continue; fi
    if [[ $name == libicudata.so.* ]]; then
      # libarchive needs libxml2 for one archive format, libxml2 needs ICU, and ICU 31 MB of tables, which UTF-8 texts
      # do not need.
      echo "const char icudt${name##*.}_dat[4096] = {0};" |
        "${CC:-cc}" -x c -shared -fPIC -Wl,-soname,"$name" -o "$dir/lib/$name" - || die "$name: no compiler for its stand-in"
      continue
    fi
    cp -L "$path" "$dir/lib/$name"
  done
chmod -R u+w "$dir"
strip --strip-all "$dir"/bin/*
strip --strip-unneeded "$dir"/lib/*
size=$(du -s --apparent-size --block-size=1000000 -c "$dir/bin" "$dir/lib" | tail -n 1 | cut -f1)
[ "$size" -le $limit_mb ] || die "programs and libraries take $size MB, more than $limit_mb"

# ---------------------------------------------------------------- the corpus
if [ -n "$data_dir" ]; then
  python3 - "$data_dir" "$dir/ptb.tar.xz" <<'PY' || die "--data-dir $data_dir: cannot be packed"
import pathlib, sys, tarfile
files = sorted(pathlib.Path(sys.argv[1]).glob("ptb.*.txt"))
if not files:
    sys.exit("no ptb.*.txt")
with tarfile.open(sys.argv[2], "w:xz") as archive:
    for file in files:
        archive.add(file, file.name)
PY
fi
torch=$(ldd "$build/bin/char_lm" | sed -n 's|.*=> \(/.*\)/lib/libtorch_cpu.so .*|\1|p')
{
  echo "commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
  echo "torch $(sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$torch/include/torch/headeronly/version.h" | paste -sd.)"
} >"$dir/carried.txt"
cat "$dir/carried.txt"
echo "programs and libraries $size MB, $([ -n "$data_dir" ] && echo "the corpus of $data_dir" || echo "no corpus"); all of it:"
du -sh "$dir"
