#!/bin/bash
# Is a training that Slurm requeued in the middle the same, bit for bit, as one left alone?
#   PYTHON=/path/to/venv/bin launch/test/slurm_requeue.sh
# Builds a Slurm cluster of one node in a temporary folder (Debian or Ubuntu, root, no systemd needed; installs
# slurm-wlm and munge where they are missing), trains twice with launch/slurm.sbatch as two tasks, once with a
# `scontrol requeue` after the second tick, and compares what both runs left. Exit code: 0 the same, 1 not.
# From the environment, all optional:
#   PYTHON   bin folder of the interpreter; put first in PATH
#   BATCH    the batch file; launch/slurm.sbatch
#   COMMAND  what the batch file runs in place of `python -m stylegan_jax.main`, to try this script with a stand-in
#   COMPARE  command that is given the folders of the two runs and exits with 0 if they agree; compare_runs.py
#   KIMG     length of the training [thousands of images]; 15
#   LIMIT    seconds that each wait may take; 900
#   KEEP     not empty: the temporary folder stays
# Arguments are flags of the training, added to the ones below.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
batch=${BATCH:-$root/launch/slurm.sbatch} limit=${LIMIT:-900} kimg=${KIMG:-15}
[ -n "${PYTHON:-}" ] && export PATH="$PYTHON:$PATH"
compare=${COMPARE:-python $here/compare_runs.py}
training=(--experiment=quickstart --config.replicas=2 --config.parallel.devices=2 --config.schedule.batch=8 --config.schedule.batch_by_resolution=
  --config.image.resolution=8 --config.schedule.initial_resolution=8 --config.data.count=40
  --config.generator.mapping_layers=2 --config.generator.fmap_base=32 --config.generator.fmap_max=8
  --config.discriminator.fmap_base=32 --config.discriminator.fmap_max=8
  --config.train.total_kimg="$kimg" --config.log.tick_kimg=1.5 "$@")

say() { printf '[%4ds] %s\n' $SECONDS "$*"; }
die() { say "ERROR: $*"; exit 1; }
field() { scontrol show job "$1" | grep -oE "(^| )$2=[^ ]*" | head -1 | cut -d= -f2; }     # field JOB NAME
ticks() { cat "$1/log.jsonl" 2>/dev/null | wc -l; }                                         # ticks RUN
show() { sed 's/\r/\n/g; s/^/    | /' "$1"; }                                               # show FILE

await() {       # await WHAT COMMAND...: returns once the command succeeds
  local what=$1 end=$((SECONDS + limit)); shift
  until "$@"; do
    [ $SECONDS -lt $end ] || die "$what: still not so after $limit s"
    sleep 0.2
  done
  say "$what"
}

# --- what is needed ---
[ "$(id -u)" = 0 ] || die 'needs root, to start slurmd and munged'
if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
  say 'installing slurm-wlm and munge'
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge; } >/dev/null 2>&1 ||
    die 'apt-get install slurm-wlm munge failed'
fi
host=$(hostname -s)
getent hosts "$host" >/dev/null || die "the name $host does not resolve, and tasks find one another by it"
command -v python >/dev/null || die 'there is no python in PATH; set PYTHON'

# --- a cluster in a temporary folder, and its end ---
tmp=$(mktemp -d /tmp/slurm_requeue.XXXXXX)
chmod 755 "$tmp"
daemons=()
finish() {
  local code=$? pid
  trap '' INT TERM
  if [ ${#daemons[@]} -gt 0 ]; then
    scancel --full --signal=KILL --user=root 2>/dev/null      # this cluster's jobs: SLURM_CONF is ours
    scancel --user=root 2>/dev/null
    for ((end = SECONDS + 20; SECONDS < end; )); do [ -z "$(squeue -h 2>/dev/null)" ] && break; sleep 0.5; done
    for pid in $(printf '%s\n' "${daemons[@]}" | tac); do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
  fi
  if [ -n "${KEEP:-}" ]; then say "kept: $tmp"; else rm -rf "$tmp"; fi
  exit $code
}
trap finish EXIT
trap 'exit 1' INT TERM

mkdir "$tmp/munge" "$tmp/state" "$tmp/spool" "$tmp/runs"
head -c 128 /dev/urandom >"$tmp/munge/key"
chmod 400 "$tmp/munge/key"
chown -R munge:munge "$tmp/munge"
touch "$tmp/gpu0" "$tmp/gpu1"       # two pretended GPUs, so that the batch file's #SBATCH lines about GPUs hold
read -r port1 port2 < <(python -c 'import socket
sockets = [socket.create_server(("", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
cat >"$tmp/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port1
SlurmdPort=$port2
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$tmp/munge/socket
CredType=cred/munge
StateSaveLocation=$tmp/state
SlurmdSpoolDir=$tmp/spool
SlurmctldPidFile=$tmp/slurmctld.pid
SlurmdPidFile=$tmp/slurmd.pid
SlurmctldLogFile=$tmp/slurmctld.log
SlurmdLogFile=$tmp/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
JobRequeue=1
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
echo "Name=gpu File=$tmp/gpu[0-1]" >"$tmp/gres.conf"
echo 'CgroupPlugin=cgroup/v1' >"$tmp/cgroup.conf"       # loaded, but nothing above uses it
export SLURM_CONF=$tmp/slurm.conf

start() { "$@" >>"$tmp/daemons.out" 2>&1 & daemons+=($!); }
start setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --key-file="$tmp/munge/key" \
  --socket="$tmp/munge/socket" --pid-file="$tmp/munge/pid" --seed-file="$tmp/munge/seed" --log-file="$tmp/munge/log"
await 'munged answers' test -S "$tmp/munge/socket"
start slurmctld -D
start slurmd -D
is_idle() { [ "$(sinfo -h -o %t 2>/dev/null)" = idle ]; }
limit=60 await "$(slurmd -V): node $host is idle, with 2 CPUs and 2 pretended GPUs" is_idle

# --- the two trainings ---
export JAX_PLATFORMS=cpu XLA_FLAGS= JAX_COMPILATION_CACHE_DIR=$tmp/cache
if [ -n "${COMMAND:-}" ]; then
  sed "s|python -m stylegan_jax.main|$COMMAND|" "$batch" >"$tmp/slurm.sbatch"
  say "stand-in for the training: $COMMAND"
  batch=$tmp/slurm.sbatch
fi
say "batch file ${BATCH:-launch/slurm.sbatch}:"
show "$batch"
say 'flags of both runs, beside --workdir:'
printf '    | %s\n' "${training[@]}"

submit() {      # submit NAME: sets `job` and `run`
  run=$tmp/runs/$1
  # What the command line overrides is what this node cannot have: CPUs by the dozen. GPUs are pretended.
  job=$(cd "$root" && sbatch --parsable --job-name="$1" --nodes=1 --ntasks=2 --ntasks-per-node=2 --gpus-per-node=2 --cpus-per-task=1 \
    --mem=0 --time=60 --output="$run.out" "$batch" "${training[@]}" --workdir="$run") || die 'sbatch failed'
  say "job $job: the $1 run, two tasks"
}
has_ended() { case $(field "$job" JobState) in PENDING | CONFIGURING | RUNNING | COMPLETING | REQUEUED) false ;; esac; }
ended() { await "job $job has ended" has_ended
  state=$(field "$job" JobState) restarts=$(field "$job" Restarts) code=$(field "$job" ExitCode)
  say "job $job: $state, exit code $code, $restarts restarts, $(ticks "$run") ticks; its output:"
  show "$run.out"; }
results=()
check() {       # check WHAT COMMAND...
  local what=$1; shift
  if "$@"; then results+=("PASS  $what"); else results+=("FAIL  $what"); fi
}

submit undisturbed
ended
check "undisturbed run: COMPLETED at its first start (here: $state, $restarts restarts)" \
  test "$state $restarts $code" = 'COMPLETED 0 0:0'
[ "$state" = COMPLETED ] || die 'the undisturbed run failed, so there is nothing to compare with'
undisturbed=$run total=$(ticks "$run")

submit requeued
two_ticks_or_ended() { [ "$(ticks "$run")" -ge 2 ] || has_ended; }
await 'two ticks are written, or the job has ended' two_ticks_or_ended
before=$(field "$job" JobState)
[ "$before" = RUNNING ] || { ended; die 'the run has ended too soon to be requeued; a larger KIMG makes it longer'; }
scontrol requeue "$job"
say "scontrol requeue $job, at $(ticks "$run") of $total ticks; the job was $before"
is_pending() { [ "$(field "$job" JobState)" = PENDING ]; }
await 'the job has left its node and waits' is_pending
reached=$(ticks "$run")
say "$reached of $total ticks are written; the checkpoints: $(ls "$run/checkpoints" 2>/dev/null | sort -n | xargs)"
# Slurm keeps a requeued job for two minutes; there is nothing to wait for here.
scontrol update JobId="$job" StartTime=now
runs_again() { [ "$(field "$job" Restarts)" = 1 ] && [ "$(field "$job" JobState)" != PENDING ]; }
await 'the job runs for the second time' runs_again
ended
check "requeued run: was RUNNING, and stopped between its ends (after $reached of $total ticks)" \
  test "$before" = RUNNING -a "$reached" -ge 2 -a "$reached" -lt "$total"
check 'requeued run: stopped in good order and saved' grep -q '^stopped at' "$run.out"
check 'requeued run: the second start went on from there' grep -q '^going on at' "$run.out"
check "requeued run: COMPLETED at its second start (here: $state, $restarts restarts)" \
  test "$state $restarts $code" = 'COMPLETED 1 0:0'

# --- the comparison ---
same_pictures() {
  local name count=0 different=0
  for name in $(cd "$tmp/runs" && ls undisturbed requeued | grep -E '^(fakes|reals).*\.png$' | sort -u); do
    count=$((count + 1))
    cmp "$undisturbed/$name" "$run/$name" || different=$((different + 1))
  done
  pictures="$count pictures, $different differ"
  [ "$(ls "$undisturbed" | grep -cE '^fakes.*\.png$')" -ge 2 ] && [ $different = 0 ]
}
say 'comparing'
$compare "$undisturbed" "$run" 2>&1 | sed 's/^/    | /'
same_states=${PIPESTATUS[0]}
same_pictures
same=$?
check "fakes*.png and reals.png, byte for byte ($pictures)" test $same = 0
check "states, bit for bit ($(basename "${compare##* }"), above)" test "$same_states" = 0

echo
printf '%s\n' "${results[@]}"
if printf '%s\n' "${results[@]}" | grep -q ^FAIL; then echo 'FAIL: the requeued run is not the undisturbed one'; exit 1; fi
echo 'PASS: the requeued run is the undisturbed one'
