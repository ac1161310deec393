#!/usr/bin/env bash
# Runs the batch script of docs/many_machines.md under Slurm, on two nodes of one processor each (two slurmd on this
# machine): a job that Slurm requeues while it trains must end with the weights of an undisturbed job. By request: needs
# root, Slurm and MUNGE (Debian: apt-get install slurm-wlm munge), and torchrun (tests/python/environment.sh, 5 GB).
# HMRNN_BIN_DIR: the folder of the programs (default build/release/bin).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "slurm: FAILED: $*" >&2; exit 1; }
for tool in slurmctld slurmd sbatch munged; do
  command -v $tool > /dev/null || { echo "slurm: $tool is missing (Debian: apt-get install slurm-wlm munge)" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "slurm: needs root" >&2; exit 2; }
bin=$(realpath "${HMRNN_BIN_DIR:-build/release/bin}")
python=$(tests/python/environment.sh)
work=$(mktemp -d)
daemons=()
trap 'for pid in "${daemons[@]}"; do kill "$pid" 2> /dev/null || true; done; wait; rm -rf "$work"' EXIT
script=$(awk '/^#!\/bin\/bash$/ { inside = 1 } /^```/ { inside = 0 } inside' docs/many_machines.md)
[[ $script == *"srun torchrun"* ]] || fail "docs/many_machines.md shows no batch script"
cd "$work"

# ---------------------------------------------------------------- a cluster
mkdir state spool programs
head -c 1024 /dev/urandom > key
chmod 600 key
munged --foreground --force --key-file="$work/key" --socket="$work/munge" --pid-file="$work/munged.pid" --log-file="$work/munged.log" \
  --seed-file="$work/seed" > munged.out 2>&1 &
daemons+=($!)
cat > slurm.conf << CONF
ClusterName=hmrnn
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/%n.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
NodeName=hmrnn-node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=16821 CPUs=1
NodeName=hmrnn-node2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=16822 CPUs=1
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
export SLURM_CONF=$work/slurm.conf
for _ in $(seq 50); do [ ! -e munge ] || break; sleep 0.1; done
slurmctld -D -c > slurmctld.log 2>&1 &
daemons+=($!)
for node in 1 2; do
  slurmd -D -N hmrnn-node$node > slurmd$node.log 2>&1 &
  daemons+=($!)
done
for _ in $(seq 100); do [ "$(sinfo -h -t idle -o %D 2> /dev/null)" != 2 ] || break; sleep 0.2; done
[ "$(sinfo -h -t idle -o %D)" = 2 ] || fail "no two nodes: $(tail -n 5 slurmctld.log slurmd1.log)"

# ---------------------------------------------------------------- the script of the document, for this cluster
printf '#!/bin/sh\nexec "%s" -m torch.distributed.run --local-addr 127.0.0.1 "$@"\n' "$python" > programs/torchrun
chmod +x programs/torchrun
common="--corpus synthetic --synthetic-length 20000 --units 12,8 --embedding 6 --output-embedding 10 --batch 4 --window 20 --device cpu --seed 3 --steps 1500
  --checkpoint-every 20"
# job NAME PORT: writes the batch script that trains in the folder NAME
job() {
  sed -e 's/--nodes=4 --ntasks-per-node=1 --cpus-per-task=32 --gpus-per-node=8/--nodes=2 --ntasks-per-node=1 --cpus-per-task=1/' \
    -e 's/--nproc-per-node 8/--nproc-per-node 1/' -e 's/--threads 4/--threads 1/' -e "s/--preset text8 --data-dir DIR/$(echo $common)/" -e "s/RUN/$1/g" \
    `# the nodes have no names that could be looked up` \
    -e 's/^first=.*/first=127.0.0.1; scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1/' -e "s/29500/$2/" <<< "$script" > "$1.sh"
  grep -q -- '--nodes=2 .*--requeue' "$1.sh" && grep -q -- "--nproc-per-node 1 .*--rdzv-endpoint \"\$first:$2\"" "$1.sh" ||
    fail "the document's script has changed: $(cat "$1.sh")"
}
job calm 29611
job struck 29612
export PATH=$work/programs:$bin:$PATH OMP_NUM_THREADS=1
state() { squeue -h -j "$1" -o %T 2> /dev/null || true; }
# ended ID NAME: waits for the job's end
ended() {
  for _ in $(seq 600); do [ -n "$(state "$1")" ] || return 0; sleep 0.5; done
  fail "$2 does not end: $(tail -n 20 "$2.out")"
}
calm=$(sbatch --parsable --output=calm.out calm.sh)
ended "$calm" calm
grep -q '^done: 1500 steps' calm.out || fail "calm: $(tail -n 20 calm.out)"
grep -q '2 processes' calm.out || fail "the nodes are not one job: $(head -n 20 calm.out)"
grep -qx hmrnn-node1 calm.out || fail "scontrol names another first node: $(head -n 5 calm.out)"

struck=$(sbatch --parsable --output=struck.out --open-mode=append struck.sh)
for _ in $(seq 600); do [ ! -e struck/last/state.safetensors ] || break; sleep 0.2; done
sleep 2
scontrol requeue "$struck"
scontrol update "JobId=$struck" StartTime=now 2> /dev/null || true # else Slurm waits two minutes
ended "$struck" struck
grep -q '^resumed at step' struck.out || fail "the requeued job did not resume: $(tail -n 30 struck.out)"
grep -q '^done: 1500 steps' struck.out || fail "struck: $(tail -n 30 struck.out)"
cmp calm/last/model.safetensors struck/last/model.safetensors || fail "the requeued job has other weights"
echo "slurm: passed: $(slurmd -V), two nodes, a requeued job with the weights of an undisturbed one"
