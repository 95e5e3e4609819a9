#!/usr/bin/env bash
# The main job on this machine: synthetic videos, search, training, test, report.
# Extra arguments go to the program, e.g. --workdir=DIR or --config.seed=1.
set -euo pipefail
caller=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" launch/requirements.lock
cd "$caller"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
echo "Before other commands of README.md: source $(dirname "$(command -v nasfas)")/activate" >&2
exec nasfas demo --config="$root/configs/synthetic.py:local" --workdir="$root/runs/local" "$@"
