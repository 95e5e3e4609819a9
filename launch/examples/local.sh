#!/usr/bin/env bash
# nasfas: 2 processes on this machine. Start: bash FILE
set -euo pipefail
# A lost process ends the others, and all start again from the last checkpoint.
exec nasfas search --config=synthetic:pod --workdir=runs/local --processes=2 --restarts=3
