# Sourced by the other scripts: makes or reuses .venv and installs the pinned versions.
# Usage: source launch/setup.sh LOCK_FILE...   (a second start installs nothing)
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
VENV=${NASFAS_VENV:-.venv}
PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "nasfas_jax needs Python 3.11 or newer; $("$PYTHON" --version) is what '$PYTHON' gives. Set PYTHON=/path/to/python3.11." >&2
  exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
for lock in "$@"; do
  stamp="$VENV/.installed-$(cat "$lock" setup.cfg | cksum | cut -d' ' -f1)"
  if [ ! -e "$stamp" ]; then
    echo "Installing $lock into $VENV ..."
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$lock"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
    touch "$stamp"
  fi
done
PATH="$(cd "$VENV/bin" && pwd):$PATH"
export PATH
