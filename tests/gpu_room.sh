#!/usr/bin/env bash
# Tests tests/gpu.sh without a GPU: creates a minimal Ubuntu 24.04 with a fresh clone of the committed tree, the output
# of tests/gpu_carry.sh, nvcc and LibTorch with its CUDA libraries, and runs every stage there with the emulated device
# and with fake nvidia-smi and compute-sanitizer: first with the carried programs, then a resume, then, without the
# carried programs, with its own build. Needs root, debootstrap, CUDA's toolkit in /usr/local/cuda and 12 GB of disk.
#
#   tests/gpu_room.sh [carried] [build]      parts to run (default: both; a first build takes a quarter of an hour)
#
#   HMRNN_CLEAN_ROOM        working folder (default /var/tmp/hmrnn-clean-room); keeps the bare system and the compiler
#                           cache for the next run, and the room and the results of the last run for inspection
#   HMRNN_CLEAN_ROOM_SUITE  noble (default), or trixie for Debian 13, if no mirror of Ubuntu can be reached
#   HMRNN_ROOM_TORCH        a folder with the packages of `pip install torch==2.11.0` (default: made in $HMRNN_CACHE, 5 GB)
#   HMRNN_DATA_DIR          see tests/gpu_carry.sh
set -euo pipefail
die() { echo "gpu_room: $*" >&2; exit 2; }
fail() { echo "gpu_room: FAILED: $*" >&2; exit 1; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$(id -u)" = 0 ] || die "needs root"
command -v debootstrap >/dev/null || die "needs debootstrap (apt-get install debootstrap)"
[ -x /usr/local/cuda/bin/nvcc ] || die "needs nvcc in /usr/local/cuda"
parts=" ${*:-carried build} "
[[ $parts =~ ^(\ carried)?(\ build)?\ $ ]] || die "usage: tests/gpu_room.sh [carried] [build]"

folder=${HMRNN_CLEAN_ROOM:-/var/tmp/hmrnn-clean-room}
suite=${HMRNN_CLEAN_ROOM_SUITE:-noble}
torch=${HMRNN_ROOM_TORCH:-${HMRNN_CACHE:-$HOME/.cache/hmrnn}/torch-cuda-2.11.0}
bare=$folder/$suite-gpu room=$folder/gpu-room log=$folder/gpu-room.log
mkdir -p "$folder"
[ -n "${HMRNN_ROOM_INSIDE:-}" ] || : >"$log"

# step WHAT COMMAND…: logs the command's duration.
step() {
  local what=$1 begin=$SECONDS code=0
  shift
  echo "gpu_room: $what" >&2
  # In a subshell that no || follows, in which set -e would have no effect: every command of the step counts.
  set +e
  (set -e; "$@")
  code=$?
  set -e
  printf '%5d s  %s%s\n' $((SECONDS - begin)) "$what" "$([ $code = 0 ] || echo ": FAILED, $code")" >>"$log"
  [ $code = 0 ] || { cat "$log"; fail "$what"; }
}

build_here() { cmake/bootstrap.sh && cmake --preset release >/dev/null && cmake --build --preset release >"$folder/gpu-build.log" 2>&1; }
fetch_torch() {
  [ ! -d "$torch/torch" ] || return 0
  python3 -m venv "$torch.venv" && "$torch.venv/bin/pip" install -q --no-compile --target "$torch" torch==2.11.0
}
make_bare() {
  local mirror=http://deb.debian.org/debian components=main script=
  # As in tests/clean_room.sh: one script of debootstrap's installs all Ubuntu releases.
  [ "$suite" != noble ] || mirror=http://archive.ubuntu.com/ubuntu components=main,universe script=/usr/share/debootstrap/scripts/gutsy
  [ ! -e "$bare" ] || return 0
  rm -rf "$bare.partial"
  # The compilers that a GPU machine has, and ccache for the second run, but no library that this project links.
  debootstrap --variant=minbase --components=$components --include=python3,g++,cmake,ninja-build,ccache "$suite" \
    "$bare.partial" $mirror $script >"$folder/debootstrap.log" 2>&1 && mv "$bare.partial" "$bare"
}
carry() { tests/gpu_carry.sh "$folder/carry"; }

# The mounts are in a separate mount namespace and end with it.
if [ -z "${HMRNN_ROOM_INSIDE:-}" ]; then
  step "the build here" build_here
  step "LibTorch with its CUDA libraries" fetch_torch
  step "the bare system ($suite)" make_bare
  step "tests/gpu_carry.sh" carry
  HMRNN_ROOM_INSIDE=1 exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "$@"
fi

make_room() {
  rm -rf --one-file-system "$room"
  cp -a --reflink=auto "$bare" "$room"
  mount -t proc proc "$room/proc"
  mount --rbind /dev "$room/dev"
  mount -t tmpfs tmpfs "$room/dev/shm"
  mkdir -p "$room"/{opt/site,opt/emulated,opt/ccache,usr/local/cuda} "$folder/ccache"
  mount --bind "$torch" "$room/opt/site"
  mount --bind /usr/local/cuda "$room/usr/local/cuda"
  mount --bind "$folder/ccache" "$room/opt/ccache"
  echo /opt/site >"$room/usr/lib/python3/dist-packages/torch.pth"
  git clone -q --no-hardlinks . "$room/root/hmrnn"
  mkdir "$room/root/hmrnn/build"
  cp -r "$folder/carry" "$room/root/hmrnn/build/"
  cp build/release/tests/emulated_gpu/*.so* "$room/opt/emulated/"
  # One folder for all emulated libraries: LibTorch's libraries search their own folders for CUDA's before any path.
  cat >"$room/opt/emulated/launch" <<'SH'
#!/bin/sh
first=/opt/emulated/libcudart.so.13:/opt/emulated/libemulated_gpu.so
for library in /opt/emulated/*.so*; do
  case $first: in *$library:*) ;; *) first=$first:$library ;; esac
done
exec env LD_PRELOAD="$first" "$@"
SH
  cat >"$room/usr/local/bin/nvidia-smi" <<'SH'
#!/bin/sh
echo "emulated GPU, 9.0, 4096 MiB, none"
SH
  cat >"$room/usr/local/bin/compute-sanitizer" <<'SH'
#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift 2; done
"$@" && echo "========= ERROR SUMMARY: 0 errors (a stand-in, which looks at nothing)"
SH
  chmod +x "$room/opt/emulated/launch" "$room"/usr/local/bin/*
}

# in_room COMMAND: runs it in the clone.
in_room() {
  chroot "$room" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CCACHE_DIR=/opt/ccache HMRNN_GPU_LAUNCHER=/opt/emulated/launch bash -c "cd ~/hmrnn && $1" </dev/null
}
# summary EXPRESSION: checks a Python expression in which `s` is the summary.
summary() {
  python3 - "$room/root/out/summary.json" "$1" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
if not eval(sys.argv[2]):
    sys.exit(f"not so: {sys.argv[2]}\n{json.dumps(s['stages'], indent=1)}")
PY
}
check_carried() {
  summary '[x["stage"] for x in s["stages"]] == ["programs", "tests", "persistent", "benchmark", "profile", "sizes",
    "sanitizer memcheck", "sanitizer racecheck", "sanitizer synccheck", "training", "evaluation"]'
  summary 'all(x.get("code") == 0 for x in s["stages"] if x["stage"] != "sizes")'
  # This stage is cut off on the emulated device.
  summary 'next(x for x in s["stages"] if x["stage"] == "sizes")["code"] in (0, 124)'
  summary 's["tests"]["cases"] >= 13 and not s["tests"]["failed"]'
  summary 's["tests"]["skipped"] == ["NCCL in a group of one: skipped: the emulated GPU has no NCCL"]'
  summary '{"graph", "persistent", "launches"} <= {row.get("launch") for row in s["benchmark"]["rows"]}'
  summary 's["profiles"] and len(s["sanitizer"]) == 3 and all("0 errors" in line for line in s["sanitizer"].values())'
  summary 's["training"]["steps"] > 10 and s["training"]["evaluation"]["total_bits"] > 0 and s["training"]["cuda_persistent"]'
  [ -s "$room/root/out/model.safetensors" ] && [ -s "$room/root/out/details.tar.gz" ] && [ -s "$room/root/out/summary.md" ]
}
list_stages() {
  python3 - "$room/root/out/summary.json" <<'PY'
import json, sys
for stage in json.load(open(sys.argv[1]))["stages"]:
    print("        %5d s  %s" % (stage.get("seconds", 0), stage["stage"]))
PY
}
check_resumed() {
  summary '[(x["stage"], x.get("code")) for x in s["stages"]][-3:] == [("programs", 0), ("training", 0), ("evaluation", 0)]'
  summary "s['training']['steps'] > $1 and len(s['training']['options']) == 2 and s['tests'] and s['benchmark']"
}
check_built() {
  summary '[x["stage"] for x in s["stages"]] == ["programs", "configure", "build", "training", "evaluation"]'
  summary 's["stages"][0]["left_out"] == "no programs were carried" and all(x["code"] == 0 for x in s["stages"][1:])'
}
refuses_xz() {
  # shellcheck disable=SC2016
  in_room 'python3 -c "import lzma; lzma.open(\"/root/text.xz\", \"w\").write(b\"text\" * 1000)"
    site=/opt/site/torch/lib
    LD_LIBRARY_PATH=$site build/gpu/build/bin/char_lm train --corpus /root/text.xz --device cpu --out /root/xz 2>/root/err && exit 1
    [ "$(cat /root/err)" = "char_lm: cannot read /root/text.xz: this build is without libarchive; unpack it" ]'
}

step "the room" make_room
if [[ $parts = *carried* ]]; then
  # Exit code 1 means that a stage did not pass; the checks below tell whether it is the one that is cut off.
  step "gpu.sh, carried" in_room 'tests/gpu.sh --small --seconds 420 --stages tests:150,persistent:60,benchmark:120,profile:60,sizes:15,sanitizer:60,training --minutes 0.4 --epochs auto --out /root/out || [ $? = 1 ]'
  cp "$room/root/out/summary.md" "$folder/gpu-room-carried.md"
  list_stages >>"$log"
  step "what it reports" check_carried
  steps=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["training"]["steps"])' "$room/root/out/summary.json")
  # The limit of epochs from the benchmark may have ended the training.
  step "gpu.sh --resume" in_room 'tests/gpu.sh --small --seconds 60 --stages training --minutes 0.1 --epochs 1000 --resume --out /root/out || [ $? = 1 ]'
  step "what it reports" check_resumed "$steps"
fi
if [[ $parts = *build* ]]; then
  rm -r "$room/root/hmrnn/build/carry/bin"
  step "gpu.sh, built there" in_room 'tests/gpu.sh --small --seconds 3000 --stages training --minutes 0.1 --out /root/out'
  cp "$room/root/out/summary.md" "$folder/gpu-room-built.md"
  step "what it reports" check_built
  step ".xz is refused in one line" refuses_xz
fi
cat "$log"
echo "gpu_room: passed"
