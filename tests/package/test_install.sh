#!/usr/bin/env bash
# Tests the installed package as a user sees it: its contents; builds against it where it was installed and after moving
# it, with CMake and pkg-config; and its messages if LibTorch or the version do not fit.
set -euo pipefail
export CMAKE_GENERATOR=Ninja # bootstrap.sh installs Ninja; a bare system has no make
bin=$(realpath "${HMRNN_BIN_DIR:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; [ ! -e "$work/out" ] || tail -n 30 "$work/out"; exit 1; }
value() { sed -n "s/^$1:[^=]*=//p" "$bin/../CMakeCache.txt"; } # reads the build's cache

if [ -n "$(value HMRNN_SANITIZE)" ]; then
  echo "skipped: a stranger's program would have to be built with the sanitizers too"
  exit 0
fi
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER="env;CCACHE_BASEDIR=$work;CCACHE_NOHASHDIR=1;ccache" # CMake's default
fi
first=$work/first
cmake --install "$bin/.." --prefix "$first" >"$work/out" || fail "cmake --install"

# ---------------------------------------------------------------- contents
for file in include/hmrnn/hmrnn.h include/hmrnn/version.h lib/libhmrnn.so include/hmrnn/train.h lib/libhmrnn_train.so \
  lib/cmake/hmrnn/hmrnnConfig.cmake \
  lib/cmake/hmrnn/hmrnnConfigVersion.cmake lib/pkgconfig/hmrnn.pc \
  lib/pkgconfig/hmrnn_train.pc bin/char_lm; do
  [ -e "$first/$file" ] || fail "$file is not installed"
done
find "$first" -name '*.a' -o -name '*.o' >"$work/out"
[ ! -s "$work/out" ] || fail "static libraries are of the build and not of the package"
while IFS= read -r header; do
  [ -e "$first/include/$header" ] || fail "$header is included by a public header, but not installed"
done < <(grep -rhoP '^#include "\Khmrnn/[^"]+' "$first/include" | sort -u)
# Public headers (those with HMRNN_API) are installed, except those of libhmrnn_cuda, which no program links.
while IFS= read -r header; do
  [ -e "$first/include/$header" ] || fail "$header has HMRNN_API in it, but no user can include it"
done < <(grep -rl HMRNN_API hmrnn --include='*.h' | grep -v /cuda/)
# A function that a public header declares is defined there, or exported.
if (cd "$first/include" && grep -rnE '^[A-Za-z_][A-Za-z0-9_:<>,&* ]*[ &*][A-Za-z_][A-Za-z0-9_]*\(' hmrnn --include='*.h' |
  grep -vE ':(HMRNN_API|inline|template|constexpr|using|class|struct|enum|TORCH_|#)') >"$work/out"; then
  fail "these functions of public headers are not exported"
fi
if grep -rhE '^#include <(nlohmann|archive|fmt|cxxopts|pugixml)' "$first/include"; then
  fail "a public header needs a library that the package does not bring"
fi
if grep -rlF -e "$PWD" -e "$first" "$first" --include='*.h' --include='*.cmake' --include='*.pc' >"$work/out"; then
  fail "these name the folder they were built or installed in"
fi
[ "$(sed -n 's/^#define HMRNN_VERSION "\(.*\)"/\1/p' "$first/include/hmrnn/version.h")" = \
  "$(sed -n 's/^Version: //p' "$first/lib/pkgconfig/hmrnn.pc")" ] || fail "version.h and hmrnn.pc disagree"
for file in "$first"/bin/* "$first"/lib/libhmrnn{,_train}.so; do
  if readelf -d "$file" | grep -F "$PWD" >"$work/out"; then fail "$file looks for libraries in the build folder"; fi
done

# All defined and exported symbols are hmrnn's, and marked HMRNN_API. Except weak symbols: inline functions of the
# headers of LibTorch and the standard library, which every user of these headers exports.
exported() { nm -D --defined-only -C "$first/lib/$1" | awk '$2 ~ /[TDBRG]/ { $1 = $2 = ""; print substr($0, 3) }'; }
exported libhmrnn.so >"$work/symbols"
exported libhmrnn_train.so >"$work/train_symbols"
if grep -Fxf "$work/symbols" "$work/train_symbols" >"$work/out"; then fail "both libraries export these"; fi
cat "$work/train_symbols" >>"$work/symbols"
grep -q '^hmrnn::version()$' "$work/symbols" || fail "hmrnn::version is not exported"
if grep -vE '^(vtable for |typeinfo for |typeinfo name for |non-virtual thunk to )?hmrnn::' "$work/symbols" >"$work/out"; then
  fail "the libraries export symbols that are not its own"
fi
if grep -F -e 'hmrnn::check_window(' -e 'hmrnn::cpu::' "$work/symbols" >"$work/out"; then fail "internal symbols are exported"; fi

# ---------------------------------------------------------------- where it was installed
linkers=
for linker in bfd gold lld; do
  if command -v "ld.$linker" >/dev/null; then linkers="$linkers;$linker"; fi
done
cmake -S tests/package/registered -B "$work/registered" -DCMAKE_PREFIX_PATH="$first" \
  -DEMBED_LINKERS="${linkers#;}" >"$work/out" 2>&1 || fail "find_package where it was installed"
if grep -q 'CMake Warning' "$work/out"; then fail "find_package gives warnings"; fi
cmake --build "$work/registered" >"$work/out" 2>&1 || fail "the build where it was installed"
for linker in ${linkers//;/ }; do
  [ "$("$work/registered/registered_$linker")" = registered ] || fail "ld.$linker drops the operators"
done

# ---------------------------------------------------------------- moved
moved="$work/moved/to here"
mkdir -p "$work/moved"
mv "$first" "$moved"
cp -r examples/embed "$work/embed"
# commands NAME: prints the commands with NAME in examples/embed/README.md, from the blocks that are marked as run here.
commands() {
  awk '/^<!-- run by: tests\/package\/test_install.sh -->$/ { mine = 1; next }
       /^```/ { inside = mine && /^```sh$/; mine = 0; next }
       inside' examples/embed/README.md | grep -F "$1" | sed -e "s|\\bPREFIX\\b|$moved|g" -e "s|;LIBTORCH||" -e "s|\\bRUN/|$work/run/|"
}
run() { (cd "$work/embed" && eval "$1") >"$work/out" 2>&1; }
export CMAKE_BUILD_PARALLEL_LEVEL=2
run "$(commands 'cmake -S')" || fail "find_package after a move"
run "$(commands 'cmake --build')" || fail "the example does not build after a move"
if ldd "$work/embed/build/series" | grep -E 'libhmrnn_train|libarchive|libpugixml' >"$work/out"; then
  fail "a program that uses a module links more than libhmrnn and LibTorch"
fi
if ldd "$work/embed/build/series" | grep libhmrnn | grep -vF "$moved" >"$work/out"; then fail "another libhmrnn is loaded"; fi
run "$(commands build/series)" || fail "series"
grep -q "^saved, loaded: the same output" "$work/out" || fail "series does not load what it saved"
# The model learns: predicting the mean gives the variance, 0.067; knowing all but the next burst's time and height
# gives 0.048.
error=$(sed -n 's/^step 300  mean squared error //p' "$work/out")
awk -v error="$error" 'BEGIN { exit !(error > 0 && error < 0.0625) }' || fail "series learns nothing: $error"
grep -qE '^layer 1  [.|]{80}$' "$work/out" || fail "series shows no boundaries"

# find_package with the required component, from a package that has it and from one that does not.
mkdir "$work/required"
printf '%s\n' 'cmake_minimum_required(VERSION 3.22)' 'project(required LANGUAGES CXX)' \
  'find_package(hmrnn 0.1 REQUIRED COMPONENTS train)' 'if(NOT TARGET hmrnn::train)' \
  '  message(FATAL_ERROR "no target hmrnn::train")' 'endif()' >"$work/required/CMakeLists.txt"
cmake -S "$work/required" -B "$work/required/build" -DCMAKE_PREFIX_PATH="$moved" >"$work/out" 2>&1 || fail "COMPONENTS train"
cp -r "$moved" "$work/partial"
rm "$work/partial"/lib/cmake/hmrnn/hmrnnTrainTargets*
if cmake -S "$work/required" -B "$work/required/none" -DCMAKE_PREFIX_PATH="$work/partial" >"$work/out" 2>&1; then
  fail "a package without the required component train is accepted"
fi
tr -s ' \n' ' ' <"$work/out" | grep -q "lacks a required component of: train" || fail "the missing component is not named"

# The training loop with the user's own task: a run that is stopped by Ctrl-C and started again ends with the same model
# as one that was not stopped.
own_task=$work/embed/build/own_task
"$own_task" "$work/whole" >"$work/out" 2>&1 || fail "own_task"
grep -q '^best: 0\.0[0-9]* at step [0-9]*$' "$work/out" || fail "own_task does not say how it ended"
error=$(sed -n 's/^best: \([0-9.]*\) .*/\1/p' "$work/out")
awk -v error="$error" 'BEGIN { exit !(error > 0 && error < 0.0625) }' || fail "own_task learns nothing: $error"
mkfifo "$work/pipe"
"$own_task" "$work/stopped" >"$work/pipe" 2>&1 & # in the background, since the script needs its process id
task=$!
while IFS= read -r text; do
  echo "$text"
  case $text in "step 20 "*) kill -INT "$task" ;; esac
done <"$work/pipe" >"$work/out"
code=0
wait "$task" || code=$?
[ "$code" = 130 ] || fail "own_task stopped by SIGINT ends with $code"
grep -q '^stopped after step [0-9]*, saved' "$work/out" || fail "own_task does not say that it was stopped"
stopped=$(sed -n 's/^stopped after step \([0-9]*\),.*/\1/p' "$work/out")
[ "$stopped" -ge 20 ] && [ "$stopped" -lt 300 ] || fail "own_task was stopped at step $stopped"
"$own_task" "$work/stopped" >"$work/out" 2>&1 || fail "own_task does not go on"
cmp "$work/whole/last/model.safetensors" "$work/stopped/last/model.safetensors" || fail "another model after a stop"
cmp "$work/whole/best/model.safetensors" "$work/stopped/best/model.safetensors" || fail "another best model after a stop"

"$moved/bin/char_lm" train --corpus synthetic --out "$work/run" --units 8 --embedding 4 --output-embedding 8 --batch 4 \
  --window 10 --steps 3 --threads 1 >"$work/out" 2>&1 || fail "the installed char_lm does not train"
text=$("$moved/bin/char_lm" sample "$work/run" --length 12 --seed 1 2>"$work/out" | tr -d '\n') || fail "char_lm sample"
printf '%s' "$text" | "$work/embed/build/stream" "$work/run/best/model.safetensors" >"$work/out" 2>&1 || fail "stream"
[ "$(wc -l <"$work/out")" = "${#text}" ] || fail "stream should print a line for each character of '$text'"
if grep -vqE "^. [.|]{2}  next '.' [01]\.[0-9]{2}$" "$work/out"; then fail "stream prints another format"; fi
# The boundaries equal those of the program, which reads the whole text.
columns=$(cut -c3-4 "$work/out")
segmented=$(printf '%s' "$text" | "$moved/bin/char_lm" segment "$work/run" --json)
for layer in 1 2; do
  stepped=$(cut -c"$layer" <<<"$columns" | tr '.|\n' '01,' | sed 's/,$//')
  grep -qF "[$stepped]" <<<"$segmented" || fail "layer $layer, character by character: $stepped, at once: $segmented"
done
run "$(commands build/own_task)" || fail "the README's own_task"
run "$(commands build/stream)" || fail "the README's stream"
grep -qE "^[a-z ] [.|]{2}  next '.' [01]" "$work/out" || fail "the README's stream reads nothing"
code=0
"$work/embed/build/stream" "$work/none" </dev/null >"$work/out" 2>&1 || code=$?
[ "$code" = 2 ] && [ "$(wc -l <"$work/out")" = 1 ] || fail "stream without a model: exit code $code and more than a line"
run "$(commands build/service)" || fail "the README's service"
[ "$(grep -cE '^.* -> .{20}$' "$work/out")" = 3 ] || fail "service does not answer every user"
# Each user gets what they would get alone. (Characters that the synthetic corpus lacks are left out.)
service=$work/embed/build/service
"$service" "$work/run/best/model.safetensors" abc "$text" b ca >"$work/crowd" 2>&1 || fail "service"
for user in abc "$text" b ca; do "$service" "$work/run/best/model.safetensors" "$user" || fail "service"; done >"$work/out"
[ -s "$work/out" ] && diff <(sort "$work/crowd") <(sort "$work/out") || fail "users who are served at once get other answers"

root=$(sed -n 's/^set(HMRNN_LIBTORCH_BUILT_WITH "\(.*\)")/\1/p' "$moved/lib/cmake/hmrnn/hmrnnConfig.cmake")

# ---------------------------------------------------------------- pkg-config
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$moved/lib/pkgconfig
  [ "$(pkg-config --variable=libtorch hmrnn)" = "$root" ] || fail "hmrnn.pc names another LibTorch than the build's"
  eval "flags=($(pkg-config --cflags hmrnn)) libs=($(pkg-config --libs hmrnn))"
  echo '#include <hmrnn/version.h>
        #include <c10/macros/Macros.h>
        static_assert(__cplusplus >= 202002L);' >"$work/flags.cpp"
  g++ "${flags[@]}" -fsyntax-only "$work/flags.cpp" >"$work/out" 2>&1 || fail "pkg-config --cflags"
  object=$(find "$work/registered" -name 'registered.cpp.o' | head -n 1)
  g++ "$object" -o "$work/by-pkg-config" -Wl,--as-needed "${libs[@]}" "-Wl,-rpath,$moved/lib:$root/lib" \
    >"$work/out" 2>&1 || fail "pkg-config --libs"
  "$work/by-pkg-config" >"$work/out" || fail "linked by pkg-config"
else
  echo "skipped: no pkg-config"
fi

# ---------------------------------------------------------------- archives
cpack --config "$bin/../CPackConfig.cmake" -B "$work/packages" >"$work/out" 2>&1 || fail "cpack"
# files LISTING…: prints names below the prefix, to compare the archives with the installation.
files() { grep -v '/$' | sed -E 's#^.*/(include|lib|bin|share)/#\1/#' | sort; }
(cd "$moved" && find . -not -type d) | files >"$work/installed"
tar -tzf "$work/packages"/hmrnn-*.tar.gz | files >"$work/out"
cmp -s "$work/out" "$work/installed" || fail "the .tar.gz does not hold what cmake --install gives"
if ls "$work/packages"/*.deb >/dev/null 2>&1; then
  dpkg-deb -c "$work/packages"/*.deb | awk '{ print $6 }' | files >"$work/out"
  cmp -s "$work/out" "$work/installed" || fail "the .deb does not hold what cmake --install gives"
  depends=$(dpkg-deb -f "$work/packages"/*.deb Depends)
  [[ $depends = *libarchive13* && $depends = *libstdc++6* ]] || fail "the .deb depends on: $depends"
else
  echo "skipped: no .deb without dpkg-shlibdeps"
fi

# ---------------------------------------------------------------- requirements
# asks WANTED [ARGUMENT …]: configures a project that needs hmrnn WANTED; prints "FOUND: MESSAGE".
mkdir -p "$work/asks"
cat >"$work/asks/CMakeLists.txt" <<'ASKS'
cmake_minimum_required(VERSION 3.22)
project(asks LANGUAGES CXX)
find_package(hmrnn ${WANTED} QUIET)
file(WRITE ${CMAKE_BINARY_DIR}/found "${hmrnn_FOUND}: ${hmrnn_NOT_FOUND_MESSAGE}\n")
ASKS
asks() {
  local wanted=$1
  shift
  rm -f "$work/asked/found"
  env HOME="$work/nobody" cmake -S "$work/asks" -B "$work/asked" -UHMRNN_TORCH_* -Uhmrnn_DIR \
    -DWANTED="$wanted" "$@" >"$work/out" 2>&1 || fail "cmake"
  cat "$work/asked/found"
}
[[ $(asks 0.1 "-DCMAKE_PREFIX_PATH=$moved") = "1: " ]] || fail "0.1 is wanted and not found"
[[ $(asks 0.2 "-DCMAKE_PREFIX_PATH=$moved") = 0:* ]] || fail "0.2 is wanted, and 0.1 is taken for it"

version=$(sed -n 's/^set(HMRNN_LIBTORCH_VERSION \(.*\))/\1/p' "$moved/lib/cmake/hmrnn/hmrnnConfig.cmake")
other=$work/other
mkdir -p "$other/lib" "$other/include/torch/csrc" "$other/include/torch/headeronly"
touch "$other/lib/libtorch_cpu.so" "$other/lib/libc10.so" "$other/include/torch/csrc/Export.h"
echo '#define TORCH_VERSION "1.9.1"' >"$other/include/torch/headeronly/version.h"
said=$(asks 0.1 "-DCMAKE_PREFIX_PATH=$moved;$other")
[[ $said = "0: hmrnn "*": built with LibTorch $version, but the one in $other is 1.9.1: set CMAKE_PREFIX_PATH"* ]] ||
  fail "a LibTorch of another version: $said"

sed -i 's|^set(HMRNN_LIBTORCH_BUILT_WITH .*|set(HMRNN_LIBTORCH_BUILT_WITH /nowhere)|' "$moved/lib/cmake/hmrnn/hmrnnConfig.cmake"
said=$(asks 0.1 "-DCMAKE_PREFIX_PATH=$moved" -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF)
[[ $said = "0: hmrnn "*": LibTorch was not found: set CMAKE_PREFIX_PATH or Torch_DIR to a LibTorch $version"* ]] ||
  fail "no LibTorch: $said"
said=$(asks 0.1 "-DCMAKE_PREFIX_PATH=$moved;$root" -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF)
[[ $said = "1: " ]] || fail "LibTorch is named by CMAKE_PREFIX_PATH: $said"
echo "passed"
