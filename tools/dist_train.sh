#!/usr/bin/env bash
# Train with several processes on one or several nodes, by torchrun:
#   bash tools/dist_train.sh CONFIG PROCESSES_PER_NODE [options of tools/train.py]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh CONFIG 8   # on each node
# Ends with 75 if the run was stopped by SIGTERM: start it again with --resume.
set -u
if [ $# -lt 2 ]; then
    sed -n '2,4p' "$0" >&2
    exit 2
fi
CONFIG=$1
PROCESSES=$2
shift 2
STOPPED=
trap 'STOPPED=1' TERM # until torchrun is there
# torchrun ends with 1 whatever its processes end with: ours leave their code in this file.
MMCLIP_EXIT_CODE_FILE=$(mktemp)
export MMCLIP_EXIT_CODE_FILE

torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@" &
CHILD=$!
trap 'STOPPED=1; kill -TERM $CHILD' TERM
trap 'kill -INT $CHILD' INT
if [ -n "$STOPPED" ]; then
    kill -TERM $CHILD
fi
wait $CHILD
CODE=$?
while kill -0 $CHILD 2>/dev/null; do # `wait` returns early when a signal comes
    wait $CHILD
    CODE=$?
done
if [ -s "$MMCLIP_EXIT_CODE_FILE" ]; then
    CODE=$(cat "$MMCLIP_EXIT_CODE_FILE")
elif [ -n "$STOPPED" ] && [ "$CODE" -ne 0 ]; then
    CODE=75 # torchrun was stopped before it had started a process
fi
rm -f "$MMCLIP_EXIT_CODE_FILE"
exit "$CODE"
