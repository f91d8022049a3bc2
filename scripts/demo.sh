#!/usr/bin/env bash
# A page to try a learner on yourself, at http://127.0.0.1:8000; flags are those of experiments/demo.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" demo
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$venv/bin/python" -m experiments.demo "$@"
