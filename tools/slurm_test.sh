#!/usr/bin/env bash
# Test under Slurm:
#   GPUS=16 GPUS_PER_NODE=8 bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
# CPUS_PER_TASK and SRUN_ARGS reach srun; GPUS_PER_NODE=0 asks for none.
set -eu
if [ $# -lt 4 ]; then
    sed -n '2,4p' "$0" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
shift 4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
TASKS_PER_NODE=$((GPUS_PER_NODE > 0 ? GPUS_PER_NODE : GPUS))
DEVICES=()
if [ "$GPUS_PER_NODE" -gt 0 ]; then
    DEVICES=("--gres=gpu:$GPUS_PER_NODE")
fi

# shellcheck disable=SC2086  # SRUN_ARGS are several words
exec srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    "${DEVICES[@]}" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$TASKS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "$@"
