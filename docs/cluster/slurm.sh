#!/bin/bash
# A search on nodes of SLURM: a Ray head and the driver on the first node, Ray workers on the others.
#
#   sbatch --nodes=4 --gpus-per-node=8 docs/cluster/slurm.sh CONFIG /shared/runs/mine
#
# The run directory must lie on storage that every node mounts. SLURM runs this script again after a node failed or the
# job was preempted (--requeue); --resume then goes on where the search ended.
#SBATCH --job-name=nas
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --ntasks-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120

set -euo pipefail

config=${1:?usage: slurm.sh CONFIG RUN_DIR [more words for nas search]}
run_dir=${2:?usage: slurm.sh CONFIG RUN_DIR [more words for nas search]}
shift 2

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

# One port for each job, so that several may share a node.
port=$((20000 + SLURM_JOB_ID % 20000))
# Only who knows the token may use the cluster.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')}
export RAY_AUTH_TOKEN

cpus=()
if [[ -n ${SLURM_CPUS_ON_NODE:-} ]]; then cpus=(--num-cpus "$SLURM_CPUS_ON_NODE"); fi

steps=()
end_cluster() {
    # Workers first: one whose head is gone waits half a minute for it.
    local place
    for ((place = ${#steps[@]} - 1; place >= 0; place--)); do
        kill -TERM "${steps[place]}" 2>/dev/null || true
        if ((place == 1)); then wait "${steps[@]:1}" || true; fi
    done
    wait || true
}
trap end_cluster EXIT

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
    ray start --head --block --node-ip-address "$head_ip" --port "$port" --include-dashboard=false "${cpus[@]}" &
steps+=($!)
until ray status --address "$head_ip:$port" >/dev/null 2>&1; do
    kill -0 "${steps[0]}" # its end ends the script, with its words above
    sleep 1
done

for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --nodelist="$node" --overlap \
        ray start --block --address "$head_ip:$port" "${cpus[@]}" &
    steps+=($!)
done

# The driver runs beside its head. SIGTERM, two minutes before the time is up, makes it end with 75: resumable.
nas search "$config" --run-dir "$run_dir" --resume --executor ray --address "$head_ip:$port" "$@" &
driver=$!
terminated=
trap 'terminated=yes; kill -TERM "$driver" 2>/dev/null || true' TERM INT
status=0
wait "$driver" || status=$?
if [[ -n $terminated ]]; then
    # The signal ended the waiting, not yet the driver.
    status=0
    wait "$driver" || status=$?
fi

if [[ $status == 75 ]]; then
    scontrol requeue "$SLURM_JOB_ID" || true
fi
exit "$status"
