#!/usr/bin/env bash
# {{ job.name }} on SLURM. Start: sbatch FILE
#SBATCH --job-name={{ job.name }}
#SBATCH --nodes={{ job.nodes }}
{% if job.per == "gpu" %}
# One process a GPU. Each must see all GPUs of its node: no --gpus-per-task.
#SBATCH --ntasks-per-node={{ job.gpus }}
#SBATCH --cpus-per-task={{ [job.cpus // job.gpus, 1] | max }}
{% else %}
# One process a node.
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task={{ job.cpus }}
{% endif %}
{% if job.gpus %}
#SBATCH --gpus-per-node={{ job.gpu ~ ":" if job.gpu }}{{ job.gpus }}
{% endif %}
#SBATCH --time={{ job.time }}
# SIGTERM five minutes before the end saves a checkpoint, from which a requeued job resumes.
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={{ job.name }}-%j.log
{% if job.parts > 1 %}
# The parts of the sweep. Afterwards: nasfas sweep, without --part, makes its table.
#SBATCH --array=0-{{ job.parts - 1 }}
{% endif %}
{% for option in job.options %}
#SBATCH {{ option }}
{% endfor %}
set -euo pipefail
{% if job.setup %}
{{ job.setup }}
{% endif %}
{% if job.gpus and job.per == "node" %}
export JAX_LOCAL_DEVICE_IDS={{ range(job.gpus) | join(",") }}  # all GPUs of the node
{% endif %}
status=0
srun --kill-on-bad-exit=1 {{ job.line }}{{ ' "--part=$SLURM_ARRAY_TASK_ID/' ~ job.parts ~ '"' if job.parts > 1 }} || status=$?
# Ended by a signal or a lost node. 1 and 2: an error that a restart repeats.
if ((status > 2 && ${SLURM_RESTART_COUNT:-0} < {{ job.restarts }})); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
