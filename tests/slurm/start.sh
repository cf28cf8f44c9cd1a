#!/usr/bin/env bash
# A throw-away Slurm of one node on this machine: munge, slurmctld and slurmd on the loopback device, without systemd.
#
#   tests/slurm/start.sh FOLDER     starts it; everything it writes is in FOLDER, but for links in /etc/slurm
#   tests/slurm/stop.sh FOLDER      stops it and takes the links away
#
# Needs root on Debian or Ubuntu; missing packages are installed. The node has two GPUs that are character devices and
# no more: Slurm lends them out one by one as it would real ones. Two partitions of the names in profiles/slurm, and
# `urgent`, whose jobs preempt those of `gpu`. FOLDER/gpus.log says which job held which GPU, as Slurm's prolog and
# epilog saw it; memory is watched every second and a job that exceeds its request is killed.
set -euo pipefail
mkdir -p "$1" && folder=$(realpath "$1")
gpus=2
packages=(munge slurmctld slurmd slurm-client)
host=$(hostname -s)

fail() { echo "start.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "only root can install and start Slurm. Run it as root, in a container for instance."
if [ -e /etc/slurm/slurm.conf ] && [ ! -L /etc/slurm/slurm.conf ]; then
    fail "/etc/slurm/slurm.conf exists: this machine belongs to a cluster. Run the tests on another one."
fi
if [ -e /etc/slurm/slurm.conf ] && timeout 5 scontrol ping >/dev/null 2>&1; then
    fail "one is at work already. Stop it first: tests/slurm/stop.sh $(dirname "$(dirname "$(realpath /etc/slurm/slurm.conf)")")"
fi
if ! { command -v munged && command -v slurmctld && command -v slurmd && command -v squeue; } >/dev/null; then
    command -v apt-get >/dev/null || fail "needs ${packages[*]}, and there is no apt-get to install them with."
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${packages[@]}" >"$folder/apt.log" 2>&1
fi

umask 022
mkdir -p "$folder"/{etc,state,spool,log,run,munge,dev} /etc/slurm
getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
chmod 700 "$folder/munge"
(umask 077; head -c 1024 /dev/urandom >"$folder/munge/key")
munged --force --key-file="$folder/munge/key" --socket="$folder/run/munge.sock" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"

for ((gpu = 0; gpu < gpus; gpu++)); do
    [ -e "$folder/dev/nvidia$gpu" ] || mknod "$folder/dev/nvidia$gpu" c 1 3
done
for stage in prolog epilog; do
    cat >"$folder/etc/$stage.sh" <<SCRIPT
#!/bin/sh
echo "$stage \$SLURM_JOB_ID \${SLURM_JOB_GPUS:--}" >>$folder/gpus.log
SCRIPT
    chmod +x "$folder/etc/$stage.sh"
done

# Room for all that the profile asks for, however small this machine is.
cat >"$folder/etc/slurm.conf" <<CONF
ClusterName=throwaway
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
CredType=cred/munge
SlurmctldPort=26817
SlurmdPort=26818
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
Prolog=$folder/etc/prolog.sh
Epilog=$folder/etc/epilog.sh
PrologFlags=Alloc
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2,preempt_youngest_first
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MinJobAge=3600
KillWait=10
MailProg=/bin/true
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=64 RealMemory=512000 Gres=gpu:$gpus State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES PriorityTier=1 State=UP
PartitionName=gpu Nodes=$host PriorityTier=1 GraceTime=10 State=UP
PartitionName=urgent Nodes=$host PriorityTier=10 PreemptMode=OFF State=UP
CONF
echo "NodeName=$host Name=gpu File=$folder/dev/nvidia[0-$((gpus - 1))]" >"$folder/etc/gres.conf"
# At the place that is compiled in: the executor plugin drops SLURM_CONF from the environment of what it runs.
ln -sfn "$folder"/etc/{slurm,gres}.conf /etc/slurm/

slurmctld -c
slurmd
for _ in $(seq 300); do
    if [ "$(sinfo --noheader --format=%T --partition=gpu 2>/dev/null)" = idle ]; then
        sinfo --format="%P %T %c CPUs, %m MB, %G"
        exit 0
    fi
    sleep 0.1
done
tail -n 20 "$folder"/log/slurm*.log >&2
fail "Slurm did not come up within 30 s; the ends of its logs are above."
