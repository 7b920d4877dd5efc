#!/bin/bash
# A run over one store on a shared file system, in 16 shards: sbatch slurm.sh
# A shard that is lost is run again by itself, or all are: what is recorded is not computed twice.
#SBATCH --job-name=densecast
#SBATCH --array=1-16
#SBATCH --cpus-per-task=16
#SBATCH --requeue
set -eu
: "${MODEL:=runs/fcn/built}" "${DATA:=/data/carvana}" "${STORE:=runs/carvana}"
: "${SHARD:=${SLURM_ARRAY_TASK_ID:-1}}" "${SHARDS:=${SLURM_ARRAY_TASK_COUNT:-16}}"
densecast evaluate "$MODEL" --data "$DATA" --store "$STORE" --shard "$SHARD/$SHARDS" --max-errors 0.1%
# When all have ended: densecast merge "$STORE"
