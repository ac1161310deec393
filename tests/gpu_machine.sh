# Finds what tests/gpu.sh needs on the machine: LibTorch, the corpus, and programs that start. Sourced by it.

# note FORMAT ARGUMENT…: adds a record for the summary.
note() {
  local format=$1
  shift
  printf "{$format}\n" "$@" >>"$report/stages.jsonl"
}

# Sets torch_root and torch_version without importing torch, which takes many seconds the first time.
find_libtorch() {
  local prefix candidate prefixes
  IFS=':;' read -r -a prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  torch_root=
  for prefix in ${Torch_DIR:+"$Torch_DIR/../../.."} "${prefixes[@]}"; do
    for candidate in "$prefix" "$prefix/../.." "$prefix/torch"; do
      if [ -z "$torch_root" ] && [ -n "$prefix" ] && [ -e "$candidate/lib/libtorch_cpu.so" ]; then
        torch_root=$(cd "$candidate" && pwd)
      fi
    done
  done
  if [ -z "$torch_root" ]; then
    torch_root=$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])' 2>/dev/null) || torch_root=
    [ -n "$torch_root" ] || die "no LibTorch: python3 has no torch, and CMAKE_PREFIX_PATH names none"
    export CMAKE_PREFIX_PATH=$torch_root/share/cmake
  fi
  torch_version=$(sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$torch_root/include/torch/headeronly/version.h" 2>/dev/null | paste -sd.)
  # LibTorch first: the carried programs were linked to a folder that does not exist here.
  library_path=$torch_root/lib
  for candidate in "$torch_root"/../nvidia/*/lib; do
    [ ! -d "$candidate" ] || library_path+=:$(cd "$candidate" && pwd)
  done
  library_path+=${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} # where some machines have the driver
}

# Sets data_dir; empty if there is none.
find_corpus() {
  local candidate
  if [ -z "$data_dir" ] && [ -d "${HMRNN_DATA_DIR:-/nonexistent}/ptb" ]; then data_dir=$(cd "$HMRNN_DATA_DIR/ptb" && pwd); fi
  if [ -z "$data_dir" ] && [ -e "$carried/ptb.tar.xz" ]; then
    python3 - "$carried/ptb.tar.xz" "$work/ptb" <<'PY' || die "$carried/ptb.tar.xz: cannot be unpacked"
import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
PY
    data_dir=$work/ptb
  fi
  if [ -z "$data_dir" ] && [ -d data/ptb ]; then data_dir=$(cd data/ptb && pwd); fi
  if [ $small = yes ] && [ -n "$data_dir" ]; then
    mkdir -p "$work/ptb_small"
    for candidate in "$data_dir"/ptb.*.txt; do head -n 60 "$candidate" >"$work/ptb_small/${candidate##*/}"; done
    data_dir=$work/ptb_small
  fi
}

# Prints the commit of the sources; that of the carried programs if git is not available.
commit() {
  git describe --always --dirty 2>/dev/null || sed -n 's/^commit //p' "$carried/carried.txt" 2>/dev/null || true
}

# Sets bin and launch, from the carried programs or from a build; false if both fail.
find_programs() {
  local reason= starts=("$carried/bin/char_lm" --help)
  if [ -z "$carried" ] || [ ! -d "$carried/bin" ]; then
    reason="no programs were carried"
  elif [ "$(sed -n 's/^torch //p' "$carried/carried.txt")" != "$torch_version" ]; then
    reason="the carried programs are for LibTorch $(sed -n 's/^torch //p' "$carried/carried.txt")"
  else
    launch=(env "LD_LIBRARY_PATH=$library_path:$carried/lib" OMP_WAIT_POLICY=passive ${HMRNN_GPU_LAUNCHER:-})
    bin=$carried/bin
    if timeout 60 "${launch[@]}" "${starts[@]}" >"$report/start.log" 2>&1; then
      note '"stage": "programs", "code": 0, "seconds": %d, "at": 0, "what": "carried, of commit %s"' $SECONDS \
        "$(sed -n 's/^commit //p' "$carried/carried.txt")"
      return 0
    fi
    reason="the carried programs do not start: $(tail -n 1 "$report/start.log" | tr -d '"\\')"
  fi
  echo "gpu.sh: $reason; building" >&2
  note '"stage": "programs", "left_out": "%s"' "$reason"
  launch=(env "LD_LIBRARY_PATH=$library_path" OMP_WAIT_POLICY=passive ${HMRNN_GPU_LAUNCHER:-})
  bin=$work/build/bin
  build
}

build() {
  local tool deps=() targets=(hmrnn_cuda)
  [[ -z ${wanted[tests]:-}${wanted[persistent]:-}${wanted[sizes]:-}${wanted[sanitizer]:-} ]] || targets+=(hmrnn_tests)
  [[ -z ${wanted[benchmark]:-}${wanted[profile]:-} ]] || targets+=(hmrnn_bench)
  [[ -z ${wanted[training]:-} ]] || targets+=(char_lm)
  for tool in cmake ninja nvcc; do
    command -v $tool >/dev/null || [ -x /usr/local/cuda/bin/$tool ] || die "$tool is missing"
  done
  PATH=$PATH:/usr/local/cuda/bin
  [ ! -d "$carried/include" ] || deps=("-DHMRNN_DEPS=$carried")
  { timed configure 60 cmake -S . -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHMRNN_CUDA=ON -DHMRNN_INSTALL=OFF \
    "-DHMRNN_CUDA_ARCHITECTURES=$(cut -d, -f2 <<<"$gpu" | tr -d ' .')-real" "${deps[@]}" &&
    timed build 100000 cmake --build "$work/build" -j "$(nproc)" --target "${targets[@]}"; } \
    >"$report/build.log" 2>&1 && return 0
  grep -m 5 -E 'CMake Error|error:|FAILED' "$report/build.log" >&2 || tail -n 5 "$report/build.log" >&2
  return 1
}
