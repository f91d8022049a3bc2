#!/usr/bin/env bash
# The main job: cold-start users on MovieLens-100K, four learners and every baseline. Or any experiment:
#   scripts/run.sh [FLAGS]                         flags of the main job
#   scripts/run.sh experiments/NAME.py [FLAGS]     another experiment
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
experiment=user_cold_start
if [ $# -gt 0 ] && [[ $1 == *.py ]]; then
    experiment=$(basename "$1" .py)
    if [ ! -f "$root/experiments/$experiment.py" ]; then
        echo "error: there is no experiments/$experiment.py; there are: $(cd "$root" && ls experiments/*.py | xargs)" >&2
        exit 1
    fi
    shift
fi
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$venv/bin/python" -m "experiments.$experiment" "$@"
