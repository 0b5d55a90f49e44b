#!/usr/bin/env bash
# Slurm on this machine alone, from Debian's packages: a controller and two nodes of one core, all on the loopback address.
#   apt-get install slurm-wlm munge
#   slurm_cluster.sh start FOLDER    then: export SLURM_CONF=FOLDER/slurm.conf
#   slurm_cluster.sh stop FOLDER
# Jobs of the partition `low` are queued again when one of `high` needs their node. Needs root.
set -euo pipefail
action=$1 folder=$2
if [[ $action == stop ]]; then
    for file in "$folder"/*.pid; do
        [[ -s $file ]] && kill "$(cat "$file")" 2>/dev/null || true
    done
    exit 0
fi
mkdir -p "$folder"/{state,spool-n1,spool-n2} /run/munge
port=$((20000 + RANDOM % 20000))
cat > "$folder/slurm.conf" <<CONF
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CommunicationParameters=NoInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=5
NodeName=n1 NodeHostName=localhost NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1 RealMemory=2000 State=UNKNOWN
NodeName=n2 NodeHostName=localhost NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1 RealMemory=2000 State=UNKNOWN
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=0 State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
if ! munge -n > /dev/null 2>&1; then
    chown munge /run/munge
    runuser -u munge -- munged --force --pid-file=/run/munge/munged.pid
fi
slurmctld -f "$SLURM_CONF"
for node in n1 n2; do
    slurmd -f "$SLURM_CONF" -N $node
done
for _ in $(seq 60); do
    [[ $(sinfo --noheader --partition=low --states=idle --format=%D) == 2 ]] && exit 0
    sleep 1
done
sinfo >&2
exit 1
