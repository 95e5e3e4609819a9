#!/usr/bin/env bash
# {{ job.name }}: {{ job.processes }} process{{ "es" if job.processes > 1 }} on this machine. Start: bash FILE
set -euo pipefail
{% if job.setup %}
{{ job.setup }}
{% endif %}
{% if job.processes > 1 %}
# A lost process ends the others, and all start again from the last checkpoint.
exec {{ job.line }} --processes={{ job.processes }} --restarts={{ job.restarts }}
{% else %}
exec {{ job.line }}
{% endif %}
