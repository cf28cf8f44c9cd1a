#!/usr/bin/env bash
# A throw-away Slurm of one node on this machine: munge, slurmctld and slurmd on the loopback device, without systemd.
#
#   tests/workflow/slurm/start.sh FOLDER     starts it; everything it writes is in FOLDER, but for links in /etc/slurm and, where
#                                   the name of this host does not resolve, a line in /etc/hosts
#   tests/workflow/slurm/stop.sh FOLDER      stops it and takes the links away; also after a start.sh that failed
#
# It is up when a job has run on it: a container may let the daemons start and yet forbid them to start jobs.
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
limit=60 # seconds for it to come up

fail() { echo "start.sh: $*" >&2; exit 1; }
free_port() { # the first from $1 on that nothing listens at; containers may share the network of their host
    local port=$1
    while (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 10)); done
    echo "$port"
}
[ "$(id -u)" = 0 ] || fail "only root can install and start Slurm. Run it as root, in a container for instance."
if command -v scontrol >/dev/null && timeout 5 scontrol ping >/dev/null 2>&1; then
    file=$(realpath -m /etc/slurm/slurm.conf)
    fail "a Slurm is at work already: $file. If it is one of these, stop it: tests/workflow/slurm/stop.sh ${file%/etc/slurm.conf}"
fi
# What a killed run of these tests has left is a link to a file of ours, or to none.
if [ -e /etc/slurm/slurm.conf ] &&
    ! { [ -L /etc/slurm/slurm.conf ] && grep -qx ClusterName=throwaway /etc/slurm/slurm.conf; }; then
    fail "/etc/slurm/slurm.conf exists: this machine belongs to a cluster. Run the tests on another one."
fi
if ! { command -v munged && command -v slurmctld && command -v slurmd && command -v squeue; } >/dev/null; then
    command -v apt-get >/dev/null || fail "needs ${packages[*]}, and there is no apt-get to install them with."
    export DEBIAN_FRONTEND=noninteractive
    # A list of packages that cannot be had need not be the one that matters.
    apt-get -qq -o DPkg::Lock::Timeout=300 update || echo "start.sh: not all lists of packages could be had." >&2
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${packages[@]}" >"$folder/apt.log" 2>&1 || {
        tail -n 20 "$folder/apt.log" >&2
        fail "${packages[*]} could not be installed; the end of what apt-get said is above."
    }
fi

umask 022
mkdir -p "$folder"/{etc,state,spool,log,run,munge,dev} /etc/slurm
getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
# At the place that is compiled in: the executor plugin drops SLURM_CONF from the environment of what it runs. First of
# all, so that stop.sh finds what has been started, however far that got.
touch "$folder"/etc/{slurm,gres}.conf
files=(slurm gres)
# slurmd takes up cgroups though nothing here uses them, and those of version 2 want systemd, which containers lack.
if [ "$(slurmd -V | grep -oE '[0-9]+' | head -n 1)" -ge 22 ]; then
    files+=(cgroup)
    echo "CgroupPlugin=cgroup/v1" >"$folder/etc/cgroup.conf"
fi
for file in "${files[@]}"; do ln -sfn "$folder/etc/$file.conf" /etc/slurm/; done
chmod 700 "$folder/munge"
(umask 077; head -c 1024 /dev/urandom >"$folder/munge/key")
munged --force --key-file="$folder/munge/key" --socket="$folder/run/munge.sock" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"

for ((gpu = 0; gpu < gpus; gpu++)); do
    # Containers may forbid to make devices; one that is there serves as well.
    [ -e "$folder/dev/nvidia$gpu" ] || mknod "$folder/dev/nvidia$gpu" c 1 3 2>/dev/null ||
        ln -s /dev/null "$folder/dev/nvidia$gpu"
done
for stage in prolog epilog; do
    cat >"$folder/etc/$stage.sh" <<SCRIPT
#!/bin/sh
echo "$stage \$SLURM_JOB_ID \${SLURM_JOB_GPUS:--}" >>$folder/gpus.log
SCRIPT
    chmod +x "$folder/etc/$stage.sh"
done

# Room for all that the profile asks for, however small this machine is, and patience, however busy. The node has a
# short name: that of the host would be part of the paths of sockets, which have a hundred characters.
cat >"$folder/etc/slurm.conf" <<CONF
ClusterName=throwaway
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
CredType=cred/munge
SlurmctldPort=$(free_port 26817)
SlurmdPort=$(free_port 26818)
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
MessageTimeout=60
TCPTimeout=10
BatchStartTimeout=120
UnkillableStepTimeout=300
MailProg=/bin/true
GresTypes=gpu
NodeName=node NodeHostname=$host NodeAddr=127.0.0.1 CPUs=64 RealMemory=512000 Gres=gpu:$gpus State=UNKNOWN
PartitionName=cpu Nodes=node Default=YES PriorityTier=1 State=UP
PartitionName=gpu Nodes=node PriorityTier=1 GraceTime=60 State=UP
PartitionName=urgent Nodes=node PriorityTier=10 PreemptMode=OFF State=UP
CONF
echo "NodeName=node Name=gpu File=$folder/dev/nvidia[0-$((gpus - 1))]" >"$folder/etc/gres.conf"

SECONDS=0
slurmctld -c
slurmd
# A client that finds nobody goes on trying for ten seconds by itself.
until [ "$(timeout 5 sinfo --noheader --format=%T --partition=gpu 2>/dev/null)" = idle ] &&
    timeout 30 srun --partition=gpu --gpus=1 --mem=100 true; do
    if [ "$SECONDS" -ge "$limit" ]; then
        tail -n 20 "$folder"/log/slurm*.log >&2
        fail "Slurm did not come up within $limit s; the ends of its logs are above."
    fi
    sleep 0.1
done
timeout 30 sinfo --format="%P %T %c CPUs, %m MB, %G"
