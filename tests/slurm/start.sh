#!/bin/sh
# Start slurm on this machine as one node, for the tests in this folder: munge, a controller and a node's daemon.
# Usage, as root on Debian or Ubuntu, with a folder for state and logs:
#     apt-get install slurm-wlm && sh tests/slurm/start.sh /tmp/slurm
#     HUIDUREP_TEST_SLURM=1 SLURM_CONF=/tmp/slurm/slurm.conf python -m pytest tests/slurm
#     sh tests/slurm/start.sh --stop /tmp/slurm
set -eu

if [ "$1" = --stop ]; then
    for daemon in slurmd slurmctld munged; do kill "$(cat "$2/$daemon.pid")" || true; done
    exit
fi

folder=$1
mkdir -p "$folder/state" "$folder/spool"
chmod 755 "$folder"
dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
chmod 600 "$folder/munge.key"

host=$(hostname -s)
cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
PartitionName=test Nodes=$host Default=YES State=UP
END

munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
slurmctld -f "$folder/slurm.conf"
slurmd -f "$folder/slurm.conf"

export SLURM_CONF="$folder/slurm.conf"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ "$(sinfo --noheader --format=%T || true)" = idle ]; then
        sinfo
        exit
    fi
    sleep 1
done
tail -n 20 "$folder"/*.log
exit 1
