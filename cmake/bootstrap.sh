#!/usr/bin/env bash
# Prepares a machine to build the project: installs Debian packages and LibTorch. Can be run again; it skips what is
# present.
#
#   HMRNN_CACHE          folder for LibTorch, shared by all clones of this user (default ~/.cache/hmrnn)
#   CMAKE_PREFIX_PATH    an existing LibTorch to use instead of the download (Torch_DIR too)
#   PIP_INDEX_URL etc.   pip's own settings apply
#
# Writes cmake/bootstrap.local.cmake, so that `cmake --preset release` then needs no variables. If something is missing
# that it cannot install, it prints one line and exits with code 2.
set -euo pipefail

version=2.11.0
packages=(g++ cmake ninja-build ccache libfmt-dev libcxxopts-dev catch2 libpugixml-dev nlohmann-json3-dev libarchive-dev
          libxxhash-dev libutf8proc-dev python3-venv)
declare -A tools=([g++]=g++ [cmake]=cmake [ninja-build]=ninja [ccache]=ccache) # need not be Debian's
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HMRNN_CACHE:-$HOME/.cache/hmrnn}
mkdir -p "$cache" 2>/dev/null || { echo "bootstrap: cannot create the cache folder $cache" >&2; exit 2; }
cache=$(cd "$cache" && pwd)

die() { echo "bootstrap: $*" >&2; exit 2; }

# ---------------------------------------------------------------- Debian packages
missing_packages() {
  local p
  for p in "${packages[@]}"; do
    if [ -n "${tools[$p]:-}" ] && command -v "${tools[$p]}" >/dev/null; then continue; fi
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || echo "$p"
  done
}

install_packages() {
  command -v dpkg-query >/dev/null || die "this is not a Debian or Ubuntu system; install by hand: ${packages[*]}"
  local missing sudo=()
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "neither root nor sudo, and these packages are missing: ${missing[*]}"
    sudo=(sudo)
    # Without a terminal, sudo's password prompt cannot be answered.
    [ -t 0 ] || sudo -n true 2>/dev/null || die "sudo asks for a password, and these packages are missing: ${missing[*]}"
  fi
  echo "bootstrap: installing ${missing[*]}"
  # Wait for apt's lock, since another bootstrap may hold it.
  "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=600 update -q >"$cache/apt.log" 2>&1 ||
    { tail -n 5 "$cache/apt.log" >&2; die "apt-get update failed ($cache/apt.log)"; }
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends \
    "${missing[@]}" >>"$cache/apt.log" 2>&1 ||
    { tail -n 5 "$cache/apt.log" >&2; die "apt-get install failed ($cache/apt.log)"; }
}

# ---------------------------------------------------------------- LibTorch
is_libtorch() { [ -f "$1/include/torch/headeronly/version.h" ] && [ -f "$1/lib/libtorch_cpu.so" ] && [ -f "$1/lib/libc10.so" ]; }

# Prints the root of the LibTorch that the caller names, if any: Torch_DIR is <torch>/share/cmake/Torch,
# CMAKE_PREFIX_PATH is <torch> or <torch>/share/cmake.
named_libtorch() {
  local prefix candidate prefixes
  IFS=':;' read -r -a prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  for prefix in ${Torch_DIR:+"$Torch_DIR/../../.."} "${prefixes[@]}"; do
    for candidate in "$prefix" "$prefix/../.." "$prefix/torch"; do
      if [ -n "$prefix" ] && is_libtorch "$candidate"; then
        (cd "$candidate" && pwd)
        return
      fi
    done
  done
}

# The wheel contains LibTorch's headers and libraries, the same for every CPython. `--no-deps` avoids 4 GB of CUDA
# libraries that only libtorch_cuda needs; libtorch_cpu needs cudart and cupti.
download_libtorch() {
  local target=$1 work
  # Only one download at a time; a second process waits and finds the folder, which is complete when it appears.
  exec 9>"$cache/.lock"
  flock 9
  if is_libtorch "$target/torch"; then return; fi
  find "$cache" -maxdepth 1 -name '.partial-*' -exec rm -rf {} + # left by an interrupted run
  work=$(mktemp -d "$cache/.partial-XXXXXX")
  mkdir "$work/tmp" # pip unpacks 1.2 GB, which may not fit into /tmp
  trap 'rm -rf "'"$work"'"' EXIT
  echo "bootstrap: downloading LibTorch $version into $target (about 600 MB, once)"
  # In a virtual environment, since Debian's pip refuses to install anything (PEP 668).
  python3 -m venv "$work/venv" >"$cache/pip.log" 2>&1 || { tail -n 5 "$cache/pip.log" >&2; die "python3 -m venv failed ($cache/pip.log)"; }
  TMPDIR="$work/tmp" "$work/venv/bin/pip" install --no-deps --no-compile --no-cache-dir --only-binary :all: --target "$work/libtorch" \
    "torch==$version" "nvidia-cuda-runtime==13.0.*" "nvidia-cuda-cupti==13.0.*" >>"$cache/pip.log" 2>&1 ||
    { tail -n 5 "$cache/pip.log" >&2; die "pip could not fetch torch $version ($cache/pip.log)"; }
  is_libtorch "$work/libtorch/torch" || die "the wheel of torch $version holds no LibTorch"
  chmod 755 "$work/libtorch"
  rm -rf "$target" # removes a folder without a LibTorch
  mv "$work/libtorch" "$target"
  rm -rf "$work"
  trap - EXIT
  exec 9>&-
}

install_packages
torch=$(named_libtorch)
if [ -z "$torch" ]; then
  torch=$cache/libtorch-$version/torch
  is_libtorch "$torch" || download_libtorch "$cache/libtorch-$version"
fi

note=$here/bootstrap.local.cmake
text="# Written by cmake/bootstrap.sh.
set(HMRNN_BOOTSTRAP_TORCH \"$torch\")"
if [ "$(cat "$note" 2>/dev/null || true)" != "$text" ]; then # an unchanged file does not make CMake configure again
  printf '%s\n' "$text" >"$note.$$"
  mv "$note.$$" "$note"
fi
echo "bootstrap: LibTorch in $torch"
