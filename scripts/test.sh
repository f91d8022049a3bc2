#!/usr/bin/env bash
# The tests but the slow ones. Arguments go to pytest: scripts/test.sh tests/test_metrics.py -k auc; scripts/test.sh -m slow
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" dev
if [ -n "${METAREC_DATA_DIR:-}" ]; then
    METAREC_DATA_DIR=$(cd "$METAREC_DATA_DIR" && pwd)
    export METAREC_DATA_DIR
fi
cd "$root"
"$venv/bin/ruff" check --quiet .
exec "$venv/bin/python" -m pytest --numprocesses=2 --dist=loadgroup "$@"
