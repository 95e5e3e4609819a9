#!/usr/bin/env bash
# nasfas on SLURM. Start: sbatch FILE
#SBATCH --job-name=nasfas
#SBATCH --nodes=1
# One process a node.
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=4
#SBATCH --time=4:30:00
# SIGTERM five minutes before the end saves a checkpoint, from which a requeued job resumes.
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=nasfas-%j.log
# The parts of the sweep. Afterwards: nasfas sweep, without --part, makes its table.
#SBATCH --array=0-15
set -euo pipefail
export JAX_LOCAL_DEVICE_IDS=0,1,2,3  # all GPUs of the node
status=0
srun --kill-on-bad-exit=1 nasfas sweep --config=rfmeta --workdir=/shared/runs/rfmeta "--part=$SLURM_ARRAY_TASK_ID/16" || status=$?
# Ended by a signal or a lost node. 1 and 2: an error that a restart repeats.
if ((status > 2 && ${SLURM_RESTART_COUNT:-0} < 20)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
