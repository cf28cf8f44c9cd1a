#!/usr/bin/env bash
# Stops what tests/workflow/slurm/start.sh FOLDER has started, by its own process ids.
set -uo pipefail
folder=$(realpath "$1")
is_alive() { [ -e "/proc/$1" ] && ! grep -q "^State:.*Z" "/proc/$1/status" 2>/dev/null; } # nobody may wait for the dead
[ "$(realpath -m /etc/slurm/slurm.conf)" = "$folder/etc/slurm.conf" ] || exit 0
if timeout 5 scontrol ping >/dev/null 2>&1; then
    # Jobs first, and wait for them: their step daemons would outlive slurmd.
    for state in PENDING RUNNING SUSPENDED; do
        scancel --state=$state --user=root 2>/dev/null
    done
    for _ in $(seq 150); do
        [ -z "$(timeout 5 squeue --noheader 2>/dev/null)" ] && break
        sleep 0.1
    done
fi
for daemon in slurmd slurmctld munged; do
    pid=$(cat "$folder/run/$daemon.pid" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 300); do
        is_alive "$pid" || continue 2
        sleep 0.1
    done
    kill -KILL "$pid" # its port is wanted by the next one
done
rm -f /etc/slurm/{slurm,gres,cgroup}.conf
