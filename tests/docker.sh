#!/usr/bin/env bash
# Builds the CPU image of docker/Dockerfile with buildah, and trains, evaluates and segments in it as an unprivileged
# user, with the runs in a mounted folder. Needs root, buildah and 6 GB of disk (vfs copies every layer); takes about a
# quarter of an hour, so it is not part of ctest.
#
#   HMRNN_DOCKER_FOLDER    working folder (default /var/tmp/hmrnn-docker); keeps images and base for the next run
#   HMRNN_DOCKER_MINUTES   minutes of training (default 2)
#   HMRNN_DOCKER_BASE      base image, passed to the build as CPU_BASE. Default: docker.io/library/debian:12; if that
#                          cannot be pulled, one made by debootstrap
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "docker: $*"; }
fail() { echo "docker: FAILED: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "docker: needs root" >&2; exit 2; }
command -v buildah >/dev/null || { echo "docker: needs buildah (apt-get install buildah)" >&2; exit 2; }

folder=${HMRNN_DOCKER_FOLDER:-/var/tmp/hmrnn-docker}
minutes=${HMRNN_DOCKER_MINUTES:-2}
mkdir -p "$folder/tmp"
export TMPDIR=$folder/tmp
store=(--root "$folder/storage" --runroot "$folder/run" --storage-driver vfs)
buildah() { command buildah "${store[@]}" "$@"; }

# Mounts what this machine needs to reach its package registry during the build, so that it is not part of the image:
# pip's settings from the environment, and the certificates under a name that no package of the image uses.
mounts=()
settings=$folder/pip.conf
echo "[global]" >"$settings"
while IFS='=' read -r name value; do
  key=${name#PIP_}
  if [ -f "$value" ]; then
    mounts+=(--volume "$value:/etc/build-host/$name:ro")
    value=/etc/build-host/$name
  elif [[ $value == /* ]]; then
    continue # a folder of this machine
  fi
  tr '[:upper:]_' '[:lower:]-' <<<"$key" | tr -d '\n' >>"$settings"
  echo " = $value" >>"$settings"
done < <(env | grep '^PIP_')
mounts+=(--volume "$settings:/etc/pip.conf:ro")

# ---------------------------------------------------------------- the base
base=${HMRNN_DOCKER_BASE:-docker.io/library/debian:12}
if ! buildah pull -q "$base" >/dev/null 2>"$folder/pull.log"; then
  [ -z "${HMRNN_DOCKER_BASE:-}" ] || fail "$base cannot be pulled: $(tail -n 1 "$folder/pull.log")"
  base=localhost/hmrnn-debian:12
  if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    command -v debootstrap >/dev/null || { echo "docker: debian:12 cannot be pulled, and there is no debootstrap" >&2; exit 2; }
    say "debian:12 cannot be pulled: debootstrap makes the base"
    rm -rf "$folder/root"
    debootstrap --variant=minbase bookworm "$folder/root" http://deb.debian.org/debian >"$folder/debootstrap.log" 2>&1 ||
      { tail -n 5 "$folder/debootstrap.log" >&2; fail "debootstrap ($folder/debootstrap.log)"; }
    rm -rf "$folder/root/var/cache/apt/archives"/*.deb "$folder/root/var/lib/apt/lists"/*
    container=$(buildah from scratch)
    buildah copy -q "$container" "$folder/root" / >/dev/null
    buildah commit -q "$container" "$base" >/dev/null
    buildah rm "$container" >/dev/null
    rm -rf "$folder/root"
  fi
fi

# ---------------------------------------------------------------- the image
start=$SECONDS
say "building on $base"
buildah bud --isolation chroot --layers "${mounts[@]}" --build-arg "CPU_BASE=$base" --build-arg "JOBS=$(nproc)" \
  --target cpu -t hmrnn:cpu -f docker/Dockerfile . >"$folder/build.log" 2>&1 ||
  { tail -n 20 "$folder/build.log" >&2; fail "the build ($folder/build.log)"; }
say "built in $((SECONDS - start)) s"

container=$(buildah from hmrnn:cpu)
runs=$(mktemp -d "$folder/runs-XXXXXX")
trap 'buildah rm "$container" >/dev/null; rm -rf "$runs"' EXIT
chown 10001:10001 "$runs"
inside() { buildah run --isolation chroot --volume "$runs:/runs:rw" "$container" -- "$@"; }

[ "$(inside id -u)" = 10001 ] || fail "the image's user is $(inside id -u)"
for tool in gcc g++ cc c++ make cmake ninja clang ld as nvcc; do
  if inside sh -c "command -v $tool" >/dev/null 2>&1; then fail "the image holds a compiler's tool: $tool"; fi
done
if inside touch /opt/hmrnn/x >/dev/null 2>&1; then fail "the user may write outside the mounts"; fi

say "training for $minutes minutes"
inside char_lm train --corpus synthetic --out /runs/two-minutes --minutes "$minutes" --units 128 --embedding 64 \
  --output-embedding 128 --batch 64 --window 50 --lr 0.002 --seed 1 >"$folder/train.log" 2>&1 ||
  { tail -n 5 "$folder/train.log" >&2; fail "train"; }
tail -n 1 "$folder/train.log"
for file in best/model.safetensors last/state.safetensors metrics.jsonl; do
  [ -s "$runs/two-minutes/$file" ] || fail "the run on the mount has no $file"
  [ "$(stat -c %u "$runs/two-minutes/$file")" = 10001 ] || fail "$file belongs to another user"
done
said=$(inside char_lm eval /runs/two-minutes --split test --streams 64) || fail "eval"
echo "$said"
bpc=$(grep -oE '[0-9]+\.[0-9]+ bits per character' <<<"$said" | cut -d' ' -f1)
# A uniform distribution over the 21 symbols of the corpus has 4.4 bits; their frequencies alone have more than 3.5.
awk -v bpc="$bpc" 'BEGIN { exit !(bpc > 0 && bpc < 3.5) }' || fail "the model learned nothing: '$bpc' bits per character"

size=$(du -sm "$(buildah mount "$container")" | cut -f1)
buildah umount "$container" >/dev/null
say "passed; the image holds $size MB"
