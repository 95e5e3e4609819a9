#!/usr/bin/env bash
# nasfas on a TPU slice v5litepod-16, 4 machines. Start: bash FILE
# Needs gcloud, logged in to a project, and a bucket that its machines may write.
set -euo pipefail
name=nasfas zone=us-west4-a
tpu() { gcloud compute tpus tpu-vm "$1" "$name" --zone="$zone" "${@:2}"; }
on_all() { tpu ssh --worker=all --command="$1"; }

# shellcheck disable=SC2016 # the PATH of the machines
attempt() {
  # Their own Python is 3.10; uv fetches one that nasfas_jax needs.
  on_all 'curl -LsSf https://astral.sh/uv/install.sh | sh &&
      ~/.local/bin/uv venv --quiet --allow-existing --python=3.11 ~/nasfas &&
      VIRTUAL_ENV=~/nasfas ~/.local/bin/uv pip install --quiet '"'"'nasfas_jax[tpu]'"'"'' &&
    # The machines have gcsfuse, or --setup installs it.
    on_all 'mountpoint -q /buckets/BUCKET || { sudo install -d -m 777 /buckets/BUCKET && gcsfuse --implicit-dirs BUCKET /buckets/BUCKET; }' &&
    # A process of an earlier attempt would hold the TPU.
    on_all 'pkill -f "[n]asfas/bin/nasfas" || true' &&
    on_all 'PATH=~/nasfas/bin:$PATH; exec timeout --signal=TERM 86400 nasfas search --config=synthetic:pod --workdir=/buckets/BUCKET/runs/search --processes=auto'
}

status=1
for number in {0..20}; do
  state=$(tpu describe --format='value(state)' 2>/dev/null || true)
  echo "attempt $number, slice ${state:-absent}" >&2
  if [ "$state" != READY ]; then  # absent or preempted
    [ -z "$state" ] || tpu delete --quiet
    tpu create --accelerator-type=v5litepod-16 --version=v2-alpha-tpuv5-lite --spot ||
      { sleep 60; continue; }
  fi
  status=0
  attempt || status=$?
  # 1 and 2: an error that a restart repeats; 124: the time limit.
  ((status == 0 || status == 124 || status == 1 || status == 2)) && break
done
echo "exit code $status; the slice costs until: gcloud compute tpus tpu-vm delete $name --zone=$zone" >&2
exit "$status"
