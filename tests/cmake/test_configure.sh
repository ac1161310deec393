#!/usr/bin/env bash
# Configures the project in unusual surroundings: a clone below a folder named hmrnn, a comma in the path (linked for
# real, with small projects that link in the same way), variables set by CMake's users.
set -euo pipefail
export CMAKE_GENERATOR=Ninja
bin=$(realpath "${HMRNN_BIN_DIR:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; [ ! -e "$work/out" ] || tail -n 30 "$work/out"; exit 1; }
root=$(sed -n 's/^HMRNN_TORCH_CPU:[^=]*=//p' "$bin/../CMakeCache.txt")
export CMAKE_PREFIX_PATH=${root%/lib/*}
unset CUDAARCHS

clone=$work/hmrnn/a,b/src
mkdir -p "$clone"
cp -r CMakeLists.txt CMakePresets.json LICENSE cmake hmrnn examples "$clone/"
rm -f "$clone/cmake/bootstrap.local.cmake"
configure() { # configure FOLDER [ARGUMENT …]
  local folder=$1
  shift
  cmake -S "$clone" -B "$work/$folder" -DHMRNN_TESTS=OFF "$@" >"$work/out" 2>&1 || fail "cmake $*"
}
value() { sed -n "s/^-- CUDA: libhmrnn_cuda for //p" "$work/out"; }

# Every source is compiled, alone or as a member of a group.
configure plain -DHMRNN_CUDA=OFF
if grep -q 'CMake Warning' "$work/out"; then fail "a plain configuration gives warnings"; fi
missing=0
while IFS= read -r source; do
  grep -qF "/$source" "$work/plain/compile_commands.json" || grep -qrF "\"$source\"" "$work/plain/groups" ||
    { echo "$source is compiled nowhere"; missing=1; }
done < <(cd "$clone" && find hmrnn -name '*.cpp' -not -path '*/cuda/*')
[ "$missing" = 0 ] || fail "a clone below a folder named hmrnn loses sources"
if grep -q 'BUILD_SHARED_LIBS' "$work/out"; then fail "the output names BUILD_SHARED_LIBS, which was not set"; fi
# No path with a comma is passed through -Wl, or LINKER:.
if grep -oE -- "-Wl,[^ ]*a,b[^ ]*" "$work/plain/build.ninja" >"$work/out"; then fail "the linker's options cut a path"; fi

# The C++ library's checks are on in builds that are not for speed.
configure debug -DHMRNN_CUDA=OFF -DCMAKE_BUILD_TYPE=Debug
configure sanitized -DHMRNN_CUDA=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DHMRNN_SANITIZE=address;undefined"
for folder in plain debug sanitized; do
  commands=$(grep -c '"command"' "$work/$folder/compile_commands.json")
  checked=$(grep -c '"command".* -D_GLIBCXX_ASSERTIONS' "$work/$folder/compile_commands.json") || true
  [ "$checked" = $([ $folder = plain ] && echo 0 || echo "$commands") ] || fail "$folder: $checked of $commands files have _GLIBCXX_ASSERTIONS"
done

configure static -DHMRNN_CUDA=OFF -DBUILD_SHARED_LIBS=OFF
grep -q 'BUILD_SHARED_LIBS=OFF has no effect' "$work/out" || fail "BUILD_SHARED_LIBS=OFF is ignored without a word"

if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
  configure cuda
  [ "$(value)" = "80-real;90-real;90-virtual" ] || fail "the default architectures: $(value)"
  configure cuda -DCMAKE_CUDA_ARCHITECTURES=86
  [ "$(value)" = 86 ] || fail "CMAKE_CUDA_ARCHITECTURES=86 gives $(value)"
  CUDAARCHS=89 configure cuda2
  [ "$(value)" = 89 ] || fail "CUDAARCHS=89 gives $(value)"
  configure cuda3 -DCMAKE_CUDA_ARCHITECTURES=86 -DHMRNN_CUDA_ARCHITECTURES=90
  [ "$(value)" = 90 ] || fail "HMRNN_CUDA_ARCHITECTURES=90 gives $(value)"
else
  echo "skipped: no nvcc"
fi

# A library in a folder with a comma is linked with the project's own options and found at run time.
mkdir -p "$work/c,d"
cat >"$work/c,d/CMakeLists.txt" <<'TXT'
cmake_minimum_required(VERSION 3.22)
project(comma LANGUAGES CXX)
file(STRINGS ${REAL}/CMakeLists.txt _flag REGEX "^set\\(CMAKE_[A-Z_]*_RUNTIME_CXX_FLAG")
list(JOIN _flag "\n" _flag)
file(STRINGS ${REAL}/CMakeLists.txt _option REGEX "^  \"SHELL:-Wl,--push-state")
string(REPLACE "hmrnn::hmrnn" "lib" _option "target_link_options(lib INTERFACE ${_option}")
file(WRITE ${CMAKE_BINARY_DIR}/options.cmake "${_flag}\n${_option}\n")
file(WRITE ${CMAKE_BINARY_DIR}/lib.cpp "int answer() { return 42; }\n")
file(WRITE ${CMAKE_BINARY_DIR}/main.cpp "int main() { return 0; }\n")
add_library(lib SHARED ${CMAKE_BINARY_DIR}/lib.cpp)
include(${CMAKE_BINARY_DIR}/options.cmake)
add_executable(main ${CMAKE_BINARY_DIR}/main.cpp)
target_link_libraries(main PRIVATE lib)
TXT
cmake -S "$work/c,d" -B "$work/c,d/build" -DREAL="$PWD" -DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed >"$work/out" 2>&1 ||
  fail "cmake in a folder with a comma"
cmake --build "$work/c,d/build" >"$work/out" 2>&1 || fail "linking in a folder with a comma"
"$work/c,d/build/main" >"$work/out" 2>&1 || fail "a library in a folder with a comma is not found at run time"
readelf -d "$work/c,d/build/main" | grep -q 'NEEDED.*liblib.so' || fail "the linker drops a library of which nothing is named"
echo "passed"
