#!/usr/bin/env bash
# {{ job.name }} on a TPU slice {{ job.slice.type }}, {{ job.hosts }} machine{{ "s" if job.hosts > 1 }}. Start: bash FILE
# Needs gcloud, logged in to a project, and a bucket that its machines may write.
set -euo pipefail
name={{ job.name }} zone={{ job.zone }}
tpu() { gcloud compute tpus tpu-vm "$1" "$name" --zone="$zone" "${@:2}"; }
on_all() { tpu ssh --worker=all --command="$1"; }

# shellcheck disable=SC2016 # the PATH of the machines
attempt() {
  # Their own Python is 3.10; uv fetches one that nasfas_jax needs.
  on_all {{ job.installation | join(" &&\n      ") | quote }} &&
{% if job.bucket %}
    # The machines have gcsfuse, or --setup installs it.
    on_all {{ (("" if not job.setup else job.setup ~ "; ") ~ "mountpoint -q " ~ buckets ~ "/" ~ job.bucket[1] ~ " || { sudo install -d -m 777 " ~ buckets ~ "/" ~ job.bucket[1] ~ " && gcsfuse --implicit-dirs " ~ job.bucket[1] ~ " " ~ buckets ~ "/" ~ job.bucket[1] ~ "; }") | quote }} &&
{% endif %}
    # A process of an earlier attempt would hold the TPU.
    on_all 'pkill -f "[n]asfas/bin/nasfas" || true' &&
    on_all {{ ("PATH=~/nasfas/bin:$PATH; " ~ (job.setup ~ "; " if job.setup else "") ~ "exec timeout --signal=TERM " ~ (job.hours * 3600) | round | int ~ " " ~ job.line ~ (" --processes=auto" if job.hosts > 1 else "")) | quote }}
}

status=1
for number in {0..{{ job.restarts }}}; do
  state=$(tpu describe --format='value(state)' 2>/dev/null || true)
  echo "attempt $number, slice ${state:-absent}" >&2
  if [ "$state" != READY ]; then  # absent or preempted
    [ -z "$state" ] || tpu delete --quiet
    tpu create --accelerator-type={{ job.slice.type }} --version={{ job.slice.software }}{{ " --spot" if job.spot }}{% for option in job.options %} {{ option }}{% endfor %} ||
      { sleep 60; continue; }
  fi
  status=0
  attempt || status=$?
  # {{ final | join(" and ") }}: an error that a restart repeats; 124: the time limit.
  ((status == 0 || status == 124 || status == {{ final | join(" || status == ") }})) && break
done
echo "exit code $status; the slice costs until: gcloud compute tpus tpu-vm delete $name --zone=$zone" >&2
exit "$status"
