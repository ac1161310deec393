#!/usr/bin/env bash
# Two network namespaces connected by a veth pair (the cable) stand for two machines: they train one run, resume it
# after the cable was pulled, and run the command of docs/many_machines.md if torchrun is installed. Needs root and
# network namespaces.
set -euo pipefail
# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm
id=hmrnn$$
if [ "$(id -u)" != 0 ] || ! command -v ip > /dev/null || ! ip netns add $id-0 2> /dev/null; then
  echo "skipped: network namespaces (root, and iproute2's ip) are not to be had here"
  exit 0
fi
remove() {
  local name
  for name in $id-0 $id-1; do ip netns delete "$name" 2> /dev/null || true; done
  rm -rf "$work"
}
trap remove EXIT
if ! { ip netns add $id-1 && ip link add name v0 netns $id-0 type veth peer name v1 netns $id-1; } 2> .err; then
  echo "skipped: a cable between network namespaces cannot be made here: $(head -n 1 .err)"
  exit 0
fi
for node in 0 1; do
  ip -n $id-$node address add 10.117.0.$((node + 1))/24 dev v$node
  ip -n $id-$node link set lo up
  ip -n $id-$node link set v$node up
done

common="--corpus synthetic --synthetic-length 6000 --units 12,8 --embedding 6 --output-embedding 10 --batch 4 --window 20
  --threads 1 --device cpu --seed 3 --layer-norm off --boundary soft --log-every 5"
common=$(echo $common) # one line
# on NODE COMMAND…: runs COMMAND on that machine, as process NODE of two
on() {
  local node=$1
  shift
  exec ip netns exec $id-$node env GLOO_SOCKET_IFNAME=v$node RANK=$node WORLD_SIZE=2 MASTER_ADDR=10.117.0.1 MASTER_PORT=29500 "$@"
}
both() { # both COMMAND…: runs COMMAND on both machines and waits for both
  local a=0 b=0
  (on 0 "$@") > 0.out 2> 0.err &
  first=$!
  (on 1 "$@") > 1.out 2> 1.err &
  second=$!
  wait $first || a=$?
  wait $second || b=$?
  [ "$a $b" = "0 0" ] || fail "$*: exit codes $a $b: $(cat 0.err 1.err)"
}
last_loss() { sed -n 's/.*"event":"train","step":40,.*"loss":\([0-9.]*\),.*/\1/p' "$1/metrics.jsonl"; }

"$bin" train $common --out alone --steps 40 > /dev/null
both "$bin" train $common --out two --steps 40
awk -v a="$(last_loss alone)" -v b="$(last_loss two)" 'BEGIN { exit !(a > 0 && (a - b) ^ 2 < 1e-9) }' ||
  fail "two machines have another loss: $(last_loss alone), $(last_loss two)"

# The cable is pulled: neither process gets an error before its timeout.
: > 0.out # the steps of the previous run must not be taken for this one's
(on 0 "$bin" train $common --out pulled --steps 1000000 --checkpoint-every 10 --timeout 2) > 0.out 2> 0.err &
first=$!
(on 1 "$bin" train $common --out pulled --steps 1000000 --checkpoint-every 10 --timeout 2) > 1.out 2> 1.err &
second=$!
for _ in $(seq 600); do
  if grep -q '^step 20 ' 0.out; then break; fi
  sleep 0.05
done
ip -n $id-0 link set v0 down
begin=$SECONDS
a=0 b=0
wait $first || a=$?
wait $second || b=$?
[ "$a $b" = "2 2" ] && [ $((SECONDS - begin)) -lt 20 ] || fail "a pulled cable: exit codes $a $b after $((SECONDS - begin)) s: $(cat 0.err 1.err)"
for rank in 0 1; do
  sed -i '/^\[W.*hostname of the client socket/d' $rank.err # c10d warns of addresses without a name
  [ "$(wc -l < $rank.err)" = 1 ] && grep -q "process $rank of 2 waited for the others" $rank.err || fail "a pulled cable: $(cat $rank.err)"
done
ip -n $id-0 link set v0 up
both "$bin" train --out pulled --resume --steps $(($(sed -n 's/.*"step":\([0-9]*\),.*/\1/p' pulled/metrics.jsonl | tail -n 1) + 5))

python=${HMRNN_PYTHON:-${HMRNN_CACHE:-$HOME/.cache/hmrnn}/python-2.11.0/bin/python}
if [ -x "$python" ]; then
  mkdir programs
  printf '#!/bin/sh\nexec "%s" -m torch.distributed.run "$@"\n' "$python" > programs/torchrun
  chmod +x programs/torchrun
  export PATH=$PWD/programs:${bin%/*}:$PATH
  command=$(grep -m 1 '^torchrun --nnodes 2' "$tests/../docs/many_machines.md")
  pids=()
  for node in 0 1; do
    line=$(sed -e "s/NODE/$node/; s/ADDRESS/10.117.0.1/; s/--preset ptb --data-dir DIR --out RUN/$common --out documented --steps 40/" <<< "$command")
    (exec ip netns exec $id-$node env GLOO_SOCKET_IFNAME=v$node $line) > torchrun-$node.out 2>&1 &
    pids+=($!)
  done
  for node in 0 1; do wait ${pids[node]} || fail "$command, on machine $node: $(tail -n 20 torchrun-$node.out)"; done
  [ "$(last_loss documented)" = "$(last_loss two)" ] || fail "torchrun on two machines has another loss: $(last_loss documented), not $(last_loss two)"
else
  echo "skipped: torchrun; there is no $python (tests/python/environment.sh makes it, 5 GB)"
fi
finish
