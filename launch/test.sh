#!/usr/bin/env bash
# The gate: format, lint, types, import contracts, tests, doctests, README commands.
# Extra arguments go to pytest, e.g. -k rank_pool.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" launch/requirements.lock launch/requirements-test.lock
ruff format --check .
ruff check .
pyright
lint-imports
exec python -m pytest -n 2 "$@"
