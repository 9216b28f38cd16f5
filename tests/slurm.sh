#!/usr/bin/env bash
# A sweep whose trials are tasks of Slurm job arrays, on a cluster of this one machine: munged, slurmctld and slurmd from
# Debian, started here in a folder of their own and stopped at the end. What it finds is what a sweep in one process finds.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/install.sh
source tests/cygnet.sh
[ "$(id -u)" -eq 0 ] || { echo "error: slurmd starts tasks as other users: run this as root" >&2; exit 1; }
need munge slurm-client slurmctld slurmd jq
find_cygnet

work=$(mktemp -d)
pids=()
stop() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT
# Slurm's daemons insist on folders that nobody else writes to.
chmod 755 "$work"
mkdir -p "$work"/{munge,state,spool}

dd if=/dev/urandom of="$work/munge/key" bs=64 count=1 status=none
chmod 400 "$work/munge/key"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed" >/dev/null 2>&1 &
pids+=($!)

host=$(hostname -s)
cat >"$work/slurm.conf" <<END
ClusterName=cygnet
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SchedulerTimeSlice=5
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$work/slurm.conf
slurmctld -D -f "$SLURM_CONF" >"$work/slurmctld.log" 2>&1 &
pids+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" >"$work/slurmd.log" 2>&1 &
pids+=($!)
for _ in $(seq 60); do
    sinfo -h -o %T 2>/dev/null | grep -q '^idle' && break
    sleep 0.5
done
sinfo -h -o %T | grep -q '^idle' || { tail -n 5 "$work"/*.log >&2; echo "error: Slurm does not come up" >&2; exit 1; }

# project NAME: a sweep of four small trials over the digits that the command carries.
project() {
    mkdir -p "$work/$1/data"
    cp compiler/cli/data/digits-{images,labels}.idx "$work/$1/data"
    cat >"$work/$1/cygnet.toml" <<'END'
name = "digits"
[data]
images = "data/digits-images.idx"
labels = "data/digits-labels.idx"
[model]
architecture = "tiny"
channels = 4
[train]
epochs = 3
rate = 0.006
[sweep]
trials = 4
generation = 4
first_epochs = 1
reduction = 2
[sweep.space]
"model.channels" = { low = 2, high = 8 }
"train.rate" = { low = 0.001, high = 0.02, log = true }
END
}
project threads
project cluster
# Times are those of a machine at a moment.
lasting='[.trials[] | del(.footprint.latency_ms, .bundle.latency_ms)]'
cygnet -q sweep --project "$work/threads" --jobs 2 --json - | jq "$lasting" >"$work/threads.json"
cygnet -q sweep --project "$work/cluster" --slurm --jobs 2 --slurm-option=--ntasks=1 --json - | jq "$lasting" >"$work/cluster.json"
diff "$work/threads.json" "$work/cluster.json"

scripts=("$work"/cluster/runs/sweep/slurm/*.sh)
logs=("$work"/cluster/runs/sweep/slurm/*.log)
# All four trials, two that go on, one that goes to its end.
[ "${#scripts[@]}" -eq 3 ] || { echo "error: ${#scripts[@]} arrays were submitted, not 3" >&2; exit 1; }
[ "${#logs[@]}" -eq 7 ] || { echo "error: ${#logs[@]} tasks have left a log, not 7" >&2; exit 1; }
grep -q '^#SBATCH --ntasks=1$' "${scripts[0]}"

# What is done is not submitted again.
cygnet -q sweep --project "$work/cluster" --slurm --json - | jq "$lasting" | diff "$work/cluster.json" -
again=("$work"/cluster/runs/sweep/slurm/*.sh)
[ "${#again[@]}" -eq 3 ] || { echo "error: what is done was submitted again" >&2; exit 1; }

# A partition that is not there is an error with Slurm's words.
project refused
if cygnet -q sweep --project "$work/refused" --slurm --slurm-option=--partition=none 2>"$work/refused.txt"; then
    echo "error: a partition that is not there was taken" >&2
    exit 1
fi
grep -q 'sbatch does not take' "$work/refused.txt" || { cat "$work/refused.txt" >&2; exit 1; }
echo "ok: trials as Slurm tasks find what threads find"
