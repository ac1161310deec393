#!/usr/bin/env bash
# Tests the package on a bare machine: builds the .deb of the preset release, copies it and an independent project
# (examples/embed) into a minimal Debian root file system without anything else of this project, installs it there with
# a compiler, CMake and LibTorch (in another place than here), and configures, builds and runs the project. Needs a
# build and what tests/clean_room.sh needs, whose variables apply; takes about ten minutes, so it is not part of ctest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
packages=build/packages

rm -rf "$packages"
cpack --config build/release/CPackConfig.cmake -B build/packages
for kind in tar.gz deb; do
  ls "$packages"/*."$kind" >/dev/null 2>&1 || { echo "package_clean_room: cpack made no .$kind (dpkg-dev is needed)" >&2; exit 1; }
done
ls -l "$packages"
version=$(sed -n 's/^version=//p' cmake/bootstrap.sh)

HMRNN_CLEAN_ROOM_GIVE="$(echo "$packages"/*.deb) examples/embed" exec tests/clean_room.sh \
  "export DEBIAN_FRONTEND=noninteractive && apt-get update -q >/dev/null &&
   apt-get install -y -q --no-install-recommends ./hmrnn_*.deb g++ cmake make python3-venv >/dev/null && dpkg -s hmrnn | grep Depends" \
  "python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -q --no-deps --no-compile --no-cache-dir --target /opt/libtorch \
   torch==$version 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*'" \
  "! cmake -S embed -B refused >refused.txt 2>&1 && tr -d '\n' <refused.txt | tr -s ' ' | grep -o 'LibTorch was not found: set[^.]*.[0-9]*.[0-9]*'" \
  "cmake -S embed -B build -DCMAKE_PREFIX_PATH=/opt/libtorch/torch && cmake --build build && build/series" \
  "set -o pipefail && export LD_LIBRARY_PATH=/opt/libtorch/torch/lib && char_lm train --corpus synthetic --out run --units 32 --steps 20 &&
   char_lm sample run --length 20 --seed 1 | build/stream run/best/model.safetensors"
