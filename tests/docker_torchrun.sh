#!/usr/bin/env bash
# Adds torchrun to the CPU image (docker/Dockerfile, target `torchrun`) with buildah, and runs the command of
# docker/compose.many.yaml in two containers, whose runs are in one mounted folder. Needs what tests/docker.sh needs, and
# runs it first if there is no CPU image; 15 GB of disk more. Not part of ctest.
#
#   HMRNN_DOCKER_FOLDER    working folder of tests/docker.sh (default /var/tmp/hmrnn-docker)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "docker_torchrun: $*"; }
fail() { echo "docker_torchrun: FAILED: $*" >&2; exit 1; }
folder=${HMRNN_DOCKER_FOLDER:-/var/tmp/hmrnn-docker}
store=(--root "$folder/storage" --runroot "$folder/run" --storage-driver vfs)
export TMPDIR=$folder/tmp
buildah() { command buildah "${store[@]}" "$@"; }
buildah inspect --type image localhost/hmrnn:cpu >/dev/null 2>&1 || tests/docker.sh

# Runs the instructions of the target on the finished image instead of on its stage.
start=$SECONDS
sed -n '/^FROM cpu AS torchrun$/,/^# -----/p' docker/Dockerfile | sed -e 's/^FROM cpu AS torchrun/FROM localhost\/hmrnn:cpu/' >"$folder/Dockerfile.torchrun"
settings=(--volume "$folder/pip.conf:/etc/pip.conf:ro")
while IFS='=' read -r name value; do
  if [ -f "$value" ]; then settings+=(--volume "$value:/etc/build-host/$name:ro"); fi
done < <(env | grep '^PIP_')
buildah bud --isolation chroot "${settings[@]}" -t hmrnn:torchrun -f "$folder/Dockerfile.torchrun" . >"$folder/torchrun.log" 2>&1 ||
  { tail -n 20 "$folder/torchrun.log" >&2; fail "the build ($folder/torchrun.log)"; }
say "built in $((SECONDS - start)) s"

command=$(sed -n '/^      resume=/,/^$/p' docker/compose.many.yaml | sed -e 's/^ *//; s/\$\$/$/g; s/--minutes 2/--steps 200 --log-every 20/')
[[ $command == *torchrun*char_lm* ]] || fail "docker/compose.many.yaml shows another command: $command"
runs=$(mktemp -d "$folder/runs-XXXXXX")
chown 10001:10001 "$runs"
containers=()
trap 'for container in "${containers[@]}"; do buildah rm "$container" >/dev/null; done; rm -rf "$runs"' EXIT
pids=()
for node in 0 1; do
  containers+=("$(buildah from hmrnn:torchrun)")
  buildah run --isolation chroot --env NODE=$node --env FIRST=127.0.0.1 --volume "$runs:/runs:rw" "${containers[node]}" -- \
    sh -c "$command" >"$folder/node-$node.log" 2>&1 &
  pids+=($!)
done
for node in 0 1; do wait "${pids[node]}" || { tail -n 20 "$folder/node-$node.log" >&2; fail "node $node"; }; done
grep -q '2 processes' "$folder/node-0.log" || fail "the nodes are not one job: $(head -n 5 "$folder/node-0.log")"
if grep -q '^step' "$folder/node-1.log"; then fail "both nodes print steps"; fi
tail -n 2 "$folder/node-0.log"
say "passed; the image holds $(du -sm "$(buildah mount "${containers[0]}")" | cut -f1) MB"
buildah umount "${containers[0]}" >/dev/null
