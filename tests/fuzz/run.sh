#!/usr/bin/env bash
# Builds every fuzz target with clang and runs it.
#   tests/fuzz/run.sh [SECONDS [TARGET …]]     default: 30 seconds, every target
# HMRNN_FUZZ_SEED: the seed of the mutations (default: another one each time).
# Needs clang++ with libFuzzer (Debian: clang, libclang-rt-dev) and a build in build/release (HMRNN_BUILD). Results are
# in build/fuzz: TARGET/corpus for the next run, TARGET/crash-… to debug. Exit code 1 if there was a crash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-30}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(safetensors metadata settings ink_settings ink_xml tar text)
build=${HMRNN_BUILD:-build/release}
command -v clang++ > /dev/null || { echo "fuzz: clang++ is missing (Debian: apt-get install clang)" >&2; exit 2; }
torch=$(sed -n 's/^HMRNN_BOOTSTRAP_TORCH.*=//p; s/^set(HMRNN_BOOTSTRAP_TORCH "\(.*\)")/\1/p' cmake/bootstrap.local.cmake | head -n 1)
[ -d "$torch/include" ] || { echo "fuzz: no LibTorch in '$torch'; run cmake/bootstrap.sh" >&2; exit 2; }
work=build/fuzz
mkdir -p $work/objects
tests/fuzz/corpora.sh "$build/bin" $work/corpora

# Sources that are compiled with the fuzzer's coverage counters; everything else comes from the libraries of the build.
# Each group is one compilation, so that the templates of LibTorch and of the JSON library are compiled once for all its
# sources. A source is a name in any folder, or a file below examples/.
declare -A group=(
  [io]="safetensors safetensors_header safetensors_checksums atomic_file file_descriptor whole_file machine_limits"
  [run]="trainer_state arguments initial_weights train_options training program printable standard_streams"
  [safetensors]=""
  [metadata]="checkpoint model_metadata char_lm_checkpoint handwriting_checkpoint"
  [settings]="char_lm/train_settings"
  [ink_settings]="handwriting/train_settings"
  [ink_xml]="ink_xml"
  [tar]="ink_files tar_reader"
  [text]="text_corpus xz_file vocabulary"
)
flags=(-std=c++20 -gline-tables-only -O1 -fsanitize=address,undefined,fuzzer-no-link -fpch-instantiate-templates -DFMT_HEADER_ONLY=1 -DHMRNN_LIBARCHIVE=1 -Wno-everything -I.
  -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include")
# LibTorch's headers take clang longer than all the rest.
precompiled=$work/precompiled.pch
if [ ! -e $precompiled ] || [ cmake/precompiled.h -nt $precompiled ]; then
  clang++ "${flags[@]}" -x c++-header cmake/precompiled.h -o $precompiled
fi
# find_source NAME: the file of that name.
find_source() {
  case $1 in
    */*) echo "examples/$1.cpp" ;;
    *) find hmrnn examples/program -name "$1.cpp" | head -n 1 ;;
  esac
}
# object GROUP: compiles the group, with the target of that name if there is one, if a file has changed; prints the object.
object() {
  local object=$work/objects/$1.o source=$work/objects/$1.cpp name
  for name in ${group[$1]}; do echo "#include \"$(find_source "$name")\""; done > "$source.new"
  [ ! -e "tests/fuzz/fuzz_$1.cpp" ] || echo "#include \"tests/fuzz/fuzz_$1.cpp\"" >> "$source.new"
  cmp -s "$source.new" "$source" || mv "$source.new" "$source"
  if [ ! -e "$object" ] || [ -n "$(find hmrnn examples tests/fuzz "$source" -name '*.[ch]*' -newer "$object" -print -quit)" ]; then
    clang++ "${flags[@]}" -include-pch $precompiled -c "$source" -o "$object"
  fi
  echo "$object"
}

failed=()
for target in "${targets[@]}"; do
  objects=("$(object "$target")" "$(object io)")
  case $target in settings | ink_settings) objects+=("$(object run)") ;; esac
  # This library has the other files of the programs that the instrumented sources need. It was compiled in groups,
  # which define the instrumented functions once more: the linker takes the first definition.
  libraries=(-Wl,-z,muldefs "$build/examples/libhmrnn_program.a")
  utf8proc=$(sed -n 's/^HMRNN_UTF8PROC_LIBRARY:[A-Z]*=\(.*\)$/\1/p' "$build/CMakeCache.txt")
  [ ! -e "$utf8proc" ] || libraries+=("$utf8proc")
  for library in "$build"/lib/libhmrnn.so "$build"/lib/libhmrnn_train.so; do [ ! -e "$library" ] || libraries+=("$(realpath "$library")"); done
  clang++ -fsanitize=fuzzer,address,undefined "${objects[@]}" "${libraries[@]}" -L"$torch/lib" -ltorch_cpu -lc10 -lpugixml -larchive \
    -Wl,--allow-shlib-undefined -Wl,-rpath,"$torch/lib" -Wl,-rpath,"$(realpath "$build/lib")" -o $work/fuzz_$target
  mkdir -p $work/$target/corpus
  echo "fuzz: $target, $seconds s"
  (cd $work/$target && OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 ../fuzz_$target \
    -max_total_time="$seconds" -max_len=16384 -timeout=20 -rss_limit_mb=4096 -seed="${HMRNN_FUZZ_SEED:-0}" -print_final_stats=1 -verbosity=0 corpus "../corpora/$target") \
    > $work/$target/log 2>&1 || failed+=("$target")
  grep -E 'stat::number_of_executed_units|stat::new_units_added' $work/$target/log || tail -n 30 $work/$target/log
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "fuzz: found something in ${failed[*]}; see $work/TARGET/log and the files $work/TARGET/crash-*" >&2
  exit 1
fi
echo "fuzz: nothing found in ${targets[*]}"
