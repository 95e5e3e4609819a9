#!/usr/bin/env bash
# nasfas on a TPU slice v5litepod-16, 4 machines. Start: bash FILE
# Needs gcloud, logged in to a project, and a bucket that its machines may write.
set -euo pipefail
name=nasfas zone=us-west4-a
tpu() { gcloud compute tpus tpu-vm "$1" "$name" --zone="$zone" "${@:2}"; }
on_all() { tpu ssh --worker=all --command="$1"; }

status=1
for attempt in {0..20}; do
  state=$(tpu describe --format='value(state)' 2>/dev/null || true)
  echo "attempt $attempt, slice ${state:-absent}" >&2
  if [ "$state" != READY ]; then  # absent or preempted
    [ -z "$state" ] || tpu delete --quiet
    tpu create --accelerator-type=v5litepod-16 --version=v2-alpha-tpuv5-lite --spot ||
      { sleep 60; continue; }
    on_all 'python3 -m venv ~/nasfas && ~/nasfas/bin/pip install --quiet '"'"'nasfas_jax[tpu]'"'"''
  fi
  # The machines have gcsfuse, or --setup installs it.
  on_all 'mountpoint -q /buckets/BUCKET || { sudo install -d -m 777 /buckets/BUCKET && gcsfuse --implicit-dirs BUCKET /buckets/BUCKET; }' || continue
  # A process of an earlier attempt would hold the TPU.
  on_all 'pkill -f "[n]asfas/bin/nasfas" || true' || continue
  status=0
  # shellcheck disable=SC2016 # the PATH of the machines
  on_all 'PATH=~/nasfas/bin:$PATH; exec timeout --signal=TERM 86400 nasfas search --config=synthetic:pod --workdir=/buckets/BUCKET/runs/search --processes=auto' || status=$?
  # 1 and 2: an error that a restart repeats; 124: the time limit.
  ((status == 0 || status == 124 || status == 1 || status == 2)) && break
done
echo "exit code $status; the slice costs until: gcloud compute tpus tpu-vm delete $name --zone=$zone" >&2
exit "$status"
