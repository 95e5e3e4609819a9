#!/usr/bin/env bash
# nasfas on SLURM. Start: sbatch FILE
#SBATCH --job-name=nasfas
#SBATCH --nodes=2
# One process a GPU. Each must see all GPUs of its node: no --gpus-per-task.
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
# SIGTERM five minutes before the end saves a checkpoint, from which a requeued job resumes.
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=nasfas-%j.log
#SBATCH --partition=gpu
#SBATCH --account=me
set -euo pipefail
source /shared/nasfas/bin/activate
status=0
srun --kill-on-bad-exit=1 nasfas search --config=synthetic:pod --workdir=/shared/runs/search || status=$?
# Ended by a signal or a lost node. 1 and 2: an error that a restart repeats.
if ((status > 2 && ${SLURM_RESTART_COUNT:-0} < 20)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
